//! The store for tests and development: in memory, outlives engines, faithful in compare-and-swap, misbehaves on
//! request.
//!
//! A store is found by its name, so that a "deploy" (a new engine) meets the objects of the one before. Its faults
//! are part of the library and not of its tests: users test their own LiveViews under them (design §9).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome, Refusal};
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::script::{Contention, Fault, Script};
use crate::store::{Cursor, DeleteOutcome, Listed, ObjectName, Page, Store, StoreError, hex};

/// An in-memory store. Clones are the same store.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

/// How versions are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EtagMode {
    /// A counter: never the same twice.
    #[default]
    Counter,
    /// A hash of the content, as S3's MD5 is: equal content repeats it (fault 6).
    Content,
}

/// What was asked of a store since its last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// GETs that arrived.
    pub gets: u64,
    /// PUTs that arrived.
    pub puts: u64,
    /// PUTs that were applied.
    pub commits: u64,
    /// The most requests that were under way at one time.
    pub most_in_flight: u64,
}

impl MemoryStore {
    /// A store of its own, without a name.
    pub fn new() -> Self {
        Self(Arc::new(Shared::default()))
    }

    /// The store of this name; made at its first mention, kept until the process ends.
    pub fn named(name: &str) -> Self {
        static STORES: Lazy<Mutex<BTreeMap<String, MemoryStore>>> = Lazy::new(Mutex::default);
        STORES.lock().entry(name.to_owned()).or_default().clone()
    }

    /// From now on versions are told apart in this way.
    pub fn use_etags(&self, mode: EtagMode) {
        self.0.state.lock().etags = mode;
    }

