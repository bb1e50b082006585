//! What a session tells its driver.

use crate::command::{ClaimId, RequestId};
use crate::error::ErrorKind;
use crate::slice::{Json, Key, Vsn};

/// An answer to a LiveView, or something worth counting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// Every write of `claim` up to `op` that had no outcome yet has this one now.
    Settled {
        /// Whose writes.
        claim: ClaimId,
        /// The last of them.
        op: u64,
        /// What became of them.
        outcome: Outcome,
    },
    /// This one write was not accepted.
    Rejected {
        /// Whose write.
        claim: ClaimId,
        /// Which.
        op: u64,
        /// Why.
        kind: ErrorKind,
    },
    /// The tab has been claimed by a later mount.
    Superseded {
        /// Who lost it.
        claim: ClaimId,
    },
    /// A read is answered.
    Read {
        /// Which.
        request: RequestId,
        /// The slot's content, or why there is no answer.
        answer: Result<ReadAnswer, ErrorKind>,
    },
    /// The document is buried, or not.
    Forgotten {
        /// Which request.
        request: RequestId,
        /// What became of it.
        outcome: Outcome,
    },
    /// For counters and telemetry.
    Happened(Incident),
}

/// The final word on a write. There is only one per write (I7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// In the object, from this revision on.
    Saved {
        /// The revision that contains it.
        rev: u64,
    },
    /// In no later object.
    Failed(ErrorKind),
    /// Given up while a request was still unaccounted for: it may yet be applied.
    Unknown,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadAnswer {
    /// The slot's content; none when nothing is shared, and nothing stored for this view at this version or a lower one.
    pub found: Option<Found>,
    /// The committed revision that it rests on.
    pub rev: Option<u64>,
    /// The store did not answer in time and a cached copy did.
    pub stale: bool,
    /// Other claims' writes in it that are not saved yet: of each claim the last.
    pub unsaved: Vec<(ClaimId, u64)>,
}

/// A slot's content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The version of the code that wrote it: the asker's, also where there is none, or the highest lower one.
    pub vsn: Vsn,
    /// The version of the code that wrote the tab's part: a tab that has not been written under `vsn` yet keeps what it
    /// had under a lower one.
    pub tab_vsn: Vsn,
    /// The `:session` keys.
    pub session: Vec<(Key, Json)>,
    /// The `:reconnect` keys of the asker's tab.
    pub tab: Vec<(Key, Json)>,
    /// The `:shared` keys, whichever views wrote them.
    pub shared: Vec<(Key, Json)>,
}

/// Something worth counting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Incident {
    /// A batch is in the store.
    Committed {
        /// The revision it made.
        rev: u64,
        /// The size of the object.
        bytes: usize,
        /// The writes in it.
        ops: u64,
        /// The PUTs that it took.
        attempts: u32,
        /// From the first write's acceptance, in ms.
        age_ms: u64,
    },
    /// A PUT lost.
    Conflict(Conflict),
    /// An unknown outcome was settled by reading.
    Resolved {
        /// Whether the batch was in the object.
        saved: bool,
    },
    /// The store is asked again later.
    Retry {
        /// How much later, in ms.
        delay_ms: u64,
    },
    /// A read was answered from the cache because the store did not answer.
    StaleServed,
    /// The store answered with an older revision than it had shown before.
    StaleRead,
    /// A damaged object was copied aside.
    Quarantined,
    /// A damaged object was found.
    Corrupt,
    /// An object of a newer release was found.
    NewerFormat,
    /// A document was found under an older secret and is written under the current one.
    Rekeyed,
    /// A document was past its time.
    Expired,
    /// Tabs went because there were too many.
    TabsEvicted {
        /// How many.
        count: usize,
    },
    /// LiveComponents went because their module had too many.
    ComponentsEvicted {
        /// How many.
        count: usize,
    },
}

/// How a PUT lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// The precondition did not hold.
    Moved,
    /// The object was gone.
    Gone,
    /// Somebody else was writing.
    Busy,
}
