//! What one LiveView holds of its session. Every call returns at once; answers come through replies and atomics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::Release};

use durable_stash_machine::{ClaimId, Command, ErrorKind, Json, Key, Outcome, ReadAnswer, Slot};
use parking_lot::Mutex;

use crate::driver::Input;
use crate::engine::Shared;
use crate::error::{Error, Failure};
use crate::registry::Cell;
use crate::stats::{down, up};

/// Called exactly once with the answer: on one of the engine's threads, or on the caller's before the call returns. It
/// must not block.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// Called after every change of a handle's standing, on one of the engine's threads: it must not block.
pub type Watcher = Arc<dyn Fn(Change) + Send + Sync>;

/// A change of a handle's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Everything up to this write that did not fail is saved.
    Saved {
        /// The write.
        op: u64,
    },
    /// A write failed, or its outcome is not known.
    Failed {
        /// Why.
        kind: ErrorKind,
    },
}

/// A handle's standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The last write that was accepted; 0 if none.
    pub accepted: u64,
    /// The last write that was saved; 0 if none.
    pub saved: u64,
    /// How many times writes failed or were given up. Whoever sees it rise sends its whole state again.
    pub failures: u64,
    /// The tab has mounted again: this handle changes nothing any more.
    pub superseded: bool,
    /// The engine is stopped or has lost this session: open another handle.
    pub down: bool,
}

/// One LiveView's hold on its session. Dropping it gives the tab up; what was accepted is saved all the same.
pub struct Handle {
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    state: Arc<HandleState>,
    slot: Arc<Slot>,
    /// Connected mounts claim their tab; dead ones only read.
    claimed: bool,
    /// The session id was minted in the request that opened this handle.
    minted: bool,
}

impl Handle {
    pub(crate) fn new(
        shared: Arc<Shared>,
        cell: Arc<Cell>,
        state: Arc<HandleState>,
        slot: Arc<Slot>,
        claimed: bool,
        minted: bool,
    ) -> Self {
        up(&shared.counters.handles);
        Self { shared, cell, state, slot, claimed, minted }
    }

    /// Accepts these keys, all or none, and returns the write's number. Nothing to write is no write: the number of
    /// the last one comes back.
    ///
    /// `overloaded`: too much is unsaved; `superseded`: the tab has mounted again; `refused`: the store does not keep
    /// to conditions; `too_large`; `engine_down`.
    pub fn stash(&self, session: Vec<(Key, Json)>, tab: Vec<(Key, Json)>) -> Result<u64, Error> {
        if session.is_empty() && tab.is_empty() {
            return Ok(self.state.accepted.load(Relaxed));
        }
        let bytes = session.iter().chain(&tab).map(|(key, json)| entry_bytes(key) + json.as_str().len()).sum();
        let (claim, slot) = (self.state.claim, self.slot.clone());
        self.accept(bytes, move |op| Command::Merge { claim, slot, op, session, tab })
    }

    /// Accepts that these keys are removed. Errors as [`Handle::stash`].
    pub fn remove(&self, session: Vec<Key>, tab: Vec<Key>) -> Result<u64, Error> {
        if session.is_empty() && tab.is_empty() {
            return Ok(self.state.accepted.load(Relaxed));
        }
        let bytes = session.iter().chain(&tab).map(entry_bytes).sum();
        let (claim, slot) = (self.state.claim, self.slot.clone());
        self.accept(bytes, move |op| Command::Drop { claim, slot, op, session, tab })
    }

    /// Accepts that this view's slice and this tab become empty. Errors as [`Handle::stash`].
    pub fn reset(&self) -> Result<u64, Error> {
        let (claim, slot) = (self.state.claim, self.slot.clone());
        self.accept(OP_OVERHEAD, move |op| Command::Reset { claim, slot, op })
    }

