//! N nodes around one document: a virtual clock, and what kind of world it is. Everything follows from the seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::slice::{Epoch, Slice, Tab};
use durable_stash_machine::{
    ClaimId, Command, Json, Key, Now, Policy, RequestId, Session, Slot, Start, TabId, View, Vsn, WriteId, WriterId,
    format,
};

use super::history::{Content, Counts, History, Place, Told, Verdict, Write, places};
use super::network::{Flights, Happening};
use super::reads::{Asked, Lag};
use super::rng::Rng;
use super::store::{Store, named};

pub struct World {
    pub(super) rng: Rng,
    pub(super) time: u64,
    pub store: Store,
    pub history: History,
    pub(super) nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: u64,
    pub(super) next_value: u64,
    next_run: u64,
    pub(super) next_claim: u64,
    pub(super) next_request: u64,
    pub(super) next_mount: u64,
    pub(super) fault_percent: u64,
    pub(super) policy: Arc<Policy>,
    pub(super) kind: Kind,
    pub(super) allow_forget: bool,
    pub(super) allow_restart: bool,
    pub(super) reads: BTreeMap<RequestId, Asked>,
    pub(super) sweeps: u64,
    /// The bit of an answer that turned over on its way last.
    pub(super) spoilt_bit: usize,
    pub trace: Vec<String>,
    tracing: bool,
}

/// What is special about a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// A secret is being rotated: the document may stand under the older name, and some nodes know no other.
    TwoSecrets,
    /// The store loses the object now and then.
    Losing,
    /// Bits of the object turn over now and then.
    Damaging,
    /// Documents live for seconds, a sweeper goes round, and wall clocks step.
    Expiring,
}

impl Kind {
    /// The kind of world that follows from the seed.
    pub fn of(seed: u64) -> Self {
        match Rng::new(!seed).below(100) {
            0..=51 => Self::Plain,
            52..=65 => Self::TwoSecrets,
            66..=75 => Self::Losing,
            76..=85 => Self::Damaging,
            _ => Self::Expiring,
        }
    }
}

pub(super) struct Node {
    pub(super) run: u64,
    /// The objects that its secrets lead to.
    pub(super) names: Vec<usize>,
    pub(super) session: Session,
    pub(super) views: Vec<LiveView>,
    pub(super) thaws_at: u64,
    pub(super) skew: u64,
    pub(super) timer: Option<u64>,
    pub(super) flights: Flights,
}

#[derive(Clone)]
pub(super) struct LiveView {
    pub(super) claim: ClaimId,
    pub(super) slot: Arc<Slot>,
    pub(super) stores_tab: bool,
    pub(super) ops: u64,
    pub(super) mount: u64,
    pub(super) epoch: Epoch,
    pub(super) fresh: bool,
    pub(super) superseded: bool,
}

