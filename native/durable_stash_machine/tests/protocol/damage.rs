//! Objects that are damaged, lost, or of another release.

use bytes::Bytes;
use durable_stash_machine::document::{Applied, Document};
use durable_stash_machine::slice::{Epoch, Slice, Tab};
use durable_stash_machine::{Effect, ErrorKind, Incident, Outcome, TabId, View, Vsn, format};

use crate::commit::lab_with_a_document;
use crate::lab::{Lab, slot};

const NEWER: &[u8] = b"{\"format\":2,\"anything\":[]}\n{}";

/// The last bit of the object is in its body.
fn damage(lab: &mut Lab, keeps_etag: bool) {
    let bits = lab.store.object(0).unwrap().body.len() * 8;
    lab.store.flip(0, bits - 41, keeps_etag);
}

#[test]
fn fault_26_a_damaged_object_is_an_error_and_is_copied_aside_before_it_is_replaced() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.evict(0);
    damage(&mut lab, false);
    let damaged = lab.store.object(0).unwrap().body.clone();
    let read = lab.read(&live);
    lab.serve_next(0);
    assert_eq!(lab.shown(0, read), "no answer", "it may have been spoilt on its way");
    lab.serve_next(0);
    assert_eq!(lab.shown(0, read), "corrupt");
    let op = lab.stash(&live, &[("k", "1")]);
    let copy = lab.take(0);
    assert!(lab.asks_nothing(0), "no PUT before the copy is made");
    lab.time_out(&copy);
    lab.wait(60);
    lab.serve_next(0);
    assert_eq!(lab.store.aside, [damaged]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::Quarantined), 1);
}

#[test]
fn fault_26_a_truncated_object_is_damage_too() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.evict(0);
    let body = lab.store.object(0).unwrap().body.clone();
    lab.store.place(0, body.slice(..body.len() - 1));
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "corrupt");
    assert_eq!(lab.store.aside.len(), 1);
}

#[test]
fn fault_26_bytes_that_were_spoilt_on_their_way_cost_a_second_look_and_nothing_else() {
    for has_older_copy in [false, true] {
        let (mut lab, live) = lab_with_a_document(2);
        if !has_older_copy {
            lab.evict(0);
        }
        let elsewhere = lab.claim(1, &slot("a", 1, "t2"), false, false);
        lab.stash(&elsewhere, &[("k", "1")]);
        lab.serve_node(1);
        let sound = lab.store.object(0).unwrap().clone();
        let read = lab.read(&live);
        for bit in [3_000, 3_001] {
            let get = lab.take_get(0);
            assert!(bit == 3_000 || matches!(get.effect, Effect::Get { unless: None, .. }), "a whole answer");
            lab.serve_spoilt(get, bit);
            assert_eq!(lab.answered(0, read), None);
        }
        // Damaged in two ways: the third answer comes after a pause.
        lab.settle();
        assert_eq!(lab.shown(0, read), "first=0 k=1");
        assert_eq!(lab.store.object(0).unwrap().body, sound.body, "it stands as it was");
        assert!(lab.store.aside.is_empty());
        assert_eq!(lab.incidents(0, |incident| *incident == Incident::Corrupt), 0);
    }
}

#[test]
fn fault_26_while_every_answer_is_spoilt_the_cached_copy_answers_and_nothing_is_replaced() {
    let (mut lab, live) = lab_with_a_document(2);
    let elsewhere = lab.claim(1, &slot("a", 1, "t2"), false, false);
    lab.stash(&elsewhere, &[("k", "1")]);
    lab.serve_node(1);
    let read = lab.read(&live);
    let mut gets = 0;
    while lab.answered(0, read).is_none() {
        if lab.asks_nothing(0) {
            lab.wait(10);
            continue;
        }
        gets += 1;
        let get = lab.take_get(0);
        lab.serve_spoilt(get, 3_000 + gets);
    }
    assert_eq!(lab.shown(0, read), "first=0", "what this node knew");
    assert!((3..30).contains(&gets), "{gets} GETs in three seconds");
    lab.settle();
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "first=0 k=1");
    assert_eq!((lab.puts(0), lab.store.aside.len()), (1, 0));
}