    /// Asks what is stored for this view and tab.
    ///
    /// Where the session id was minted in the request that opened this handle, nothing can be: nobody is asked.
    pub fn recover(&self, reply: Reply<Result<ReadAnswer, Error>>) {
        if self.minted && self.state.accepted.load(Relaxed) == 0 {
            return reply(Ok(ReadAnswer { found: None, rev: None, stale: false }));
        }
        let claim = self.claimed.then_some(self.state.claim);
        let input = Input::Read { slot: self.slot.clone(), claim, reply: Ticket::new(reply) };
        // On failure the input is dropped, and its ticket answers.
        let _ = self.shared.send(&self.cell, input, self.minted);
    }

    /// Answers once everything accepted so far is saved, or one of it has failed; at once if nothing is open.
    pub fn flush(&self, reply: Reply<Result<(), Error>>) {
        self.state.flush(Ticket::new(reply));
    }

    /// Whether everything accepted so far is saved, without waiting.
    pub fn is_saved(&self) -> bool {
        matches!(self.state.inner.lock().standing(), Standing::Saved)
    }

    /// The present standing. Reads atomics, takes no lock.
    pub fn status(&self) -> Status {
        let state = &self.state;
        Status {
            accepted: state.accepted.load(Relaxed),
            saved: state.saved.load(Relaxed),
            failures: state.failures.load(Relaxed),
            superseded: state.superseded.load(Relaxed),
            down: state.down.load(Relaxed),
        }
    }

    /// Has every change of the standing told to `watcher`, in place of the one before.
    pub fn watch(&self, watcher: Option<Watcher>) {
        self.state.inner.lock().watcher = watcher;
    }

    /// What telemetry calls this session.
    pub fn session_tag(&self) -> String {
        self.cell.key().tag()
    }

    fn accept(&self, bytes: usize, command: impl FnOnce(u64) -> Command) -> Result<u64, Error> {
        let shared = &self.shared;
        if self.state.down.load(Relaxed) {
            return Err(Failure::SessionDown.into());
        }
        if self.state.superseded.load(Relaxed) {
            return Err(Failure::Superseded.into());
        }
        if let Some(refusal) = shared.requests.gate.refusal() {
            return Err(refusal.into());
        }
        let limit = shared.policy.max_document_bytes;
        if bytes > limit {
            return Err(Failure::TooLarge { bytes, limit }.into());
        }
        let Some(share) = shared.budget.reserve(bytes + OP_OVERHEAD) else {
            up(&shared.counters.overloaded);
            let (unsaved, limit) = (shared.budget.taken(), shared.budget.limit());
            return Err(Failure::Overloaded { unsaved, limit }.into());
        };
        // Held over number and send: writes reach the session in the order of their numbers, and none is settled
        // before it counts as accepted.
        let mut inner = self.state.inner.lock();
        let op = inner.accepted + 1;
        let input = Input::Write { handle: self.state.clone(), command: command(op), share };
        shared.send(&self.cell, input, self.minted)?;
        inner.accepted = op;
        self.state.accepted.store(op, Release);
        up(&shared.counters.unsaved_ops);
        up(&shared.counters.accepted_ops);
        Ok(op)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        down(&self.shared.counters.handles);
        self.shared.registry.release(&self.cell, self.state.claim);
    }
}

/// A handle as its session's driver sees it.
pub(crate) struct HandleState {
    pub(crate) claim: ClaimId,
    // What `Handle::status` reads; written under `inner` only.
    accepted: AtomicU64,
    saved: AtomicU64,
    failures: AtomicU64,
    superseded: AtomicBool,
    down: AtomicBool,
    /// No reply and no watcher is called while it is held: both may come back to this handle.
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    accepted: u64,
    saved: u64,
    /// Every write up to here has its outcome.
    settled: u64,
    /// Writes above `settled` that were rejected on their own.
    rejected: BTreeSet<u64>,
    failed: Option<Failed>,
    down: bool,
    waiters: Vec<Waiter>,
    watcher: Option<Watcher>,
}

/// Something failed, and what was sent since has not been saved yet.
#[derive(Clone)]
struct Failed {
    /// The last write that was accepted when it failed. Its owner sees the failure before the next one, and then sends
    /// everything again: once a later write is saved, the failure is made good.
    before: u64,
    error: Error,
}

