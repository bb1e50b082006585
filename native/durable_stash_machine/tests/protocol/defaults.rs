//! What a LiveView that found nothing sends of the keys that it has not changed: it sets them where nothing stands, and
//! takes nothing back.

use durable_stash_machine::{ErrorKind, Outcome, Values, View, Vsn};

use crate::lab::{Lab, slot, values};

#[test]
fn a_default_is_saved_and_read_where_nothing_stands() {
    let mut lab = Lab::new();
    let live = lab.mount(0, &slot("a", 1, "t1"));
    let op = lab.merge(&live, Values::default(), values(&[("k", "0")], &[("d", "0")], &[("theme", "0")]));
    let accepted = lab.read(&live);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.shown(0, accepted), "k=0 d=0 theme*=0", "what this node has accepted is part of it");
    let stored = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, stored), "k=0 d=0 theme*=0");
}

#[test]
fn two_tabs_that_found_nothing_keep_what_each_has_changed_in_both_orders() {
    for first in [0, 1] {
        let mut lab = Lab::nodes(2);
        let tabs = [lab.mount(0, &slot("a", 1, "t0")), lab.mount(1, &slot("a", 1, "t1"))];
        for tab in &tabs {
            lab.read(tab);
        }
        lab.settle();
        let stashes = [([("k", "1")], [("l", "0")]), ([("l", "1")], [("k", "0")])];
        for index in [first, 1 - first] {
            let (changed, untouched) = &stashes[index];
            let op = lab.merge(&tabs[index], values(changed, &[], &[]), values(untouched, &[], &[]));
            lab.settle();
            assert!(lab.is_saved(&tabs[index], op));
        }
        let stored = ["k", "l"].map(|key| lab.stored(&tabs[0].slot, key));
        assert_eq!(stored, [Some("1".to_owned()), Some("1".to_owned())], "tab {first} was first");
    }
}

#[test]
fn a_default_that_another_node_was_quicker_than_is_given_up_when_its_batch_is_built_anew() {
    let mut lab = Lab::nodes(2);
    let quick = lab.mount(0, &slot("a", 1, "t1"));
    let slow = lab.mount(1, &slot("a", 1, "t2"));
    let op = lab.merge(&slow, values(&[("l", "2")], &[], &[]), values(&[("k", "0")], &[], &[]));
    lab.serve_next(1);
    let put = lab.take_put(1);
    lab.stash(&quick, &[("k", "1")]);
    lab.serve_node(0);
    lab.serve(put);
    lab.settle();
    assert!(lab.is_saved(&slow, op));
    assert_eq!(lab.stored(&slow.slot, "k").as_deref(), Some("1"));
    assert_eq!(lab.stored(&slow.slot, "l").as_deref(), Some("2"));
}

#[test]
fn a_default_lies_under_what_is_stored_and_under_what_is_accepted() {
    let mut lab = Lab::new();
    let live = lab.mount(0, &slot("a", 1, "t1"));
    lab.stash(&live, &[("stored", "1")]);
    lab.settle();
    lab.stash(&live, &[("accepted", "1")]);
    lab.default(&live, &[("stored", "0"), ("accepted", "0"), ("free", "0")]);
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "accepted=1 free=0 stored=1");
}

#[test]
fn of_two_defaults_the_first_counts_and_a_value_counts_more() {
    let mut lab = Lab::new();
    let one = lab.mount(0, &slot("a", 1, "t1"));
    let other = lab.mount(0, &slot("a", 1, "t2"));
    lab.default(&one, &[("k", "1"), ("l", "1")]);
    lab.default(&other, &[("k", "2")]);
    lab.default(&one, &[("k", "3")]);
    lab.stash(&other, &[("l", "2")]);
    lab.settle();
    assert_eq!(lab.stored(&one.slot, "k").as_deref(), Some("1"));
    assert_eq!(lab.stored(&one.slot, "l").as_deref(), Some("2"));
}

#[test]
fn a_default_counts_after_a_removal_and_not_before_it() {
    let mut lab = Lab::new();
    let one = lab.mount(0, &slot("a", 1, "t1"));
    let other = lab.mount(0, &slot("a", 1, "t2"));
    lab.stash(&one, &[("before", "1"), ("after", "1"), ("both", "1")]);
    lab.settle();
    // The first batch is on its way, so that these are one.
    lab.stash(&one, &[("n", "1")]);
    lab.default(&one, &[("before", "0"), ("both", "0")]);
    lab.remove(&other, &["before", "after", "both"], &[]);
    lab.default(&one, &[("after", "0"), ("both", "0")]);
    lab.settle();
    let stored = ["before", "after", "both"].map(|key| lab.stored(&one.slot, key));
    assert_eq!(stored, [None, Some("0".to_owned()), Some("0".to_owned())]);
}

