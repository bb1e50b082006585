//! What all views of a browser session share: one slice that belongs to none of them.

use durable_stash_machine::{ErrorKind, Outcome, TabId, View, Vsn};

use crate::lab::{Lab, slot};

/// The slice of what is shared, as a slot.
fn shared_slot() -> std::sync::Arc<durable_stash_machine::Slot> {
    let slot = durable_stash_machine::Slot { view: View::shared(), vsn: Vsn::SHARED, tab: TabId::new("none") };
    std::sync::Arc::new(slot)
}

fn shared(lab: &Lab, key: &str) -> Option<String> {
    lab.stored(&shared_slot(), key)
}

#[test]
fn what_one_view_shares_every_view_of_every_version_reads() {
    let mut lab = Lab::nodes(2);
    let live = lab.mount(0, &slot("a", 2, "t1"));
    lab.share(&live, &[("theme", "\"dark\"")]);
    let accepted = lab.peek(0, &slot("b", 7, "t2"));
    lab.settle();
    let read = lab.peek(1, &slot("a", 1, "t3"));
    lab.settle();
    assert_eq!(lab.shown(0, accepted), "theme*=\"dark\"", "what this node has accepted is part of it");
    assert_eq!(lab.shown(1, read), "theme*=\"dark\"");
}

#[test]
fn the_keys_of_all_scopes_that_one_stash_names_are_one_commit() {
    let mut lab = Lab::new();
    let live = lab.mount(0, &slot("a", 1, "t1"));
    let op = lab.write_and_share(&live, &[("k", "1")], &[("d", "2")], &[("theme", "3")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.header().rev, 1);
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("2"));
    assert_eq!(shared(&lab, "theme").as_deref(), Some("3"));
}

#[test]
fn two_nodes_that_share_different_keys_at_once_keep_both() {
    let mut lab = Lab::nodes(2);
    let one = lab.mount(0, &slot("a", 1, "t1"));
    let other = lab.mount(1, &slot("b", 1, "t2"));
    lab.share(&one, &[("theme", "1"), ("both", "1")]);
    lab.share(&other, &[("lang", "2"), ("both", "2")]);
    lab.settle();
    assert_eq!(shared(&lab, "theme").as_deref(), Some("1"));
    assert_eq!(shared(&lab, "lang").as_deref(), Some("2"));
    assert!(shared(&lab, "both").is_some());
}

#[test]
fn sharing_begins_no_slice_of_the_view_so_that_a_lower_version_still_migrates() {
    let mut lab = Lab::new();
    let old = lab.mount(0, &slot("a", 1, "t1"));
    lab.stash(&old, &[("k", "1")]);
    lab.settle();
    let new = lab.mount(0, &slot("a", 2, "t2"));
    lab.share(&new, &[("theme", "2")]);
    lab.settle();
    let read = lab.read(&new);
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=1 theme*=2");
    assert!(!lab.document().views[&View::new("a")].contains_key(&Vsn(2)));
}

#[test]
fn a_fresh_mount_that_only_shares_still_owes_its_tab_the_emptying() {
    let mut lab = Lab::new();
    let before = lab.mount(0, &slot("a", 1, "t1"));
    lab.stash_tab(&before, &[("d", "1")]);
    lab.settle();
    // Another node that knows nothing of the document yet.
    let other = lab.boot();
    lab.wait(10);
    let fresh = lab.mount(other, &slot("a", 1, "t1"));
    lab.share(&fresh, &[("theme", "2")]);
    lab.stash(&fresh, &[("k", "3")]);
    lab.settle();
    assert_eq!(lab.stored_tab(&fresh.slot, "d"), None);
    let read = lab.read(&fresh);
    lab.settle();
    assert_eq!(lab.shown(other, read), "k=3 theme*=2");
}

#[test]
fn a_claim_that_was_superseded_on_another_node_shares_nothing() {
    let mut lab = Lab::nodes(2);
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&zombie, &[("d", "1")]);
    lab.settle();
    lab.wait(10);
    let live = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.write_and_share(&live, &[], &[("d", "2")], &[("theme", "2")]);
    lab.settle();
    let op = lab.share(&zombie, &[("theme", "3")]);
    let read = lab.peek(0, &slot("b", 1, "t9"));
    lab.settle();
    assert_eq!(lab.outcome(&zombie, op), Some(Outcome::Failed(ErrorKind::Superseded)));
    assert_eq!(shared(&lab, "theme").as_deref(), Some("2"));
    assert_eq!(lab.shown(0, read), "theme*=2", "no view reads what will not be saved");
}

#[test]
fn a_reset_leaves_what_is_shared_and_a_forgetting_does_not() {
    let mut lab = Lab::new();
    let live = lab.mount(0, &slot("a", 1, "t1"));
    lab.write_and_share(&live, &[("k", "1")], &[], &[("theme", "2")]);
    lab.reset(&live);
    lab.settle();
    assert_eq!((lab.stored(&live.slot, "k"), shared(&lab, "theme").as_deref()), (None, Some("2")));
    lab.forget(0);
    lab.settle();
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "not found");
}

#[test]
fn what_is_shared_lives_as_long_as_any_view_is_visited() {
    let mut lab = Lab::new();
    let sharer = lab.mount(0, &slot("a", 1, "t1"));
    lab.share(&sharer, &[("theme", "1")]);
    lab.settle();
    let visitor = lab.mount(0, &slot("b", 1, "t2"));
    lab.stash(&visitor, &[("k", "1")]);
    for _ in 0..5 {
        lab.wait(lab.policy.ttl_ms / 4);
        lab.read(&visitor);
        lab.settle();
    }
    assert_eq!(shared(&lab, "theme").as_deref(), Some("1"));
}

#[test]
fn fault_52_a_document_that_outgrows_its_limit_by_what_is_shared_takes_none_of_the_stash() {
    let mut lab = Lab::with(|policy| policy.max_document_bytes = 10_000);
    let live = lab.mount(0, &slot("a", 1, "t1"));
    let large = format!("\"{}\"", "x".repeat(10_000));
    let op = lab.write_and_share(&live, &[("k", "1")], &[], &[("theme", &large)]);
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::TooLarge)), "at once");
    lab.settle();
    assert_eq!((lab.stored(&live.slot, "k"), shared(&lab, "theme")), (None, None));
}

#[test]
fn what_is_shared_and_not_saved_counts_among_the_bytes_that_are_not() {
    let mut lab = Lab::new();
    let live = lab.mount(0, &slot("a", 1, "t1"));
    lab.share(&live, &[("theme", &format!("\"{}\"", "x".repeat(10_000)))]);
    assert!(lab.session_of(0).unsaved_bytes() > 10_000);
    lab.settle();
    assert_eq!(lab.session_of(0).unsaved_bytes(), 0);
}
