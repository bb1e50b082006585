//! Forgetting a document: logout.

use durable_stash_machine::Outcome;

use crate::commit::lab_with_a_document;
use crate::lab::{Lab, slot};

#[test]
fn a_forgotten_document_becomes_a_tombstone_and_a_later_write_starts_anew() {
    let (mut lab, live) = lab_with_a_document(1);
    let request = lab.forget(0);
    lab.settle();
    assert_eq!(lab.forgotten(0, request), Some(Outcome::Saved { rev: 2 }));
    let header = lab.header();
    assert!(header.buried);
    assert_eq!(header.expires_at, header.touched_at + lab.policy.tombstone_ms);
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "not found");
    let op = lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Saved { rev: 3 }));
    assert_eq!(lab.stored(&live.slot, "first"), None);
    assert!(!lab.header().buried);
}

#[test]
fn what_was_accepted_before_is_forgotten_with_it_and_what_comes_after_is_not() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.stash(&live, &[("sending", "1")]);
    let put = lab.take_put(0);
    let before = lab.stash(&live, &[("before", "1")]);
    let request = lab.forget(0);
    let after = lab.stash(&live, &[("after", "1")]);
    lab.serve(put);
    lab.settle();
    assert!(lab.is_saved(&live, before), "it was, and has been overwritten by what came later");
    assert!(lab.is_saved(&live, after));
    assert!(matches!(lab.forgotten(0, request), Some(Outcome::Saved { .. })));
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "after=1");
}

#[test]
fn forgetting_does_not_wait_for_flush_after() {
    let mut lab = Lab::with(|policy| policy.flush_after_ms = 10_000);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.stash(&live, &[("k", "1")]);
    lab.settle();
    let request = lab.forget(0);
    lab.serve_node(0);
    assert!(matches!(lab.forgotten(0, request), Some(Outcome::Saved { .. })));
}

#[test]
fn a_document_that_this_node_believes_absent_is_asked_for_before_it_is_called_forgotten() {
    let mut lab = Lab::nodes(2);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.read(&live);
    lab.settle();
    let other = lab.claim(1, &slot("a", 1, "t2"), false, false);
    lab.stash(&other, &[("k", "1")]);
    lab.settle();
    let request = lab.forget(0);
    assert_eq!(lab.forgotten(0, request), None);
    lab.settle();
    assert!(matches!(lab.forgotten(0, request), Some(Outcome::Saved { .. })));
    assert!(lab.header().buried);
}

#[test]
fn nothing_is_written_where_there_is_nothing_to_forget() {
    let mut lab = Lab::new();
    let request = lab.forget(0);
    lab.settle();
    assert!(matches!(lab.forgotten(0, request), Some(Outcome::Saved { .. })));
    assert_eq!((lab.puts(0), lab.gets(0)), (0, 2), "once to know, once to be sure");
}

#[test]
fn a_document_that_is_forgotten_while_a_node_writes_stays_forgotten() {
    let (mut lab, live) = lab_with_a_document(2);
    lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    let request = lab.forget(1);
    lab.serve_node(1);
    assert!(matches!(lab.forgotten(1, request), Some(Outcome::Saved { .. })));
    lab.serve(put);
    lab.settle();
    assert_eq!(lab.stored(&live.slot, "first"), None, "what was forgotten does not return");
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"), "what was accepted and not committed is later");
}

#[test]
fn a_damaged_object_is_copied_aside_and_buried() {
    let (mut lab, _) = lab_with_a_document(1);
    lab.evict(0);
    lab.store.flip(0, 2_400, false);
    let request = lab.forget(0);
    lab.settle();
    assert!(matches!(lab.forgotten(0, request), Some(Outcome::Saved { .. })));
    assert_eq!(lab.store.aside.len(), 1);
    assert!(lab.header().buried);
}
