use std::task::{Context, Poll};
use std::thread;

use durable_stash_machine::{Policy, Session, Start, WriterId};

use super::*;
use crate::budget::Budget;
use crate::session_key::Secret;
use crate::stats::up;
use crate::ticket::Ticket;

fn key(sid: &str) -> SessionKey {
    SessionKey::new(&[Secret::new([1; 32]).unwrap()], sid)
}

fn handle(claim: u64) -> Arc<HandleState> {
    HandleState::new(ClaimId(claim))
}

fn retire(registry: &Registry, woken: &Woken) -> bool {
    registry.retire(&woken.cell, session())
}

/// A session that knows nothing.
fn session() -> Parked {
    Session::new(WriterId(1), Arc::new(Policy::default()), Start::default()).leave()
}

/// Parks the session until the given moment. Returns whether it could, as the first of all.
fn park(registry: &Registry, woken: &Woken, leaves_at: u64) -> Option<bool> {
    let cached = Budget::new(100).empty_share();
    registry.park(&woken.cell, session(), Rest { cached, leaves_at }).ok()
}

impl Wake {
    fn driver(self) -> Woken {
        match self {
            Wake::New(woken) => woken,
            Wake::Waiting(_) => panic!("a driver is there"),
        }
    }
}

impl Woken {
    fn take(&self) -> Option<Input> {
        match self.cell.poll_input(&Context::from_waker(Waker::noop())) {
            Poll::Ready(input) => Some(input),
            Poll::Pending => None,
        }
    }
}

#[test]
fn an_input_that_arrives_before_the_retirement_stops_it() {
    let registry = Registry::new();
    let (cell, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
    let woken = wake.expect("the first input wakes a driver").driver();
    assert!(!retire(&registry, &woken), "the first input is not taken yet");
    assert!(woken.take().is_some());
    assert!(registry.send(&cell, Input::Drain).unwrap().is_none(), "a driver is there");
    assert!(!retire(&registry, &woken));
    assert!(woken.take().is_some());
    assert!(retire(&registry, &woken));
    assert!(registry.send(&cell, Input::Drain).unwrap().is_some(), "a new driver is woken");
}

/// Whoever got the higher turn is found later in the session's inputs.
#[test]
fn turns_are_the_order_in_which_a_session_gets_its_inputs() {
    const SENDERS: u64 = 4;
    const INPUTS: u64 = 20_000;
    let registry = Registry::new();
    let (cell, wake) = registry.open(key("a"), false, &handle(0), Some(Input::Drain)).unwrap();
    let woken = wake.unwrap().driver();
    let turns = Mutex::new(HashMap::new());
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (registry, cell, turns) = (&registry, &cell, &turns);
            scope.spawn(move || {
                for n in 0..INPUTS {
                    let claim = ClaimId(sender * INPUTS + n);
                    let (wake, turn) = registry.send_in_turn(cell, |_turn| Input::Release(claim)).unwrap();
                    assert!(wake.is_none());
                    assert_eq!(turns.lock().insert(claim, turn), None);
                }
            });
        }
    });
    let turns = turns.lock();
    let (mut last, mut seen) = (0, 0);
    while let Some(input) = woken.take() {
        if let Input::Release(claim) = input {
            assert!(turns[&claim] > last);
            last = turns[&claim];
            seen += 1;
        }
    }
    assert_eq!(seen, SENDERS * INPUTS);
}