struct Waiter {
    up_to: u64,
    reply: Ticket<Result<(), Error>>,
}

enum Standing {
    Saved,
    Open,
    Failed(Error),
}

impl Inner {
    fn standing(&self) -> Standing {
        match &self.failed {
            Some(failed) if failed.before >= self.accepted => Standing::Failed(failed.error.clone()),
            _ if self.saved >= self.accepted => Standing::Saved,
            _ => Standing::Open,
        }
    }
}

impl HandleState {
    pub(crate) fn new(claim: ClaimId) -> Arc<Self> {
        Arc::new(Self {
            claim,
            accepted: AtomicU64::new(0),
            saved: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            superseded: AtomicBool::new(false),
            down: AtomicBool::new(false),
            inner: Mutex::default(),
        })
    }

    /// Every write up to `op` without an outcome has this one now. Returns how many those were.
    pub(crate) fn settle(&self, op: u64, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Saved { .. } => self.settle_saved(op),
            Outcome::Failed(kind) => self.settle_failed(op, kind.into()),
            Outcome::Unknown => self.settle_failed(op, Failure::OutcomeUnknown.into()),
        }
    }

    /// This one write was not accepted by the session. Returns how many lost their last hope by it: one, or none.
    pub(crate) fn reject(&self, op: u64, kind: ErrorKind) -> u64 {
        let mut inner = self.inner.lock();
        if op <= inner.settled || !inner.rejected.insert(op) {
            return 0;
        }
        while inner.rejected.first().is_some_and(|first| *first == inner.settled + 1) {
            inner.rejected.pop_first();
            inner.settled += 1;
        }
        let mut done = self.fail(&mut inner, kind.into());
        done.answer(&mut inner.waiters, |waiter| waiter.up_to >= op);
        drop(inner);
        done.tell();
        1
    }

    /// The tab has a later owner.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Relaxed);
    }

    /// The session or the engine is gone: what is open stays open for ever. Returns how many writes those are.
    pub(crate) fn go_down(&self, failure: Failure) -> u64 {
        let mut inner = self.inner.lock();
        if inner.down {
            return 0;
        }
        inner.down = true;
        self.down.store(true, Relaxed);
        let accepted = inner.accepted;
        let lost = inner.settle_up_to(accepted);
        let mut done = if lost > 0 {
            self.fail(&mut inner, failure.into())
        } else {
            Done { error: failure.into(), waiters: Vec::new(), change: None }
        };
        done.answer(&mut inner.waiters, |_| true);
        drop(inner);
        done.tell();
        lost
    }

    /// Writes without an outcome.
    pub(crate) fn open_writes(&self) -> u64 {
        let inner = self.inner.lock();
        inner.accepted - inner.settled - inner.rejected.len() as u64
    }

    fn flush(&self, reply: Ticket<Result<(), Error>>) {
        let mut inner = self.inner.lock();
        let answer = match inner.standing() {
            Standing::Saved => Ok(()),
            Standing::Failed(error) => Err(error),
            Standing::Open if inner.down => Err(Failure::SessionDown.into()),
            Standing::Open => {
                let up_to = inner.accepted;
                inner.waiters.push(Waiter { up_to, reply });
                return;
            }
        };
        drop(inner);
        reply.answer(answer);
    }

    fn settle_saved(&self, op: u64) -> u64 {
        let mut inner = self.inner.lock();
        let count = inner.settle_up_to(op);
        inner.saved = inner.saved.max(op);
        self.saved.store(inner.saved, Release);
        if inner.failed.as_ref().is_some_and(|failed| failed.before < op) {
            inner.failed = None;
        }
        let saved = inner.saved;
        let (reached, open): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inner.waiters).into_iter().partition(|waiter| waiter.up_to <= saved);
        inner.waiters = open;
        let watcher = inner.watcher.clone();
        drop(inner);
        for waiter in reached {
            waiter.reply.answer(Ok(()));
        }
        if let Some(watcher) = watcher {
            watcher(Change::Saved { op: saved });
        }
        count
    }

    fn settle_failed(&self, op: u64, error: Error) -> u64 {
        let mut inner = self.inner.lock();
        let first = inner.settled + 1;
        let count = inner.settle_up_to(op);
        if count == 0 {
            return 0;
        }
        let mut done = self.fail(&mut inner, error);
        done.answer(&mut inner.waiters, |waiter| waiter.up_to >= first);
        drop(inner);
        done.tell();
        count
    }

    fn fail(&self, inner: &mut Inner, error: Error) -> Done {
        self.failures.fetch_add(1, Relaxed);
        inner.failed = Some(Failed { before: inner.accepted, error: error.clone() });
        let change = inner.watcher.clone().map(|watcher| (watcher, Change::Failed { kind: error.kind }));
        Done { error, waiters: Vec::new(), change }
    }
}

