//! Bugs that can be planted, so that a test can show that each would be found: by the model checker, by the simulations,
//! by the history checker. Only with the feature `planted-bugs`, which no release is built with.

/// `planted!(policy, Bug)`: whether the bug is planted. `planted!(policy, Bug, { … })`: what happens if it is. Without
/// the feature that is `false` and nothing.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($policy:expr, $bug:ident) => {
        $policy.planted == Some($crate::planted::Bug::$bug)
    };
    ($policy:expr, $bug:ident, $deed:block) => {
        if planted!($policy, $bug) $deed
    };
}

#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($policy:expr, $bug:ident) => {
        false
    };
    ($policy:expr, $bug:ident, $deed:block) => {};
}

#[cfg(feature = "planted-bugs")]
pub use bugs::{ANY, Bug, hashed};

#[cfg(feature = "planted-bugs")]
mod bugs {
    use crate::base::Base;
    use crate::command::Values;
    use crate::effect::{ETag, Effect, Precondition};
    use crate::notice::Outcome;
    use crate::phase::Frozen;
    use crate::session::Session;

    /// A bug that somebody could write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Bug {
        /// PUTs name no condition. They are told by the etag [`ANY`], which a test's store takes for any object and none.
        UnconditionalPut,
        /// Bodies do not differ by their revision, so that the etag of equal content is equal. It is the test's store that
        /// has to show it: its etags are hashes of [`hashed`].
        EtagWithoutRev,
        /// After a conflict the whole document is written again as it was built before, on the new etag.
        BlindRebase,
        /// A PUT that meets a moved object is taken for one that was applied.
        LostIsMine,
        /// A PUT that meets a moved object is taken for one that was never applied.
        LostIsNeverMine,
        /// What arrives while a batch is in flight is added to it.
        GrowingBatch,
        /// The client keeps its terms as stored although their write has failed. It is the test's client that has to do
        /// it.
        KeptTermsAdvance,
        /// A write under one version of the code removes the slices of the others.
        SliceReplaced,
        /// Nobody asks whether a claim was superseded.
        FenceIgnored,
        /// Writes are told saved when their PUT leaves.
        SavedTooEarly,
        /// A commit keeps no other writer in `applied`.
        AppliedPruned,
        /// A session that is told to drain forgets what it has not sent.
        DrainForgets,
    }

    impl Bug {
        /// Every one.
        pub const ALL: [Self; 12] = [
            Self::UnconditionalPut,
            Self::EtagWithoutRev,
            Self::BlindRebase,
            Self::LostIsMine,
            Self::LostIsNeverMine,
            Self::GrowingBatch,
            Self::KeptTermsAdvance,
            Self::SliceReplaced,
            Self::FenceIgnored,
            Self::SavedTooEarly,
            Self::AppliedPruned,
            Self::DrainForgets,
        ];
    }

    /// The etag of a PUT without a condition.
    pub const ANY: &str = "*";

    /// What of an object its etag is a hash of, in a store that shows [`Bug::EtagWithoutRev`]: all but the header.
    pub fn hashed(body: &[u8], planted: Option<Bug>) -> &[u8] {
        match planted {
            Some(Bug::EtagWithoutRev) => body.splitn(2, |byte| *byte == b'\n').last().unwrap_or(body),
            Some(_) | None => body,
        }
    }

    impl Effect {
        pub(crate) fn without_condition(self) -> Self {
            match self {
                Self::Put { attempt, name, body, .. } => {
                    Self::Put { attempt, name, body, precondition: Precondition::Matches(ETag::new(ANY)) }
                }
                Self::Get { .. } | Self::Quarantine { .. } => self,
            }
        }
    }

    impl Session {
        pub(crate) fn plant_blind_rebase(&mut self, frozen: &Frozen) {
            if let (Base::Stored(stored), Some(built)) = (&mut self.base, &frozen.built) {
                stored.document = built.document.clone();
            }
        }

        pub(crate) fn plant_growing_batch(&mut self) {
            let Some(frozen) = &mut self.frozen else { return };
            for (claim, later) in std::mem::take(&mut self.pending.claims) {
                let edit = frozen.batch.claim(claim, &later.slot, later.epoch, later.stores_tab);
                edit.last_op = later.last_op;
                for (key, one) in later.session.edits() {
                    edit.edit(one.stamp, [(key.clone(), one.value.clone())], []);
                }
                for (key, one) in later.tab.edits() {
                    edit.edit(one.stamp, [], [(key.clone(), one.value.clone())]);
                }
                for (key, one) in later.shared.edits() {
                    edit.share(one.stamp, one.value.clone().map(|json| (key.clone(), json)));
                }
                for (key, one) in later.session.defaults() {
                    let session = vec![(key.clone(), one.value.clone())];
                    edit.set_defaults(one.last, Values { session, ..Values::default() });
                }
                for (key, one) in later.tab.defaults() {
                    let tab = vec![(key.clone(), one.value.clone())];
                    edit.set_defaults(one.last, Values { tab, ..Values::default() });
                }
                for (key, one) in later.shared.defaults() {
                    let shared = vec![(key.clone(), one.value.clone())];
                    edit.set_defaults(one.last, Values { shared, ..Values::default() });
                }
            }
            self.pending.rest_if_empty();
        }

        pub(crate) fn plant_saved_too_early(&mut self) {
            let Some(batch) = self.frozen.as_ref().map(|frozen| frozen.batch.clone()) else { return };
            let rev = self.committed_rev().unwrap_or(0) + 1;
            self.settle(&batch, Outcome::Saved { rev });
        }
    }
}
