//! A store that does not answer, that asks for a pause, that denies.

use durable_stash_machine::{Effect, ErrorKind, GetOutcome, Incident, Outcome, PutOutcome, Refusal};

use crate::commit::lab_with_a_document;
use crate::lab::{Lab, Request, slot};

const MINUTE: u64 = 60_000;

/// Every request is answered so for as long as the store is away.
fn outage(lab: &mut Lab, ms: u64, answer: impl Fn(&mut Lab, Request)) {
    let end = lab.now.mono + ms;
    while lab.now.mono < end {
        while !lab.asks_nothing(0) {
            let request = lab.take(0);
            answer(lab, request);
        }
        lab.wait(10);
    }
}

#[test]
fn fault_19_an_outage_shorter_than_max_unsaved_age_loses_nothing_and_costs_few_requests() {
    let (mut lab, live) = lab_with_a_document(1);
    let before = lab.puts(0) + lab.gets(0);
    let op = lab.stash(&live, &[("k", "0")]);
    let mut last = op;
    outage(&mut lab, 10 * MINUTE, |lab, request| lab.time_out(&request));
    for n in 0..100 {
        last = lab.stash(&live, &[("k", &n.to_string())]);
    }
    assert!(lab.session_of(0).unsaved_bytes() < 2_000, "memory is bounded by the state");
    // 5 s at the most between two tries, 2.5 s on average.
    let requests = lab.puts(0) + lab.gets(0) - before;
    assert!((120..=500).contains(&requests), "{requests} requests in ten minutes");
    lab.settle();
    assert!((op..=last).all(|op| lab.is_saved(&live, op)));
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("99"));
}

#[test]
fn fault_19_what_was_never_sent_has_failed_for_certain_when_it_is_given_up() {
    let mut lab = Lab::new();
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let op = lab.stash(&live, &[("k", "1")]);
    outage(&mut lab, 16 * MINUTE, |lab, request| lab.time_out(&request));
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::Unavailable)));
    assert_eq!(lab.puts(0), 0);
    lab.settle();
    assert!(lab.store.object(0).is_none());
}

#[test]
fn fault_19_what_may_have_landed_is_unknown_when_it_is_given_up() {
    let (mut lab, live) = lab_with_a_document(1);
    let sent = lab.stash(&live, &[("k", "1")]);
    let zombie = lab.take_put(0);
    lab.time_out(&zombie);
    let waiting = lab.stash(&live, &[("l", "1")]);
    outage(&mut lab, 16 * MINUTE, |lab, request| lab.time_out(&request));
    assert_eq!(lab.outcome(&live, sent), Some(Outcome::Unknown), "it is still on its way");
    assert_eq!(lab.outcome(&live, waiting), Some(Outcome::Failed(ErrorKind::Unavailable)));
    lab.reach(&zombie);
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
    assert_eq!(lab.stored(&live.slot, "l"), None);
    // What is written next stands on top of it, under a number of its own.
    let next = lab.stash(&live, &[("k", "2")]);
    lab.settle();
    assert!(lab.is_saved(&live, next));
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("2"));
}

#[test]
fn a_write_whose_only_request_is_known_to_be_lost_has_failed_when_it_is_given_up() {
    let (mut lab, live) = lab_with_a_document(2);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.time_out(&put);
    // Another node moves the etag on: the request can never be applied any more.
    let other = lab.claim(1, &slot("b", 1, "t1"), false, false);
    lab.stash(&other, &[("k", "1")]);
    lab.serve_node(1);
    lab.wait(100);
    lab.serve_next(0);
    outage(&mut lab, 16 * MINUTE, |lab, request| match request.effect {
        Effect::Put { .. } => lab.refuse(&request, PutOutcome::Refused(Refusal::Denied)),
        Effect::Get { .. } | Effect::Quarantine { .. } => lab.serve(request),
    });
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::Refused)));
    lab.reach(&put);
    assert_eq!(lab.stored(&live.slot, "k"), None);
}

#[test]
fn fault_20_a_pause_that_the_store_asks_for_is_kept() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.refuse(&put, PutOutcome::Unknown { retry_after: Some(7_000) });
    lab.wait(6_999);
    assert!(lab.asks_nothing(0));
    lab.wait(100);
    let get = lab.take_get(0);
    lab.fail_get(&get, GetOutcome::Unavailable { retry_after: Some(2_000) });
    lab.wait(1_999);
    assert!(lab.asks_nothing(0));
    lab.settle();
    assert!(lab.is_saved(&live, op));
}