impl Inner {
    /// Moves the mark, and returns how many writes it passed that had no outcome of their own.
    fn settle_up_to(&mut self, op: u64) -> u64 {
        if op <= self.settled {
            return 0;
        }
        let later = self.rejected.split_off(&(op + 1));
        let alone = std::mem::replace(&mut self.rejected, later).len() as u64;
        let passed = op - self.settled;
        self.settled = op;
        passed - alone
    }
}

/// What is to be told once the lock is released.
struct Done {
    error: Error,
    waiters: Vec<Waiter>,
    change: Option<(Watcher, Change)>,
}

impl Done {
    fn answer(&mut self, waiters: &mut Vec<Waiter>, concerned: impl Fn(&Waiter) -> bool) {
        let (told, open) = std::mem::take(waiters).into_iter().partition(concerned);
        *waiters = open;
        self.waiters = told;
    }

    fn tell(self) {
        for waiter in self.waiters {
            waiter.reply.answer(Err(self.error.clone()));
        }
        if let Some((watcher, change)) = self.change {
            watcher(change);
        }
    }
}

/// A reply that is answered exactly once: whoever drops it unanswered says that the engine is down.
pub(crate) struct Ticket<T: FromFailure>(Option<Reply<T>>);

/// An answer that can be "it cannot be done".
pub(crate) trait FromFailure {
    fn from_failure(failure: Failure) -> Self;
}

impl<T> FromFailure for Result<T, Error> {
    fn from_failure(failure: Failure) -> Self {
        Err(failure.into())
    }
}

impl<T: FromFailure> Ticket<T> {
    pub(crate) fn new(reply: Reply<T>) -> Self {
        Self(Some(reply))
    }

    pub(crate) fn answer(mut self, answer: T) {
        if let Some(reply) = self.0.take() {
            reply(answer);
        }
    }
}

impl<T: FromFailure> Drop for Ticket<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(T::from_failure(Failure::EngineDown));
        }
    }
}

fn entry_bytes(key: &Key) -> usize {
    key.as_str().len() + ENTRY_OVERHEAD
}

