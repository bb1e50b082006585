//! What the store answered. How an HTTP status becomes one of these is the engine's; what follows is the machine's.

use bytes::Bytes;

use crate::effect::{Attempt, ETag};

/// An input from the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A GET was answered.
    Got {
        /// Which.
        attempt: Attempt,
        /// How.
        outcome: GetOutcome,
    },
    /// A PUT was answered.
    Put {
        /// Which.
        attempt: Attempt,
        /// How.
        outcome: PutOutcome,
    },
    /// A quarantine copy was made, or not.
    Quarantined {
        /// Which.
        attempt: Attempt,
        /// Whether the copy is there.
        ok: bool,
    },
}

/// How a GET ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GetOutcome {
    /// The object.
    Found {
        /// Its version.
        etag: ETag,
        /// Its bytes.
        body: Bytes,
    },
    /// It still is the version asked about.
    NotModified,
    /// There is none.
    Missing,
    /// It is larger than any document of ours.
    TooLarge,
    /// The credentials do not allow it (401, 403).
    Denied,
    /// No usable answer: timeout, reset, 5xx, a truncated body.
    Unavailable {
        /// What the store asked for, in ms.
        retry_after: Option<u64>,
    },
}

/// How a PUT ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PutOutcome {
    /// 2xx and an etag.
    Written(ETag),
    /// 412: the precondition does not hold (any more).
    Moved,
    /// 404 on `If-Match`: the object is gone.
    Gone,
    /// 409: somebody else is writing.
    Busy,
    /// Certainly not applied, and it will not be as it stands.
    Refused(Refusal),
    /// It may or may not be applied, now or later: timeout, reset, 5xx.
    Unknown {
        /// What the store asked for, in ms.
        retry_after: Option<u64>,
    },
}

/// Why the store refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It never left: no turn among the requests in flight came, or writes are held back.
    NotSent,
    /// 401, 403: credentials, which may recover.
    Denied,
    /// 400, 501: the request is not understood.
    Unsupported,
    /// 413: over the store's own limit.
    TooLarge,
}
