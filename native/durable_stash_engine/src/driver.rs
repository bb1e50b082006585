//! One task per session that has something to do. It feeds the machine and carries out what the machine says; it decides nothing.
//!
//! Each turn: one input, then every effect and every notice, then the one timer (the machine's contract). Requests to
//! the store are under way beside the driver, in its task, and come back as inputs: it never waits for one of them alone.
//! Once there is nothing to do it parks the session and ends: an idle session has no task.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use durable_stash_machine::{
    ClaimId, Command, Effect, Event, Notice, Now, Outcome, ReadAnswer, RequestId, Session, Start,
};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::budget::Share;
use crate::cell::{Cell, Rest};
use crate::engine::Shared;
use crate::error::{Error, Failure};
use crate::inbox::Input;
use crate::leaning::Leanings;
use crate::observer::EngineEvent;
use crate::registry::Woken;
use crate::standing::HandleState;
use crate::stats::up;
use crate::store::ObjectName;
use crate::tasks::Task;
use crate::ticket::Ticket;

/// Drives the session for as long as it has something to do.
pub(crate) fn run(shared: Arc<Shared>, woken: Woken, minted: bool) -> impl Future<Output = ()> + Send + 'static {
    let mut unstarted = Unstarted(Some((shared, woken, minted)));
    async move {
        if let Some(driver) = unstarted.start() {
            driver.run().await;
        }
    }
}

/// A driver before its first turn. It is made in its own task: to read a parked document takes longer than whoever sends
/// an input should wait.
struct Unstarted(Option<(Arc<Shared>, Woken, bool)>);

impl Unstarted {
    fn start(&mut self) -> Option<Box<Driver>> {
        let (shared, woken, minted) = self.0.take()?;
        Some(Box::new(Driver::new(shared, woken, minted)))
    }
}

impl Drop for Unstarted {
    /// The runtime is gone: a driver that never runs tells everybody, too.
    fn drop(&mut self) {
        drop(self.start());
    }
}

struct Driver {
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    session: Session,
    /// At most four (the machine's contract).
    requests: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// The handles that notices may concern: the live ones, and those that are gone with writes still open. In order, as
    /// all that waits here, so that a run can be repeated.
    handles: BTreeMap<ClaimId, Arc<HandleState>>,
    released: Vec<ClaimId>,
    /// Few at a time; thousands of sessions may wait with one each, and a map's node has room for eleven.
    reads: Vec<(RequestId, Reading)>,
    leanings: Leanings,
    forgets: BTreeMap<RequestId, Ticket<Result<(), Error>>>,
    next_request: u64,
    /// Of the last write that the session has taken: what is answered shows that one and all before it.
    turn: u64,
    /// What this session's unsaved writes take of the engine's account.
    share: Share,
    /// What its copy of the document takes of the engine's account of those.
    cached: Share,
    /// When a LiveView last asked for something (monotonic ms).
    last_asked: u64,
    draining: bool,
    /// A mount has claimed its tab, or has seen the document: epochs may have changed.
    claims_moved: bool,
    end: End,
    _task: Task,
}

/// What the store said, or how the request to it broke.
type Answered = Result<Event, Box<dyn Any + Send>>;

/// A read that waits for its answer, and whose it is.
struct Reading {
    /// None once it is gone.
    handle: Option<Arc<HandleState>>,
    reply: Ticket<Result<ReadAnswer, Error>>,
}

/// How a driver ends.
enum End {
    Crashed(String),
    Stopped,
    /// The session has left memory.
    Retired,
    /// It stays, and the next input wakes another driver.
    Parked,
}

impl Driver {
    fn new(shared: Arc<Shared>, woken: Woken, minted: bool) -> Self {
        let Woken { cell, session, cached, handles, turn, task } = woken;
        let (writer, policy) = (cell.key().writer(shared.writer, cell.own_secrets), shared.policy.clone());
        let names = cell.key().names().iter().filter_map(ObjectName::to_document).collect();
        let session = match session {
            Some(parked) => parked.unpark(writer, policy, names),
            None => {
                let (seed, seq_floor) = (shared.seeds.next(), shared.seq_floor.load(Relaxed));
                Session::new(writer, policy, Start { seed, seq_floor, names, minted, ..Start::default() })
            }
        };
        Self {
            session,
            requests: FuturesUnordered::new(),
            handles: handles.into_iter().map(|handle| (handle.claim, handle)).collect(),
            released: Vec::new(),
            reads: Vec::new(),
            leanings: Leanings::default(),
            forgets: BTreeMap::new(),
            next_request: 0,
            turn,
            share: shared.budget.empty_share(),
            cached: cached.unwrap_or_else(|| shared.cache.empty_share()),
            last_asked: shared.clock.now().mono,
            draining: false,
            claims_moved: false,
            // Whatever ends it without saying how is an error of ours.
            end: End::Crashed("the task was dropped".to_owned()),
            _task: task,
            shared,
            cell,
        }
    }

