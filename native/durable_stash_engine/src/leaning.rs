//! What a LiveView was shown and is not saved yet.
//!
//! A recovery also brings what LiveViews before this one wrote and the store does not have (design §6). Whoever is shown
//! it has no writes of its own open, and is not saved all the same: it leans on those writes until they are saved. If one
//! of them is not, that is this LiveView's failure too, for it has to send everything again.

use std::sync::Arc;

use durable_stash_machine::{ClaimId, Outcome};

use crate::error::Failure;
use crate::standing::HandleState;

/// A handle that leans on writes of other handles.
pub(crate) struct Leaning {
    handle: Arc<HandleState>,
    /// Of each claim the last write that matters.
    on: Vec<(ClaimId, u64)>,
}

impl Leaning {
    /// `now` is the monotonic time in ms.
    pub(crate) fn new(handle: Arc<HandleState>, on: Vec<(ClaimId, u64)>, now: u64) -> Option<Self> {
        if on.is_empty() {
            return None;
        }
        handle.lean(now);
        Some(Self { handle, on })
    }

    /// Every write of `claim` up to `op` has this outcome now. Whether there is more to wait for.
    pub(crate) fn waits_after(&mut self, claim: ClaimId, op: u64, outcome: Outcome) -> bool {
        let before = self.on.len();
        self.on.retain(|(other, last)| *other != claim || *last > op);
        if self.on.len() == before {
            return true;
        }
        match outcome {
            Outcome::Saved { .. } if !self.on.is_empty() => return true,
            Outcome::Saved { .. } => self.handle.stand(),
            Outcome::Failed(_) | Outcome::Unknown => self.handle.fall(Failure::RecoveredLost.into()),
        }
        false
    }
}
