//! What a session asks of the store.

use std::sync::Arc;

use bytes::Bytes;

/// The store's version of one object's content, opaque to the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    /// Wraps the store's token as it is.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(token.into())
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names one request to the store, so that a late answer is told from the awaited one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub u64);

/// What must hold for a PUT to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Precondition {
    /// No object of this name (`If-None-Match: *`).
    Absent,
    /// The object still is this one (`If-Match`).
    Matches(ETag),
}

/// I/O for the driver to start. `name` is an index into the session's object names: 0 under the current secret,
/// the rest under older ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Read the object.
    Get {
        /// Names the answer.
        attempt: Attempt,
        /// Which of the session's names.
        name: usize,
        /// Answer `NotModified` if it still is this one.
        unless: Option<ETag>,
    },
    /// Write the object.
    Put {
        /// Names the answer.
        attempt: Attempt,
        /// Which of the session's names.
        name: usize,
        /// The whole object.
        body: Bytes,
        /// When it may be applied.
        precondition: Precondition,
    },
    /// Keep a copy of what cannot be read, before anything replaces it.
    Quarantine {
        /// Names the answer.
        attempt: Attempt,
        /// Which of the session's names it was found under.
        name: usize,
        /// The object as found.
        body: Bytes,
    },
}
