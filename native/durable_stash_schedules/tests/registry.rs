//! Look-up against retirement, stash against eviction, drain and stop against everything: in every order that the threads
//! can take, as far as so many schedules go. It is the engine itself that runs, from the handles down to the drivers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use durable_stash_machine::ErrorKind;
use durable_stash_schedules::bugs::Bug;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use support::{
    SHARED, Scenario, Tab, Watched, World, can_be_repeated, holds_in_every_order, is_found, moment, tasks_unwind,
    written,
};

#[test]
fn a_look_up_that_meets_a_retirement_loses_no_write_and_makes_no_second_driver() {
    holds_in_every_order(look_up_meets_retirement, &["a driver left between two look-ups"]);
}

#[test]
fn a_stash_that_meets_its_sessions_eviction_is_saved() {
    holds_in_every_order(stash_meets_eviction, &["a driver left between two stashes"]);
}

#[test]
fn a_stash_whose_answers_are_lost_is_saved_whoever_looks_the_session_up_meanwhile() {
    holds_in_every_order(answers_are_lost, &["an outcome was resolved by reading"]);
}

#[test]
fn one_turn_at_the_store_serves_every_session_and_is_given_back() {
    holds_in_every_order(sessions_share_one_turn, &[]);
}

#[test]
fn a_drain_leaves_nothing_pending_and_takes_nothing_afterwards_whatever_it_meets() {
    holds_in_every_order(
        drain_meets_everything,
        &["a write was refused", "every write was accepted", "a forget was refused", "a forget went through"],
    );
}

#[test]
fn a_stop_answers_everybody_once_and_never_says_saved_of_what_is_not() {
    holds_in_every_order(stop_meets_everything, &["a write was saved", "a write was given up"]);
}

#[test]
fn a_drain_that_runs_out_of_time_says_of_every_write_whether_it_is_saved() {
    holds_in_every_order(drain_runs_out_of_time, &["a write was not saved", "every write was saved"]);
}

#[test]
fn a_forget_buries_what_was_saved_before_it_and_nothing_that_was_accepted_after_it() {
    holds_in_every_order(forget_meets_stash, &["a write was buried", "a write came after the forget"]);
}

#[test]
fn a_handle_that_is_dropped_anywhere_leaves_no_session_behind() {
    holds_in_every_order(drop_meets_everything, &["a session was woken again"]);
}

#[test]
fn of_two_writes_of_one_key_the_later_in_turn_is_the_one_that_stands() {
    holds_in_every_order(two_share_one_key, &["a's was the later", "b's was the later"]);
}

#[test]
fn every_planted_bug_is_found() {
    let bugs = [
        (Bug::LeavesUnseen, look_up_meets_retirement as Scenario),
        (Bug::CellStays, drop_meets_everything),
        (Bug::WokenWhenClosed, drain_meets_everything),
        (Bug::ClosedTooLate, drain_meets_everything),
        (Bug::DormantUntold, stop_meets_everything),
        (Bug::TurnTakenEarly, two_share_one_key),
    ];
    for (bug, scenario) in bugs {
        assert!(is_found(bug, scenario), "{bug:?}");
    }
}

#[test]
fn a_schedule_can_be_repeated() {
    for scenario in [
        look_up_meets_retirement as Scenario,
        stash_meets_eviction,
        answers_are_lost,
        sessions_share_one_turn,
        drain_meets_everything,
        drain_runs_out_of_time,
        stop_meets_everything,
        forget_meets_stash,
        drop_meets_everything,
        two_share_one_key,
    ] {
        can_be_repeated(scenario);
    }
}

fn look_up_meets_retirement() {
    let world = Arc::new(World::new(Watched::sound()));
    let visitors = ["a", "b", "c"].map(|name| {
        let world = world.clone();
        thread::spawn(move || {
            for value in 1..=2 {
                let tab = Tab::open(&world.engine, "sid", name).unwrap();
                tab.stash(value).unwrap();
            }
        })
    });
    visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
    world.comes_to_rest();
    let stats = world.stats();
    assert_eq!((stats.accepted_ops, stats.saved_ops), (6, 6));
    if stats.evicted > 1 {
        moment("a driver left between two look-ups");
    }
    for name in ["a", "b", "c"] {
        assert_eq!(written(&world.store.documents(), name), Some(2), "{name}");
    }
}

fn two_share_one_key() {
    let world = Arc::new(World::new(Watched::sound()));
    let sharers = [("a", 1), ("b", 2)].map(|(name, value)| {
        let world = world.clone();
        thread::spawn(move || {
            let tab = Tab::open(&world.engine, "sid", name).unwrap();
            let turn = tab.share(value);
            tab.flush().unwrap();
            turn
        })
    });
    let [a, b] = sharers.map(|sharer| sharer.join().unwrap());
    assert_ne!(a, b);
    world.comes_to_rest();
    let (moment_of, value) = if a > b { ("a's was the later", 1) } else { ("b's was the later", 2) };
    moment(moment_of);
    assert_eq!(written(&world.store.documents(), SHARED), Some(value));
}