#[test]
fn fault_20_a_pause_beyond_reason_is_cut_to_a_minute() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.refuse(&put, PutOutcome::Unknown { retry_after: Some(u64::MAX) });
    lab.wait(MINUTE + 100);
    assert!(!lab.asks_nothing(0));
}

#[test]
fn fault_20_a_brown_out_loses_nothing_and_doubles_nothing() {
    let (mut lab, live) = lab_with_a_document(1);
    let mut rng = crate::rng::Rng::new(20);
    let mut ops = Vec::new();
    for n in 0..300 {
        ops.push(lab.stash(&live, &[("k", &n.to_string())]));
        lab.wait(20);
        while !lab.asks_nothing(0) {
            let request = lab.take(0);
            match rng.below(100) {
                0..10 => lab.time_out(&request),
                10..20 => {
                    lab.reach(&request);
                    lab.time_out(&request);
                }
                20..30 if matches!(request.effect, Effect::Put { .. }) => {
                    lab.refuse(&request, PutOutcome::Unknown { retry_after: Some(200) });
                }
                _ => lab.serve(request),
            }
        }
    }
    lab.settle();
    assert!(ops.iter().all(|op| lab.is_saved(&live, *op)));
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("299"));
    let commits = lab.incidents(0, |incident| matches!(incident, Incident::Committed { .. }));
    assert_eq!(lab.header().rev, commits as u64, "each batch made one revision");
}

#[test]
fn fault_17_denied_writes_are_saved_once_the_credentials_are_back() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    outage(&mut lab, 5 * MINUTE, |lab, request| match request.effect {
        Effect::Put { .. } => lab.refuse(&request, PutOutcome::Refused(Refusal::Denied)),
        Effect::Get { .. } | Effect::Quarantine { .. } => lab.serve(request),
    });
    assert_eq!(lab.outcome(&live, op), None);
    let read = lab.read(&live);
    lab.serve_next(0);
    assert_eq!(lab.shown(0, read), "first=0 k=1", "reads go on");
    lab.settle();
    assert!(lab.is_saved(&live, op));
}

#[test]
fn fault_17_denied_reads_say_so_at_once_and_writes_wait() {
    let mut lab = Lab::new();
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let read = lab.read(&live);
    let op = lab.stash(&live, &[("k", "1")]);
    let get = lab.take_get(0);
    lab.fail_get(&get, GetOutcome::Denied);
    assert_eq!(lab.shown(0, read), "refused");
    assert!(lab.asks_nothing(0), "no storm of requests");
    lab.settle();
    assert!(lab.is_saved(&live, op));
}

#[test]
fn fault_17_what_was_denied_to_the_end_is_given_up_as_refused() {
    for denies_gets in [true, false] {
        let (mut lab, live) = lab_with_a_document(1);
        if denies_gets {
            lab.evict(0);
        }
        let op = lab.stash(&live, &[("k", "1")]);
        outage(&mut lab, 16 * MINUTE, |lab, request| match request.effect {
            Effect::Put { .. } => lab.refuse(&request, PutOutcome::Refused(Refusal::Denied)),
            _ => lab.fail_get(&request, GetOutcome::Denied),
        });
        assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::Refused)));
    }
}

#[test]
fn outcomes_are_told_in_the_order_of_acceptance() {
    let (mut lab, live) = lab_with_a_document(1);
    let first = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.wait(MINUTE);
    let second = lab.stash(&live, &[("k", "2")]);
    // The first is in flight past its time: it is not given up while its answer is about to come.
    lab.wait(20 * MINUTE);
    assert_eq!((lab.outcome(&live, first), lab.outcome(&live, second)), (None, None));
    lab.serve(put);
    assert!(lab.is_saved(&live, first));
    assert_eq!(lab.outcome(&live, second), Some(Outcome::Failed(ErrorKind::Unavailable)));
}

#[test]
fn what_never_got_its_turn_has_failed_for_certain_and_not_for_want_of_credentials() {
    let (mut lab, live) = lab_with_a_document(1);
    let op = lab.stash(&live, &[("k", "1")]);
    outage(&mut lab, 16 * MINUTE, |lab, request| match request.effect {
        Effect::Put { .. } => lab.refuse(&request, PutOutcome::Refused(Refusal::NotSent)),
        Effect::Get { .. } | Effect::Quarantine { .. } => lab.serve(request),
    });
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Failed(ErrorKind::Unavailable)));
}