    /// From now on every request takes this long.
    pub fn set_latency(&self, latency: Duration) {
        self.0.latency_us.store(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Schedules a misbehaviour.
    pub fn script(&self, fault: Fault) {
        self.0.state.lock().script.add(fault);
    }

    /// Forgets the misbehaviours that are still to come. What is stalled stays so until [`MemoryStore::release`].
    pub fn reset_script(&self) {
        self.0.state.lock().script.clear();
    }

    /// Lets every stalled request go on, and forgets stalls that no request has met yet.
    pub fn release(&self) {
        self.0.state.lock().script.forget_stalls();
        self.0.released.send_modify(|generation| *generation += 1);
    }

    /// Every object, by full name.
    pub fn dump(&self) -> Vec<(String, Bytes)> {
        let state = self.0.state.lock();
        state.objects.iter().map(|(name, object)| (name.clone(), object.body.clone())).collect()
    }

    /// Every version that was ever stored since the last reset, oldest first, if [`MemoryStore::keep_versions`] was
    /// called.
    pub fn versions(&self) -> Vec<(String, Bytes)> {
        self.0.state.lock().versions.clone().unwrap_or_default()
    }

    /// From now on every stored version is remembered.
    pub fn keep_versions(&self) {
        self.0.state.lock().versions.get_or_insert_default();
    }

    /// Stores an object as it is, as an operator would.
    pub fn plant(&self, name: &str, body: impl Into<Bytes>) {
        self.0.state.lock().write(name, body.into(), now_ms());
    }

    /// Removes an object as it is, as a lifecycle rule would. True if it was there.
    pub fn uproot(&self, name: &str) -> bool {
        self.0.state.lock().objects.remove(name).is_some()
    }

    /// Sets when the store says the object was last written, in ms since the epoch.
    pub fn touch(&self, name: &str, last_modified_ms: u64) {
        if let Some(object) = self.0.state.lock().objects.get_mut(name) {
            object.last_modified_ms = last_modified_ms;
        }
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        let shared = &self.0;
        Counts {
            gets: shared.gets.load(Relaxed),
            puts: shared.puts.load(Relaxed),
            commits: shared.commits.load(Relaxed),
            most_in_flight: shared.most_in_flight.load(Relaxed),
        }
    }

    /// Forgets objects, versions, faults, latency and counts, and releases what is stalled.
    pub fn reset(&self) {
        let shared = &self.0;
        {
            let mut state = shared.state.lock();
            let etags = state.etags;
            // Etags go on where they were, or a write from before could match an object from after.
            let next_etag = state.next_etag;
            *state = State { etags, next_etag, ..State::default() };
        }
        shared.latency_us.store(0, Relaxed);
        for count in [&shared.gets, &shared.puts, &shared.commits, &shared.most_in_flight] {
            count.store(0, Relaxed);
        }
        self.release();
    }

    /// This store, for one engine.
    pub(crate) fn prefixed(&self, prefix: &str, largest_body: usize) -> Prefixed {
        Prefixed { store: self.clone(), prefix: prefix.to_owned(), largest_body }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryStore {
    /// Without the content: values are never logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryStore({} objects)", self.0.state.lock().objects.len())
    }
}

/// The store under an engine's prefix.
#[derive(Clone)]
pub(crate) struct Prefixed {
    store: MemoryStore,
    prefix: String,
    largest_body: usize,
}

impl Prefixed {
    fn full(&self, name: &ObjectName) -> String {
        format!("{}{}", self.prefix, name.as_str())
    }

    fn shared(&self) -> &Shared {
        &self.store.0
    }

    /// The point in time at which a PUT happens, or does not.
    fn apply(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        let mut state = self.shared().state.lock();
        let full = self.full(name);
        let holds = match (state.objects.get(&full), precondition) {
            (None, Precondition::Absent) => true,
            (Some(object), Precondition::Matches(etag)) => object.etag == *etag,
            (None, Precondition::Matches(_)) => return PutOutcome::Gone,
            (Some(_), Precondition::Absent) => false,
        };
        if !holds {
            return PutOutcome::Moved;
        }
        self.shared().commits.fetch_add(1, Relaxed);
        PutOutcome::Written(state.write(&full, body, now_ms()))
    }
}

#[async_trait]
impl Store for Prefixed {
    async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        let shared = self.shared();
        shared.gets.fetch_add(1, Relaxed);
        let _under_way = shared.begin();
        shared.delay().await;
        // Before the fault is taken: a release in between must be heard.
        let released = shared.released.subscribe();
        let fault = shared.state.lock().script.next_for_get();
        match fault {
            Some(Fault::FailGets { retry_after_ms, .. }) => {
                return GetOutcome::Unavailable { retry_after: retry_after_ms };
            }
            Some(Fault::DenyGets { .. }) => return GetOutcome::Denied,
            Some(Fault::StallGets { .. }) => until_released(released).await,
            Some(
                Fault::FailPuts { .. }
                | Fault::DropAnswers { .. }
                | Fault::StallPuts { .. }
                | Fault::Conflict { .. }
                | Fault::DenyPuts { .. }
                | Fault::OmitEtags { .. },
            )
            | None => {}
        }
        let state = shared.state.lock();
        match state.objects.get(&self.full(name)) {
            None => GetOutcome::Missing,
            Some(object) if Some(&object.etag) == unless => GetOutcome::NotModified,
            Some(object) if object.body.len() > self.largest_body => GetOutcome::TooLarge,
            Some(object) => GetOutcome::Found { etag: object.etag.clone(), body: object.body.clone() },
        }
    }

    async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        let shared = self.shared();
        shared.puts.fetch_add(1, Relaxed);
        let _under_way = shared.begin();
        shared.delay().await;
        // Before the fault is taken: a release in between must be heard.
        let released = shared.released.subscribe();
        let fault = shared.state.lock().script.next_for_put();
        match fault {
            Some(Fault::FailPuts { retry_after_ms, .. }) => {
                return PutOutcome::Unknown { retry_after: retry_after_ms };
            }
            Some(Fault::DenyPuts { .. }) => return PutOutcome::Refused(Refusal::Denied),
            Some(Fault::Conflict { with: Contention::Moved, .. }) => return PutOutcome::Moved,
            Some(Fault::Conflict { with: Contention::Busy, .. }) => return PutOutcome::Busy,
            Some(Fault::StallPuts { .. }) => {
                let (late, name, precondition) = (self.clone(), name.clone(), precondition.clone());
                let landing = tokio::spawn(async move {
                    until_released(released).await;
                    late.apply(&name, body, &precondition)
                });
                return landing.await.unwrap_or(PutOutcome::Unknown { retry_after: None });
            }
            Some(Fault::DropAnswers { .. } | Fault::OmitEtags { .. }) => {
                self.apply(name, body, precondition);
                return PutOutcome::Unknown { retry_after: None };
            }
            Some(Fault::FailGets { .. } | Fault::StallGets { .. } | Fault::DenyGets { .. }) | None => {}
        }
        self.apply(name, body, precondition)
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let shared = self.shared();
        shared.delay().await;
        let state = shared.state.lock();
        let start = match cursor {
            Some(Cursor(after)) => Bound::Excluded(after.clone()),
            None => Bound::Included(self.prefix.clone()),
        };
        let mut under = state
            .objects
            .range((start, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(&self.prefix))
            .peekable();
        let page: Vec<_> = under.by_ref().take(limit).collect();
        let next = page.last().filter(|_| under.peek().is_some()).map(|(name, _)| Cursor((*name).clone()));
        let objects = page
            .iter()
            .filter_map(|(name, object)| {
                Some(Listed {
                    name: ObjectName::parse(&name[self.prefix.len()..])?,
                    last_modified_ms: object.last_modified_ms,
                    bytes: object.body.len() as u64,
                })
            })
            .collect();
        Ok(Page { objects, next })
    }

    async fn delete_if(&self, name: &ObjectName, etag: &ETag) -> DeleteOutcome {
        let shared = self.shared();
        shared.delay().await;
        let mut state = shared.state.lock();
        let full = self.full(name);
        match state.objects.get(&full) {
            None => DeleteOutcome::Missing,
            Some(object) if object.etag != *etag => DeleteOutcome::Changed,
            Some(_) => {
                state.objects.remove(&full);
                DeleteOutcome::Deleted
            }
        }
    }

    async fn put_aside(&self, name: &ObjectName, body: Bytes) -> bool {
        let shared = self.shared();
        shared.delay().await;
        let mut state = shared.state.lock();
        let full = self.full(name);
        if !state.objects.contains_key(&full) {
            state.write(&full, body, now_ms());
        }
        true
    }

    async fn remove_scratch(&self, name: &ObjectName) {
        self.shared().state.lock().objects.remove(&self.full(name));
    }

    fn wants_probe(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        "the in-memory test store".to_owned()
    }
}

struct Shared {
    /// Never held over an await: the store is one place, and its requests are points in time.
    state: Mutex<State>,
    latency_us: AtomicU64,
    released: watch::Sender<u64>,
    gets: AtomicU64,
    puts: AtomicU64,
    commits: AtomicU64,
    in_flight: AtomicU64,
    most_in_flight: AtomicU64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            latency_us: AtomicU64::new(0),
            released: watch::channel(0).0,
            gets: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            most_in_flight: AtomicU64::new(0),
        }
    }
}