#[test]
fn a_session_without_handles_leaves_whole_and_one_with_a_handle_is_remembered() {
    let registry = Registry::new();
    let (cell, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
    let woken = wake.unwrap().driver();
    let _ = woken.take();
    assert!(retire(&registry, &woken));
    assert_eq!(registry.len(), 1);
    assert!(registry.release(&cell, ClaimId(1)).is_none());
    assert_eq!(registry.len(), 0);

    let woken = registry.send_once(key("a"), false, Input::Drain).unwrap().unwrap().driver();
    let _ = woken.take();
    assert!(retire(&registry, &woken));
    assert_eq!(registry.len(), 0);
}

#[test]
fn claims_released_while_nobody_drives_are_told_to_the_next_driver() {
    let registry = Registry::new();
    let (cell, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
    let _ = registry.open(key("a"), false, &handle(2), None).unwrap();
    let woken = wake.unwrap().driver();
    let _ = woken.take();
    assert!(retire(&registry, &woken));
    assert!(registry.release(&cell, ClaimId(1)).is_none());
    let (_, wake) = registry.open(key("a"), false, &handle(3), Some(Input::Drain)).unwrap();
    let woken = wake.unwrap().driver();
    assert!(matches!(woken.take(), Some(Input::Release(ClaimId(1)))));
    assert!(matches!(woken.take(), Some(Input::Drain)));
    assert_eq!(woken.handles.len(), 2);
}

#[test]
fn a_crashed_session_has_a_successor_that_its_old_handles_do_not_touch() {
    let registry = Registry::new();
    let (old, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
    assert_eq!(registry.bury(&old, Failure::SessionDown).0.len(), 1);
    drop(wake);
    assert_eq!(registry.send(&old, Input::Drain).err(), Some(Failure::SessionDown));
    let (new, wake) = registry.open(key("a"), false, &handle(2), Some(Input::Drain)).unwrap();
    let _woken = wake.unwrap().driver();
    assert!(registry.release(&old, ClaimId(1)).is_none());
    assert_eq!(registry.len(), 1);
    assert!(registry.send(&new, Input::Drain).unwrap().is_none());
}

#[test]
fn a_closed_registry_feeds_live_sessions_and_wakes_none() {
    let registry = Registry::new();
    let (live, wake) = registry.open(key("live"), false, &handle(1), Some(Input::Drain)).unwrap();
    let (dormant, none) = registry.open(key("dormant"), false, &handle(2), None).unwrap();
    assert!(none.is_none());
    registry.close();
    assert!(registry.send(&live, Input::Drain).is_ok());
    assert_eq!(registry.send(&dormant, Input::Drain).err(), Some(Failure::EngineDown));
    assert!(registry.open(key("new"), false, &handle(3), None).is_err());
    let woken = wake.unwrap().driver();
    while woken.take().is_some() {}
    assert!(retire(&registry, &woken), "who has retired stays so");
    assert_eq!(registry.send(&live, Input::Drain).err(), Some(Failure::EngineDown));
    assert_eq!(registry.bury_dormant(&Failure::EngineDown).len(), 2);
    assert_eq!(registry.len(), 0);
}

/// Look-up against retirement, as fast as threads can: drivers leave after each input, openers and senders come.
#[test]
fn every_input_is_seen_by_exactly_one_driver_and_no_two_drive_one_session() {
    const SIDS: usize = 3;
    const ROUNDS: u64 = 4_000;
    let registry = Registry::new();
    let driving: [AtomicU64; SIDS] = Default::default();
    let (sent, seen, answered) = (AtomicU64::new(0), AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let drive = |woken: Woken, sid: usize| {
        for round in sid as u64.. {
            assert_eq!(driving[sid].fetch_add(1, Relaxed), 0, "two drivers of one session");
            while let Some(input) = woken.take() {
                if let Input::Forget { reply } = input {
                    seen.fetch_add(1, Relaxed);
                    reply.answer(Ok(()));
                }
            }
            driving[sid].fetch_sub(1, Relaxed);
            let left =
                if round % 2 == 0 { retire(&registry, &woken) } else { park(&registry, &woken, round).is_some() };
            if left {
                return;
            }
        }
    };
    let input = || {
        sent.fetch_add(1, Relaxed);
        let answered = answered.clone();
        Input::Forget { reply: Ticket::new(Box::new(move |_| up(&answered))) }
    };
    let run = |wake: Option<Wake>, sid: usize| {
        // A driver that waits is in a loop of this test, and looks again by itself.
        if let Some(Wake::New(woken)) = wake {
            drive(woken, sid);
        }
    };
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (registry, run, input) = (&registry, &run, &input);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let sid = (round as usize + thread as usize) % SIDS;
                    let key = key(&sid.to_string());
                    if thread % 2 == 0 {
                        run(registry.send_once(key, false, input()).unwrap(), sid);
                        if round % 8 == 0 {
                            registry.evict_all();
                        }
                    } else {
                        let claim = thread * ROUNDS + round;
                        let (cell, wake) = registry.open(key, false, &handle(claim), Some(input())).unwrap();
                        run(wake, sid);
                        run(registry.send(&cell, input()).unwrap(), sid);
                        drop(registry.release(&cell, ClaimId(claim)));
                    }
                }
            });
        }
    });
    assert_eq!(sent.load(Relaxed), seen.load(Relaxed));
    assert_eq!(sent.load(Relaxed), answered.load(Relaxed));
    registry.evict_all();
    assert_eq!((registry.len(), registry.live().count(), registry.in_memory()), (0, 0, 0));
}

#[test]
fn a_parked_session_stays_until_its_time_and_its_account_is_settled_when_it_leaves() {
    let registry = Registry::new();
    let cache = Budget::new(100);
    let woken = registry.send_once(key("a"), false, Input::Drain).unwrap().unwrap().driver();
    let rest = |leaves_at| {
        let mut cached = cache.empty_share();
        cached.resize(7);
        Rest { cached, leaves_at }
    };
    assert!(registry.park(&woken.cell, session(), rest(50)).is_err(), "an input waits");
    assert_eq!(cache.taken(), 0);
    let _ = woken.take();
    assert!(matches!(registry.park(&woken.cell, session(), rest(50)), Ok(true)), "the first of all");
    assert!(!registry.evict(&woken.cell, 49));
    assert_eq!((registry.in_memory(), registry.len(), cache.taken()), (1, 1, 7));

    let again = registry.send_once(key("a"), false, Input::Drain).unwrap().unwrap().driver();
    assert!(again.session.is_some() && again.cached.is_some(), "it goes on where it was");
    let _ = again.take();
    assert!(!registry.evict(&woken.cell, 50), "somebody drives it");
    assert!(matches!(
        registry.park(&woken.cell, session(), again.cached.map(|cached| Rest { cached, leaves_at: 90 }).unwrap()),
        Ok(false)
    ));
    assert!(!registry.evict(&woken.cell, 89) && registry.evict(&woken.cell, 90));
    assert!(!registry.evict(&woken.cell, 90), "once");
    assert_eq!((registry.in_memory(), registry.len(), cache.taken()), (0, 0, 0));
}

#[test]
fn the_last_handle_of_a_parked_session_does_not_take_it_out_of_memory_and_its_release_is_not_lost() {
    let registry = Registry::new();
    let (cell, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
    let woken = wake.unwrap().driver();
    let _ = woken.take();
    assert_eq!(park(&registry, &woken, 50), Some(true));
    assert!(registry.release(&cell, ClaimId(1)).is_none());
    assert_eq!((registry.in_memory(), registry.len()), (1, 1));
    let woken = registry.send_once(key("a"), false, Input::Drain).unwrap().unwrap().driver();
    assert!(matches!(woken.take(), Some(Input::Release(ClaimId(1)))));
}
