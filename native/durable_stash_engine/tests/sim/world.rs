//! One run: a seed makes the nodes, the weather and every step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use durable_stash_engine::backend::MemoryStore;
use durable_stash_engine::{Backend, Config, Mount, Secret};
use durable_stash_machine::ETag;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::live_view::{LiveView, Opening, Place};
use super::node::{Node, State};
use super::random::Random;
use super::recorder::{Recorder, Tally};
use super::store::Store;
use super::weather::Weather;

/// The bug that is planted, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<durable_stash_machine::planted::Bug>,
}

impl Planted {
    pub(crate) fn is_any(self, etag: &ETag) -> bool {
        #[cfg(feature = "planted-bugs")]
        return etag.as_str() == durable_stash_machine::planted::ANY;
        #[cfg(not(feature = "planted-bugs"))]
        return etag.as_str() == "*";
    }

    pub(crate) fn hashed(self, body: &[u8]) -> &[u8] {
        #[cfg(feature = "planted-bugs")]
        return durable_stash_machine::planted::hashed(body, self.bug);
        #[cfg(not(feature = "planted-bugs"))]
        return body;
    }

    fn forgets_failures(self) -> bool {
        #[cfg(feature = "planted-bugs")]
        return self.bug == Some(durable_stash_machine::planted::Bug::KeptTermsAdvance);
        #[cfg(not(feature = "planted-bugs"))]
        return false;
    }

    fn plant(self, config: &mut Config) {
        #[cfg(feature = "planted-bugs")]
        (config.policy.planted = self.bug);
        #[cfg(not(feature = "planted-bugs"))]
        let _ = config;
    }
}

/// What came of a run.
pub(crate) struct Run {
    /// For `durable_stash_history`.
    pub(crate) history: String,
    pub(crate) tally: Tally,
    /// What the world itself has found wrong: with progress, or with what the engines say of themselves.
    pub(crate) wrong: Vec<String>,
}

pub(crate) struct World {
    random: Random,
    config: Config,
    store: Arc<Mutex<Store>>,
    recorder: Recorder,
    nodes: Vec<Node>,
    views: Vec<LiveView>,
    /// The LiveView that each browser tab shows.
    holders: BTreeMap<Place, String>,
    opened: u64,
    sessions: usize,
    /// What this run does at all.
    traits: Traits,
    planted: Planted,
}

struct Traits {
    loses: bool,
    forgets: bool,
    expires: bool,
    deploys: bool,
    skewed: bool,
    /// The secret is rotated in a rolling deploy. What takes objects away would take the seals, too.
    rotates: bool,
}

impl World {
    pub(crate) fn new(seed: u64, planted: Planted) -> Self {
        let mut random = Random::new(seed);
        let recorder = Recorder::new();
        let skew_ms = random.pick(&[0, 0, 300, 1_500]);
        let (loses, expires) = (random.happens(150), random.happens(250));
        let traits = Traits {
            skewed: skew_ms > 0,
            loses,
            forgets: random.happens(300),
            expires,
            deploys: random.happens(400),
            rotates: random.happens(400) && !loses && !expires,
        };
        let mut config = config(&mut random, &traits);
        planted.plant(&mut config);
        let policy = &config.policy;
        recorder.line(
            "run",
            &format!(
                "\"ttl_ms\":{},\"skew_ms\":{skew_ms},\"applied_age_ms\":{},\"applied_max\":{},\"tabs_per_view\":{}",
                policy.ttl_ms, policy.applied_age_ms, policy.applied_max, policy.tabs_per_view
            ),
        );
        let weather = Weather::of(&mut random);
        let hashes = random.happens(500);
        let mut store = Store::new(Random::new(random.next()), weather, recorder.clone(), hashes, planted);
        let sessions = 1 + random.index(3);
        for session in 0..sessions {
            let sid = Place { session, view: 0, tab: 0 }.sid();
            store.name_session(SECRET, &sid);
            if traits.rotates {
                store.name_session(NEXT_SECRET, &sid);
            }
        }
        let count = random.pick(&[2, 2, 2, 3, 3, 4, 8]);
        let store = Arc::new(Mutex::new(store));
        (0..count).for_each(|_| recorder.count("nodes"));
        let nodes = (0..count).map(|index| Node {
            index,
            run: 0,
            state: State::Down { until_ms: 0 },
            skew_ms: if index % 2 == 1 { skew_ms } else { 0 },
        });
        let nodes = nodes.collect();
        let (views, holders) = (Vec::new(), BTreeMap::new());
        Self { random, config, store, recorder, nodes, views, holders, opened: 0, sessions, traits, planted }
    }

