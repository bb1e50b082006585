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

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use durable_stash_machine::{ClaimId, Fence};
use parking_lot::Mutex;

use crate::driver::Input;
use crate::error::Failure;
use crate::inbox::Inbox;
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
}

#[derive(Default)]
struct Map {
    cells: HashMap<SessionKey, Arc<Cell>>,
}

/// The place of one session.
pub(crate) struct Cell {
    key: SessionKey,
    /// The view brought secrets of its own, so that this session writes under an id of its own.
    pub(crate) own_secrets: bool,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    handles: BTreeMap<ClaimId, Arc<HandleState>>,
}

enum Phase {
    /// No driver runs. What of the last session must be remembered while handles live, and the claims that were given
    /// up since.
    Dormant { fence: Fence, released: Vec<ClaimId> },
    /// A driver runs, or is about to.
    Live(Inbox),
    /// Nothing more will happen here: the engine has stopped, or the driver has crashed. The cell is out of the map.
    Down(Failure),
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
    pub(crate) fence: Fence,
    pub(crate) handles: Vec<Arc<HandleState>>,
    pub(crate) task: Task,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { map: Mutex::default(), closed: AtomicBool::new(false), live: Tasks::new() }
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
        state.handles.insert(handle.claim, handle.clone());
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
    pub(crate) fn send_in_turn(&self, cell: &Arc<Cell>, input: Input) -> Result<(Option<Wake>, u64), Failure> {
        let mut state = cell.state.lock();
        let wake = self.put_in(cell, &mut state, input)?;
        if planted!(TurnTakenLate) {
            drop(state);
            let _others_come_between = cell.state.lock();
            return Ok((wake, TURNS.fetch_add(1, Relaxed) + 1));
        }
        // Under the cell's lock, in which the inputs of one session get their order.
        Ok((wake, TURNS.fetch_add(1, Relaxed) + 1))
    }

    /// A handle is gone. Returns whom to wake.
    pub(crate) fn release(&self, cell: &Arc<Cell>, claim: ClaimId) -> Option<Waker> {
        let mut map = self.map.lock();
        let mut state = cell.state.lock();
        state.handles.remove(&claim);
        let last = state.handles.is_empty();
        match &mut state.phase {
            Phase::Live(inbox) => return inbox.put(Input::Release(claim)),
            Phase::Dormant { .. } if last => map.remove(cell),
            Phase::Dormant { released, .. } => released.push(claim),
            Phase::Down(_) => {}
        }
        None
    }

    /// The driver wants to leave: lets it, unless an input has arrived. `fence` is called under the locks, so that nothing
    /// can arrive in between.
    pub(crate) fn retire(&self, cell: &Arc<Cell>, fence: impl FnOnce() -> Fence) -> bool {
        let mut map = self.map.lock();
        let mut state = cell.state.lock();
        if !state.has_no_input() && !planted!(LeavesUnseen) {
            return false;
        }
        let fence = fence();
        if state.handles.is_empty() && !planted!(CellStays) {
            map.remove(cell);
        }
        state.phase = Phase::Dormant { fence, released: Vec::new() };
        true
    }

    /// The driver is gone without having retired. Returns the handles that are to be told, and the inputs that nobody
    /// will take.
    pub(crate) fn bury(&self, cell: &Arc<Cell>, failure: Failure) -> (Vec<Arc<HandleState>>, VecDeque<Input>) {
        let mut map = self.map.lock();
        let mut state = cell.state.lock();
        map.remove(cell);
        let inputs = match std::mem::replace(&mut state.phase, Phase::Down(failure)) {
            Phase::Live(inbox) => inbox.into_inputs(),
            Phase::Dormant { .. } | Phase::Down(_) => VecDeque::new(),
        };
        (state.handles.values().cloned().collect(), inputs)
    }

    /// No session is opened or woken from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// The sessions that have a driver.
    pub(crate) fn live(&self) -> &Tasks {
        &self.live
    }