impl Shared {
    async fn delay(&self) {
        let latency = self.latency_us.load(Relaxed);
        if latency > 0 {
            tokio::time::sleep(Duration::from_micros(latency)).await;
        }
    }

    fn begin(&self) -> UnderWay<'_> {
        let now = self.in_flight.fetch_add(1, Relaxed) + 1;
        self.most_in_flight.fetch_max(now, Relaxed);
        UnderWay(self)
    }
}

async fn until_released(mut released: watch::Receiver<u64>) {
    // Ends by a release, or with the store itself.
    let _ = released.changed().await;
}

/// A request that counts as in flight until it is answered or given up.
struct UnderWay<'a>(&'a Shared);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    versions: Option<Vec<(String, Bytes)>>,
    script: Script,
    etags: EtagMode,
    next_etag: u64,
}

struct Object {
    etag: ETag,
    body: Bytes,
    last_modified_ms: u64,
}

impl State {
    fn write(&mut self, name: &str, body: Bytes, last_modified_ms: u64) -> ETag {
        self.next_etag += 1;
        let etag = match self.etags {
            EtagMode::Counter => ETag::new(self.next_etag.to_string()),
            EtagMode::Content => ETag::new(hex(&Sha256::digest(&body)[..16])),
        };
        if let Some(versions) = &mut self.versions {
            versions.push((name.to_owned(), body.clone()));
        }
        self.objects.insert(name.to_owned(), Object { etag: etag.clone(), body, last_modified_ms });
        etag
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
