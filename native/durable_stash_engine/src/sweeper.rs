//! Expired documents become tombstones, and old tombstones go (design §11).
//!
//! The sweeper lists, and the machine judges each object by its content. Every change is conditional on the content
//! that was judged: a session that writes meanwhile wins (faults 12 and 60). Several nodes may sweep at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use durable_stash_machine::sweep::{self, Verdict};
use durable_stash_machine::{GetOutcome, Precondition, PutOutcome, WriteId};

use crate::engine::Shared;
use crate::observer::EngineEvent;
use crate::stats::up;
use crate::store::{DeleteOutcome, Listed, ObjectName};

/// Walks the prefix every `every`, for as long as the engine runs.
pub(crate) async fn run(shared: Arc<Shared>, every: Duration, rate: u32) {
    // Nodes that were started together do not sweep together.
    let spread = every.mul_f64((shared.seeds.next() % 1000) as f64 / 1000.0);
    tokio::time::sleep(spread).await;
    let mut sweeper = Sweeper::new(shared, rate);
    loop {
        sweeper.round().await;
        tokio::time::sleep(every).await;
    }
}

/// Sweeps at most `rate` objects in a second.
pub(crate) struct Sweeper {
    shared: Arc<Shared>,
    pause: Duration,
    round: Round,
}

/// What one walk did.
#[derive(Default)]
struct Round {
    read: u64,
    buried: u64,
    deleted: u64,
    failed: u64,
}

impl Sweeper {
    pub(crate) fn new(shared: Arc<Shared>, rate: u32) -> Self {
        Self { shared, pause: Duration::from_secs(1) / rate.max(1), round: Round::default() }
    }

    /// Walks the whole prefix once. What fails is met again in the next round.
    pub(crate) async fn round(&mut self) {
        self.round = Round::default();
        let store = self.shared.requests.store.clone();
        let mut cursor = None;
        loop {
            match store.list(cursor.as_ref(), PAGE).await {
                Ok(page) => {
                    for listed in &page.objects {
                        self.visit(listed).await;
                    }
                    cursor = page.next;
                }
                Err(_) => {
                    self.round.failed += 1;
                    break;
                }
            }
            if cursor.is_none() {
                break;
            }
            // Also between pages without a candidate: listing costs the store, too.
            tokio::time::sleep(self.pause).await;
        }
        let Round { read, buried, deleted, failed } = self.round;
        self.shared.observer.happened(EngineEvent::Swept { read, buried, deleted, failed });
    }

    async fn visit(&mut self, listed: &Listed) {
        let now = self.shared.clock.now();
        let age = now.wall.saturating_sub(listed.last_modified_ms);
        if listed.name.is_scratch() {
            if age > SCRATCH_AGE_MS {
                self.shared.requests.store.remove_scratch(&listed.name).await;
            }
            return;
        }
        let policy = &self.shared.policy;
        // A document lives for its TTL from its last write, a tombstone stands for its own time, and both are left alone
        // for as long as clocks may differ. A tombstone that cannot be deleted is not read, either.
        let tombstone_ms = if self.shared.requests.store.can_delete() { policy.tombstone_ms } else { u64::MAX };
        if age < policy.ttl_ms.min(tombstone_ms).saturating_add(policy.tombstone_ms) {
            return;
        }
        tokio::time::sleep(self.pause).await;
        self.judge(&listed.name).await;
    }

    async fn judge(&mut self, name: &ObjectName) {
        let shared = &self.shared;
        self.round.read += 1;
        up(&shared.counters.swept);
        let (etag, body) = match shared.requests.get(name, None).await {
            GetOutcome::Found { etag, body } => (etag, body),
            GetOutcome::Missing => return,
            GetOutcome::NotModified | GetOutcome::TooLarge | GetOutcome::Denied | GetOutcome::Unavailable { .. } => {
                self.round.failed += 1;
                return;
            }
        };
        let write = WriteId { writer: shared.sweeper_id, seq: shared.sweeper_seq.fetch_add(1, Relaxed) + 1 };
        match sweep::verdict(&body, write, shared.clock.now(), &shared.policy) {
            Ok(Verdict::Keep) => {}
            Ok(Verdict::Bury { body }) => {
                // Any other outcome means that somebody writes, or that the next round tries again.
                if let PutOutcome::Written(_) = shared.requests.put(name, body, &Precondition::Matches(etag)).await {
                    self.round.buried += 1;
                    up(&shared.counters.buried);
                }
            }
            Ok(Verdict::Delete) => match shared.requests.store.delete_if(name, &etag).await {
                DeleteOutcome::Deleted => {
                    self.round.deleted += 1;
                    up(&shared.counters.deleted);
                }
                // Left to a lifecycle rule on the bucket.
                DeleteOutcome::Unsupported | DeleteOutcome::Missing | DeleteOutcome::Changed => {}
                DeleteOutcome::Failed => self.round.failed += 1,
            },
            // What cannot be read is never swept: it is not known to be ours.
            Err(_) => self.round.failed += 1,
        }
    }
}

const PAGE: usize = 1000;
/// A probe takes seconds: a scratch object this old was left by one that was killed.
const SCRATCH_AGE_MS: u64 = 60 * 60 * 1000;
