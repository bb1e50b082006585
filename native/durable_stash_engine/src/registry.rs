//! Which sessions are in memory, and how one leaves memory while others look for it.
//!
//! Two locks, always taken in this order: the map, then one cell.
//!
//! - A session has a *cell* while it is live or has handles. Whoever reaches a cell does so through the map, with the
//!   map's lock held until the input is in the cell, or through a handle, and a cell with handles stays in the map.
//!   So nobody can hold a cell that has left the map, and there is no second look-up to get wrong.
//! - Input is put into a cell under the cell's lock, and a driver retires under the same lock, after it has seen that no
//!   input is left. An input is therefore either seen by the retiring driver, which then goes on, or it finds the cell
//!   dormant and wakes a new driver. There is no moment in between, and never a second driver.
//! - A driver that has nothing to do parks its session: it stays in memory without a task, and the next input goes on from
//!   there. Its time to leave memory comes by the queue of `leaving.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::task::Waker;

use durable_stash_machine::{ClaimId, Parked};
use parking_lot::Mutex;

use crate::budget::Share;
use crate::cell::{Cell, Dormant, Phase, Rest, State};
use crate::error::Failure;
use crate::inbox::Input;
use crate::leaving::Leaving;
use crate::session_key::SessionKey;
use crate::standing::HandleState;
use crate::sync::atomic::AtomicBool;
use crate::sync::{HashMap, planted};
use crate::tasks::{Task, Tasks};

/// The sessions that are live or have handles.
pub(crate) struct Registry {
    map: Mutex<Map>,
    /// No session is made or woken any more. Set before the live ones are told to drain, and read under the lock of the
    /// cell concerned: whoever is woken all the same was woken before, and is told.
    closed: AtomicBool,
    /// The sessions that have a driver, counted from under the cell's lock: a drain that has passed a cell knows.
    live: Tasks,
    /// The sessions that have a driver or are parked in memory.
    in_memory: AtomicUsize,
    leaving: Leaving,
}

#[derive(Default)]
struct Map {
    cells: HashMap<SessionKey, Arc<Cell>>,
}

/// Who is to take an input, and does not know it yet. To be told outside of every lock.
#[must_use = "an input waits"]
pub(crate) enum Wake {
    /// A driver that waits for one.
    Waiting(Waker),
    /// A driver that is to be started.
    New(Woken),
}