/// The heap holds the happening itself, compared by when it is due only.
struct Queued {
    at: u64,
    number: u64,
    happening: Happening,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl World {
    pub fn new(seed: u64, tracing: bool) -> Self {
        Self::with(seed, tracing, |_| ())
    }

    /// The same with a bug in it.
    #[cfg(feature = "planted-bugs")]
    pub fn planted(seed: u64, bug: durable_stash_machine::planted::Bug) -> Self {
        let mut world = Self::with(seed, false, |policy| policy.planted = Some(bug));
        world.store.planted = Some(bug);
        world
    }

    fn with(seed: u64, tracing: bool, change: impl FnOnce(&mut Policy)) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = rng.between(1, 4);
        let kind = Kind::of(seed);
        let mut policy = Policy {
            flush_after_ms: *rng.pick(&[0, 0, 0, 40]),
            fresh_for_ms: *rng.pick(&[0, 0, 0, 0, 60]),
            max_unsaved_age_ms: *rng.pick(&[4_000, 60_000]),
            ..Policy::default()
        };
        if kind == Kind::Expiring {
            policy.ttl_ms = 20_000;
            // Far above the life of a request.
            policy.tombstone_ms = 8_000;
        }
        change(&mut policy);
        let skewed = rng.chance(20) || kind == Kind::Expiring;
        // A forgotten document that is lost or damaged as well may come back from a node that knew it.
        let allow_forget = rng.chance(15) && !matches!(kind, Kind::Losing | Kind::Damaging);
        let allow_restart = rng.chance(20);
        let history = History { skewed, ttl_ms: policy.ttl_ms, ..History::default() };
        let mut world = Self {
            time: START,
            store: Store::default(),
            history,
            nodes: Vec::new(),
            queue: BinaryHeap::new(),
            queued: 0,
            next_value: 0,
            next_run: 0,
            next_claim: 0,
            next_request: 0,
            next_mount: 0,
            fault_percent: *rng.pick(&[0, 10, 30, 60]),
            policy: Arc::new(policy),
            kind,
            allow_forget,
            allow_restart,
            reads: BTreeMap::new(),
            sweeps: 0,
            spoilt_bit: 0,
            trace: Vec::new(),
            tracing,
            rng,
        };
        world.history.runs.insert(SWEEPER.0, u64::MAX);
        if kind == Kind::TwoSecrets && world.rng.chance(60) {
            world.place_under_the_older_name();
        }
        for _ in 0..nodes {
            let node = world.boot();
            world.nodes.push(node);
        }
        world
    }

    /// Runs the whole scenario: a stormy part, then calm, in which everything must come to its end.
    pub fn run(&mut self, steps: u64) -> Verdict {
        for _ in 0..steps {
            let pause = self.rng.between(1, 30);
            self.pass(pause)?;
            self.act()?;
        }
        self.calm()
    }

    fn calm(&mut self) -> Verdict {
        self.fault_percent = 0;
        for node in &mut self.nodes {
            node.thaws_at = 0;
        }
        for index in 0..self.nodes.len() {
            self.command(index, Command::Drain)?;
        }
        self.pass(30 * 60 * 1_000)?;
        for node in &self.nodes {
            if !node.session.is_idle() {
                return Err(format!(
                    "I12: run {} is not idle after half an hour of calm: {:#?}",
                    node.run, node.session
                ));
            }
            if node.session.unsaved_bytes() > 0 {
                return Err(format!("I12: run {} is idle and has unsaved bytes: {:#?}", node.run, node.session));
            }
            let open = self.history.open_writes(node.run);
            if open > 0 {
                return Err(format!("I7: {open} writes of run {} never got an outcome", node.run));
            }
        }
        match self.reads.len() {
            0 => Ok(()),
            open => Err(format!("I12: {open} reads were never answered")),
        }
    }

    pub(super) fn boot(&mut self) -> Node {
        self.next_run += 1;
        let run = self.next_run;
        // A rolling deploy: some nodes know the older secret only.
        let names = match self.kind {
            Kind::TwoSecrets if self.rng.chance(40) => vec![1],
            Kind::TwoSecrets => vec![0, 1],
            Kind::Plain | Kind::Losing | Kind::Damaging | Kind::Expiring => vec![0],
        };
        let session = self.session(run, &names);
        let skew = match (self.history.skewed, self.kind) {
            (false, _) => 0,
            (true, Kind::Expiring) => self.rng.below(EXPIRING_SKEW_MS),
            (true, _) => self.rng.below(SKEW_MS),
        };
        let flights = Flights::default();
        Node { run, names, session, views: Vec::new(), thaws_at: 0, skew, timer: None, flights }
    }

    fn session(&mut self, run: u64, names: &[usize]) -> Session {
        self.history.runs.insert(writer(run).0, run);
        let names = names.iter().map(|number| named(*number)).collect();
        let start = Start { seed: self.rng.next(), names, ..Start::default() };
        Session::new(writer(run), self.policy.clone(), start)
    }

