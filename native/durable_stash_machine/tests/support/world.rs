//! N nodes around one object: a virtual clock, a network that loses, delays and repeats, nodes that crash, freeze and
//! evict. Everything follows from the seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use durable_stash_machine::{
    ClaimId, Command, Conflict, Effect, ErrorKind, Event, Fence, GetOutcome, Incident, Json, Key, Notice, Now, Policy,
    PutOutcome, Refusal, RequestId, Session, Slot, Start, TabId, View, Vsn, WriterId,
};

use super::history::{History, Place, Removal, Scope, Told, Verdict, Write};
use super::rng::Rng;
use super::store::Store;

pub struct World {
    rng: Rng,
    time: u64,
    pub store: Store,
    pub history: History,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(u64, u64, Slotted)>>,
    queued: u64,
    next_value: u64,
    next_run: u64,
    next_claim: u64,
    next_request: u64,
    next_mount: u64,
    fault_percent: u64,
    policy: Arc<Policy>,
    allow_forget: bool,
    reads: BTreeMap<RequestId, (u64, Arc<Slot>, u64)>,
    pub trace: Vec<String>,
    tracing: bool,
}

struct Node {
    run: u64,
    session: Session,
    views: Vec<LiveView>,
    thaws_at: u64,
    skew: u64,
    timer: Option<u64>,
}

struct LiveView {
    claim: ClaimId,
    slot: Arc<Slot>,
    stores_tab: bool,
    ops: u64,
    mount: u64,
    superseded: bool,
}

/// An index into `World::happenings` would need removal; the heap holds the happening itself, compared by order only.
struct Slotted(Happening);

impl PartialEq for Slotted {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Slotted {}
impl PartialOrd for Slotted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Slotted {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

enum Happening {
    /// A request reaches the store. If `answer` is set the store's answer travels back to the node.
    Reaches {
        run: u64,
        effect: Effect,
        answer: bool,
    },
    /// An answer, or the client's own "I do not know", reaches the node.
    Answers {
        run: u64,
        event: Event,
    },
    Timer {
        run: u64,
        at: u64,
    },
}

impl World {
    pub fn new(seed: u64, tracing: bool) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = rng.between(1, 4);
        let policy = Policy {
            flush_after_ms: *rng.pick(&[0, 0, 0, 40]),
            fresh_for_ms: 0,
            max_unsaved_age_ms: *rng.pick(&[4_000, 60_000]),
            ..Policy::default()
        };
        let skewed = rng.chance(20);
        let mut world = Self {
            time: 1_000_000,
            store: Store::default(),
            history: History { skewed, ..History::default() },
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
            allow_forget: rng.chance(15),
            reads: BTreeMap::new(),
            trace: Vec::new(),
            tracing,
            rng,
        };
        for _ in 0..nodes {
            let node = world.boot();
            world.nodes.push(node);
        }
        world
    }

    /// Runs the whole scenario: a stormy part, then calm, in which everything must come to its end.
    pub fn run(&mut self, steps: u64) -> Verdict {
        for _ in 0..steps {
            self.pass(self.rng.clone().between(1, 30))?;
            self.rng.next();
            self.act()?;
        }
        self.calm()
    }