    /// Runs until there is nothing to do, the engine stops, or something breaks.
    ///
    /// In a box: a future that holds what it is given holds it twice.
    async fn run(mut self: Box<Self>) {
        let cell = self.cell.clone();
        let (mut not_before, mut turns) = (0, 0_u32);
        loop {
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS_AT_ONCE) {
                // Whoever stashes without a break must not keep a thread of the engine to itself.
                tokio::task::yield_now().await;
            }
            let deadline = self.deadline().map(|deadline| deadline.max(not_before));
            let clock = self.shared.clock.clone();
            // In this order, so that a run can be repeated; a deadline that inputs hold off is met in `turn`.
            let turned = tokio::select! {
                biased;
                Some(answered) = self.requests.next() => match answered {
                    Ok(event) => self.turn(|driver, now| {
                        driver.claims_moved |= matches!(event, Event::Got { .. });
                        driver.session.handle(now, event);
                    }),
                    // The request broke inside the store. Which attempt it was is lost with it, and so is the session.
                    Err(broken) => Err(panic_message(&*broken)),
                },
                input = poll_fn(|context| cell.poll_input(context)) => match input {
                    Input::Stop => {
                        self.end = End::Stopped;
                        return;
                    }
                    input => self.turn(|driver, now| driver.take(input, now)),
                },
                () = clock.sleep_until(deadline.unwrap_or(u64::MAX)) => {
                    // A deadline that stays where it is must not keep the task spinning.
                    not_before = clock.now().mono + 1;
                    self.turn(|_, _| ())
                }
            };
            if let Err(message) = turned {
                self.end = End::Crashed(message);
                return;
            }
            if self.may_leave() && self.leave() {
                self.end = End::Retired;
                return;
            }
            if self.is_at_rest() && self.park() {
                self.end = End::Parked;
                return;
            }
        }
    }

    /// One turn of the machine's contract. A panic in it is this session's end and nobody else's (fault 44).
    fn turn(&mut self, input: impl FnOnce(&mut Self, Now)) -> Result<(), String> {
        let now = self.shared.clock.now();
        let turn = AssertUnwindSafe(|| {
            input(self, now);
            self.carry_out();
            if self.session.poll_timeout().is_some_and(|deadline| deadline <= now.mono) {
                self.session.timeout(now);
                self.carry_out();
            }
            self.share.resize(self.session.unsaved_bytes());
            self.cached.resize(self.session.cached_bytes());
            self.tell_epochs();
            self.forget_released();
        });
        // The session is dropped after a panic, so that nobody sees what it left half done.
        catch_unwind(turn).map_err(|panic| panic_message(&*panic))
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            self.start(effect);
        }
        while let Some(notice) = self.session.poll_notice() {
            self.tell(notice);
        }
    }

    fn take(&mut self, input: Input, now: Now) {
        match input {
            Input::Claim { handle, command, wall } => {
                self.claims_moved = true;
                self.handles.insert(handle.claim, handle);
                self.last_asked = now.mono;
                self.session.command(Now { wall: wall.min(now.wall), ..now }, *command);
            }
            Input::Write { handle, command, share, turn } => {
                self.turn = turn;
                self.handles.insert(handle.claim, handle);
                self.last_asked = now.mono;
                self.session.command(now, *command);
                // Before the queue's share is dropped: the account must not sink in between.
                self.share.resize(self.session.unsaved_bytes());
                drop(share);
            }
            Input::Read { slot, handle, claimed, reply } => {
                self.last_asked = now.mono;
                let request = self.number();
                let claim = claimed.then_some(handle.claim);
                self.reads.push((request, Reading { handle: Some(handle), reply }));
                self.session.command(now, Command::Read { request, slot, claim });
            }
            Input::Forget { reply } => {
                self.last_asked = now.mono;
                let request = self.number();
                self.forgets.insert(request, reply);
                self.session.command(now, Command::Forget { request });
            }
            Input::Release(claim) => {
                self.released.push(claim);
                self.leanings.release(claim);
                for (_, reading) in &mut self.reads {
                    reading.handle.take_if(|handle| handle.claim == claim);
                }
                self.session.command(now, Command::Release { claim });
            }
            Input::Drain => {
                self.draining = true;
                self.session.command(now, Command::Drain);
            }
            // `run` ends before.
            Input::Stop => {}
        }
    }

    fn start(&mut self, effect: Effect) {
        let name = self.object_name(&effect);
        let shared = self.shared.clone();
        let request = async move {
            let requests = &shared.requests;
            match effect {
                Effect::Get { attempt, unless, .. } => {
                    Event::Got { attempt, outcome: requests.get(&name, unless.as_ref()).await }
                }
                Effect::Put { attempt, body, precondition, .. } => {
                    Event::Put { attempt, outcome: requests.put(&name, body, &precondition).await }
                }
                Effect::Quarantine { attempt, body, .. } => {
                    let aside = name.aside(&body);
                    Event::Quarantined { attempt, ok: requests.put_aside(&aside, body).await }
                }
            }
        };
        // The session ends after a panic, so that nobody sees what it left half done.
        self.requests.push(AssertUnwindSafe(request).catch_unwind().boxed());
    }

    /// The machine may have learned names that are not of the session's own secrets.
    fn object_name(&self, effect: &Effect) -> ObjectName {
        let index = match effect {
            Effect::Get { name, .. } | Effect::Put { name, .. } | Effect::Quarantine { name, .. } => *name,
        };
        // An effect names what the session has given it to name.
        #[expect(clippy::expect_used)]
        let name = self.session.object_name(index).expect("the machine names its own objects");
        ObjectName::from(name)
    }

    fn tell(&mut self, notice: Notice) {
        let counters = &self.shared.counters;
        match notice {
            Notice::Settled { claim, op, outcome } => {
                self.leanings.settle(claim, op, outcome);
                let Some(handle) = self.handles.get(&claim) else { return };
                let count = handle.settle(op, outcome);
                let counter = match outcome {
                    Outcome::Saved { .. } => &counters.saved_ops,
                    Outcome::Failed(_) => &counters.failed_ops,
                    Outcome::Unknown => &counters.unknown_ops,
                };
                counter.fetch_add(count, Relaxed);
                self.settled(count);
            }
            Notice::Rejected { claim, op, kind } => {
                let Some(handle) = self.handles.get(&claim) else { return };
                let count = handle.reject(op, kind);
                counters.rejected.fetch_add(count, Relaxed);
                self.settled(count);
            }
            Notice::Superseded { claim } => {
                up(&counters.superseded);
                if let Some(handle) = self.handles.get(&claim) {
                    handle.supersede();
                }
                self.shared.observer.happened(EngineEvent::Superseded { session: self.cell.key().tag() });
            }
            Notice::Read { request, answer } => {
                self.claims_moved = true;
                up(&counters.reads);
                let Some(at) = self.reads.iter().position(|(waiting, _)| *waiting == request) else { return };
                let (_, Reading { handle, reply }) = self.reads.swap_remove(at);
                if let (Ok(answer), Some(handle)) = (&answer, handle) {
                    handle.see(self.turn);
                    // Before the answer: whoever gets it may ask at once what is saved.
                    let now = self.shared.clock.now().mono;
                    self.leanings.add(handle, answer.unsaved.clone(), now);
                }
                reply.answer(answer.map_err(Error::from));
            }
            Notice::Forgotten { request, outcome } => {
                if let Some(reply) = self.forgets.remove(&request) {
                    reply.answer(match outcome {
                        Outcome::Saved { .. } => Ok(()),
                        Outcome::Failed(kind) => Err(kind.into()),
                        Outcome::Unknown => Err(Failure::OutcomeUnknown.into()),
                    });
                }
            }
            Notice::Happened(incident) => {
                counters.count(&incident);
                let session = self.cell.key().tag();
                self.shared.observer.happened(EngineEvent::Session { session, incident });
            }
        }
    }

    fn settled(&self, count: u64) {
        self.shared.counters.unsaved_ops.fetch_sub(count, Relaxed);
    }

    /// A handle brings its epoch back if the engine is restarted under its LiveView.
    fn tell_epochs(&mut self) {
        if !std::mem::take(&mut self.claims_moved) {
            return;
        }
        for handle in self.handles.values() {
            if let Some(epoch) = self.session.epoch(handle.claim) {
                handle.stand_at(epoch.0);
            }
        }
    }

    /// A handle that is gone is kept until its last write has an outcome.
    fn forget_released(&mut self) {
        let handles = &mut self.handles;
        self.released.retain(|claim| match handles.get(claim) {
            Some(handle) if handle.open_writes() > 0 => true,
            _ => {
                handles.remove(claim);
                false
            }
        });
    }

    fn deadline(&self) -> Option<u64> {
        let leaving = self.is_at_rest().then_some(self.last_asked + self.shared.idle_after_ms);
        [self.session.poll_timeout(), leaving].into_iter().flatten().min()
    }

    fn is_at_rest(&self) -> bool {
        self.session.is_idle() && self.requests.is_empty() && self.reads.is_empty() && self.forgets.is_empty()
    }

    fn may_leave(&self) -> bool {
        let long_enough = || self.shared.clock.now().mono >= self.last_asked + self.shared.idle_after_ms;
        let makes_room = || self.session.cached_bytes() > 0 && self.shared.cache.is_overdrawn();
        (self.draining && self.has_nothing_to_save()) || (self.is_at_rest() && (long_enough() || makes_room()))
    }

    /// A drain does not wait for reads: no LiveView is there to be answered, and a store that is down would hold it.
    fn has_nothing_to_save(&self) -> bool {
        self.session.unsaved_bytes() == 0 && self.forgets.is_empty()
    }

    /// Leaves memory, unless an input has just arrived.
    fn leave(&mut self) -> bool {
        self.raise_floor();
        self.shared.registry.retire(&self.cell, self.session.leave())
    }

    /// Goes and leaves the session behind, unless an input has just arrived or the machine is out of the ordinary.
    fn park(&mut self) -> bool {
        if !self.cell.has_no_input() || !self.leanings.is_empty() {
            return false;
        }
        let Some(session) = self.session.park() else { return false };
        self.raise_floor();
        let cached = std::mem::replace(&mut self.cached, self.shared.cache.empty_share());
        let leaves_at = self.last_asked.saturating_add(self.shared.idle_after_ms);
        match self.shared.registry.park(&self.cell, session, Rest { cached, leaves_at }) {
            Ok(is_first) => {
                if is_first {
                    self.shared.watch_leaving();
                }
                true
            }
            Err(rest) => {
                self.cached = rest.cached;
                false
            }
        }
    }

    /// Before anybody can wake a successor: one that knows nothing of this session must not use a number of ours again.
    fn raise_floor(&self) {
        self.shared.seq_floor.fetch_max(self.session.last_seq(), Relaxed);
    }

    fn number(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }
}

