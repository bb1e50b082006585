//! One engine over one watched store, and its LiveViews.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use durable_stash_schedules::backend::MemoryStore;
use durable_stash_schedules::store::Store;
use durable_stash_schedules::{
    Backend, Clock, Config, DrainReport, Engine, Error, Handle, Json, Key, Mount, Open, Overrides, Secret, Slot, Stats,
    TabId, Unobserved, Values, View, Vsn,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc;
use shuttle::thread;

use tokio::time::{clear_triggers, trigger_timeouts};

use super::Watched;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<Watched>,
}

impl World {
    /// An engine whose sessions leave memory as soon as they are at rest, so that each input may meet a retirement; or
    /// are parked before, for a few looks at the clock.
    pub(crate) fn new(store: Arc<Watched>) -> Self {
        Self::with(store, |_| ())
    }

    pub(crate) fn with(store: Arc<Watched>, change: impl FnOnce(&mut Config)) -> Self {
        let secret = Secret::new(*b"0123456789abcdef0123456789abcdef").unwrap();
        let mut config = Config::new(Backend::Memory(MemoryStore::new()), vec![secret]);
        config.sweep_every_ms = 0;
        config.idle_after_ms = if thread_rng().gen_bool(0.5) { 0 } else { RESTS_MS };
        config.policy.backoff_base_ms = 1;
        config.policy.backoff_cap_ms = 2;
        change(&mut config);
        let seen: Arc<dyn Store> = store.clone();
        let overrides = Overrides {
            store: Some(seen),
            clock: Some(Clock::simulated(1_800_000_000_000)),
            seed: Some(7),
            ..Overrides::default()
        };
        let runtime = tokio::runtime::Handle::current();
        let engine = Engine::start_with(config, runtime, Arc::new(Unobserved), overrides).unwrap();
        Self { engine, store }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.engine.stats()
    }

    pub(crate) fn drain(&self) -> DrainReport {
        let (sender, report) = mpsc::channel();
        self.engine.drain(Duration::from_secs(20), Box::new(move |answer| sender.send(answer).unwrap()));
        report.recv().unwrap()
    }

    /// Whatever waits with a bound at this very moment, a drain or a request, has waited for too long.
    pub(crate) fn times_out_now() {
        trigger_timeouts(|_| true);
        clear_triggers();
    }

    pub(crate) fn forget(&self, sid: &str) -> Result<(), Error> {
        let (sender, answer) = mpsc::channel();
        self.engine.forget(sid, None, Box::new(move |result| sender.send(result).unwrap()));
        let answered = answer.recv().unwrap();
        assert!(answer.recv().is_err(), "a reply is called once");
        answered
    }

    /// Waits until no session is in memory, and checks that none has left anything behind.
    pub(crate) fn comes_to_rest(&self) {
        while self.engine.running_tasks() > 0 || self.engine.known_sessions() > 0 {
            thread::yield_now();
        }
        tasks_unwind();
        let stats = self.stats();
        assert_eq!(
            (stats.handles, stats.in_flight, stats.unsaved_ops, stats.unsaved_bytes),
            (0, 0, 0, 0),
            "left behind"
        );
        assert_eq!((stats.conflicts, stats.crashed), (0, 0));
        assert_eq!(self.store.requests_in_flight(), 0);
    }
}

/// Lets tasks that have told their end come to it: shuttle may not tear one down while it holds a lock.
pub(crate) fn tasks_unwind() {
    for _ in 0..STEPS_TO_UNWIND {
        thread::yield_now();
    }
}

/// A LiveView: one handle that writes one key, upwards.
pub(crate) struct Tab {
    handle: Handle,
    key: String,
    accepted: AtomicU64,
}

impl Tab {
    pub(crate) fn open(engine: &Engine, sid: &str, tab: &str) -> Result<Self, Error> {
        let slot = Slot { view: View::new("Elixir.MyAppWeb.CartLive"), vsn: Vsn(1), tab: TabId::new(tab) };
        let handle = engine.open(Open {
            sid,
            secrets: None,
            slot,
            mount: Mount::Fresh,
            epoch: None,
            stores_tab: true,
            minted: false,
        })?;
        Ok(Self { handle, key: key_of(tab), accepted: AtomicU64::new(0) })
    }

    /// Writes the next value; returns it if it was accepted.
    pub(crate) fn stash(&self, value: u64) -> Result<u64, Error> {
        let json = Json::from_encoded(value.to_string());
        self.handle.stash(vec![(Key::new(self.key.as_str()), json)], vec![])?;
        self.accepted.store(value, Relaxed);
        Ok(value)
    }

    /// Writes a key that all views share. Returns its turn.
    pub(crate) fn share(&self, value: u64) -> u64 {
        let json = Json::from_encoded(value.to_string());
        let shared = vec![(Key::new(key_of(SHARED)), json)];
        self.handle.stash_all(Values { shared, ..Values::default() }, Values::default()).unwrap();
        self.handle.turn()
    }

    /// Waits until everything accepted is saved, or is not.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let (sender, answer) = mpsc::channel();
        self.handle.flush(Box::new(move |result| sender.send(result).unwrap()));
        let answered = answer.recv().unwrap();
        assert!(answer.recv().is_err(), "a reply is called once");
        answered
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// What `share` writes, for `written`.
pub(crate) const SHARED: &str = "everybody";

/// What a tab's key is in the documents' text; tests know the format from outside only.
pub(crate) fn written(documents: &[String], tab: &str) -> Option<u64> {
    let marker = format!("\"{}\":", key_of(tab));
    let (_, rest) = documents.iter().find_map(|document| document.split_once(&marker))?;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

fn key_of(tab: &str) -> String {
    format!("key of {tab}")
}

/// A task's last fields take some ten steps to drop.
const RESTS_MS: u64 = 8;
const STEPS_TO_UNWIND: usize = 300;