fn stash_meets_eviction() {
    let world = Arc::new(World::new(Watched::sound()));
    let visitors = ["a", "b"].map(|name| {
        let world = world.clone();
        thread::spawn(move || {
            let tab = Tab::open(&world.engine, "sid", name).unwrap();
            for value in 1..=3 {
                tab.stash(value).unwrap();
                tab.flush().unwrap();
                assert_eq!(written(&world.store.documents(), name), Some(value), "told saved, and is not");
            }
        })
    });
    visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
    world.comes_to_rest();
    assert_eq!(world.stats().saved_ops, 6);
    if world.stats().evicted > 1 {
        moment("a driver left between two stashes");
    }
}

fn answers_are_lost() {
    let world = Arc::new(World::new(Watched::losing_answers()));
    let visitors = ["a", "b"].map(|name| {
        let world = world.clone();
        thread::spawn(move || {
            let tab = Tab::open(&world.engine, "sid", name).unwrap();
            tab.stash(1).unwrap();
            tab.stash(2).unwrap();
        })
    });
    visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
    world.comes_to_rest();
    assert_eq!(world.stats().saved_ops, 4);
    if world.stats().resolved > 0 {
        moment("an outcome was resolved by reading");
    }
    for name in ["a", "b"] {
        assert_eq!(written(&world.store.documents(), name), Some(2), "{name}");
    }
}

fn sessions_share_one_turn() {
    let world = Arc::new(World::with(Watched::losing_answers(), |config| config.requests_in_flight = 1));
    let visitors = ["a", "b", "c"].map(|name| {
        let world = world.clone();
        thread::spawn(move || {
            // A session each, so that they wait for each other's requests.
            let tab = Tab::open(&world.engine, name, name).unwrap();
            tab.stash(1).unwrap();
            tab.flush().unwrap();
            tab.stash(2).unwrap();
        })
    });
    visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
    world.comes_to_rest();
    for name in ["a", "b", "c"] {
        assert_eq!(written(&world.store.documents(), name), Some(2), "{name}");
    }
}

fn drain_meets_everything() {
    let world = Arc::new(World::new(Watched::sound()));
    let early = Tab::open(&world.engine, "sid", "early").unwrap();
    let writer = thread::spawn(move || {
        let accepted = (1..=3).filter_map(|value| early.stash(value).ok()).max();
        // Whatever was accepted has its outcome, and it is a good one: the store answers.
        if accepted.is_some() {
            let _ = early.flush();
        }
        (early, accepted)
    });
    let visitor = thread::spawn({
        let world = world.clone();
        move || {
            let tab = Tab::open(&world.engine, "sid", "late").ok()?;
            tab.stash(1).ok()
        }
    });
    let forgetter = thread::spawn({
        let world = world.clone();
        move || world.forget("another sid")
    });
    let report = world.drain();
    // Nothing is left that could still be lost.
    assert_eq!((report.unsaved_sessions, report.unsaved_ops), (0, 0));
    assert_eq!((world.engine.running_tasks(), world.engine.known_sessions()), (0, 0));
    assert_eq!(Tab::open(&world.engine, "sid", "after").err().map(|error| error.kind), Some(ErrorKind::EngineDown));
    assert_eq!(world.forget("sid").unwrap_err().kind, ErrorKind::EngineDown);
    let documents = world.store.documents();

    let (early, accepted) = writer.join().unwrap();
    assert_eq!(written(&documents, "early"), accepted);
    moment(if accepted == Some(3) { "every write was accepted" } else { "a write was refused" });
    assert_eq!(early.stash(9).unwrap_err().kind, ErrorKind::EngineDown);
    assert!(early.handle().status().down);
    drop(early);
    assert_eq!(written(&documents, "late"), visitor.join().unwrap());
    match forgetter.join().unwrap() {
        Ok(()) => moment("a forget went through"),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::EngineDown);
            moment("a forget was refused");
        }
    }
    assert_eq!(world.store.documents(), documents, "written after the drain");
    world.comes_to_rest();
    assert_eq!(world.stats().saved_ops, world.stats().accepted_ops);
}

