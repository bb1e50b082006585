//! The numbers that a session keeps to.

/// What an operator may set (design §5, §6, §8, §11). Times are milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// How long a document outlives its last write or mount. It slides.
    pub ttl_ms: u64,
    /// How long the first write of a batch may be held back to gather more; 0 sends at once.
    pub flush_after_ms: u64,
    /// How long a read waits for the store before a cached copy, or an error, answers it.
    pub recover_timeout_ms: u64,
    /// A copy that was validated so recently answers reads without asking the store; 0 always asks.
    pub fresh_for_ms: u64,
    /// Nobody else writes this store: a live session's own copy is authoritative.
    pub single_writer: bool,
    /// Whether a cached copy may answer when the store does not.
    pub serve_stale: bool,
    /// How long an accepted write is tried before it is given up.
    pub max_unsaved_age_ms: u64,
    /// The first retry waits up to this long.
    pub backoff_base_ms: u64,
    /// No retry waits longer than this, unless the store asks for it.
    pub backoff_cap_ms: u64,
    /// The largest document that is written or read.
    pub max_document_bytes: usize,
    /// The most tabs kept in one slice; the least recently touched go first.
    pub tabs_per_view: usize,
    /// The most LiveComponents of one module kept in one document; the least recently touched go first.
    pub components_per_module: usize,
    /// The most writers remembered in `applied`.
    pub applied_max: usize,
    /// How long a writer is remembered in `applied`. Far above `max_unsaved_age_ms`, or an unknown outcome could
    /// no longer be settled.
    pub applied_age_ms: u64,
    /// How long a tombstone stands. The sweeper lets as much time pass again before it touches what is over, so that
    /// its clock may be ahead by less than this.
    pub tombstone_ms: u64,
    /// For tests that show that they would find it.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<crate::planted::Bug>,
}

impl Default for Policy {
    fn default() -> Self {
        const MINUTE: u64 = 60_000;
        Self {
            ttl_ms: 30 * 24 * 60 * MINUTE,
            flush_after_ms: 0,
            recover_timeout_ms: 3_000,
            fresh_for_ms: 0,
            single_writer: false,
            serve_stale: true,
            max_unsaved_age_ms: 15 * MINUTE,
            backoff_base_ms: 50,
            backoff_cap_ms: 5_000,
            max_document_bytes: 4 * 1024 * 1024,
            tabs_per_view: 32,
            components_per_module: 100,
            applied_max: 32,
            applied_age_ms: 60 * MINUTE,
            tombstone_ms: 60 * MINUTE,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Monotonic milliseconds from any origin: every deadline is on this clock, so that a step of the wall clock
    /// moves none (fault 59).
    pub mono: u64,
    /// Milliseconds since the Unix epoch: only ever written into documents and compared with what stands there.
    pub wall: u64,
}