#[test]
fn fault_28_a_format_that_looks_newer_by_one_spoilt_bit_fails_no_write() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.evict(0);
    let op = lab.stash(&live, &[("k", "1")]);
    let at = lab.store.object(0).unwrap().body.windows(11).position(|bytes| bytes == b"\"format\":1,").unwrap();
    let get = lab.take_get(0);
    // '1' becomes '3'.
    lab.serve_spoilt(get, (at + 9) * 8 + 1);
    lab.settle();
    assert!(lab.is_saved(&live, op), "{:?}", lab.outcome(&live, op));
}

#[test]
fn fault_26_damage_does_not_cost_what_this_node_knows() {
    for keeps_etag in [true, false] {
        let (mut lab, live) = lab_with_a_document(1);
        damage(&mut lab, keeps_etag);
        lab.read(&live);
        lab.settle();
        if !keeps_etag {
            assert_eq!(lab.store.aside.len(), 1);
            assert_eq!(lab.stored(&live.slot, "first").as_deref(), Some("0"), "written back without a new write");
        }
        lab.stash(&live, &[("k", "1")]);
        lab.settle();
        assert_eq!(lab.stored(&live.slot, "first").as_deref(), Some("0"));
        assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
    }
}

#[test]
fn a_damaged_tombstone_does_not_bring_back_what_was_forgotten() {
    let (mut lab, live) = lab_with_a_document(2);
    lab.forget(1);
    lab.serve_node(1);
    damage(&mut lab, false);
    lab.read(&live);
    lab.settle();
    lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert_eq!(lab.stored(&live.slot, "first"), None);
}

#[test]
fn damage_that_cannot_be_copied_aside_keeps_nobody_in_memory_and_writes_start_over() {
    let mut lab = Lab::new();
    lab.store.place(0, Bytes::from_static(b"<html>"));
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let read = lab.read(&live);
    lab.serve_next(0);
    lab.serve_next(0);
    assert_eq!(lab.shown(0, read), "corrupt");
    let mut tries = 0;
    while !lab.session_of(0).is_idle() {
        if lab.asks_nothing(0) {
            lab.wait(100);
            continue;
        }
        tries += 1;
        let copy = lab.take(0);
        lab.time_out(&copy);
    }
    assert!((2..=20).contains(&tries), "{tries} tries");
    let op = lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.store.aside, [&b"<html>"[..]]);
}

#[test]
fn fault_27_what_is_not_ours_is_damage_and_never_a_panic() {
    for body in [&b""[..], b"\n", b"{}", b"[1]\n", b"null", b"\xff\xfe", b"{\"format\":1}\n{}", b"{\"views\":{}}\n"] {
        let mut lab = Lab::new();
        lab.store.place(0, Bytes::from_static(body));
        let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
        let read = lab.read(&live);
        lab.settle();
        assert_eq!(lab.shown(0, read), "corrupt", "{body:?}");
        assert_eq!(lab.store.aside, [body]);
    }
}

#[test]
fn fault_27_an_object_beyond_every_limit_is_not_even_parsed() {
    let mut lab = Lab::with(|policy| policy.max_document_bytes = 1_000);
    lab.store.place(0, Bytes::from(vec![b' '; 2_001]));
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let read = lab.read(&live);
    let op = lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert_eq!(lab.shown(0, read), "corrupt");
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::Corrupt)));
    assert_eq!(lab.puts(0), 0, "it is left alone");
}

#[test]
fn fault_28_an_object_of_a_newer_format_is_never_overwritten() {
    let mut lab = Lab::new();
    lab.store.place(0, Bytes::from_static(NEWER));
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let read = lab.read(&live);
    let op = lab.stash(&live, &[("k", "1")]);
    let request = lab.forget(0);
    lab.settle();
    assert_eq!(lab.shown(0, read), "newer_format");
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::NewerFormat)));
    assert_eq!(lab.forgotten(0, request), Some(Outcome::Failed(ErrorKind::NewerFormat)));
    assert_eq!(lab.store.object(0).unwrap().body, NEWER);
    assert_eq!((lab.puts(0), lab.store.aside.len()), (0, 0));
    assert!(lab.gets(0) <= 3);
}

#[test]
fn fault_28_what_was_in_flight_when_a_newer_release_wrote_is_unknown() {
    let (mut lab, live) = lab_with_a_document(1);
    let sent = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.reach(&put);
    let waiting = lab.stash(&live, &[("k", "2")]);
    lab.store.place(0, Bytes::from_static(NEWER));
    lab.read(&live);
    lab.serve_next(0);
    lab.serve_next(0);
    assert_eq!(lab.outcome(&live, sent), Some(Outcome::Unknown), "it was applied before");
    assert_eq!(lab.outcome(&live, waiting), Some(Outcome::Failed(ErrorKind::NewerFormat)));
}