/// What a write costs beside its keys and values, roughly: the message, the numbers, the maps' nodes.
const OP_OVERHEAD: usize = 128;
const ENTRY_OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A handle with so many writes accepted.
    fn accepted(count: u64) -> Arc<HandleState> {
        let state = HandleState::new(ClaimId(1));
        accept(&state, count);
        state
    }

    fn accept(state: &HandleState, count: u64) {
        state.inner.lock().accepted = count;
        state.accepted.store(count, Relaxed);
    }

    type Answers = Arc<Mutex<Vec<Result<(), ErrorKind>>>>;

    fn flush(state: &HandleState, answers: &Answers) {
        let answers = answers.clone();
        let reply = move |answer: Result<(), Error>| answers.lock().push(answer.map_err(|error| error.kind));
        state.flush(Ticket::new(Box::new(reply)));
    }

    const SAVED: Outcome = Outcome::Saved { rev: 1 };

    #[test]
    fn a_flush_is_answered_when_everything_before_it_is_saved() {
        let (state, answers) = (accepted(2), Answers::default());
        flush(&state, &answers);
        accept(&state, 3);
        assert_eq!(state.settle(1, SAVED), 1);
        assert_eq!(*answers.lock(), []);
        assert_eq!(state.settle(2, SAVED), 1);
        assert_eq!(*answers.lock(), [Ok(())]);
        assert_eq!(state.open_writes(), 1);
    }

    #[test]
    fn a_flush_fails_as_soon_as_one_write_before_it_does_and_not_for_later_ones() {
        let (state, answers) = (accepted(2), Answers::default());
        flush(&state, &answers);
        accept(&state, 3);
        assert_eq!(state.reject(3, ErrorKind::TooLarge), 1);
        assert_eq!(*answers.lock(), [], "write 3 came after the flush");
        assert_eq!(state.reject(1, ErrorKind::TooLarge), 1);
        assert_eq!(*answers.lock(), [Err(ErrorKind::TooLarge)]);
        assert_eq!(state.settle(2, SAVED), 1);
        assert_eq!((state.open_writes(), state.failures.load(Relaxed)), (0, 2));
    }

    #[test]
    fn a_failure_stands_until_a_write_that_came_after_it_is_saved() {
        let (state, answers) = (accepted(2), Answers::default());
        assert_eq!(state.settle(1, Outcome::Failed(ErrorKind::Unavailable)), 1);
        // Write 2 was accepted before its owner could see the failure: it did not send everything again.
        assert_eq!(state.settle(2, SAVED), 1);
        flush(&state, &answers);
        accept(&state, 3);
        flush(&state, &answers);
        assert_eq!(*answers.lock(), [Err(ErrorKind::Unavailable)]);
        assert_eq!(state.settle(3, SAVED), 1);
        flush(&state, &answers);
        assert_eq!(*answers.lock(), [Err(ErrorKind::Unavailable), Ok(()), Ok(())]);
    }

    #[test]
    fn no_write_gets_two_outcomes() {
        let state = accepted(3);
        assert_eq!(state.reject(2, ErrorKind::TooLarge), 1);
        assert_eq!(state.reject(2, ErrorKind::TooLarge), 0);
        assert_eq!(state.settle(3, SAVED), 2, "1 and 3");
        assert_eq!(state.settle(3, Outcome::Failed(ErrorKind::Unavailable)), 0);
        assert_eq!(state.reject(1, ErrorKind::TooLarge), 0);
        assert_eq!(state.failures.load(Relaxed), 1);
    }

    #[test]
    fn what_is_open_when_the_session_goes_down_is_told_once() {
        let (state, answers) = (accepted(2), Answers::default());
        assert_eq!(state.settle(1, SAVED), 1);
        flush(&state, &answers);
        assert_eq!(state.go_down(Failure::EngineDown), 1);
        assert_eq!(state.go_down(Failure::EngineDown), 0);
        flush(&state, &answers);
        assert_eq!(*answers.lock(), [Err(ErrorKind::EngineDown), Err(ErrorKind::EngineDown)]);
    }

    #[test]
    fn a_ticket_that_is_dropped_says_that_the_engine_is_down() {
        let answers = Answers::default();
        let told = answers.clone();
        let reply = move |answer: Result<(), Error>| told.lock().push(answer.map_err(|error| error.kind));
        drop(Ticket::new(Box::new(reply)));
        assert_eq!(*answers.lock(), [Err(ErrorKind::EngineDown)]);
    }

    #[test]
    fn a_reply_and_a_watcher_may_come_back_to_the_handle() {
        let state = accepted(1);
        let again = state.clone();
        state.inner.lock().watcher = Some(Arc::new(move |_| {
            again.flush(Ticket::new(Box::new(|_| ())));
        }));
        let again = state.clone();
        state.flush(Ticket::new(Box::new(move |_| assert_eq!(again.open_writes(), 0))));
        assert_eq!(state.settle(1, SAVED), 1);
    }
}