impl Drop for Driver {
    /// However it ended, nobody is left waiting: replies that are still here are answered as their tickets drop.
    fn drop(&mut self) {
        let counters = &self.shared.counters;
        let failure = match &self.end {
            End::Retired => {
                up(&counters.evicted);
                return;
            }
            End::Parked => return,
            End::Stopped => Failure::EngineDown,
            End::Crashed(message) => {
                up(&counters.crashed);
                let (session, message) = (self.cell.key().tag(), message.clone());
                self.shared.observer.happened(EngineEvent::Crashed { session, message });
                Failure::SessionDown
            }
        };
        // A request of ours may still be on its way: no successor may use its number, nor one it was about to take.
        self.shared.seq_floor.fetch_max(self.session.last_seq().saturating_add(1), Relaxed);
        // Nothing can arrive any more. What is left has writes of handles that may be gone.
        let (opened, inputs) = self.shared.registry.bury(&self.cell, failure.clone());
        self.handles.extend(opened.into_iter().map(|handle| (handle.claim, handle)));
        for input in inputs {
            if let Input::Write { handle, .. } = input {
                self.handles.insert(handle.claim, handle);
            }
        }
        let lost: u64 = self.handles.values().map(|handle| handle.go_down(failure.clone())).sum();
        counters.unknown_ops.fetch_add(lost, Relaxed);
        counters.lost_ops.fetch_add(lost, Relaxed);
        if lost > 0 {
            up(&counters.lost_sessions);
        }
        self.settled(lost);
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

const TURNS_AT_ONCE: u32 = 128;
