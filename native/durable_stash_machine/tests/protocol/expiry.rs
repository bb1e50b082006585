//! Time: the document's life, the slices', and the sweeper.

use durable_stash_machine::sweep::{Verdict, verdict};
use durable_stash_machine::{Incident, Now, WriteId, WriterId, format};

use crate::commit::lab_with_a_document;
use crate::lab::{Lab, slot};

const HOUR: u64 = 60 * 60 * 1_000;
const DAY: u64 = 24 * HOUR;

fn judge(lab: &Lab) -> Verdict {
    let write = WriteId { writer: WriterId(0x5eed), seq: 1 };
    verdict(&lab.store.object(0).unwrap().body, write, lab.now, &lab.policy).unwrap()
}

#[test]
fn a_mount_touches_the_document_once_an_eighth_of_its_life_has_passed() {
    let (mut lab, live) = lab_with_a_document(1);
    let before = lab.header();
    lab.wait(lab.policy.ttl_ms / 8 - 1_000);
    lab.read(&live);
    lab.settle();
    assert_eq!(lab.header(), before, "a visitor who only looks costs a GET");
    lab.wait(2_000);
    lab.peek(0, &live.slot);
    lab.settle();
    assert_eq!(lab.header(), before, "a dead mount touches nothing");
    for _ in 0..3 {
        lab.read(&live);
    }
    lab.settle();
    let after = lab.header();
    assert_eq!(after.rev, before.rev + 1);
    assert_eq!(after.expires_at, lab.now.wall + lab.policy.ttl_ms);
    assert_eq!(lab.stored(&live.slot, "first").as_deref(), Some("0"));
}

#[test]
fn an_expired_document_reads_as_not_found_and_the_next_write_starts_from_nothing() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.wait(30 * DAY);
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "not found");
    let op = lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.header().rev, 2, "the chain goes on");
    assert_eq!(lab.stored(&live.slot, "first"), None);
    lab.evict(0);
    lab.wait(30 * DAY);
    lab.read(&live);
    lab.settle();
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::Expired), 1);
}

#[test]
fn a_slice_that_nobody_touched_for_a_whole_ttl_is_not_found_and_does_not_return() {
    let mut lab = Lab::new();
    let idle = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let busy = lab.claim(0, &slot("b", 1, "t1"), false, false);
    lab.stash(&idle, &[("k", "1")]);
    lab.settle();
    lab.wait(29 * DAY);
    lab.stash(&busy, &[("k", "2")]);
    lab.settle();
    assert_eq!(lab.stored(&idle.slot, "k").as_deref(), Some("1"));
    lab.wait(2 * DAY);
    let read = lab.read(&idle);
    lab.settle();
    assert_eq!(lab.shown(0, read), "not found");
    lab.stash(&idle, &[("l", "3")]);
    let read = lab.read(&idle);
    lab.settle();
    assert_eq!(lab.shown(0, read), "l=3");
    assert_eq!(lab.stored(&idle.slot, "k"), None);
    assert_eq!(lab.stored(&busy.slot, "k").as_deref(), Some("2"));
}

#[test]
fn fault_59_a_clock_that_steps_moves_no_deadline_and_ends_no_life() {
    let (mut lab, live) = lab_with_a_document(1);
    for step in [HOUR as i64, -2 * HOUR as i64, HOUR as i64] {
        let op = lab.stash(&live, &[("k", "1")]);
        lab.step_wall(step);
        let read = lab.read(&live);
        lab.wait(10);
        assert!(lab.puts(0) < 20);
        lab.settle();
        assert!(lab.is_saved(&live, op));
        assert_eq!(lab.shown(0, read), "first=0 k=1");
    }
    let header = lab.header();
    assert!(header.touched_at >= lab.now.wall, "the document's own time never goes back");
}

#[test]
fn fault_60_the_sweeper_buries_what_has_expired_and_deletes_old_tombstones() {
    let (mut lab, live) = lab_with_a_document(1);
    assert_eq!(judge(&lab), Verdict::Keep);
    lab.wait(30 * DAY + HOUR - 1);
    assert_eq!(judge(&lab), Verdict::Keep);
    lab.wait(1);
    let Verdict::Bury { body } = judge(&lab) else { panic!("it has expired") };
    let (header, document) = format::decode(&body).unwrap();
    assert!(header.buried && document.views.is_empty() && header.rev == 2);
    assert_eq!(header.write, WriteId { writer: WriterId(0x5eed), seq: 1 });
    lab.store.place(0, body);
    assert_eq!(judge(&lab), Verdict::Keep);
    lab.wait(2 * HOUR - 1);
    assert_eq!(judge(&lab), Verdict::Keep);
    lab.wait(1);
    assert_eq!(judge(&lab), Verdict::Delete);
    // A session that wakes in between writes on: it wins, since the sweeper's deletion names the etag it has seen.
    let etag = lab.store.object(0).unwrap().etag.clone();
    let op = lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert!(lab.is_saved(&live, op) && !lab.store.delete_if(0, &etag));
    assert_eq!(judge(&lab), Verdict::Keep);
}