#[test]
fn a_reset_leaves_no_default_that_was_given_before_it() {
    let mut lab = Lab::new();
    let live = lab.mount(0, &slot("a", 1, "t1"));
    lab.stash(&live, &[("n", "1")]);
    lab.default(&live, &[("k", "0")]);
    lab.reset(&live);
    lab.default(&live, &[("l", "0")]);
    lab.settle();
    assert_eq!((lab.stored(&live.slot, "k"), lab.stored(&live.slot, "l").as_deref()), (None, Some("0")));
}

#[test]
fn a_fresh_mounts_defaults_are_not_held_off_by_what_it_empties() {
    let mut lab = Lab::new();
    let before = lab.mount(0, &slot("a", 1, "t1"));
    lab.stash_tab(&before, &[("d", "1")]);
    lab.settle();
    // Another node that knows nothing of the document yet.
    let other = lab.boot();
    lab.wait(10);
    let fresh = lab.mount(other, &slot("a", 1, "t1"));
    let op = lab.merge(&fresh, Values::default(), values(&[], &[("d", "0")], &[]));
    lab.settle();
    assert!(lab.is_saved(&fresh, op));
    assert_eq!(lab.stored_tab(&fresh.slot, "d").as_deref(), Some("0"));
}

#[test]
fn a_default_of_a_new_version_leaves_the_older_versions_value_alone() {
    let mut lab = Lab::new();
    let old = lab.mount(0, &slot("a", 1, "t1"));
    lab.stash(&old, &[("k", "1")]);
    lab.settle();
    let new = lab.mount(0, &slot("a", 2, "t2"));
    lab.default(&new, &[("k", "2")]);
    lab.settle();
    let slices = &lab.document().views[&View::new("a")];
    assert_eq!(slices[&Vsn(1)].data.values().map(|json| json.as_str()).collect::<Vec<_>>(), ["1"]);
    assert_eq!(slices[&Vsn(2)].data.values().map(|json| json.as_str()).collect::<Vec<_>>(), ["2"]);
}

#[test]
fn a_default_counts_where_the_claim_that_had_set_the_key_turns_out_to_be_superseded() {
    let mut lab = Lab::nodes(2);
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    let bystander = lab.mount(0, &slot("a", 1, "t2"));
    lab.wait(10);
    let live = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.stash_tab(&live, &[("d", "1")]);
    lab.serve_node(1);
    let lost = lab.stash(&zombie, &[("k", "1")]);
    let kept = lab.default(&bystander, &[("k", "0")]);
    lab.settle();
    assert_eq!(lab.outcome(&zombie, lost), Some(Outcome::Failed(ErrorKind::Superseded)));
    assert!(lab.is_saved(&bystander, kept));
    assert_eq!(lab.stored(&bystander.slot, "k").as_deref(), Some("0"));
}

#[test]
fn fault_52_a_default_that_outgrows_the_limit_is_refused_with_all_of_its_stash() {
    let mut lab = Lab::with(|policy| policy.max_document_bytes = 10_000);
    let live = lab.mount(0, &slot("a", 1, "t1"));
    let large = format!("\"{}\"", "x".repeat(10_000));
    let op = lab.merge(&live, values(&[("k", "1")], &[], &[]), values(&[("l", &large)], &[], &[]));
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::TooLarge)), "at once");
    lab.settle();
    assert_eq!((lab.stored(&live.slot, "k"), lab.stored(&live.slot, "l")), (None, None));
}

#[test]
fn a_default_that_is_not_saved_counts_among_the_bytes_that_are_not() {
    let mut lab = Lab::new();
    let live = lab.mount(0, &slot("a", 1, "t1"));
    lab.default(&live, &[("k", &format!("\"{}\"", "x".repeat(10_000)))]);
    assert!(lab.session_of(0).unsaved_bytes() > 10_000);
    lab.stash(&live, &[("k", "1")]);
    assert!(lab.session_of(0).unsaved_bytes() < 10_000, "a value takes a default's place");
    lab.settle();
    assert_eq!(lab.session_of(0).unsaved_bytes(), 0);
}