#[test]
fn fault_10_a_lost_object_is_created_again_from_what_this_node_knows() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.store.lose(0);
    let op = lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.stored(&live.slot, "first").as_deref(), Some("0"));
    assert_eq!(lab.header().rev, 2, "the chain goes on");

    lab.store.lose(0);
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "first=0 k=1", "a reader is enough to notice");
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
}

#[test]
fn fault_10_an_object_that_is_gone_after_its_time_is_not_restored() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.wait(lab.policy.tombstone_ms);
    lab.store.lose(0);
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "not found", "it may have been forgotten, and its tombstone swept");
    assert!(lab.store.object(0).is_none());
}

#[test]
fn a_lost_object_that_another_node_created_again_is_taken_as_it_is() {
    let (mut lab, live) = lab_with_a_document(2);
    let other = lab.claim(1, &slot("a", 1, "t2"), false, false);
    lab.read(&other);
    lab.serve_node(1);
    // Node 0 goes on to later revisions before the object is lost.
    for n in 0..3 {
        lab.stash(&live, &[("k", &n.to_string())]);
        lab.serve_node(0);
    }
    lab.store.lose(0);
    let ours = lab.stash(&live, &[("l", "1")]);
    lab.serve_next(0);
    lab.wait(100);
    lab.serve_next(0);
    // Node 0 is about to create it; node 1 restores what it knows first, at a lower revision than node 0's.
    let create = lab.take_put(0);
    let theirs = lab.stash(&other, &[("m", "1")]);
    while lab.store.object(0).is_none() {
        lab.serve_node(1);
        lab.wait(10);
    }
    lab.serve(create);
    let before = lab.gets(0) + lab.puts(0);
    lab.settle();
    assert!(lab.is_saved(&live, ours) && lab.is_saved(&other, theirs));
    assert_eq!(lab.stored(&live.slot, "l").as_deref(), Some("1"));
    assert_eq!(lab.stored(&live.slot, "m").as_deref(), Some("1"));
    let requests = lab.gets(0) + lab.puts(0) - before;
    assert!(requests < 20, "{requests} requests: it asks in a circle");
}

#[test]
fn what_a_node_gives_up_on_an_older_revision_is_unknown_while_a_request_may_land() {
    let (mut lab, live) = lab_with_a_document(1);
    let fenced = lab.rejoin(0, &slot("c", 1, "t1"));
    let op = lab.stash_tab(&fenced, &[("d", "1")]);
    let zombie = lab.take_put(0);
    lab.time_out(&zombie);
    // An operator puts an older object back, in which a later mount of the tab has left its claim.
    let (mut header, _) = lab.store.content(0).unwrap();
    header.rev = 0;
    let tab = Tab { epoch: Epoch::at(lab.now.wall + 1_000_000), touched_at: lab.now.wall, ..Tab::default() };
    let mut slice = Slice { touched_at: lab.now.wall, ..Slice::default() };
    slice.tabs.insert(TabId::new("t1"), tab);
    let mut document = Document::default();
    document.views.entry(View::new("c")).or_default().insert(Vsn(1), slice);
    lab.store.place(0, format::encode(&header, &document));
    lab.settle();
    assert_eq!(lab.outcome(&fenced, op), Some(Outcome::Unknown));
    assert!(lab.is_superseded(&fenced));
    assert!(!lab.is_superseded(&live));
}

#[test]
fn a_batch_that_is_in_the_older_revision_which_the_store_insists_on_is_not_applied_again() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.time_out(&put);
    let (mut header, document) = lab.store.content(0).unwrap();
    header.rev = 0;
    header.applied.insert(lab.writer_of(0), Applied { seq: lab.session_of(0).last_seq(), at: header.touched_at });
    lab.store.place(0, format::encode(&header, &document));
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.header().rev, 0, "nothing was written again");
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "first=0");
}

#[test]
fn an_object_that_is_repaired_never_has_the_etag_of_the_damaged_one() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.time_out(&put);
    let applied = lab.store.object(0).unwrap().etag.clone();
    // Its bytes rot, and the store still calls them by the etag that they had.
    damage(&mut lab, true);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
    assert_ne!(lab.store.object(0).unwrap().etag, applied);
}
