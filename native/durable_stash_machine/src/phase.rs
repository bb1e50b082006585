//! Where a frozen batch stands. The order of these phases is what makes outcomes honest (I3, I7):
//!
//! ```text
//!            build                PUT                    written
//!  pending ─────────> Ready ───────────────> Sending ──────────────> saved
//!                       ^                      │ lost, unknown
//!                       │ not in the object    v
//!                       └────────────────── Resolving ─────────────> saved (it was ours)
//!                                             pause, then a GET that left after the PUT was answered
//! ```
//!
//! A batch has its number from freezing to its end. While its outcome is open nothing is added to it, the bytes are
//! sent again only with the precondition that they were built for, and only a read decides what became of them.

use bytes::Bytes;

use crate::base::Stored;
use crate::batch::Batch;
use crate::document::{Document, Header};
use crate::effect::{Attempt, Precondition};
use crate::limits::Now;
use crate::retire::Replaced;

/// A batch under its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Frozen {
    /// What it changes.
    pub(crate) batch: Batch,
    /// Its number among this writer's batches, by which it is known wherever it is applied.
    pub(crate) seq: u64,
    /// The number in its bytes: `seq`, or a higher one that no other batch has had.
    pub(crate) written_as: u64,
    /// Its bytes, for one precondition. None before the first PUT and after the object has moved.
    pub(crate) built: Option<Built>,
    /// Where it stands.
    pub(crate) flight: Flight,
    /// A PUT of the present bytes is unaccounted for: it may be applied, or may yet be. "Failed" cannot be said then.
    pub(crate) may_land: bool,
    /// A GET that left after the freeze has found no object. A request to forget is not void before that.
    pub(crate) confirmed: bool,
    /// The last PUT was denied: what to say if the batch is given up.
    pub(crate) is_denied: bool,
    /// PUTs sent so far.
    pub(crate) attempts: u32,
    /// Failures in a row: the exponent of the backoff.
    pub(crate) failures: u32,
    /// What to build on instead of the base, when the store insists on an older revision: the compare-and-swap is
    /// the judge of who is right.
    pub(crate) insisted: Option<Box<Stored>>,
}

impl Frozen {
    /// Whether the batch may be in the object, or come into it. Besides an answer that is missing, that is so while a
    /// lost PUT has not been looked into: somebody on the way may have sent it twice, and handed on the second answer.
    pub(crate) fn is_open(&self) -> bool {
        self.may_land || (self.attempts > 0 && matches!(self.flight, Flight::Resolving { .. }))
    }
}

/// The bytes of a batch on one revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Built {
    /// Which of the session's names it is for.
    pub(crate) name: usize,
    /// When they may be applied.
    pub(crate) precondition: Precondition,
    /// The object.
    pub(crate) body: Bytes,
    /// What the object says of itself.
    pub(crate) header: Header,
    /// What is in it.
    pub(crate) document: Document,
    /// It brings back content that the store has lost.
    pub(crate) restores: bool,
    /// The object under an older secret that it replaces.
    pub(crate) replaces: Option<Replaced>,
}

/// The phase of a frozen batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flight {
    /// To be sent at this moment (monotonic ms).
    Ready {
        /// When.
        at: u64,
    },
    /// A PUT is in flight.
    Sending {
        /// Which.
        attempt: Attempt,
        /// When it left.
        sent: Now,
    },
    /// A GET must tell what became of the PUT; only one that left after the PUT was answered can.
    Resolving {
        /// GETs up to this one left too early.
        after: Attempt,
        /// It need not leave before, and nothing is sent before.
        at: u64,
    },
}

impl Flight {
    /// When the PUT left, if this is the one in flight.
    pub(crate) fn sent(&self, put: Attempt) -> Option<Now> {
        match self {
            Self::Sending { attempt, sent } if *attempt == put => Some(*sent),
            Self::Sending { .. } | Self::Ready { .. } | Self::Resolving { .. } => None,
        }
    }
}