    /// A document that an older release wrote, under the secret that it knew.
    fn place_under_the_older_name(&mut self) {
        let write = WriteId { writer: WriterId(0xd1d), seq: 5 };
        self.history.runs.insert(write.writer.0, 0);
        let mut document = Document::default();
        for view in ["a", "b"] {
            let slot = Slot { view: View::new(view), vsn: Vsn(1), tab: TabId::new("t1") };
            let mut tab = Tab { epoch: Epoch::at(START - 2_000), touched_at: START - 1_000, ..Tab::default() };
            let mut slice = Slice { touched_at: START - 1_000, ..Slice::default() };
            for key in ["k0", "k1"] {
                let (key, json) = self.old_value(&slot, None, key);
                slice.data.insert(key, json);
            }
            let (key, json) = self.old_value(&slot, Some(slot.tab.clone()), "d0");
            tab.data.insert(key, json);
            slice.tabs.insert(slot.tab.clone(), tab);
            document.views.entry(slot.view).or_default().insert(slot.vsn, slice);
        }
        let (touched_at, expires_at) = (START - 1_000, START + self.policy.ttl_ms);
        let header =
            Header { rev: 9, write, applied: BTreeMap::new(), touched_at, expires_at, buried: false, moved_to: None };
        self.store.place(1, format::encode(&header, &document));
        let places = places(&document);
        self.history.record(Content::Whole { header, document, places }, None);
    }

    fn old_value(&mut self, slot: &Slot, tab: Option<TabId>, key: &str) -> (Key, Json) {
        self.next_value += 1;
        let place = Place { view: slot.view.clone(), vsn: slot.vsn, tab, key: Key::new(key) };
        let (claim, outcome) = (ClaimId(0), Told::Saved);
        let write =
            Write { place, run: 0, claim, op: 1, mount: 0, tick: 0, is_default: false, outcome, settled_tick: Some(0) };
        self.history.writes.insert(self.next_value, write);
        (Key::new(key), Json::from_encoded(self.next_value.to_string()))
    }

    pub(super) fn now(&self, index: usize) -> Now {
        Now { mono: self.time, wall: self.time + self.nodes[index].skew }
    }

    pub(super) fn lag(&self) -> Lag {
        let skew = if self.kind == Kind::Expiring { EXPIRING_SKEW_MS } else { SKEW_MS };
        Lag { fresh_for: self.policy.fresh_for_ms, skew }
    }

    /// Lets `ms` pass, with everything that happens meanwhile.
    pub(super) fn pass(&mut self, ms: u64) -> Verdict {
        let until = self.time + ms;
        let mut bound = 200_000;
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= until) {
            bound -= 1;
            if bound == 0 {
                return Err("I12: the world does not come to rest".into());
            }
            let Some(Reverse(Queued { at, happening, .. })) = self.queue.pop() else { break };
            self.set_time(at.max(self.time));
            self.happen(happening)?;
        }
        self.set_time(until);
        Ok(())
    }

    fn set_time(&mut self, time: u64) {
        self.time = time;
        self.history.time = time;
    }

    pub(super) fn schedule(&mut self, at: u64, happening: Happening) {
        self.queued += 1;
        self.queue.push(Reverse(Queued { at, number: self.queued, happening }));
    }

    pub(super) fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.tracing {
            let line = line(self);
            self.trace.push(format!("{:>9} {line}", self.time - START));
        }
    }

    pub fn told(&self) -> &Counts {
        &self.history.told
    }
}

pub(super) fn writer(run: u64) -> WriterId {
    WriterId(u128::from(run) << 64 | u128::from(run))
}

pub(super) const START: u64 = 1_000_000;
pub(super) const SWEEPER: WriterId = WriterId(u128::MAX);
/// How far the clocks of nodes are apart at most.
const SKEW_MS: u64 = 20_000;
pub(super) const EXPIRING_SKEW_MS: u64 = 500;
