//! A handle as its session's driver sees it: which of its writes are saved, failed or open, and who waits for them.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use durable_stash_machine::{ClaimId, ErrorKind, Outcome};
use parking_lot::{Mutex, MutexGuard};

use crate::error::{Error, Failure};
use crate::handle::{Change, Reset, Status, Watcher};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use crate::ticket::Ticket;

/// A handle as its session's driver sees it.
pub(crate) struct HandleState {
    pub(crate) claim: ClaimId,
    // What `status` reads; written under `inner` only.
    accepted: AtomicU64,
    saved: AtomicU64,
    /// Counted after `reset_failed` is set: whoever sees the failure sees whether it was a reset's.
    failures: AtomicU64,
    reset_open: AtomicBool,
    reset_failed: AtomicBool,
    /// Since when (monotonic ms) it leans on writes of others; `NEVER` if it does not.
    leans_since: AtomicU64,
    superseded: AtomicBool,
    down: AtomicBool,
    /// Where its claim stands; 0 while that is not known.
    epoch: AtomicU64,
    /// Where its last write stands among all writes; 0 if there was none.
    turn: AtomicU64,
    /// The turn of the last write that its last recovery shows; 0 if there was none.
    seen: AtomicU64,
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
    /// The last reset, while it is open.
    reset: Option<u64>,
    /// How many recoveries showed it what is not saved yet.
    leaning: usize,
    failed: Option<Failed>,
    down: bool,
    /// In the order of `up_to`. Whoever gives up stays in here until then: they may be many.
    waiters: VecDeque<Waiter>,
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
            _ if self.saved >= self.accepted && self.leaning == 0 => Standing::Saved,
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
            reset_open: AtomicBool::new(false),
            reset_failed: AtomicBool::new(false),
            leans_since: AtomicU64::new(NEVER),
            superseded: AtomicBool::new(false),
            down: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            inner: Mutex::default(),
        })
    }

    /// Where its claim stands, once it has been heard.
    pub(crate) fn epoch(&self) -> Option<u64> {
        Some(self.epoch.load(Relaxed)).filter(|epoch| *epoch > 0)
    }

    pub(crate) fn stand_at(&self, epoch: u64) {
        self.epoch.store(epoch, Relaxed);
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Relaxed)
    }

    pub(crate) fn take_turn(&self, turn: u64) {
        self.turn.store(turn, Relaxed);
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// Before the recovery is answered.
    pub(crate) fn see(&self, turn: u64) {
        self.seen.store(turn, Relaxed);
    }

    /// Reads atomics, takes no lock. `now` is the monotonic time in ms.
    pub(crate) fn status(&self, now: impl FnOnce() -> u64) -> Status {
        // First of all: what stands in the way of "saved" is taken away after the failure is counted.
        let leans_since = self.leans_since.load(Acquire);
        let (accepted, saved) = (self.accepted.load(Acquire), self.saved.load(Acquire));
        let failures = self.failures.load(Acquire);
        Status {
            accepted,
            saved,
            failures,
            reset: self.reset(),
            leans_for: (leans_since != NEVER).then(|| now().saturating_sub(leans_since)),
            superseded: self.superseded.load(Relaxed),
            down: self.down.load(Relaxed),
        }
    }

    fn reset(&self) -> Reset {
        match (self.reset_failed.load(Relaxed), self.reset_open.load(Relaxed)) {
            (true, _) => Reset::Failed,
            (false, true) => Reset::Open,
            (false, false) => Reset::Saved,
        }
    }

    /// Numbers the next write and has it sent. The lock is held over both: writes reach the session in the order of
    /// their numbers, and none is settled before it counts as accepted. `send` must start no driver: one that cannot
    /// run ends at once, and comes back here.
    pub(crate) fn accept<T>(
        &self,
        resets: bool,
        send: impl FnOnce(u64) -> Result<T, Failure>,
    ) -> Result<(u64, T), Failure> {
        let mut inner = self.inner.lock();
        let op = inner.accepted + 1;
        let sent = send(op)?;
        inner.accepted = op;
        if resets {
            inner.reset = Some(op);
            self.reset_open.store(true, Relaxed);
            self.reset_failed.store(false, Relaxed);
        }
        self.accepted.store(op, Release);
        Ok((op, sent))
    }

    /// It was shown what is not saved yet. Until `stand` or `fall` it is not saved itself.
    pub(crate) fn lean(&self, now: u64) {
        let mut inner = self.inner.lock();
        inner.leaning += 1;
        self.leans_since.fetch_min(now, Relaxed);
    }

    /// What it was shown once is saved by now.
    pub(crate) fn stand(&self) {
        let mut inner = self.inner.lock();
        self.lean_less(&mut inner);
        self.tell_saved(inner);
    }

    /// What it was shown once is not saved: its owner has to send everything again, even if its own writes since are.
    pub(crate) fn fall(&self, error: Error) {
        let mut inner = self.inner.lock();
        let mut done = self.fail(&mut inner, error, None, false);
        self.lean_less(&mut inner);
        done.answer(&mut inner.waiters, |_| true);
        drop(inner);
        done.tell();
    }

    fn lean_less(&self, inner: &mut Inner) {
        inner.leaning -= 1;
        if inner.leaning == 0 {
            self.leans_since.store(NEVER, Release);
        }
    }

    /// Whether everything accepted so far is saved.
    pub(crate) fn is_saved(&self) -> bool {
        matches!(self.inner.lock().standing(), Standing::Saved)
    }

    /// Has every change told to `watcher`, in place of the one before.
    pub(crate) fn watch(&self, watcher: Option<Watcher>) {
        self.inner.lock().watcher = watcher;
    }

    /// Every write up to `op` without an outcome has this one now. Returns how many those were.
    pub(crate) fn settle(&self, op: u64, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Saved { .. } => self.settle_saved(op),
            Outcome::Failed(kind) => self.settle_failed(op, kind.into(), true),
            Outcome::Unknown => self.settle_failed(op, Failure::OutcomeUnknown.into(), false),
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
        let mut done = self.fail(&mut inner, kind.into(), Some(op..=op), true);
        done.answer(&mut inner.waiters, |waiter| waiter.up_to >= op);
        drop(inner);
        done.tell();
        1
    }

    /// The tab has a later owner.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Relaxed);
        let watcher = self.inner.lock().watcher.clone();
        if let Some(watcher) = watcher {
            watcher(Change::Superseded);
        }
    }

    /// The session or the engine is gone: what is open stays open for ever. Returns how many writes those are.
    pub(crate) fn go_down(&self, failure: Failure) -> u64 {
        let mut inner = self.inner.lock();
        if inner.down {
            return 0;
        }
        inner.down = true;
        self.down.store(true, Relaxed);
        let (first, accepted) = (inner.settled + 1, inner.accepted);
        let lost = inner.settle_up_to(accepted);
        let mut done = if lost > 0 || inner.leaning > 0 {
            self.fail(&mut inner, failure.into(), (lost > 0).then_some(first..=accepted), false)
        } else {
            Done { error: failure.into(), waiters: VecDeque::new(), change: None }
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

    /// Answers once everything accepted so far is saved, or one of it has failed.
    pub(crate) fn flush(&self, reply: Ticket<Result<(), Error>>) {
        let mut inner = self.inner.lock();
        let answer = match inner.standing() {
            Standing::Saved => Ok(()),
            Standing::Failed(error) => Err(error),
            Standing::Open if inner.down => Err(Failure::SessionDown.into()),
            Standing::Open => {
                let up_to = inner.accepted;
                inner.waiters.push_back(Waiter { up_to, reply });
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
        if inner.reset.take_if(|reset| *reset <= op).is_some() {
            self.reset_open.store(false, Relaxed);
        }
        if inner.failed.as_ref().is_some_and(|failed| failed.before < op) {
            inner.failed = None;
        }
        self.tell_saved(inner);
        count
    }

    fn tell_saved(&self, mut inner: MutexGuard<'_, Inner>) {
        let (saved, leans) = (inner.saved, inner.leaning > 0);
        let count = if leans { 0 } else { inner.waiters.partition_point(|waiter| waiter.up_to <= saved) };
        let reached: Vec<_> = inner.waiters.drain(..count).collect();
        if inner.waiters.is_empty() {
            inner.waiters = VecDeque::new(); // with its room
        }
        let watcher = inner.watcher.clone();
        drop(inner);
        for waiter in reached {
            waiter.reply.answer(Ok(()));
        }
        if let Some(watcher) = watcher {
            watcher(Change::Saved { op: saved });
        }
    }

    fn settle_failed(&self, op: u64, error: Error, certain: bool) -> u64 {
        let mut inner = self.inner.lock();
        let first = inner.settled + 1;
        let count = inner.settle_up_to(op);
        if count == 0 {
            return 0;
        }
        let mut done = self.fail(&mut inner, error, Some(first..=op), certain);
        done.answer(&mut inner.waiters, |waiter| waiter.up_to >= first);
        drop(inner);
        done.tell();
        count
    }

    /// `ops` of its own, or none of them but what it leans on.
    fn fail(&self, inner: &mut Inner, error: Error, ops: Option<RangeInclusive<u64>>, certain: bool) -> Done {
        if inner.reset.take_if(|reset| ops.as_ref().is_some_and(|ops| ops.contains(reset))).is_some() {
            self.reset_failed.store(true, Relaxed);
            self.reset_open.store(false, Relaxed);
        }
        self.failures.fetch_add(1, Release);
        inner.failed = Some(Failed { before: inner.accepted, error: error.clone() });
        let change = match ops.map(RangeInclusive::into_inner) {
            Some((first, last)) => Change::Failed { kind: error.kind, first, last, certain },
            None => Change::RecoveredLost { kind: error.kind },
        };
        let change = inner.watcher.clone().map(|watcher| (watcher, change));
        Done { error, waiters: VecDeque::new(), change }
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

/// It leans on nobody.
const NEVER: u64 = u64::MAX;

/// What is to be told once the lock is released.
struct Done {
    error: Error,
    waiters: VecDeque<Waiter>,
    change: Option<(Watcher, Change)>,
}

impl Done {
    fn answer(&mut self, waiters: &mut VecDeque<Waiter>, concerned: impl Fn(&Waiter) -> bool) {
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
        while state.status(|| 0).accepted < count {
            state.accept(false, |_| Ok(())).unwrap();
        }
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
        assert_eq!((state.open_writes(), state.status(|| 0).failures), (0, 2));
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
    fn a_reset_that_failed_stays_so_whatever_is_saved_later_until_there_is_another() {
        let state = accepted(1);
        let reset = || state.accept(true, |_| Ok(())).unwrap().0;
        let what_became = || state.status(|| 0).reset;
        assert_eq!(what_became(), Reset::Saved);
        let first = reset();
        accept(&state, 3);
        assert_eq!(what_became(), Reset::Open);
        assert_eq!(state.settle(first, Outcome::Failed(ErrorKind::Unavailable)), 2);
        assert_eq!(what_became(), Reset::Failed);
        assert_eq!(state.settle(3, SAVED), 1);
        assert_eq!(what_became(), Reset::Failed);
        let second = reset();
        assert_eq!(what_became(), Reset::Open);
        accept(&state, 5);
        assert_eq!(state.reject(5, ErrorKind::TooLarge), 1);
        assert_eq!(what_became(), Reset::Open, "it was another write that failed");
        assert_eq!(state.settle(second, SAVED), 1);
        assert_eq!(what_became(), Reset::Saved);
        reset();
        state.go_down(Failure::EngineDown);
        assert_eq!(what_became(), Reset::Failed);
    }

    #[test]
    fn no_write_gets_two_outcomes() {
        let state = accepted(3);
        assert_eq!(state.reject(2, ErrorKind::TooLarge), 1);
        assert_eq!(state.reject(2, ErrorKind::TooLarge), 0);
        assert_eq!(state.settle(3, SAVED), 2, "1 and 3");
        assert_eq!(state.settle(3, Outcome::Failed(ErrorKind::Unavailable)), 0);
        assert_eq!(state.reject(1, ErrorKind::TooLarge), 0);
        assert_eq!(state.status(|| 0).failures, 1);
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
    fn a_reply_and_a_watcher_may_come_back_to_the_handle() {
        let state = accepted(1);
        let again = state.clone();
        state.watch(Some(Arc::new(move |_| again.flush(Ticket::new(Box::new(|_| ()))))));
        let again = state.clone();
        state.flush(Ticket::new(Box::new(move |_| assert_eq!(again.open_writes(), 0))));
        assert_eq!(state.settle(1, SAVED), 1);
    }
}
