//! The commit protocol: batches, and what a PUT's answer means.

use durable_stash_machine::{
    Conflict, Effect, ErrorKind, GetOutcome, Incident, Outcome, Precondition, PutOutcome, Refusal,
};

use crate::lab::{Lab, Live, Request, slot};

/// A node with a session whose object is in the store and known, and a LiveView of it.
pub fn lab_with_a_document(nodes: usize) -> (Lab, Live) {
    let mut lab = Lab::nodes(nodes);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.stash(&live, &[("first", "0")]);
    lab.settle();
    (lab, live)
}

fn precondition(request: &Request) -> Precondition {
    match &request.effect {
        Effect::Put { precondition, .. } => precondition.clone(),
        other => panic!("not a PUT: {other:?}"),
    }
}

fn body(request: &Request) -> bytes::Bytes {
    match &request.effect {
        Effect::Put { body, .. } => body.clone(),
        other => panic!("not a PUT: {other:?}"),
    }
}

#[test]
fn the_first_write_leaves_at_once_and_what_arrives_meanwhile_shares_the_next_commit() {
    let (mut lab, live) = lab_with_a_document(1);
    let before = lab.puts(0);
    lab.stash(&live, &[("k", "1")]);
    let first = lab.take_put(0);
    for n in 0..10 {
        lab.stash(&live, &[("k", &n.to_string()), (&format!("k{n}"), "1")]);
    }
    assert!(lab.asks_nothing(0), "one PUT at a time");
    lab.serve(first);
    lab.settle();
    assert_eq!(lab.puts(0), before + 2);
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("9"));
    assert_eq!(lab.stored(&live.slot, "k0").as_deref(), Some("1"));
}

#[test]
fn fault_57_a_burst_of_a_thousand_stashes_costs_two_puts() {
    let (mut lab, live) = lab_with_a_document(1);
    let before = lab.puts(0);
    let mut last = 0;
    for n in 0..1_000 {
        last = lab.stash(&live, &[("k", &n.to_string())]);
        assert!(lab.session_of(0).unsaved_bytes() < 2_000, "a batch does not outgrow the state");
    }
    lab.settle();
    assert_eq!(lab.puts(0), before + 2);
    assert!((1..=last).all(|op| lab.is_saved(&live, op)));
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("999"));
}

#[test]
fn flush_after_holds_the_first_write_back_and_drain_does_not() {
    let mut lab = Lab::with(|policy| policy.flush_after_ms = 100);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.stash(&live, &[("k", "1")]);
    lab.run(99);
    lab.stash(&live, &[("k", "2")]);
    assert_eq!(lab.puts(0), 0);
    lab.run(1);
    assert_eq!(lab.puts(0), 1);
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("2"));

    let held = lab.stash(&live, &[("k", "3")]);
    assert!(lab.asks_nothing(0));
    lab.drain(0);
    lab.serve_node(0);
    assert!(lab.is_saved(&live, held));
    let late = lab.stash(&live, &[("k", "4")]);
    lab.serve_node(0);
    assert!(lab.is_saved(&live, late), "after a drain nothing is held back any more");
}

#[test]
fn fault_01_a_lost_answer_is_recognised_as_our_own_write() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.time_out(&put);
    assert_eq!(lab.outcome(&live, op), None, "unknown is not an answer yet");
    lab.settle();
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Saved { rev: 2 }));
    assert_eq!(lab.header().rev, 2, "applied once");
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::Resolved { saved: true }), 1);
}

#[test]
fn fault_01_a_lost_answer_is_recognised_under_what_another_node_wrote_since() {
    let (mut lab, live) = lab_with_a_document(2);
    let other = lab.claim(1, &slot("b", 1, "t1"), false, false);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.stash(&other, &[("k", "2")]);
    lab.serve_node(1);
    lab.time_out(&put);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.header().rev, 3, "applied once");
}

#[test]
fn fault_02_a_put_that_never_arrived_is_sent_again_as_it_was() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.time_out(&put);
    lab.wait(100);
    let get = lab.take_get(0);
    lab.serve(get);
    let again = lab.take_put(0);
    assert_eq!((body(&again), precondition(&again)), (body(&put), precondition(&put)));
    lab.serve(again);
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.header().rev, 2);
}

#[test]
fn fault_03_a_412_for_our_own_write_is_no_conflict_with_anybody() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.reach(&put);
    // Somebody on the way has sent it twice and handed on the second answer.
    lab.refuse(&put, PutOutcome::Moved);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.header().rev, 2, "applied once");
}

