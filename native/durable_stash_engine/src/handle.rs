//! What one LiveView holds of its session. Every call returns at once; answers come through replies and atomics.

use std::sync::Arc;
use std::task::Waker;

use durable_stash_machine::{Command, ErrorKind, Json, Key, ReadAnswer, Slot, Values};

use crate::cell::Cell;
use crate::engine::Shared;
use crate::error::{Error, Failure};
use crate::inbox::Input;
use crate::standing::HandleState;
use crate::stats::{down, up};
use crate::ticket::Ticket;

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
    /// Writes failed, or their outcome is not known. Those in between that were told of before are not meant.
    Failed {
        /// Why.
        kind: ErrorKind,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
        /// They are in no later object. Otherwise they may yet be.
        certain: bool,
    },
    /// The tab has mounted again: it changes nothing any more.
    Superseded,
    /// What it recovered was not saved at the time, and has failed since: its owner sends everything again.
    RecoveredLost {
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
    /// How many times writes failed or were given up, its own or those that it leans on. Whoever sees it rise sends its
    /// whole state again.
    pub failures: u64,
    /// What became of its last reset.
    pub reset: Reset,
    /// For how long (ms) it has leaned on other LiveViews' writes, which it recovered and which are not saved yet.
    pub leans_for: Option<u64>,
    /// The tab has mounted again: this handle changes nothing any more.
    pub superseded: bool,
    /// The engine is stopped or has lost this session: open another handle.
    pub down: bool,
}

/// What became of a handle's last reset. Whoever sees that it failed resets again, before it sends its state: what came
/// after the failed one and is saved did not empty anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reset {
    /// It is saved, or there was none.
    #[default]
    Saved,
    /// It has no outcome yet.
    Open,
    /// It failed, or its outcome is not known.
    Failed,
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
        self.stash_all(Values { session, tab, shared: Vec::new() }, Values::default())
    }

    /// As [`Handle::stash`], with keys that all views of the browser session share, and with `defaults`, other keys that
    /// are set only where nothing stands when the write is applied. All of them or none.
    pub fn stash_all(&self, values: Values, defaults: Values) -> Result<u64, Error> {
        let all = || values.iter().chain(defaults.iter());
        if all().next().is_none() {
            return Ok(self.status().accepted);
        }
        let bytes = all().map(|(key, json)| entry_bytes(key) + json.as_str().len()).sum();
        let (claim, slot) = (self.state.claim, self.slot.clone());
        let Values { session, tab, shared } = values;
        self.accept(bytes, false, move |op| Command::Merge { claim, slot, op, session, tab, shared, defaults })
    }

    /// Accepts that these keys are removed. Errors as [`Handle::stash`].
    pub fn remove(&self, session: Vec<Key>, tab: Vec<Key>) -> Result<u64, Error> {
        if session.is_empty() && tab.is_empty() {
            return Ok(self.status().accepted);
        }
        let bytes = session.iter().chain(&tab).map(entry_bytes).sum();
        let (claim, slot) = (self.state.claim, self.slot.clone());
        self.accept(bytes, false, move |op| Command::Drop { claim, slot, op, session, tab })
    }

    /// Accepts that this view's slice and this tab become empty. Errors as [`Handle::stash`].
    pub fn reset(&self) -> Result<u64, Error> {
        let (claim, slot) = (self.state.claim, self.slot.clone());
        self.accept(OP_OVERHEAD, true, move |op| Command::Reset { claim, slot, op })
    }

    /// Asks what is stored for this view and tab.
    ///
    /// Where the session id was minted in the request that opened this handle, nothing can be: nobody is asked.
    pub fn recover(&self, reply: Reply<Result<ReadAnswer, Error>>) {
        if self.minted && self.status().accepted == 0 {
            return reply(Ok(ReadAnswer { found: None, rev: None, stale: false, unsaved: Vec::new() }));
        }
        let (handle, claimed) = (self.state.clone(), self.claimed);
        let input = Input::Read { slot: self.slot.clone(), handle, claimed, reply: Ticket::new(reply) };
        // On failure the input is dropped, and its ticket answers.
        let _ = self.shared.send(&self.cell, input, self.minted);
    }

    /// Answers once everything accepted and recovered so far is saved, or one of it has failed; at once if nothing is open.
    pub fn flush(&self, reply: Reply<Result<(), Error>>) {
        self.state.flush(Ticket::new(reply));
    }

    /// Whether everything accepted and recovered so far is saved, without waiting.
    pub fn is_saved(&self) -> bool {
        self.state.is_saved()
    }

    /// The present standing. Reads atomics, takes no lock.
    pub fn status(&self) -> Status {
        self.state.status(|| self.shared.clock.now().mono)
    }

    /// Where this LiveView's mount stands among all mounts of its tab, once the session has heard of it. Good beyond the
    /// engine's end: the LiveView hands it to the next one (`Open::epoch`).
    pub fn epoch(&self) -> Option<u64> {
        self.state.epoch()
    }

    /// Has every change of the standing told to `watcher`, in place of the one before.
    pub fn watch(&self, watcher: Option<Watcher>) {
        self.state.watch(watcher);
    }

    /// Where the last write that was accepted stands among all writes of all sessions of this VM. Of two writes of one
    /// session, the one with the higher turn is the later one for the store too. 0 if there was none.
    pub fn turn(&self) -> u64 {
        self.state.turn()
    }

    /// Up to which turn the last recovery that was answered shows the session's writes: those, and none that is later. 0 if
    /// there was none.
    pub fn seen(&self) -> u64 {
        self.state.seen()
    }

    /// What telemetry calls this session.
    pub fn session_tag(&self) -> String {
        self.cell.key().tag()
    }

    fn accept(&self, bytes: usize, resets: bool, command: impl FnOnce(u64) -> Command) -> Result<u64, Error> {
        let shared = &self.shared;
        if self.status().down {
            return Err(Failure::SessionDown.into());
        }
        if self.status().superseded {
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
        let (op, wake) = self.state.accept(resets, |op| {
            let command = command(op);
            let input = |turn| Input::Write { handle: self.state.clone(), command: Box::new(command), share, turn };
            let (wake, turn) = shared.registry.send_in_turn(&self.cell, input)?;
            self.state.take_turn(turn);
            // Before the driver can settle it: what is counted off must have been counted.
            up(&shared.counters.unsaved_ops);
            up(&shared.counters.accepted_ops);
            Ok(wake)
        })?;
        shared.drive(wake, self.minted);
        Ok(op)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        down(&self.shared.counters.handles);
        self.shared.registry.release(&self.cell, self.state.claim).into_iter().for_each(Waker::wake);
    }
}

fn entry_bytes(key: &Key) -> usize {
    key.as_str().len() + ENTRY_OVERHEAD
}

/// What a write costs beside its keys and values, roughly: the message, the numbers, the maps' nodes.
const OP_OVERHEAD: usize = 128;
const ENTRY_OVERHEAD: usize = 64;
