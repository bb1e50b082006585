//! Crashes and deploys. kill -9 is a session that is dropped; what was on its way may still arrive.

use crate::commit::lab_with_a_document;
use crate::lab::{Lab, slot};

#[test]
fn fault_32_a_write_that_was_not_committed_is_absent_as_a_whole_and_was_never_called_saved() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.write(&live, &[("k", "1"), ("l", "1")], &[]);
    assert_eq!(lab.outcome(&live, op), None);
    lab.crash(0);
    let next = lab.claim(0, &live.slot, false, false);
    let read = lab.read(&next);
    lab.settle();
    assert_eq!(lab.shown(0, read), "first=0");
    // The LiveView sends it again.
    lab.write(&next, &[("k", "1"), ("l", "1")], &[]);
    lab.settle();
    assert_eq!(lab.stored(&live.slot, "l").as_deref(), Some("1"));
}

#[test]
fn fault_33_after_a_crash_in_mid_put_the_next_owner_finds_the_old_or_the_new_object() {
    for lands_first in [true, false] {
        let (mut lab, live) = lab_with_a_document(1);
        lab.stash(&live, &[("k", "1"), ("l", "1")]);
        let put = lab.take_put(0);
        lab.crash(0);
        let next = lab.claim(0, &live.slot, false, false);
        if lands_first {
            lab.reach(&put);
        }
        let op = lab.stash(&next, &[("k", "2")]);
        lab.serve_next(0);
        if !lands_first {
            // After the next owner has read, and before it writes.
            lab.reach(&put);
        }
        lab.settle();
        assert!(lab.is_saved(&next, op));
        assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("2"));
        assert_eq!(lab.stored(&live.slot, "l").as_deref(), Some("1"), "as a whole");
    }
}

#[test]
fn fault_34_what_was_committed_and_not_acknowledged_is_there_and_sending_it_again_changes_nothing() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.crash(0);
    let next = lab.claim(0, &live.slot, false, false);
    let read = lab.read(&next);
    lab.settle();
    assert_eq!(lab.shown(0, read), "first=0 k=1");
    lab.stash(&next, &[("k", "1")]);
    lab.settle();
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
}

#[test]
fn fault_38_two_versions_of_a_view_write_side_by_side_and_lose_nothing() {
    let mut lab = Lab::nodes(2);
    let old = lab.claim(0, &slot("a", 1, "t1"), false, true);
    let new = lab.claim(1, &slot("a", 2, "t2"), false, true);
    for n in 0..10 {
        lab.write(&old, &[("k", &format!("\"old {n}\""))], &[("d", "1")]);
        lab.settle();
        lab.write(&new, &[("k", &format!("\"new {n}\"")), ("m", "1")], &[("d", "2")]);
        lab.settle();
    }
    assert_eq!(lab.stored(&old.slot, "k").as_deref(), Some("\"old 9\""));
    assert_eq!(lab.stored(&new.slot, "k").as_deref(), Some("\"new 9\""));
    assert_eq!(lab.stored_tab(&old.slot, "d").as_deref(), Some("1"));
    assert_eq!(lab.stored_tab(&new.slot, "d").as_deref(), Some("2"));
}

#[test]
fn fault_39_a_rollback_finds_its_own_slice_as_it_left_it() {
    let mut lab = Lab::new();
    let one = lab.claim(0, &slot("a", 1, "t1"), false, true);
    lab.write(&one, &[("k", "1.0")], &[("d", "1")]);
    lab.settle();
    let read = lab.peek(0, &slot("a", 2, "t1"));
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=1.0 d=1", "code that has no slice yet reads the highest lower one");
    let two = lab.claim(0, &slot("a", 2, "t1"), false, true);
    lab.write(&two, &[("k", "2.0")], &[("d", "2")]);
    lab.settle();
    for (vsn, shown) in [(1, "k=1.0 d=1"), (2, "k=2.0 d=2"), (3, "k=2.0 d=2")] {
        let read = lab.peek(0, &slot("a", vsn, "t1"));
        lab.settle();
        assert_eq!(lab.shown(0, read), shown);
    }
}

#[test]
fn a_tab_keeps_what_it_had_while_another_tab_has_moved_on_to_the_next_version() {
    let mut lab = Lab::new();
    let old = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.write(&old, &[("k", "1.0")], &[("d", "1")]);
    lab.settle();
    let new = lab.rejoin(0, &slot("a", 2, "t2"));
    lab.write(&new, &[("k", "2.0")], &[("d", "2")]);
    lab.settle();
    let read = lab.peek(0, &slot("a", 2, "t1"));
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=2.0 d=1");
    let found = lab.answered(0, read).unwrap().as_ref().unwrap().found.as_ref().unwrap();
    assert_eq!((found.vsn.0, found.tab_vsn.0), (2, 1), "each part is to be migrated from where it stands");
    // What was emptied under the next version does not come back from the one before.
    let moved = lab.rejoin(0, &slot("a", 2, "t1"));
    lab.remove(&moved, &[], &["d"]);
    lab.settle();
    let read = lab.peek(0, &slot("a", 2, "t1"));
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=2.0");
    assert_eq!(lab.stored_tab(&old.slot, "d").as_deref(), Some("1"), "and the rollback finds its own");
}