#[test]
fn fault_04_a_put_that_lands_after_its_retry_changes_nothing() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.stash(&live, &[("k", "1")]);
    let zombie = lab.take_put(0);
    lab.time_out(&zombie);
    lab.settle();
    lab.stash(&live, &[("k", "2")]);
    lab.settle();
    let before = lab.store.object(0).unwrap().etag.clone();
    lab.reach(&zombie);
    assert_eq!(lab.store.object(0).unwrap().etag, before);
}

#[test]
fn fault_05_a_dead_nodes_put_may_win_and_nothing_is_lost() {
    let (mut lab, live) = lab_with_a_document(2);
    let other = lab.claim(1, &slot("a", 1, "t2"), false, false);
    lab.read(&other);
    lab.serve_node(1);
    lab.stash(&live, &[("k", "1"), ("l", "1")]);
    let zombie = lab.take_put(0);
    lab.crash(0);
    let op = lab.stash(&other, &[("k", "2")]);
    let put = lab.take_put(1);
    lab.reach(&zombie);
    lab.serve(put);
    assert_eq!(lab.outcome(&other, op), None);
    lab.settle();
    assert!(lab.is_saved(&other, op));
    let stored = |key| lab.stored(&live.slot, key);
    assert_eq!((stored("k").as_deref(), stored("l").as_deref()), (Some("2"), Some("1")));
}

#[test]
fn fault_06_content_that_returns_to_an_earlier_value_has_another_etag() {
    let (mut lab, live) = lab_with_a_document(1);
    let mut etags = std::collections::BTreeSet::new();
    for n in 0..10 {
        // The clock stands still and the content alternates: all but revision and batch repeats.
        lab.stash(&live, &[("k", if n % 2 == 0 { "1" } else { "2" })]);
        lab.serve_node(0);
        etags.insert(lab.store.object(0).unwrap().etag.as_str().to_owned());
    }
    assert_eq!(etags.len(), 10);
}

#[test]
fn fault_07_a_412_by_another_writer_is_rebased_key_by_key() {
    let (mut lab, live) = lab_with_a_document(2);
    let other = lab.claim(1, &slot("a", 1, "t2"), false, false);
    lab.read(&other);
    lab.serve_node(1);
    lab.stash(&other, &[("theirs", "18446744073709551616"), ("both", "\"theirs\"")]);
    lab.serve_node(1);
    let op = lab.stash(&live, &[("ours", "1"), ("both", "\"ours\"")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    let stored = |key| lab.stored(&live.slot, key).unwrap();
    assert_eq!(stored("theirs"), "18446744073709551616", "foreign keys stay byte-equal");
    assert_eq!((stored("ours"), stored("both"), stored("first")), ("1".into(), "\"ours\"".into(), "0".into()));
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::Conflict(Conflict::Moved)), 1);
}

#[test]
fn fault_09_a_409_on_update_and_on_create_is_tried_again_after_a_read() {
    for is_create in [true, false] {
        let (mut lab, live) = if is_create {
            let mut lab = Lab::new();
            let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
            (lab, live)
        } else {
            lab_with_a_document(1)
        };
        let op = lab.stash(&live, &[("k", "1")]);
        if is_create {
            lab.serve_next(0);
        }
        let put = lab.take_put(0);
        lab.refuse(&put, PutOutcome::Busy);
        assert_eq!(lab.outcome(&live, op), None, "neither fatal nor \"already exists\"");
        lab.wait(100);
        let get = lab.take_get(0);
        lab.serve(get);
        lab.settle();
        assert!(lab.is_saved(&live, op));
    }
}

#[test]
fn fault_11_two_nodes_create_the_same_session_and_both_keys_are_there() {
    let mut lab = Lab::nodes(2);
    let lives = [0, 1].map(|node| lab.claim(node, &slot("a", 1, &format!("t{node}")), false, true));
    let ops = [0, 1].map(|node| lab.write(&lives[node], &[(["k0", "k1"][node], "1")], &[("d", "1")]));
    // Both have seen that there is nothing.
    lab.serve_next(0);
    lab.serve_next(1);
    lab.settle();
    for node in [0, 1] {
        assert!(lab.is_saved(&lives[node], ops[node]));
        assert_eq!(lab.stored(&lives[node].slot, ["k0", "k1"][node]).as_deref(), Some("1"));
        assert_eq!(lab.stored_tab(&lives[node].slot, "d").as_deref(), Some("1"));
    }
    assert_eq!(lab.header().rev, 2);
}