fn drain_runs_out_of_time() {
    let world = Arc::new(World::new(Watched::stalled()));
    let writers = ["a", "b"].map(|name| {
        let tab = Tab::open(&world.engine, "sid", name).unwrap();
        tab.stash(1).unwrap();
        thread::spawn(move || {
            let second = tab.stash(2).is_ok();
            (tab.flush(), second, tab)
        })
    });
    let time = thread::spawn({
        let store = world.store.clone();
        move || {
            World::times_out_now();
            store.release();
        }
    });
    let report = world.drain();
    assert_eq!((world.engine.running_tasks(), world.engine.known_sessions()), (0, 0));
    let stats = world.stats();
    assert_eq!(stats.accepted_ops, stats.saved_ops + report.unsaved_ops);
    moment(if report.unsaved_ops > 0 { "a write was not saved" } else { "every write was saved" });
    for (writer, name) in writers.into_iter().zip(["a", "b"]) {
        let (flushed, second, tab) = writer.join().unwrap();
        match flushed {
            Ok(()) => assert_eq!(written(&world.store.documents(), name), Some(if second { 2 } else { 1 })),
            Err(error) => assert_eq!((error.kind, report.unsaved_sessions), (ErrorKind::EngineDown, 1)),
        }
        assert!(tab.handle().status().down);
    }
    time.join().unwrap();
    world.comes_to_rest();
}

fn stop_meets_everything() {
    let World { engine, store } = World::new(Watched::losing_answers());
    let early = Tab::open(&engine, "sid", "early").unwrap();
    let writer = thread::spawn({
        let store = store.clone();
        move || {
            for value in 1..=3 {
                match early.stash(value).and_then(|value| early.flush().map(|()| value)) {
                    Ok(value) => assert_eq!(written(&store.documents(), "early"), Some(value), "told saved"),
                    Err(error) => assert_eq!(error.kind, ErrorKind::EngineDown),
                }
            }
            early
        }
    });
    let waiting = Tab::open(&engine, "another sid", "waiting").unwrap();
    let _ = waiting.stash(1);
    let waiter = thread::spawn(move || {
        let answer = waiting.flush();
        (waiting, answer)
    });
    // Sooner or later.
    for _ in 0..thread_rng().gen_range(0..60) {
        thread::yield_now();
    }
    drop(engine);
    let (waiting, answer) = waiter.join().unwrap();
    if answer.is_ok() {
        assert_eq!(written(&store.documents(), "waiting"), Some(1));
        moment("a write was saved");
    } else {
        moment("a write was given up");
    }
    for tab in [writer.join().unwrap(), waiting] {
        // Told, although it waits for nothing.
        while !tab.handle().status().down {
            thread::yield_now();
        }
        assert_eq!(tab.stash(9).unwrap_err().kind, ErrorKind::EngineDown);
    }
    // Nothing of the engine is left that could hold the store.
    while Arc::strong_count(&store) > 1 {
        thread::yield_now();
    }
    tasks_unwind();
    assert_eq!(store.requests_in_flight(), 0);
}

fn forget_meets_stash() {
    let world = Arc::new(World::new(Watched::sound()));
    let forgotten = Arc::new(AtomicBool::new(false));
    let first = Tab::open(&world.engine, "sid", "first").unwrap();
    first.stash(1).unwrap();
    first.flush().unwrap();
    drop(first);
    let forgetter = thread::spawn({
        let (world, forgotten) = (world.clone(), forgotten.clone());
        move || {
            world.forget("sid").unwrap();
            forgotten.store(true, SeqCst);
        }
    });
    let second = Tab::open(&world.engine, "sid", "second").unwrap();
    // A write that the forget meets is saved before it and buried, or saved after it: told saved in both cases.
    let mut after = false;
    let last = thread_rng().gen_range(1..=3);
    for value in 1..=last {
        after = forgotten.load(SeqCst);
        second.stash(value).unwrap();
        second.flush().unwrap();
    }
    drop(second);
    forgetter.join().unwrap();
    world.comes_to_rest();
    let documents = world.store.documents();
    assert_eq!(written(&documents, "first"), None, "what was forgotten is back");
    if after {
        assert_eq!(written(&documents, "second"), Some(last), "accepted after the forget, and gone");
        moment("a write came after the forget");
    } else if written(&documents, "second").is_none() {
        moment("a write was buried");
    }
}

fn drop_meets_everything() {
    let world = Arc::new(World::new(Watched::sound()));
    let shared = Arc::new(Tab::open(&world.engine, "sid", "shared").unwrap());
    let writers = [1, 2].map(|value| {
        let shared = shared.clone();
        thread::spawn(move || {
            shared.stash(value).unwrap();
        })
    });
    drop(shared);
    let visitor = thread::spawn({
        let world = world.clone();
        move || drop(Tab::open(&world.engine, "sid", "passing").unwrap())
    });
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    visitor.join().unwrap();
    world.comes_to_rest();
    assert_eq!(world.stats().saved_ops, 2);
    if world.stats().evicted > 1 {
        moment("a session was woken again");
    }
    assert!(matches!(written(&world.store.documents(), "shared"), Some(1 | 2)));
}
