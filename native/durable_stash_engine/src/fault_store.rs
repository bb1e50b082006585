//! A store around a store that misbehaves by a seed: for this workspace's own tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome};

use crate::store::{Cursor, DeleteOutcome, ObjectName, Page, Store, StoreError};

/// How often what goes wrong, in requests per thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// A PUT fails and is not applied.
    pub put_lost: u16,
    /// A PUT is applied and its answer lost.
    pub answer_lost: u16,
    /// A PUT's answer is lost, and the PUT is applied later, if its condition holds then.
    pub put_late: u16,
    /// A PUT is answered with 409.
    pub busy: u16,
    /// A GET fails.
    pub get_lost: u16,
    /// The longest delay of any request.
    pub latency: Duration,
}

/// Wraps a store; the same seed and the same requests meet the same faults.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    rates: Rates,
    seed: u64,
    drawn: AtomicU64,
}

impl FaultStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Store>, seed: u64, rates: Rates) -> Self {
        Self { inner, rates, seed, drawn: AtomicU64::new(0) }
    }

    /// The next number of the seed's sequence (splitmix64).
    fn draw(&self) -> u64 {
        let count = self.drawn.fetch_add(1, Relaxed) + 1;
        let mut x = self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn happens(&self, per_mille: u16) -> bool {
        self.draw() % 1000 < u64::from(per_mille)
    }

    async fn delay(&self) {
        let longest = u64::try_from(self.rates.latency.as_micros()).unwrap_or(u64::MAX);
        if longest > 0 {
            tokio::time::sleep(Duration::from_micros(self.draw() % longest)).await;
        }
    }
}

#[async_trait]
impl Store for FaultStore {
    async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        self.delay().await;
        if self.happens(self.rates.get_lost) {
            return GetOutcome::Unavailable { retry_after: None };
        }
        self.inner.get(name, unless).await
    }

    async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        self.delay().await;
        if self.happens(self.rates.put_lost) {
            return PutOutcome::Unknown { retry_after: None };
        }
        if self.happens(self.rates.busy) {
            return PutOutcome::Busy;
        }
        if self.happens(self.rates.put_late) {
            let (inner, name, precondition) = (self.inner.clone(), name.clone(), precondition.clone());
            let delay = Duration::from_millis(self.draw() % 500);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                inner.put(&name, body, &precondition).await
            });
            return PutOutcome::Unknown { retry_after: None };
        }
        let outcome = self.inner.put(name, body, precondition).await;
        if self.happens(self.rates.answer_lost) {
            return PutOutcome::Unknown { retry_after: None };
        }
        outcome
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.inner.list(cursor, limit).await
    }

    fn can_delete(&self) -> bool {
        self.inner.can_delete()
    }

    async fn delete_if(&self, name: &ObjectName, etag: &ETag) -> DeleteOutcome {
        self.inner.delete_if(name, etag).await
    }

    async fn put_aside(&self, name: &ObjectName, body: Bytes) -> bool {
        self.delay().await;
        !self.happens(self.rates.put_lost) && self.inner.put_aside(name, body).await
    }

    async fn remove_scratch(&self, name: &ObjectName) {
        self.inner.remove_scratch(name).await;
    }

    fn wants_probe(&self) -> bool {
        self.inner.wants_probe()
    }

    fn describe(&self) -> String {
        format!("{} under faults of seed {}", self.inner.describe(), self.seed)
    }
}
