//! What the boot probe finds, and what follows when that changes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use durable_stash_engine::store::{Cursor, DeleteOutcome, ObjectName, Page, Store, StoreError};
use durable_stash_engine::{ErrorKind, HealthState, Overrides};
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome, Refusal};
use support::*;

/// Refuses conditions until somebody sets it right.
struct Misconfigured {
    inner: Arc<dyn Store>,
    is_right: AtomicBool,
    puts: AtomicU64,
}

#[async_trait]
impl Store for Misconfigured {
    async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        self.inner.get(name, unless).await
    }

    async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        self.puts.fetch_add(1, Relaxed);
        match self.is_right.load(Relaxed) {
            true => self.inner.put(name, body, precondition).await,
            false => PutOutcome::Refused(Refusal::Unsupported),
        }
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.inner.list(cursor, limit).await
    }

    async fn delete_if(&self, name: &ObjectName, etag: &ETag) -> DeleteOutcome {
        self.inner.delete_if(name, etag).await
    }

    async fn put_aside(&self, name: &ObjectName, body: Bytes) -> bool {
        self.inner.put_aside(name, body).await
    }

    async fn remove_scratch(&self, name: &ObjectName) {
        self.inner.remove_scratch(name).await;
    }

    fn describe(&self) -> String {
        "a store behind a wrong policy".into()
    }
}

#[tokio::test(start_paused = true)]
async fn fault_14_a_store_that_is_set_right_is_written_to_without_a_restart() {
    let (_store, config) = memory();
    let inner = durable_stash_engine::backend::open(&config).unwrap();
    let store = Arc::new(Misconfigured { inner, is_right: AtomicBool::new(false), puts: AtomicU64::new(0) });
    let (engine, _) = start_with(config, Overrides { store: Some(store.clone()), ..Overrides::default() });
    let reason = health(&engine, HealthState::Refusing).await.reason.unwrap();
    assert!(reason.contains("a store behind a wrong policy refuses conditional writes"), "{reason}");
    let handle = fresh(&engine, "sid");
    assert_eq!(try_stash(&handle, "count", 1).unwrap_err().kind, ErrorKind::Refused);

    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(engine.health().state, HealthState::Refusing);
    assert!((10..=70).contains(&store.puts.load(Relaxed)), "{} PUTs in an hour", store.puts.load(Relaxed));

    store.is_right.store(true, Relaxed);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(engine.health().state, HealthState::Ready);
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(1));
    let puts = store.puts.load(Relaxed);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(store.puts.load(Relaxed), puts, "what is settled is not asked again");
}