    pub(crate) async fn run(mut self) -> Run {
        let steps = 60 + self.random.below(100);
        for _ in 0..steps {
            self.keep_house();
            self.step();
            let longest = self.random.pick(&[1, 5, 50, 500, 2_000]);
            sleep(Duration::from_millis(self.random.below(longest))).await;
            if self.traits.expires && self.random.happens(15) {
                // Long enough for documents to expire, and for tombstones to have stood their time.
                sleep(Duration::from_millis(self.random.below(300_000))).await;
                self.keep_house();
                self.sweep();
            }
        }
        let wrong = self.end().await;
        self.store.lock().record_finals();
        let (history, tally) = self.recorder.finish();
        Run { history, tally, wrong }
    }

    /// What is due by the clock: restarts, resumed nodes, nodes that have drained.
    fn keep_house(&mut self) {
        let now = self.recorder.now_ms();
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            match &node.state {
                State::Down { until_ms } if *until_ms <= now => {
                    node.start(&self.config, &self.store, &mut self.random, false);
                }
                State::Up(up) if up.frozen_until.is_some_and(|until| until <= now) => node.resume(&self.recorder),
                State::Up(up) if up.drained.as_ref().is_some_and(|drained| drained.load(Relaxed)) => {
                    node.state = State::Down { until_ms: now + self.random.below(3_000) };
                    self.close_all(index);
                }
                State::Up(up) if up.gives_up_at.is_some_and(|at| at <= now) => self.kill(index),
                State::Up(_) | State::Down { .. } => {}
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(1000) {
            0..380 => self.stash(),
            // A mount asks once. Where clocks are apart, one that asks late could take a later mount for a clock's error.
            380..450 if !self.traits.skewed => self.with_a_view(|view, _| view.recover()),
            380..520 => self.look(),
            520..590 => self.with_a_view(|view, _| view.flush(None)),
            590..610 => self.with_a_view(LiveView::remove),
            610..625 => self.with_a_view(|view, _| view.reset()),
            625..735 => self.mount(),
            735..760 => self.look(),
            760..780 => self.close(),
            780..800 => self.storm(),
            800..840 => {
                let now = self.recorder.now_ms();
                let store = &mut *self.store.lock();
                store.weather.begin(&mut self.random, self.nodes.len(), now);
            }
            840..860 => {
                let index = self.random.index(self.nodes.len());
                self.kill(index);
            }
            860..885 => self.freeze(),
            885..900 => self.drain(),
            900..920 => self.bounce(),
            920..935 if self.traits.forgets => self.forget(),
            935..945 if self.traits.loses => self.store.lock().lose(self.random.index(8)),
            945..970 if self.traits.expires => self.sweep(),
            // From now on nodes that start know the next secret; the others go on with what they know.
            970..990 if self.traits.rotates => self.config.secrets = secrets(&[NEXT_SECRET, SECRET]),
            _ => {}
        }
    }

    fn place(&mut self) -> Place {
        let random = &mut self.random;
        Place { session: random.index(self.sessions), view: random.index(2), tab: random.index(2) }
    }

    fn stash(&mut self) {
        if self.views.is_empty() {
            self.mount();
        }
        self.with_a_view(LiveView::stash);
    }

    /// One that can act: its process runs. Those that lost their tab act like the others.
    fn with_a_view(&mut self, act: impl FnOnce(&mut LiveView, &mut Random)) {
        if self.views.is_empty() {
            return;
        }
        let index = self.random.index(self.views.len());
        let view = &mut self.views[index];
        if self.nodes[view.node].running().is_some() {
            act(view, &mut self.random);
        }
    }

    /// A browser tab connects, to any node; or to two in one and the same millisecond.
    fn mount(&mut self) {
        let place = self.place();
        let node = self.random.index(self.nodes.len());
        let vsn = if self.traits.deploys && self.random.happens(400) { 2 } else { 1 };
        let is_up = self.mount_on(node, place, vsn);
        if self.random.happens(150) {
            let other = self.random.index(self.nodes.len());
            if other != node && self.mount_on(other, place, vsn) && is_up {
                let is_one_moment = self.nodes[other].skew_ms == self.nodes[node].skew_ms;
                self.recorder.count(if is_one_moment { "mounts_at_once" } else { "mounts_apart" });
            }
        }
    }

    fn mount_on(&mut self, node: usize, place: Place, vsn: u64) -> bool {
        let is_new = !self.holders.contains_key(&place) || self.random.happens(200);
        let mount = if is_new { Mount::Fresh } else { Mount::Rejoin };
        let Some(mut view) = self.open(node, place, vsn, mount, None) else { return false };
        view.recover();
        if self.random.happens(600) {
            view.stash(&mut self.random);
        }
        self.holders.insert(place, view.name.clone());
        self.views.push(view);
        if self.views.len() > MOST_VIEWS {
            self.views.remove(0).close();
        }
        true
    }

    /// The HTTP render.
    fn look(&mut self) {
        let place = self.place();
        let node = self.random.index(self.nodes.len());
        let vsn = 1 + self.random.below(2);
        if let Some(mut view) = self.open(node, place, vsn, Mount::Dead, None) {
            view.recover();
            view.close();
        }
    }

    fn open(
        &mut self,
        node: usize,
        place: Place,
        vsn: u64,
        mount: Mount,
        earlier: Option<&LiveView>,
    ) -> Option<LiveView> {
        let up = self.nodes[node].running()?;
        self.opened += 1;
        let opening = Opening {
            engine: &up.engine,
            run: &up.name,
            node,
            is_alive: &up.is_alive,
            recorder: &self.recorder,
            forgets_failures: self.planted.forgets_failures(),
            is_skewed: self.traits.skewed,
        };
        LiveView::open(&opening, format!("c{}", self.opened), place, vsn, mount, earlier)
    }

    fn close(&mut self) {
        if self.views.is_empty() {
            return;
        }
        let index = self.random.index(self.views.len());
        if self.nodes[self.views[index].node].running().is_some() {
            self.views.remove(index).close();
        }
    }

    /// Everybody writes to one session at once (fault 8).
    fn storm(&mut self) {
        let session = self.random.index(self.sessions);
        let mut nodes = Vec::new();
        for view in self.views.iter_mut().filter(|view| view.place.session == session) {
            if self.nodes[view.node].running().is_some() {
                view.stash(&mut self.random);
                nodes.push(view.node);
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.len() > 1 {
            self.recorder.fault(8);
        }
    }

    fn kill(&mut self, index: usize) {
        if self.nodes[index].up().is_some() {
            let until = self.recorder.now_ms() + self.random.below(5_000);
            self.nodes[index].kill(&self.recorder, until);
            self.views.retain(|view| view.node != index);
        }
    }

    fn freeze(&mut self) {
        let index = self.random.index(self.nodes.len());
        if self.nodes[index].running().is_some() {
            let longest = self.random.pick(&[200, 5_000, 70_000]);
            let until = self.recorder.now_ms() + self.random.below(longest);
            self.nodes[index].freeze(&self.recorder, until);
        }
    }

    fn drain(&mut self) {
        let index = self.random.index(self.nodes.len());
        if self.nodes[index].running().is_some_and(|up| up.drained.is_none()) {
            let timeout = self.random.pick(&[10, 1_000, 20_000]);
            self.nodes[index].drain(&self.recorder, timeout);
        }
    }

    /// The engine is restarted under its LiveViews, by its supervisor.
    fn bounce(&mut self) {
        let index = self.random.index(self.nodes.len());
        if self.nodes[index].running().is_none_or(|up| up.drained.is_some()) {
            return;
        }
        self.recorder.count("restarts");
        self.nodes[index].state = State::Down { until_ms: 0 };
        self.nodes[index].start(&self.config, &self.store, &mut self.random, true);
        let (here, mut elsewhere) = std::mem::take(&mut self.views).into_iter().partition(|view| view.node == index);
        let here: Vec<LiveView> = here;
        for view in here {
            if let Some(mut again) = self.open(index, view.place, view.vsn, Mount::Again, Some(&view)) {
                if self.random.happens(700) {
                    again.stash(&mut self.random);
                }
                elsewhere.push(again);
            }
            view.close();
        }
        self.views = elsewhere;
    }

    fn forget(&mut self) {
        let (session, index) = (self.random.index(self.sessions), self.random.index(self.nodes.len()));
        let Some(up) = self.nodes[index].running() else { return };
        self.opened += 1;
        let (name, sid) = (format!("f{}", self.opened), Place { session, view: 0, tab: 0 }.sid());
        self.recorder.line(
            "invoke",
            &format!("\"c\":\"{name}\",\"w\":1,\"op\":\"forget\",\"s\":\"{sid}\",\"node\":\"{}\"", up.name),
        );
        self.recorder.count("forgets");
        let (recorder, is_alive) = (self.recorder.clone(), up.is_alive.clone());
        let reply = move |result: Result<(), durable_stash_engine::Error>| {
            if is_alive.load(Relaxed) {
                let outcome = if result.is_ok() { "saved" } else { "unknown" };
                recorder.line(outcome, &format!("\"c\":\"{name}\",\"w\":1"));
            }
        };
        up.engine.forget(&sid, None, Box::new(reply));
    }

    fn sweep(&mut self) {
        let index = self.random.index(self.nodes.len());
        if let Some(up) = self.nodes[index].running() {
            let (engine, brake) = (up.engine.clone(), up.brake.clone());
            self.recorder.count("sweeps");
            tokio::spawn(async move {
                brake.pass().await;
                engine.sweep(1000).await;
            });
        }
    }

    fn close_all(&mut self, node: usize) {
        let (here, elsewhere) = std::mem::take(&mut self.views).into_iter().partition(|view| view.node == node);
        self.views = elsewhere;
        let here: Vec<LiveView> = here;
        here.into_iter().for_each(LiveView::close);
    }

    /// The weather clears, everybody wakes up: within a bound all that lives is saved or told (I12).
    async fn end(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.store.lock().weather.clear();
        for index in 0..self.nodes.len() {
            self.nodes[index].resume(&self.recorder);
            if self.nodes[index].up().is_some_and(|up| up.gives_up_at.is_some()) {
                self.kill(index);
            }
        }
        let mut answers = Vec::new();
        for view in &mut self.views {
            if self.nodes[view.node].running().is_some_and(|up| up.drained.is_none()) {
                view.stash(&mut self.random);
                let answered = Arc::new(AtomicBool::new(false));
                view.flush(Some(answered.clone()));
                answers.push((view.name.clone(), answered));
            }
        }
        let mut waited = 0;
        while answers.iter().any(|(_, answered)| !answered.load(Relaxed)) && waited < LONGEST_WAIT_MS {
            sleep(Duration::from_millis(100)).await;
            waited += 100;
        }
        for (name, answered) in answers {
            if !answered.load(Relaxed) {
                wrong.push(format!("I12: {name} waits for {LONGEST_WAIT_MS} ms to hear of its writes in good weather"));
            }
        }
        // What is late arrives, and those that drain end.
        sleep(Duration::from_millis(30_000)).await;
        for up in self.nodes.iter().filter_map(Node::up) {
            let stats = up.engine.stats();
            if stats.crashed > 0 {
                wrong.push(format!("{} has lost {} sessions to internal errors", up.name, stats.crashed));
            }
            if stats.unsaved_ops > 0 || stats.unsaved_bytes > 0 {
                let (ops, bytes) = (stats.unsaved_ops, stats.unsaved_bytes);
                wrong.push(format!("I12: {} holds {ops} unsaved writes of {bytes} bytes in good weather", up.name));
            }
            if up.drained.as_ref().is_some_and(|drained| !drained.load(Relaxed)) {
                wrong.push(format!("I12: {} does not end its drain", up.name));
            }
        }
        wrong
    }
}

fn config(random: &mut Random, traits: &Traits) -> Config {
    let mut config = Config::new(Backend::Memory(MemoryStore::new()), secrets(&[SECRET]));
    config.sweep_every_ms = 0;
    config.idle_after_ms = random.pick(&[50, 500, 60_000]);
    config.requests_in_flight = random.pick(&[1, 4, 128]);
    let policy = &mut config.policy;
    policy.flush_after_ms = random.pick(&[0, 0, 100]);
    policy.max_unsaved_age_ms = random.pick(&[3_000, 20_000, 15 * 60_000]);
    policy.serve_stale = random.happens(700);
    policy.tabs_per_view = random.pick(&[1, 32, 32, 32]);
    if traits.expires {
        policy.ttl_ms = random.pick(&[5_000, 20_000, 60_000]);
        policy.tombstone_ms = random.pick(&[30_000, 120_000]);
    }
    config
}

fn secrets(texts: &[&[u8]]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::new(*text).expect("32 bytes")).collect()
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NEXT_SECRET: &[u8] = b"fedcba9876543210fedcba9876543210";
const MOST_VIEWS: usize = 24;
/// The longest pause that a store can ask for and the longest backoff are behind by then.
const LONGEST_WAIT_MS: u64 = 120_000;
