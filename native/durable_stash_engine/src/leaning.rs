//! What a LiveView was shown and is not saved yet.
//!
//! A recovery also brings what LiveViews before this one wrote and the store does not have (design §6). Whoever is shown
//! it has no writes of its own open, and is not saved all the same: it leans on those writes until they are saved. If one
//! of them is not, that is this LiveView's failure too, for it has to send everything again.

use std::sync::Arc;

use durable_stash_machine::{ClaimId, ErrorKind, Outcome};

use crate::error::Failure;
use crate::standing::HandleState;

/// The handles of one session that lean on writes of others.
#[derive(Default)]
pub(crate) struct Leanings(Vec<Leaning>);

struct Leaning {
    handle: Arc<HandleState>,
    /// Of each claim the last write that matters.
    on: Vec<(ClaimId, u64)>,
}

impl Leanings {
    /// The handle was shown these writes, which are not saved. `now` is the monotonic time in ms.
    pub(crate) fn add(&mut self, handle: Arc<HandleState>, on: Vec<(ClaimId, u64)>, now: u64) {
        if !on.is_empty() {
            handle.lean(now);
            self.0.push(Leaning { handle, on });
        }
    }

    /// Every write of `claim` up to `op` has this outcome now.
    pub(crate) fn settle(&mut self, claim: ClaimId, op: u64, outcome: Outcome) {
        self.0.retain_mut(|leaning| leaning.waits_after(claim, op, outcome));
    }

    /// The handle is gone. Else every page that looks while the store is away would be remembered until it is back.
    pub(crate) fn release(&mut self, claim: ClaimId) {
        self.0.retain(|leaning| leaning.handle.claim != claim);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Leaning {
    /// Whether there is more to wait for.
    fn waits_after(&mut self, claim: ClaimId, op: u64, outcome: Outcome) -> bool {
        let before = self.on.len();
        self.on.retain(|(other, last)| *other != claim || *last > op);
        if self.on.len() == before {
            return true;
        }
        match outcome {
            // Its writer has lost its tab to a later mount. To send it again would bring back what that mount overruled.
            Outcome::Saved { .. } | Outcome::Failed(ErrorKind::Superseded) if !self.on.is_empty() => return true,
            Outcome::Saved { .. } | Outcome::Failed(ErrorKind::Superseded) => self.handle.stand(),
            Outcome::Failed(_) | Outcome::Unknown => self.handle.fall(Failure::RecoveredLost.into()),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_gone_is_not_remembered_and_who_stays_waits_for_the_last_write() {
        let mut leanings = Leanings::default();
        let stays = HandleState::new(ClaimId(1));
        leanings.add(stays.clone(), vec![(ClaimId(9), 4)], 0);
        for claim in 2..1_000 {
            let gone = HandleState::new(ClaimId(claim));
            let weak = Arc::downgrade(&gone);
            leanings.add(gone, vec![(ClaimId(9), 4)], 0);
            leanings.release(ClaimId(claim));
            assert!(weak.upgrade().is_none());
        }
        assert!(!stays.is_saved());
        let saved = Outcome::Saved { rev: 1 };
        leanings.settle(ClaimId(9), 3, saved);
        assert!(!leanings.is_empty() && !stays.is_saved());
        leanings.settle(ClaimId(9), 4, saved);
        assert!(leanings.is_empty() && stays.is_saved());
    }

    #[test]
    fn a_write_of_who_lost_its_tab_is_nobody_elses_failure_and_one_that_was_given_up_is() {
        for (kind, failures) in [(ErrorKind::Superseded, 0), (ErrorKind::Unavailable, 1)] {
            let mut leanings = Leanings::default();
            let shown = HandleState::new(ClaimId(1));
            leanings.add(shown.clone(), vec![(ClaimId(9), 4)], 0);
            leanings.settle(ClaimId(9), 4, Outcome::Failed(kind));
            assert!(leanings.is_empty());
            assert_eq!(shown.status(|| 0).failures, failures, "{kind:?}");
        }
    }
}