#[test]
fn fault_59_a_sweeper_whose_clock_is_an_hour_ahead_touches_nothing_too_early() {
    let (mut lab, _) = lab_with_a_document(1);
    lab.wait(30 * DAY - 1);
    lab.step_wall(HOUR as i64);
    assert_eq!(judge(&lab), Verdict::Keep, "it is alive by the clock that wrote it");
    lab.step_wall(-(HOUR as i64));
    lab.forget(0);
    lab.settle();
    lab.wait(HOUR - 1);
    lab.step_wall(HOUR as i64);
    assert_eq!(judge(&lab), Verdict::Keep, "a tombstone stands for its whole time");
}

#[test]
fn fault_60_what_cannot_be_read_is_never_swept() {
    let write = WriteId { writer: WriterId(1), seq: 1 };
    let policy = durable_stash_machine::Policy::default();
    let now = Now { mono: 0, wall: u64::MAX };
    for body in [&b""[..], b"<html>", b"{\"format\":2}\n{}", b"{\"format\":1}\n{}"] {
        assert!(verdict(body, write, now, &policy).is_err());
    }
}

#[test]
fn fault_12_a_write_that_races_the_sweeper_wins_or_creates_anew() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.wait(30 * DAY + HOUR);
    let Verdict::Bury { body } = judge(&lab) else { panic!("it has expired") };
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.store.place(0, body);
    lab.serve(put);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
}

#[test]
fn a_tombstone_that_was_swept_while_a_node_stood_still_is_not_taken_for_a_loss() {
    let (mut lab, live) = lab_with_a_document(2);
    lab.read(&live);
    let get = lab.take_get(0);
    let answer = lab.reach(&get);
    // Node 0 is stopped. Meanwhile the document is forgotten, and its tombstone swept.
    lab.forget(1);
    lab.serve_node(1);
    lab.wait(2 * HOUR);
    lab.store.lose(0);
    lab.answer(0, answer);
    lab.read(&live);
    lab.settle();
    assert!(lab.store.object(0).is_none(), "what was forgotten does not return");
}

/// Another node forgets the document, and its tombstone is swept.
fn forget_and_sweep(lab: &mut Lab) {
    lab.forget(1);
    lab.serve_node(1);
    assert!(lab.header().buried);
    lab.store.lose(0);
}

#[test]
fn fault_42_a_copy_from_before_the_machine_was_suspended_does_not_bring_back_what_was_forgotten() {
    let (mut lab, live) = lab_with_a_document(2);
    // The machine is suspended: its monotonic clock stands still.
    lab.step_wall(2 * HOUR as i64);
    forget_and_sweep(&mut lab);
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "not found");
    assert!(lab.store.object(0).is_none());
}

#[test]
fn fault_42_a_loss_that_was_noticed_before_the_machine_was_suspended_is_not_made_good_after_it() {
    // The request that creates it again has not left yet, has failed, or is on its way.
    for at in ["ready", "failed", "sending"] {
        // Meanwhile another node may have restored and forgotten it, and the tombstone may have been swept.
        let suspend = |lab: &mut Lab| lab.step_wall(2 * HOUR as i64);
        let (mut lab, live) = lab_with_a_document(2);
        lab.store.lose(0);
        let op = lab.stash(&live, &[("k", "1")]);
        let put = lab.take_put(0);
        lab.serve(put);
        lab.wait(100);
        let get = lab.take_get(0);
        if at == "ready" {
            let answer = lab.reach(&get);
            suspend(&mut lab);
            lab.answer(0, answer);
        } else {
            lab.serve(get);
            let create = lab.take_put(0);
            if at == "failed" {
                lab.time_out(&create);
                suspend(&mut lab);
            } else {
                suspend(&mut lab);
                lab.time_out(&create);
            }
        }
        lab.settle();
        assert!(lab.is_saved(&live, op), "{at}");
        assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
        assert_eq!(lab.stored(&live.slot, "first"), None, "{at}: what was forgotten does not return");
    }
}