    /// Puts an input into every live session.
    pub(crate) fn send_to_live(&self, input: impl Fn() -> Input) {
        for cell in self.cells() {
            let waiting = match &mut cell.state.lock().phase {
                Phase::Live(inbox) => inbox.put(input()),
                Phase::Dormant { .. } | Phase::Down(_) => None,
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
            if matches!(state.phase, Phase::Dormant { .. }) {
                map.remove(&cell);
                state.phase = Phase::Down(failure.clone());
                handles.extend(state.handles.values().cloned());
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
            Phase::Dormant { .. } if self.closed.load(SeqCst) && !planted!(WokenWhenClosed) => Err(Failure::EngineDown),
            Phase::Dormant { fence, released } => {
                let released = released.drain(..).map(Input::Release);
                let inbox = released.chain([input]).collect();
                let fence = std::mem::take(fence);
                let handles = state.handles.values().cloned().collect();
                state.phase = Phase::Live(inbox);
                Ok(Some(Wake::New(Woken { cell: cell.clone(), fence, handles, task: self.live.begin() })))
            }
        }
    }
}

impl Map {
    /// Every cell, in an order that does not differ from run to run.
    fn in_order(&self) -> Vec<Arc<Cell>> {
        let mut cells: Vec<_> = self.cells.values().cloned().collect();
        cells.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        cells
    }

    /// Takes the cell out, if it is this very one: after a crash its key may have a successor.
    fn remove(&mut self, cell: &Arc<Cell>) {
        if self.cells.get(&cell.key).is_some_and(|present| Arc::ptr_eq(present, cell)) {
            self.cells.remove(&cell.key);
        }
    }
}

impl Cell {
    fn new(key: SessionKey, own_secrets: bool) -> Arc<Self> {
        let phase = Phase::Dormant { fence: Fence::default(), released: Vec::new() };
        let state = Mutex::new(State { phase, handles: BTreeMap::new() });
        Arc::new(Self { key, own_secrets, state })
    }

    pub(crate) fn key(&self) -> &SessionKey {
        &self.key
    }

    /// The next input for this session's driver.
    pub(crate) fn poll_input(&self, context: &Context<'_>) -> Poll<Input> {
        match &mut self.state.lock().phase {
            Phase::Live(inbox) => inbox.poll_next(context),
            // Only its driver asks, and ends these phases or begins them.
            Phase::Dormant { .. } | Phase::Down(_) => Poll::Pending,
        }
    }
}

impl State {
    fn has_no_input(&self) -> bool {
        match &self.phase {
            Phase::Live(inbox) => inbox.is_empty(),
            Phase::Dormant { .. } | Phase::Down(_) => true,
        }
    }
}

/// Outlives cells and engines, so that the turns of one session go up however often either is made anew.
static TURNS: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::session_key::Secret;
    use crate::stats::up;
    use crate::ticket::Ticket;

    fn key(sid: &str) -> SessionKey {
        SessionKey::new(&[Secret::new([1; 32]).unwrap()], sid)
    }

    fn handle(claim: u64) -> Arc<HandleState> {
        HandleState::new(ClaimId(claim))
    }

    fn retire(registry: &Registry, woken: &Woken) -> bool {
        registry.retire(&woken.cell, Fence::default)
    }

    impl Wake {
        fn driver(self) -> Woken {
            match self {
                Wake::New(woken) => woken,
                Wake::Waiting(_) => panic!("a driver is there"),
            }
        }
    }

    impl Woken {
        fn take(&self) -> Option<Input> {
            match self.cell.poll_input(&Context::from_waker(Waker::noop())) {
                Poll::Ready(input) => Some(input),
                Poll::Pending => None,
            }
        }
    }

    #[test]
    fn an_input_that_arrives_before_the_retirement_stops_it() {
        let registry = Registry::new();
        let (cell, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
        let woken = wake.expect("the first input wakes a driver").driver();
        assert!(!retire(&registry, &woken), "the first input is not taken yet");
        assert!(woken.take().is_some());
        assert!(registry.send(&cell, Input::Drain).unwrap().is_none(), "a driver is there");
        assert!(!retire(&registry, &woken));
        assert!(woken.take().is_some());
        assert!(retire(&registry, &woken));
        assert!(registry.send(&cell, Input::Drain).unwrap().is_some(), "a new driver is woken");
    }

    /// Whoever got the higher turn is found later in the session's inputs.
    #[test]
    fn turns_are_the_order_in_which_a_session_gets_its_inputs() {
        const SENDERS: u64 = 4;
        const INPUTS: u64 = 20_000;
        let registry = Registry::new();
        let (cell, wake) = registry.open(key("a"), false, &handle(0), Some(Input::Drain)).unwrap();
        let woken = wake.unwrap().driver();
        let turns = Mutex::new(HashMap::new());
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (registry, cell, turns) = (&registry, &cell, &turns);
                scope.spawn(move || {
                    for n in 0..INPUTS {
                        let claim = ClaimId(sender * INPUTS + n);
                        let (wake, turn) = registry.send_in_turn(cell, Input::Release(claim)).unwrap();
                        assert!(wake.is_none());
                        assert_eq!(turns.lock().insert(claim, turn), None);
                    }
                });
            }
        });
        let turns = turns.lock();
        let (mut last, mut seen) = (0, 0);
        while let Some(input) = woken.take() {
            if let Input::Release(claim) = input {
                assert!(turns[&claim] > last);
                last = turns[&claim];
                seen += 1;
            }
        }
        assert_eq!(seen, SENDERS * INPUTS);
    }

    #[test]
    fn a_session_without_handles_leaves_whole_and_one_with_a_handle_is_remembered() {
        let registry = Registry::new();
        let (cell, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
        let woken = wake.unwrap().driver();
        let _ = woken.take();
        assert!(retire(&registry, &woken));
        assert_eq!(registry.len(), 1);
        assert!(registry.release(&cell, ClaimId(1)).is_none());
        assert_eq!(registry.len(), 0);

        let woken = registry.send_once(key("a"), false, Input::Drain).unwrap().unwrap().driver();
        let _ = woken.take();
        assert!(retire(&registry, &woken));
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn claims_released_while_nobody_drives_are_told_to_the_next_driver() {
        let registry = Registry::new();
        let (cell, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
        let _ = registry.open(key("a"), false, &handle(2), None).unwrap();
        let woken = wake.unwrap().driver();
        let _ = woken.take();
        assert!(retire(&registry, &woken));
        assert!(registry.release(&cell, ClaimId(1)).is_none());
        let (_, wake) = registry.open(key("a"), false, &handle(3), Some(Input::Drain)).unwrap();
        let woken = wake.unwrap().driver();
        assert!(matches!(woken.take(), Some(Input::Release(ClaimId(1)))));
        assert!(matches!(woken.take(), Some(Input::Drain)));
        assert_eq!(woken.handles.len(), 2);
    }

    #[test]
    fn a_crashed_session_has_a_successor_that_its_old_handles_do_not_touch() {
        let registry = Registry::new();
        let (old, wake) = registry.open(key("a"), false, &handle(1), Some(Input::Drain)).unwrap();
        assert_eq!(registry.bury(&old, Failure::SessionDown).0.len(), 1);
        drop(wake);
        assert_eq!(registry.send(&old, Input::Drain).err(), Some(Failure::SessionDown));
        let (new, wake) = registry.open(key("a"), false, &handle(2), Some(Input::Drain)).unwrap();
        let _woken = wake.unwrap().driver();
        assert!(registry.release(&old, ClaimId(1)).is_none());
        assert_eq!(registry.len(), 1);
        assert!(registry.send(&new, Input::Drain).unwrap().is_none());
    }

    #[test]
    fn a_closed_registry_feeds_live_sessions_and_wakes_none() {
        let registry = Registry::new();
        let (live, wake) = registry.open(key("live"), false, &handle(1), Some(Input::Drain)).unwrap();
        let (dormant, none) = registry.open(key("dormant"), false, &handle(2), None).unwrap();
        assert!(none.is_none());
        registry.close();
        assert!(registry.send(&live, Input::Drain).is_ok());
        assert_eq!(registry.send(&dormant, Input::Drain).err(), Some(Failure::EngineDown));
        assert!(registry.open(key("new"), false, &handle(3), None).is_err());
        let woken = wake.unwrap().driver();
        while woken.take().is_some() {}
        assert!(retire(&registry, &woken), "who has retired stays so");
        assert_eq!(registry.send(&live, Input::Drain).err(), Some(Failure::EngineDown));
        assert_eq!(registry.bury_dormant(&Failure::EngineDown).len(), 2);
        assert_eq!(registry.len(), 0);
    }

    /// Look-up against retirement, as fast as threads can: drivers leave after each input, openers and senders come.
    #[test]
    fn every_input_is_seen_by_exactly_one_driver_and_no_two_drive_one_session() {
        const SIDS: usize = 3;
        const ROUNDS: u64 = 4_000;
        let registry = Registry::new();
        let driving: [AtomicU64; SIDS] = Default::default();
        let (sent, seen, answered) = (AtomicU64::new(0), AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
        let drive = |woken: Woken, sid: usize| {
            assert_eq!(driving[sid].fetch_add(1, Relaxed), 0, "two drivers of one session");
            loop {
                while let Some(input) = woken.take() {
                    if let Input::Forget { reply } = input {
                        seen.fetch_add(1, Relaxed);
                        reply.answer(Ok(()));
                    }
                }
                let left = registry.retire(&woken.cell, || {
                    driving[sid].fetch_sub(1, Relaxed);
                    Fence::default()
                });
                if left {
                    return;
                }
            }
        };
        let input = || {
            sent.fetch_add(1, Relaxed);
            let answered = answered.clone();
            Input::Forget { reply: Ticket::new(Box::new(move |_| up(&answered))) }
        };
        let run = |wake: Option<Wake>, sid: usize| {
            // A driver that waits is in a loop of this test, and looks again by itself.
            if let Some(Wake::New(woken)) = wake {
                drive(woken, sid);
            }
        };
        thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (registry, run, input) = (&registry, &run, &input);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let sid = (round as usize + thread as usize) % SIDS;
                        let key = key(&sid.to_string());
                        if thread % 2 == 0 {
                            run(registry.send_once(key, false, input()).unwrap(), sid);
                        } else {
                            let claim = thread * ROUNDS + round;
                            let (cell, wake) = registry.open(key, false, &handle(claim), Some(input())).unwrap();
                            run(wake, sid);
                            run(registry.send(&cell, input()).unwrap(), sid);
                            drop(registry.release(&cell, ClaimId(claim)));
                        }
                    }
                });
            }
        });
        assert_eq!(sent.load(Relaxed), seen.load(Relaxed));
        assert_eq!(sent.load(Relaxed), answered.load(Relaxed));
        assert_eq!((registry.len(), registry.live().count()), (0, 0));
    }
}
