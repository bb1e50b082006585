//! The place of one session: its driver's inbox while it has one, and itself, parked, while it has none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use durable_stash_machine::{ClaimId, Parked};
use parking_lot::Mutex;

use crate::budget::Share;
use crate::error::Failure;
use crate::inbox::{Inbox, Input};
use crate::session_key::SessionKey;
use crate::standing::HandleState;

/// The place of one session.
pub(crate) struct Cell {
    key: SessionKey,
    /// The view brought secrets of its own, so that this session writes under an id of its own.
    pub(crate) own_secrets: bool,
    pub(crate) state: Mutex<State>,
}

/// What is under the cell's lock.
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// In the order of their claims. Most sessions have one: a map's node would have room for eleven.
    handles: Vec<Arc<HandleState>>,
    /// The cell stands in the queue of those that are to leave memory.
    pub(crate) is_queued: bool,
}

pub(crate) enum Phase {
    /// No driver runs.
    Dormant(Dormant),
    /// A driver runs, or is about to.
    Live(Inbox),
    /// Nothing more will happen here: the engine has stopped, or the driver has crashed. The cell is out of the map.
    Down(Failure),
}

/// A session without a driver.
#[derive(Default)]
pub(crate) struct Dormant {
    /// The session as its last driver has left it; none before the first.
    pub(crate) session: Option<Parked>,
    /// Until it leaves memory.
    pub(crate) rest: Option<Rest>,
    /// The claims that were given up since.
    pub(crate) released: Vec<ClaimId>,
}

/// A session that is parked in memory.
pub(crate) struct Rest {
    /// What its copy of the document takes of the engine's account of those.
    pub(crate) cached: Share,
    /// When it has rested for so long that it leaves memory (monotonic ms).
    pub(crate) leaves_at: u64,
}

impl Cell {
    pub(crate) fn new(key: SessionKey, own_secrets: bool) -> Arc<Self> {
        let phase = Phase::Dormant(Dormant::default());
        let state = Mutex::new(State { phase, handles: Vec::new(), is_queued: false });
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
            Phase::Dormant(_) | Phase::Down(_) => Poll::Pending,
        }
    }

    pub(crate) fn has_no_input(&self) -> bool {
        self.state.lock().has_no_input()
    }
}

impl State {
    pub(crate) fn has_no_input(&self) -> bool {
        match &self.phase {
            Phase::Live(inbox) => inbox.is_empty(),
            Phase::Dormant(_) | Phase::Down(_) => true,
        }
    }

    pub(crate) fn handles(&self) -> &[Arc<HandleState>] {
        &self.handles
    }

    pub(crate) fn add_handle(&mut self, handle: Arc<HandleState>) {
        let at = self.handles.partition_point(|other| other.claim < handle.claim);
        self.handles.insert(at, handle);
    }

    pub(crate) fn remove_handle(&mut self, claim: ClaimId) {
        self.handles.retain(|handle| handle.claim != claim);
    }

    /// Nothing will happen here any more. Returns the inputs that nobody will take, and whether the session was in memory.
    pub(crate) fn go_down(&mut self, failure: Failure) -> (VecDeque<Input>, bool) {
        match std::mem::replace(&mut self.phase, Phase::Down(failure)) {
            Phase::Live(inbox) => (inbox.into_inputs(), true),
            Phase::Dormant(dormant) => (VecDeque::new(), dormant.rest.is_some()),
            Phase::Down(_) => (VecDeque::new(), false),
        }
    }
}