#[test]
fn fault_23_after_an_answer_without_an_etag_the_next_commit_names_the_one_that_was_read() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.reach(&put);
    // What the engine makes of a 200 without an etag.
    lab.refuse(&put, PutOutcome::Unknown { retry_after: None });
    lab.settle();
    lab.stash(&live, &[("k", "2")]);
    let etag = lab.store.object(0).unwrap().etag.clone();
    assert_eq!(precondition(&lab.take_put(0)), Precondition::Matches(etag));
}

#[test]
fn what_is_refused_for_good_has_failed_unless_an_earlier_request_may_have_landed() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.refuse(&put, PutOutcome::Refused(Refusal::Unsupported));
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::Refused)));

    let op = lab.stash(&live, &[("k", "2")]);
    let zombie = lab.take_put(0);
    lab.time_out(&zombie);
    lab.wait(100);
    lab.serve_next(0);
    let again = lab.take_put(0);
    lab.refuse(&again, PutOutcome::Refused(Refusal::TooLarge));
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Unknown));
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.serve(put.clone());
    assert!(lab.is_saved(&live, op));
    let session = lab.session_of(0).clone();
    for outcome in [PutOutcome::Moved, PutOutcome::Refused(Refusal::Unsupported), PutOutcome::Gone] {
        lab.refuse(&put, outcome);
    }
    assert_eq!(*lab.session_of(0), session);
}

#[test]
fn a_batch_keeps_its_number_and_its_content_from_freezing_to_its_end() {
    let (mut lab, live) = lab_with_a_document(1);
    let first = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.time_out(&put);
    let second = lab.stash(&live, &[("k", "2")]);
    lab.wait(100);
    lab.serve_next(0);
    let again = lab.take_put(0);
    assert_eq!(body(&again), body(&put), "nothing is added to a batch whose outcome is open");
    lab.serve(again);
    assert!(lab.is_saved(&live, first));
    assert_eq!(lab.outcome(&live, second), None);
    lab.settle();
    assert!(lab.is_saved(&live, second));
}

#[test]
fn a_read_answer_that_left_before_the_put_was_answered_settles_nothing() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.read(&live);
    let early = lab.take_get(0);
    let answer = lab.reach(&early);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.time_out(&put);
    // It shows the object as it was before the PUT landed: that proves nothing.
    lab.answer(0, answer);
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::Resolved { saved: false }), 0);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.header().rev, 2);
}

#[test]
fn a_minted_session_writes_without_asking_first() {
    let mut lab = Lab::new();
    lab.mint(0);
    let live = lab.claim(0, &slot("a", 1, "t1"), true, false);
    let op = lab.stash(&live, &[("k", "1")]);
    assert_eq!(precondition(&lab.take_put(0)), Precondition::Absent);
    assert_eq!(lab.gets(0), 0);
    assert_eq!(lab.outcome(&live, op), None);
}

#[test]
fn a_visitor_who_never_writes_costs_the_store_nothing() {
    let mut lab = Lab::new();
    let live = lab.mount(0, &slot("a", 1, "t1"));
    lab.run(100_000);
    lab.release(&live);
    lab.settle();
    assert_eq!((lab.puts(0), lab.gets(0)), (0, 0));
}

#[test]
fn an_error_page_for_an_answer_is_asked_about_again() {
    let mut lab = Lab::new();
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let op = lab.stash(&live, &[("k", "1")]);
    let get = lab.take_get(0);
    lab.fail_get(&get, GetOutcome::Unavailable { retry_after: None });
    lab.settle();
    assert!(lab.is_saved(&live, op));
}

#[test]
fn a_session_with_anything_left_to_do_is_not_idle() {
    let mut lab = Lab::with(|policy| policy.flush_after_ms = 100);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let is_idle = |lab: &Lab| lab.session_of(0).is_idle();
    assert!(is_idle(&lab), "a claim alone is remembered by the fence");
    lab.stash(&live, &[("k", "1")]);
    assert!(!is_idle(&lab), "held back");
    lab.wait(100);
    assert!(!is_idle(&lab), "a GET is on its way");
    lab.serve_next(0);
    assert!(!is_idle(&lab), "a PUT is on its way");
    let put = lab.take_put(0);
    lab.time_out(&put);
    assert!(!is_idle(&lab), "its outcome is open");
    lab.settle();
    let read = lab.read(&live);
    assert!(!is_idle(&lab), "a reader waits");
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=1");
    assert!(is_idle(&lab));
}