    fn calm(&mut self) -> Verdict {
        self.fault_percent = 0;
        for node in &mut self.nodes {
            node.thaws_at = 0;
        }
        self.pass(30 * 60 * 1_000)?;
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if !node.session.is_idle() {
                return Err(format!(
                    "I12: run {} is not idle after half an hour of calm: {:#?}",
                    node.run, node.session
                ));
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

    fn boot(&mut self) -> Node {
        self.next_run += 1;
        let run = self.next_run;
        let session = self.session(run, Fence::default(), 0);
        let skew = if self.history.skewed { self.rng.below(20_000) } else { 0 };
        Node { run, session, views: Vec::new(), thaws_at: 0, skew, timer: None }
    }

    fn session(&mut self, run: u64, fence: Fence, seq_floor: u64) -> Session {
        let writer = WriterId(u128::from(run) << 64 | 7);
        self.history.runs.insert(writer.0, run);
        let start = Start { seed: self.rng.next(), seq_floor, names: 1, minted: false, fence };
        Session::new(writer, self.policy.clone(), start)
    }

    fn now(&self, index: usize) -> Now {
        Now { mono: self.time, wall: self.time + self.nodes[index].skew }
    }

    /// Lets `ms` pass, with everything that happens meanwhile.
    fn pass(&mut self, ms: u64) -> Verdict {
        let until = self.time + ms;
        let mut bound = 200_000;
        while let Some(Reverse((at, _, _))) = self.queue.peek() {
            if *at > until {
                break;
            }
            bound -= 1;
            if bound == 0 {
                return Err("I12: the world does not come to rest".into());
            }
            let Some(Reverse((at, _, Slotted(happening)))) = self.queue.pop() else { break };
            self.time = self.time.max(at);
            self.happen(happening)?;
        }
        self.time = until;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Verdict {
        match happening {
            Happening::Reaches { run, effect, answer } => self.reach(run, effect, answer),
            Happening::Answers { run, event } => {
                let Some(index) = self.awake(run, || Happening::Answers { run, event: event.clone() }) else {
                    return Ok(());
                };
                let now = self.now(index);
                self.nodes[index].session.handle(now, event);
                self.drain(index)
            }
            Happening::Timer { run, at } => {
                let Some(index) = self.awake(run, || Happening::Timer { run, at }) else { return Ok(()) };
                if self.nodes[index].timer != Some(at) {
                    return Ok(());
                }
                self.nodes[index].timer = None;
                let now = self.now(index);
                self.nodes[index].session.timeout(now);
                self.drain(index)
            }
        }
    }

    /// The living node of that run; what reaches a frozen one happens after its thaw.
    fn awake(&mut self, run: u64, again: impl FnOnce() -> Happening) -> Option<usize> {
        let index = self.nodes.iter().position(|node| node.run == run)?;
        let thaws_at = self.nodes[index].thaws_at;
        if thaws_at > self.time {
            self.schedule(thaws_at, again());
            return None;
        }
        Some(index)
    }

    fn schedule(&mut self, at: u64, happening: Happening) {
        self.queued += 1;
        self.queue.push(Reverse((at, self.queued, Slotted(happening))));
    }

    fn reach(&mut self, run: u64, effect: Effect, answer: bool) -> Verdict {
        let tick = self.history.next_tick();
        let event = match effect {
            Effect::Put { attempt, ref body, ref precondition, .. } => {
                let outcome = self.store.put(tick, body, precondition);
                if matches!(outcome, PutOutcome::Written(_)) {
                    self.note(|world| {
                        format!("run {run} commits {:?}", world.store.current().map(|version| version.header.clone()))
                    });
                    self.history.committed(&self.store)?;
                }
                Event::Put { attempt, outcome }
            }
            Effect::Get { attempt, ref unless, .. } => {
                let outcome = match self.store.current() {
                    None => GetOutcome::Missing,
                    Some(version) if Some(&version.etag) == unless.as_ref() => GetOutcome::NotModified,
                    Some(version) => GetOutcome::Found { etag: version.etag.clone(), body: version.body.clone() },
                };
                Event::Got { attempt, outcome }
            }
            Effect::Quarantine { attempt, .. } => Event::Quarantined { attempt, ok: true },
        };
        if answer {
            let delay = self.rng.between(1, 20);
            self.schedule(self.time + delay, Happening::Answers { run, event });
        }
        Ok(())
    }

    /// Gives every request its fate.
    fn dispatch(&mut self, run: u64, effect: Effect) {
        let there = self.rng.between(1, 20);
        if !self.rng.chance(self.fault_percent) {
            return self.schedule(self.time + there, Happening::Reaches { run, effect, answer: true });
        }
        let gives_up = self.time + self.rng.between(20, 200);
        let unknown = match effect {
            Effect::Put { attempt, .. } => Event::Put { attempt, outcome: PutOutcome::Unknown { retry_after: None } },
            Effect::Get { attempt, .. } => {
                Event::Got { attempt, outcome: GetOutcome::Unavailable { retry_after: Some(30) } }
            }
            Effect::Quarantine { attempt, .. } => Event::Quarantined { attempt, ok: false },
        };
        match (self.rng.below(6), &effect) {
            // Lost on the way.
            (0, _) => self.schedule(gives_up, Happening::Answers { run, event: unknown }),
            // The answer is lost.
            (1, _) => {
                self.schedule(self.time + there, Happening::Reaches { run, effect, answer: false });
                self.schedule(gives_up, Happening::Answers { run, event: unknown });
            }
            // Delayed beyond the client's patience: a zombie.
            (2, _) => {
                let late = gives_up + self.rng.between(1, 3_000);
                self.schedule(late, Happening::Reaches { run, effect, answer: false });
                self.schedule(gives_up, Happening::Answers { run, event: unknown });
            }
            // Repeated by the network.
            (3, _) => {
                let late = self.time + there + self.rng.between(0, 2_000);
                self.schedule(late, Happening::Reaches { run, effect: effect.clone(), answer: false });
                self.schedule(self.time + there, Happening::Reaches { run, effect, answer: true });
            }
            (4, Effect::Put { attempt, .. }) => {
                let event = Event::Put { attempt: *attempt, outcome: PutOutcome::Busy };
                self.schedule(self.time + there, Happening::Answers { run, event });
            }
            (_, Effect::Put { attempt, .. }) => {
                let event = Event::Put { attempt: *attempt, outcome: PutOutcome::Refused(Refusal::Denied) };
                self.schedule(self.time + there, Happening::Answers { run, event });
            }
            (_, _) => self.schedule(gives_up, Happening::Answers { run, event: unknown }),
        }
    }

    fn drain(&mut self, index: usize) -> Verdict {
        let run = self.nodes[index].run;
        while let Some(effect) = self.nodes[index].session.poll_effect() {
            self.dispatch(run, effect);
        }
        while let Some(notice) = self.nodes[index].session.poll_notice() {
            self.history.next_tick();
            self.note(|_| format!("run {run}: {notice:?}"));
            self.notice(index, notice)?;
        }
        let timer = self.nodes[index].session.poll_timeout();
        if timer != self.nodes[index].timer {
            self.nodes[index].timer = timer;
            if let Some(at) = timer {
                self.schedule(at.max(self.time), Happening::Timer { run, at });
            }
        }
        Ok(())
    }

    fn notice(&mut self, index: usize, notice: Notice) -> Verdict {
        let run = self.nodes[index].run;
        match notice {
            Notice::Settled { claim, op, outcome } => self.history.settled(run, claim, op, outcome),
            Notice::Rejected { claim, op, kind } => {
                let view = self.nodes[index].views.iter().find(|view| view.claim == claim);
                if kind == ErrorKind::Superseded && view.is_some_and(|view| !view.superseded) {
                    return Err(format!("I6: {claim:?} was refused without having been superseded"));
                }
                self.history.rejected(run, claim, op)
            }
            Notice::Superseded { claim } => {
                self.history.told.superseded += 1;
                for view in self.nodes[index].views.iter_mut().filter(|view| view.claim == claim) {
                    view.superseded = true;
                }
                Ok(())
            }
            Notice::Read { request, answer } => {
                let (asked_by, slot, since) = self.reads.remove(&request).ok_or("a read was answered twice")?;
                if asked_by != run {
                    return Err("a read was answered by another run".into());
                }
                match answer {
                    Ok(answer) => self.history.read(&self.store, run, &slot, since, &answer),
                    Err(_) => Ok(()),
                }
            }
            Notice::Forgotten { request, outcome } => {
                self.history.forgotten(run, request, outcome);
                Ok(())
            }
            Notice::Happened(Incident::Conflict(Conflict::Moved)) => {
                self.history.told.conflicts += 1;
                Ok(())
            }
            Notice::Happened(Incident::Resolved { saved: true }) => {
                self.history.told.resolved_saved += 1;
                Ok(())
            }
            Notice::Happened(Incident::Resolved { saved: false }) => {
                self.history.told.resolved_unsaved += 1;
                Ok(())
            }
            Notice::Happened(_) => Ok(()),
        }
    }

    /// One thing that a user, a LiveView or an operator does.
    fn act(&mut self) -> Verdict {
        let index = self.rng.below(self.nodes.len() as u64) as usize;
        if self.nodes[index].thaws_at > self.time {
            return Ok(());
        }
        match self.rng.below(100) {
            0..=11 => self.mount(index),
            12..=71 => self.merge(index),
            72..=75 => self.remove(index),
            76..=77 => self.reset(index),
            78..=87 => self.read(index, None),
            88..=90 => self.close(index),
            91..=92 => self.crash(index),
            93..=94 => {
                self.nodes[index].thaws_at = self.time + self.rng.between(50, 5_000);
                Ok(())
            }
            95..=98 => self.evict(index),
            _ if self.allow_forget => self.forget(index),
            _ => Ok(()),
        }
    }

    fn command(&mut self, index: usize, command: Command) -> Verdict {
        let now = self.now(index);
        self.note(|world| format!("run {} at {}: {command:?}", world.nodes[index].run, now.mono));
        self.nodes[index].session.command(now, command);
        self.drain(index)
    }

    fn mount(&mut self, index: usize) -> Verdict {
        self.next_claim += 1;
        self.next_mount += 1;
        let claim = ClaimId(self.next_claim);
        let view = *self.rng.pick(&["a", "b"]);
        let tab = *self.rng.pick(&["t1", "t2", "t3"]);
        let slot = Arc::new(Slot { view: View::new(view), vsn: Vsn(*self.rng.pick(&[1, 1, 2])), tab: TabId::new(tab) });
        let fresh = self.rng.chance(30);
        let stores_tab = view == "a";
        let tick = self.history.next_tick();
        let run = self.nodes[index].run;
        if fresh && stores_tab {
            let scope = Scope::Tab((*slot).clone());
            self.history.removals.push(Removal {
                run,
                claim,
                op: u64::MAX,
                tick,
                scope,
                failed: false,
                settled_tick: None,
            });
        }
        // A mount elsewhere does not tell this node's LiveView of the same tab, but one here does.
        self.nodes[index].views.push(LiveView {
            claim,
            slot: slot.clone(),
            stores_tab,
            ops: 0,
            mount: self.next_mount,
            superseded: false,
        });
        self.command(index, Command::Claim { claim, slot: slot.clone(), fresh, stores_tab })?;
        if self.rng.chance(70) { self.read(index, Some((claim, slot))) } else { Ok(()) }
    }

    fn pick_view(&mut self, index: usize) -> Option<usize> {
        let count = self.nodes[index].views.len() as u64;
        (count > 0).then(|| self.rng.below(count) as usize)
    }

    fn merge(&mut self, index: usize) -> Verdict {
        let Some(chosen) = self.pick_view(index) else { return self.mount(index) };
        let run = self.nodes[index].run;
        let view = &mut self.nodes[index].views[chosen];
        view.ops += 1;
        let (claim, slot, op, mount, stores_tab) =
            (view.claim, view.slot.clone(), view.ops, view.mount, view.stores_tab);
        let mut write = |world: &mut Self, tab: Option<TabId>, key: &str| {
            world.next_value += 1;
            let place = Place { view: slot.view.clone(), vsn: slot.vsn, tab, key: Key::new(key) };
            let tick = world.history.next_tick();
            let write = Write { place, run, claim, op, mount, tick, outcome: Told::Nothing, settled_tick: None };
            world.history.writes.insert(world.next_value, write);
            (Key::new(key), Json::from_encoded(world.next_value.to_string()))
        };
        let mut session = Vec::new();
        let mut tab = Vec::new();
        for key in ["k0", "k1", "k2"] {
            if self.rng.chance(40) {
                session.push(write(self, None, key));
            }
        }
        if stores_tab && (session.is_empty() || self.rng.chance(50)) {
            tab.push(write(self, Some(slot.tab.clone()), "d0"));
        }
        self.command(index, Command::Merge { claim, slot, op, session, tab })
    }

    fn remove(&mut self, index: usize) -> Verdict {
        let Some(chosen) = self.pick_view(index) else { return Ok(()) };
        let run = self.nodes[index].run;
        let view = &mut self.nodes[index].views[chosen];
        view.ops += 1;
        let (claim, slot, op) = (view.claim, view.slot.clone(), view.ops);
        let place = Place { view: slot.view.clone(), vsn: slot.vsn, tab: None, key: Key::new("k0") };
        let tick = self.history.next_tick();
        self.history.removals.push(Removal {
            run,
            claim,
            op,
            tick,
            scope: Scope::Place(place),
            failed: false,
            settled_tick: None,
        });
        self.command(index, Command::Drop { claim, slot, op, session: vec![Key::new("k0")], tab: vec![] })
    }

    fn reset(&mut self, index: usize) -> Verdict {
        let Some(chosen) = self.pick_view(index) else { return Ok(()) };
        let run = self.nodes[index].run;
        let view = &mut self.nodes[index].views[chosen];
        view.ops += 1;
        let (claim, slot, op) = (view.claim, view.slot.clone(), view.ops);
        let tick = self.history.next_tick();
        let scope = Scope::Slot((*slot).clone());
        self.history.removals.push(Removal { run, claim, op, tick, scope, failed: false, settled_tick: None });
        self.command(index, Command::Reset { claim, slot, op })
    }

    fn read(&mut self, index: usize, mount: Option<(ClaimId, Arc<Slot>)>) -> Verdict {
        let (claim, slot) = match mount {
            Some((claim, slot)) => (Some(claim), slot),
            None => match self.pick_view(index) {
                Some(chosen) => (None, self.nodes[index].views[chosen].slot.clone()),
                None => return Ok(()),
            },
        };
        self.next_request += 1;
        let request = RequestId(self.next_request);
        let tick = self.history.next_tick();
        self.reads.insert(request, (self.nodes[index].run, slot.clone(), tick));
        self.command(index, Command::Read { request, slot, claim })
    }

    fn close(&mut self, index: usize) -> Verdict {
        let Some(chosen) = self.pick_view(index) else { return Ok(()) };
        let view = self.nodes[index].views.swap_remove(chosen);
        self.command(index, Command::Release { claim: view.claim })
    }

    fn forget(&mut self, index: usize) -> Verdict {
        self.next_request += 1;
        let tick = self.history.next_tick();
        let run = self.nodes[index].run;
        let scope = Scope::Everything;
        self.history.removals.push(Removal {
            run,
            claim: NOBODY,
            op: self.next_request,
            tick,
            scope,
            failed: false,
            settled_tick: None,
        });
        self.command(index, Command::Forget { request: RequestId(self.next_request) })
    }

    /// kill -9: what was accepted and not committed is gone; requests on the way may still arrive.
    fn crash(&mut self, index: usize) -> Verdict {
        self.history.told.crashes += 1;
        let run = self.nodes[index].run;
        self.note(|_| format!("run {run} crashes"));
        self.reads.retain(|_, (asked_by, _, _)| *asked_by != run);
        self.nodes[index] = self.boot();
        Ok(())
    }

    fn evict(&mut self, index: usize) -> Verdict {
        if !self.nodes[index].session.is_idle() {
            return Ok(());
        }
        let run = self.nodes[index].run;
        let fresh = self.session(run, Fence::default(), 0);
        let old = std::mem::replace(&mut self.nodes[index].session, fresh);
        let floor = old.last_seq();
        self.nodes[index].session = self.session(run, old.into_fence(), floor);
        self.nodes[index].timer = None;
        self.note(|_| format!("run {run} evicts"));
        Ok(())
    }

    fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.tracing {
            let line = line(self);
            self.trace.push(format!("{:>9} {line}", self.time - 1_000_000));
        }
    }
}

/// Who asks to forget: no LiveView's claim.
const NOBODY: ClaimId = ClaimId(0);
