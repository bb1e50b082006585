//! A node: one engine after the other, killed, frozen, drained, restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use durable_stash_engine::brake::Brake;
use durable_stash_engine::{Clock, Config, Engine, Overrides, Unobserved};
use parking_lot::Mutex;

use super::network::{Conditions, Link};
use super::random::Random;
use super::recorder::{Recorder, WALL_MS};
use super::store::Store;
use super::weather::{Episode, Kind};

pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) run: u64,
    pub(crate) state: State,
    /// How far its wall clock is ahead.
    pub(crate) skew_ms: u64,
}

pub(crate) enum State {
    Up(Up),
    Down { until_ms: u64 },
}

/// A running engine.
pub(crate) struct Up {
    pub(crate) engine: Engine,
    pub(crate) name: String,
    pub(crate) link: Link,
    pub(crate) brake: Brake,
    pub(crate) frozen_until: Option<u64>,
    /// A drain is under way; set when it is over.
    pub(crate) drained: Option<Arc<AtomicBool>>,
    pub(crate) is_alive: Arc<AtomicBool>,
    /// A deployment that cannot work (faults 13, 14, 18) ends at this time.
    pub(crate) gives_up_at: Option<u64>,
}

impl Node {
    pub(crate) fn name(&self) -> String {
        format!("n{}.{}", self.index, self.run)
    }

    pub(crate) fn up(&self) -> Option<&Up> {
        match &self.state {
            State::Up(up) => Some(up),
            State::Down { .. } => None,
        }
    }

    /// The engine, if its process runs.
    pub(crate) fn running(&self) -> Option<&Up> {
        self.up().filter(|up| up.frozen_until.is_none())
    }

    pub(crate) fn start(&mut self, config: &Config, store: &Arc<Mutex<Store>>, random: &mut Random, plain: bool) {
        self.run += 1;
        let now_ms = store.lock().recorder.now_ms();
        let mut conditions = Conditions::Kept;
        let mut gives_up_at = None;
        let mut probed = random.happens(200);
        if !plain {
            let (luck, later) = (random.below(100), now_ms + 2_000 + random.below(10_000));
            match luck {
                0..2 => (conditions, probed, gives_up_at) = (Conditions::Ignored, true, Some(later)),
                2..4 => (conditions, probed, gives_up_at) = (Conditions::Refused, true, Some(later)),
                4..7 => {
                    gives_up_at = Some(later);
                    let episode = Episode { kind: Kind::Skewed, node: Some(self.index), until_ms: later };
                    store.lock().weather.episodes.push(episode);
                }
                7..12 => {
                    let episode = Episode { kind: Kind::NoBucket, node: Some(self.index), until_ms: later };
                    store.lock().weather.episodes.push(episode);
                }
                _ => {}
            }
        }
        let brake = Brake::default();
        let link = Link {
            store: store.clone(),
            node: self.index,
            run: self.name(),
            is_dead: Arc::default(),
            conditions,
            probed,
            brake: brake.clone(),
        };
        let overrides = Overrides {
            store: Some(Arc::new(link.clone())),
            clock: Some(Clock::simulated(WALL_MS + now_ms + self.skew_ms)),
            seed: Some(u128::from(random.next()) << 64 | u128::from(random.next())),
            brake: brake.clone(),
        };
        let runtime = tokio::runtime::Handle::current();
        let engine =
            Engine::start_with(config.clone(), runtime, Arc::new(Unobserved), overrides).expect("a sound config");
        store.lock().recorder.line("start", &format!("\"node\":\"{}\"", self.name()));
        store.lock().recorder.count("engines");
        let (name, is_alive) = (self.name(), Arc::new(AtomicBool::new(true)));
        self.state =
            State::Up(Up { engine, name, link, brake, frozen_until: None, drained: None, is_alive, gives_up_at });
    }

    /// SIGKILL: nobody on the node hears anything any more; what is on its way to the store may arrive, or not.
    pub(crate) fn kill(&mut self, recorder: &Recorder, until_ms: u64) {
        if let Some(up) = self.up() {
            up.is_alive.store(false, Relaxed);
            up.link.is_dead.store(true, Relaxed);
            // Its tasks take no turn any more, not even to end.
            up.brake.freeze();
            recorder.line("kill", &format!("\"node\":\"{}\"", up.name));
            recorder.count("kills");
        }
        self.state = State::Down { until_ms };
    }

    pub(crate) fn freeze(&mut self, recorder: &Recorder, until_ms: u64) {
        if let State::Up(up) = &mut self.state {
            up.brake.freeze();
            up.frozen_until = Some(until_ms);
            recorder.line("freeze", &format!("\"node\":\"{}\"", up.name));
            recorder.count("freezes");
        }
    }

    pub(crate) fn resume(&mut self, recorder: &Recorder) {
        if let State::Up(up) = &mut self.state
            && up.frozen_until.take().is_some()
        {
            up.brake.resume();
            recorder.line("resume", &format!("\"node\":\"{}\"", up.name));
        }
    }

    /// SIGTERM.
    pub(crate) fn drain(&mut self, recorder: &Recorder, timeout_ms: u64) {
        let State::Up(up) = &mut self.state else { return };
        let done = Arc::new(AtomicBool::new(false));
        up.drained = Some(done.clone());
        recorder.line("drain", &format!("\"node\":\"{}\"", up.name));
        recorder.count("drains");
        let (recorder, name, is_alive) = (recorder.clone(), up.name.clone(), up.is_alive.clone());
        let reply = move |report: durable_stash_engine::DrainReport| {
            if is_alive.load(Relaxed) {
                let unsaved = report.unsaved_ops;
                recorder.line("drained", &format!("\"node\":\"{name}\",\"unsaved\":{unsaved}"));
                done.store(true, Relaxed);
            }
        };
        up.engine.drain(Duration::from_millis(timeout_ms), Box::new(reply));
    }
}