/// What a driver starts from.
pub(crate) struct Woken {
    pub(crate) cell: Arc<Cell>,
    /// The session as the last driver has left it; none before the first.
    pub(crate) session: Option<Parked>,
    /// What its copy of the document takes, if it was in memory.
    pub(crate) cached: Option<Share>,
    pub(crate) handles: Vec<Arc<HandleState>>,
    /// Drivers before it have taken every write of this session that has a turn up to here, and no later one has been sent
    /// before its own inputs.
    pub(crate) turn: u64,
    pub(crate) task: Task,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            map: Mutex::default(),
            closed: AtomicBool::new(false),
            live: Tasks::new(),
            in_memory: AtomicUsize::new(0),
            leaving: Leaving::default(),
        }
    }

    /// Adds a handle to the session, making its cell if there is none, with a first input if there is one.
    pub(crate) fn open(
        &self,
        key: SessionKey,
        own_secrets: bool,
        handle: &Arc<HandleState>,
        input: Option<Input>,
    ) -> Result<(Arc<Cell>, Option<Wake>), Failure> {
        let mut map = self.map.lock();
        let cell = self.find_or_make(&mut map, key, own_secrets)?;
        let mut state = cell.state.lock();
        state.add_handle(handle.clone());
        let wake = input.map(|input| self.put_in(&cell, &mut state, input)).transpose()?.flatten();
        drop(state);
        Ok((cell, wake))
    }

    /// Puts an input into a session that needs no handle.
    pub(crate) fn send_once(&self, key: SessionKey, own_secrets: bool, input: Input) -> Result<Option<Wake>, Failure> {
        let mut map = self.map.lock();
        let cell = self.find_or_make(&mut map, key, own_secrets)?;
        let mut state = cell.state.lock();
        self.put_in(&cell, &mut state, input)
    }

    /// Puts an input into a session that the caller has a handle of.
    pub(crate) fn send(&self, cell: &Arc<Cell>, input: Input) -> Result<Option<Wake>, Failure> {
        let mut state = cell.state.lock();
        self.put_in(cell, &mut state, input)
    }

    /// As `send`, and says where the input stands among all that were sent so: of two inputs of one session the one with
    /// the higher turn is the later one.
    pub(crate) fn send_in_turn(
        &self,
        cell: &Arc<Cell>,
        input: impl FnOnce(u64) -> Input,
    ) -> Result<(Option<Wake>, u64), Failure> {
        let mut state = cell.state.lock();
        // Under the cell's lock, in which the inputs of one session get their order.
        let turn = TURNS.fetch_add(1, Relaxed) + 1;
        if planted!(TurnTakenEarly) {
            drop(state);
            // Others come between.
            state = cell.state.lock();
        }
        Ok((self.put_in(cell, &mut state, input(turn))?, turn))
    }

    /// A handle is gone. Returns whom to wake.
    pub(crate) fn release(&self, cell: &Arc<Cell>, claim: ClaimId) -> Option<Waker> {
        let mut map = self.map.lock();
        let mut state = cell.state.lock();
        state.remove_handle(claim);
        let is_last = state.handles().is_empty();
        match &mut state.phase {
            Phase::Live(inbox) => return inbox.put(Input::Release(claim)),
            Phase::Dormant(dormant) if is_last && dormant.rest.is_none() => map.remove(cell),
            Phase::Dormant(dormant) => dormant.released.push(claim),
            Phase::Down(_) => {}
        }
        None
    }

    /// The driver has nothing to do: it ends and its session is parked, unless an input has arrived, which gives `rest`
    /// back. True if the caller is to start `leaving::watch`.
    pub(crate) fn park(&self, cell: &Arc<Cell>, session: Parked, rest: Rest) -> Result<bool, Rest> {
        let mut state = cell.state.lock();
        if !state.has_no_input() && !planted!(LeavesUnseen) {
            return Err(rest);
        }
        let leaves_at = rest.leaves_at;
        state.phase = Phase::Dormant(Dormant { session: Some(session), rest: Some(rest), released: Vec::new() });
        let is_queued = std::mem::replace(&mut state.is_queued, true);
        drop(state);
        Ok(!is_queued && self.leaving.add(leaves_at, cell.clone()))
    }

    /// The session leaves memory if it is parked and has been for long enough. False if it does not.
    pub(crate) fn evict(&self, cell: &Arc<Cell>, mono: u64) -> bool {
        let mut map = self.map.lock();
        let mut state = cell.state.lock();
        state.is_queued = false;
        let has_handles = !state.handles().is_empty();
        let Phase::Dormant(dormant) = &mut state.phase else { return false };
        match &dormant.rest {
            Some(rest) if rest.leaves_at > mono => {
                let leaves_at = rest.leaves_at;
                state.is_queued = true;
                drop((state, map));
                // The caller is the one who watches.
                let _ = self.leaving.add(leaves_at, cell.clone());
                return false;
            }
            Some(_) => {}
            None => return false,
        }
        let rest = dormant.rest.take();
        let document = dormant.session.as_mut().map(Parked::forget_document);
        self.in_memory.fetch_sub(1, Relaxed);
        if !has_handles && !planted!(CellStays) {
            map.remove(cell);
        }
        // To free what it held takes longer than locks should be held.
        drop((state, map));
        drop((rest, document));
        true
    }

    /// Every parked session leaves memory. Returns how many those were.
    pub(crate) fn evict_all(&self) -> usize {
        self.cells().iter().filter(|cell| self.evict(cell, u64::MAX)).count()
    }

    /// The driver wants its session to leave memory: lets it, unless an input has arrived.
    pub(crate) fn retire(&self, cell: &Arc<Cell>, session: Parked) -> bool {
        let mut map = self.map.lock();
        let mut state = cell.state.lock();
        if !state.has_no_input() && !planted!(LeavesUnseen) {
            return false;
        }
        if state.handles().is_empty() && !planted!(CellStays) {
            map.remove(cell);
        }
        state.phase = Phase::Dormant(Dormant { session: Some(session), ..Dormant::default() });
        self.in_memory.fetch_sub(1, Relaxed);
        true
    }

    /// The driver is gone without having retired. Returns the handles that are to be told, and the inputs that nobody
    /// will take.
    pub(crate) fn bury(&self, cell: &Arc<Cell>, failure: Failure) -> (Vec<Arc<HandleState>>, VecDeque<Input>) {
        let mut map = self.map.lock();
        let mut state = cell.state.lock();
        map.remove(cell);
        (state.handles().to_vec(), self.go_down(&mut state, failure))
    }

    /// No session is opened or woken from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// The sessions that have a driver.
    pub(crate) fn live(&self) -> &Tasks {
        &self.live
    }

    /// How many sessions have a driver or are parked in memory.
    pub(crate) fn in_memory(&self) -> usize {
        self.in_memory.load(Relaxed)
    }

    pub(crate) fn leaving(&self) -> &Leaving {
        &self.leaving
    }

    /// Puts an input into every live session.
    pub(crate) fn send_to_live(&self, input: impl Fn() -> Input) {
        for cell in self.cells() {
            let waiting = match &mut cell.state.lock().phase {
                Phase::Live(inbox) => inbox.put(input()),
                Phase::Dormant(_) | Phase::Down(_) => None,
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Marks every dormant session as down. Returns the handles that are to be told.
    pub(crate) fn bury_dormant(&self, failure: &Failure) -> Vec<Arc<HandleState>> {
        let mut map = self.map.lock();
        let cells = map.in_order();
        let mut handles = Vec::new();
        for cell in cells {
            let mut state = cell.state.lock();
            if matches!(state.phase, Phase::Dormant(_)) {
                map.remove(&cell);
                handles.extend_from_slice(state.handles());
                // Nothing is put into a dormant session.
                let _ = self.go_down(&mut state, failure.clone());
            }
        }
        handles
    }

    /// How many sessions have a cell.
    pub(crate) fn len(&self) -> usize {
        self.map.lock().cells.len()
    }

    fn cells(&self) -> Vec<Arc<Cell>> {
        self.map.lock().in_order()
    }

    fn find_or_make(&self, map: &mut Map, key: SessionKey, own_secrets: bool) -> Result<Arc<Cell>, Failure> {
        if self.closed.load(SeqCst) {
            return Err(Failure::EngineDown);
        }
        let cell = map.cells.entry(key).or_insert_with_key(|key| Cell::new(key.clone(), own_secrets));
        Ok(cell.clone())
    }

    fn put_in(&self, cell: &Arc<Cell>, state: &mut State, input: Input) -> Result<Option<Wake>, Failure> {
        match &mut state.phase {
            Phase::Live(inbox) => Ok(inbox.put(input).map(Wake::Waiting)),
            Phase::Down(failure) => Err(failure.clone()),
            Phase::Dormant(_) if self.closed.load(SeqCst) && !planted!(WokenWhenClosed) => Err(Failure::EngineDown),
            Phase::Dormant(dormant) => {
                let Dormant { session, rest, released } = std::mem::take(dormant);
                if rest.is_none() {
                    self.in_memory.fetch_add(1, Relaxed);
                }
                let released = released.into_iter().map(Input::Release);
                state.phase = Phase::Live(released.chain([input]).collect());
                let (handles, cached) = (state.handles().to_vec(), rest.map(|rest| rest.cached));
                let (turn, task) = (TURNS.load(Relaxed), self.live.begin());
                Ok(Some(Wake::New(Woken { cell: cell.clone(), session, cached, handles, turn, task })))
            }
        }
    }

    fn go_down(&self, state: &mut State, failure: Failure) -> VecDeque<Input> {
        let (inputs, was_in_memory) = state.go_down(failure);
        if was_in_memory {
            self.in_memory.fetch_sub(1, Relaxed);
        }
        inputs
    }
}

impl Map {
    /// Every cell, in an order that does not differ from run to run.
    fn in_order(&self) -> Vec<Arc<Cell>> {
        let mut cells: Vec<_> = self.cells.values().cloned().collect();
        cells.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        cells
    }

    /// Takes the cell out, if it is this very one: after a crash its key may have a successor.
    fn remove(&mut self, cell: &Arc<Cell>) {
        if self.cells.get(cell.key()).is_some_and(|present| Arc::ptr_eq(present, cell)) {
            self.cells.remove(cell.key());
        }
    }
}

/// Outlives cells and engines, so that the turns of one session go up however often either is made anew.
static TURNS: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests;
