//! What the engine tells whoever watches it: the source of telemetry.

use durable_stash_machine::Incident;

use crate::engine::DrainReport;
use crate::gate::Health;

/// Watches an engine. Called on the engine's own threads, so that it must return at once and never panic.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn happened(&self, event: EngineEvent);
}

/// Something that happened. A session is named by the first 8 hex digits of its key, never by its sid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// In a session: a commit, a conflict, a retry …
    Session {
        /// Which.
        session: String,
        /// What.
        incident: Incident,
    },
    /// A LiveView lost its tab to a later mount.
    Superseded {
        /// In which session.
        session: String,
    },
    /// A session was lost with an internal error. The others go on.
    Crashed {
        /// Which.
        session: String,
        /// What it said.
        message: String,
    },
    /// The engine's health changed.
    Health(Health),
    /// The sweeper has walked the whole prefix once.
    Swept {
        /// Objects that it read.
        read: u64,
        /// Expired documents that it replaced by tombstones.
        buried: u64,
        /// Tombstones that it deleted.
        deleted: u64,
        /// Objects that could not be read or changed; they are met again in the next round.
        failed: u64,
    },
    /// The engine has stopped.
    Drained(DrainReport),
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn happened(&self, _event: EngineEvent) {}
}
