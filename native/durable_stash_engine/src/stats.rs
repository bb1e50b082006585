//! Counters. Relaxed atomics in one place: they are read for telemetry and decide nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use durable_stash_machine::Incident;

/// A declaration of every counter once, as the atomics and as the copy that callers get.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What an engine has done and holds.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Every counter by its name.
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }

        /// The counters while the engine runs.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Sessions in memory now, parked or with something to do.
    live_sessions,
    /// Handles open now.
    handles,
    /// Requests to the store under way now.
    in_flight,
    /// Bytes accepted and not settled now.
    unsaved_bytes,
    /// Writes accepted and not settled now.
    unsaved_ops,
    /// Writes accepted.
    accepted_ops,
    /// Writes saved.
    saved_ops,
    /// Writes that are in no later object.
    failed_ops,
    /// Writes given up with their outcome open.
    unknown_ops,
    /// Writes that a session did not accept.
    rejected,
    /// Writes refused at once because too much was unsaved.
    overloaded,
    /// LiveViews whose tab was claimed by a later mount.
    superseded,
    /// GETs sent.
    gets,
    /// PUTs sent.
    puts,
    /// GETs and PUTs that got no usable answer, or none in time.
    unanswered,
    /// Batches saved.
    commits,
    /// PUTs that lost.
    conflicts,
    /// Times that the store is asked again.
    retries,
    /// Unknown outcomes that were settled by reading.
    resolved,
    /// Reads answered.
    reads,
    /// Reads answered from a cached copy because the store did not answer.
    stale_served,
    /// Older revisions than were shown before, which the store answered with.
    stale_reads,
    /// Damaged objects copied aside.
    quarantined,
    /// Damaged objects met.
    corrupt,
    /// Objects of a newer release met.
    newer_format,
    /// Documents written under the current secret that were found under an older one.
    rekeyed,
    /// Documents that were past their time when read.
    expired,
    /// Tabs that went because there were too many.
    tabs_evicted,
    /// LiveComponents that went because their module had too many.
    components_evicted,
    /// Sessions that left memory because they were idle.
    evicted,
    /// Sessions lost with an internal error.
    crashed,
    /// Sessions that ended with writes still open: at a crash, or because the engine stopped.
    lost_sessions,
    /// Those writes.
    lost_ops,
    /// Objects that the sweeper read.
    swept,
    /// Expired documents that the sweeper replaced by tombstones.
    buried,
    /// Tombstones that the sweeper deleted.
    deleted,
}

impl Counters {
    /// Something happened in a session.
    pub(crate) fn count(&self, incident: &Incident) {
        match incident {
            Incident::Committed { .. } => up(&self.commits),
            Incident::Conflict(_) => up(&self.conflicts),
            Incident::Resolved { .. } => up(&self.resolved),
            Incident::Retry { .. } => up(&self.retries),
            Incident::StaleServed => up(&self.stale_served),
            Incident::StaleRead => up(&self.stale_reads),
            Incident::Quarantined => up(&self.quarantined),
            Incident::Corrupt => up(&self.corrupt),
            Incident::NewerFormat => up(&self.newer_format),
            Incident::Rekeyed => up(&self.rekeyed),
            Incident::Expired => up(&self.expired),
            Incident::TabsEvicted { count } => {
                self.tabs_evicted.fetch_add(*count as u64, Relaxed);
            }
            Incident::ComponentsEvicted { count } => {
                self.components_evicted.fetch_add(*count as u64, Relaxed);
            }
        }
    }
}

pub(crate) fn up(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

pub(crate) fn down(counter: &AtomicU64) {
    counter.fetch_sub(1, Relaxed);
}
