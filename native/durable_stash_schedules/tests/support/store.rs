//! A store that watches who writes: one engine's sessions may never meet each other's writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome};
use durable_stash_schedules::store::{Cursor, DeleteOutcome, ObjectName, Page, Store, StoreError};
use shuttle::future::yield_now;
use shuttle::rand::{Rng, thread_rng};

/// In memory, with compare-and-swap. Every request can be overtaken before and after it happens.
#[derive(Default)]
pub(crate) struct Watched {
    /// std's: it is never held while another thread may run.
    objects: Mutex<Objects>,
    in_flight: AtomicUsize,
    /// Of ten answers, so many are lost, before or after the write.
    lost_in_ten: u32,
    stalled: AtomicBool,
}

#[derive(Default)]
struct Objects {
    versions: BTreeMap<String, Vec<Bytes>>,
    being_put: BTreeSet<String>,
}

impl Watched {
    pub(crate) fn sound() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn losing_answers() -> Arc<Self> {
        Arc::new(Self { lost_in_ten: 3, ..Self::default() })
    }

    /// No PUT arrives until [`Watched::release`].
    pub(crate) fn stalled() -> Arc<Self> {
        Arc::new(Self { stalled: true.into(), ..Self::default() })
    }

    pub(crate) fn release(&self) {
        self.stalled.store(false, Relaxed);
    }

    /// The documents as they are, as text.
    pub(crate) fn documents(&self) -> Vec<String> {
        let objects = self.objects();
        objects.versions.values().filter_map(|versions| versions.last()).map(|body| text(body)).collect()
    }

    pub(crate) fn requests_in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, Objects> {
        // After a failed schedule the guard of another thread may be lost; that schedule has failed anyway.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loses_this(&self) -> bool {
        self.lost_in_ten > 0 && thread_rng().gen_range(0..10) < self.lost_in_ten
    }
}

#[async_trait]
impl Store for Watched {
    async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        let _in_flight = Request::begin(self, None);
        yield_now().await;
        let outcome = match self.objects().versions.get(name.as_str()) {
            None => GetOutcome::Missing,
            Some(versions) if Some(&etag(versions)) == unless => GetOutcome::NotModified,
            Some(versions) => GetOutcome::Found { etag: etag(versions), body: versions[versions.len() - 1].clone() },
        };
        yield_now().await;
        outcome
    }

    async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        let _in_flight = Request::begin(self, Some(name));
        yield_now().await;
        while self.stalled.load(Relaxed) {
            yield_now().await;
        }
        if self.loses_this() {
            return PutOutcome::Unknown { retry_after: None };
        }
        let written = {
            let mut objects = self.objects();
            let versions = objects.versions.entry(name.as_str().to_owned()).or_default();
            let holds = match precondition {
                Precondition::Absent => versions.is_empty(),
                Precondition::Matches(expected) => !versions.is_empty() && etag(versions) == *expected,
            };
            // One engine, and no other writer in the world: who else can have moved the object?
            assert!(holds, "two drivers of one session: {precondition:?} of version {}", versions.len());
            versions.push(body);
            etag(versions)
        };
        yield_now().await;
        if self.loses_this() { PutOutcome::Unknown { retry_after: None } } else { PutOutcome::Written(written) }
    }

    async fn list(&self, _cursor: Option<&Cursor>, _limit: usize) -> Result<Page, StoreError> {
        unreachable!("nobody sweeps")
    }

    async fn delete_if(&self, _name: &ObjectName, _etag: &ETag) -> DeleteOutcome {
        unreachable!("nobody sweeps")
    }

    async fn put_aside(&self, _name: &ObjectName, _body: Bytes) -> bool {
        unreachable!("nothing is damaged")
    }

    async fn remove_scratch(&self, _name: &ObjectName) {}

    fn wants_probe(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        "the watched store".to_owned()
    }
}

/// A request under way; it ends when its future does, or is dropped.
struct Request<'a> {
    store: &'a Watched,
    puts: Option<String>,
}

impl<'a> Request<'a> {
    fn begin(store: &'a Watched, puts: Option<&ObjectName>) -> Self {
        store.in_flight.fetch_add(1, Relaxed);
        let puts = puts.map(|name| name.as_str().to_owned());
        if let Some(name) = &puts {
            assert!(store.objects().being_put.insert(name.clone()), "two PUTs of one session are in flight");
        }
        Self { store, puts }
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.store.in_flight.fetch_sub(1, Relaxed);
        if let Some(name) = &self.puts {
            self.store.objects().being_put.remove(name);
        }
    }
}

fn etag(versions: &[Bytes]) -> ETag {
    ETag::new(versions.len().to_string())
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
