//! The objects, with every version that they ever had.
//!
//! Condition and effect are one step under one lock: of any number of writers that name the same etag, one wins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::condition::{Conditions, Rejection};
use crate::listing::{Listing, Wanted};
use crate::version::{Content, Version};

/// An in-memory object store. Clones are the same store; it outlives the servers that are started on it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

/// On what terms a write or a delete is asked for.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What it depends on.
    pub conditions: Conditions,
    /// The fault: the conditions are logged and otherwise passed over.
    pub ignored: bool,
    /// The request that asks.
    pub request: Option<u64>,
}

struct Shared {
    since: Instant,
    /// Held from a condition's check until its effect is in the log. Nothing is hashed or copied under it.
    state: Mutex<State>,
}

struct State {
    buckets: BTreeMap<String, Bucket>,
    /// Commit `n` is at `n - 1`.
    log: Vec<Arc<Version>>,
    latest: SystemTime,
}

/// Each key's versions, oldest first, never empty.
pub(crate) type Bucket = BTreeMap<String, Vec<Arc<Version>>>;

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// A store without buckets.
    pub fn new() -> Self {
        let state = State { buckets: BTreeMap::new(), log: Vec::new(), latest: UNIX_EPOCH };
        Self(Arc::new(Shared { since: Instant::now(), state: Mutex::new(state) }))
    }

    /// Makes a bucket, unless it is there.
    pub fn create_bucket(&self, bucket: &str) {
        self.0.state.lock().buckets.entry(bucket.to_owned()).or_default();
    }

    /// Whether there is such a bucket.
    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.0.state.lock().buckets.contains_key(bucket)
    }

    /// The object as a reader with these conditions gets it, or as it was `stale` versions ago.
    ///
    /// # Errors
    /// [`Rejection`] in every variant. An object that did not exist `stale` versions ago is a `NoSuchKey`.
    pub fn get(
        &self,
        bucket: &str,
        key: &str,
        conditions: &Conditions,
        stale: usize,
    ) -> Result<(Arc<Version>, Content), Rejection> {
        let state = self.0.state.lock();
        let versions = state.bucket(bucket)?.get(key).ok_or(Rejection::NoSuchKey)?;
        let version = versions.iter().rev().nth(stale).ok_or(Rejection::NoSuchKey)?;
        let content = version.content.as_ref().ok_or(Rejection::NoSuchKey)?;
        conditions.allow_read(&content.etag)?;
        Ok((version.clone(), content.clone()))
    }

    /// Whether a write on these terms would be let through now. Only a store that races asks first.
    pub(crate) fn check(&self, bucket: &str, key: &str, conditions: &Conditions) -> Result<(), Rejection> {
        let state = self.0.state.lock();
        conditions.allow_write(state.bucket(bucket)?.present(key))
    }

    /// Writes an object.
    ///
    /// # Errors
    /// `NoSuchBucket`, and what the conditions say: `NoSuchKey`, `PreconditionFailed`.
    pub fn put(&self, bucket: &str, key: &str, content: Content, terms: Terms) -> Result<Arc<Version>, Rejection> {
        self.commit(bucket, key, Some(content), terms)
    }

    /// Deletes an object. None if there was nothing to delete, which without `If-Match` is no error.
    ///
    /// # Errors
    /// `NoSuchBucket`, and what the conditions say: `NoSuchKey`, `PreconditionFailed`.
    pub fn delete(&self, bucket: &str, key: &str, terms: Terms) -> Result<Option<Arc<Version>>, Rejection> {
        let absent_is_fine = terms.ignored || terms.conditions.if_match.is_none();
        match self.commit(bucket, key, None, terms) {
            Ok(version) => Ok(Some(version)),
            Err(Rejection::NoSuchKey) if absent_is_fine => Ok(None),
            Err(rejection) => Err(rejection),
        }
    }

    /// Replaces an object by hand, as an operator does: no condition, and no request in the trace.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub fn overwrite(&self, bucket: &str, key: &str, body: &[u8]) -> Result<Arc<Version>, Rejection> {
        self.put(bucket, key, Content::new(body), Terms::default())
    }

    pub(crate) fn list(&self, bucket: &str, wanted: &Wanted) -> Result<Listing, Rejection> {
        Ok(Listing::of(self.0.state.lock().bucket(bucket)?, wanted))
    }

    /// The present versions of all objects of a bucket, by key; empty if there is no such bucket.
    pub fn objects(&self, bucket: &str) -> Vec<Arc<Version>> {
        let state = self.0.state.lock();
        let Ok(bucket) = state.bucket(bucket) else { return Vec::new() };
        bucket.values().filter_map(|versions| versions.last()).filter(|last| last.content.is_some()).cloned().collect()
    }

    /// Every version and deletion of one key, oldest first.
    pub fn history(&self, bucket: &str, key: &str) -> Vec<Arc<Version>> {
        let state = self.0.state.lock();
        state.buckets.get(bucket).and_then(|bucket| bucket.get(key)).cloned().unwrap_or_default()
    }

    /// Every commit after the one of this number, in order: `log(0)` is all.
    pub fn log(&self, after: u64) -> Vec<Arc<Version>> {
        let state = self.0.state.lock();
        let from = usize::try_from(after).map_or(state.log.len(), |after| after.min(state.log.len()));
        state.log[from..].to_vec()
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.0.state.lock().log.len() as u64
    }

    fn commit(
        &self,
        bucket: &str,
        key: &str,
        content: Option<Content>,
        terms: Terms,
    ) -> Result<Arc<Version>, Rejection> {
        let mut guard = self.0.state.lock();
        let state = &mut *guard;
        let objects = state.buckets.get_mut(bucket).ok_or(Rejection::NoSuchBucket)?;
        let present = objects.present(key);
        if !terms.ignored {
            terms.conditions.allow_write(present)?;
        }
        if content.is_none() && present.is_none() {
            return Err(Rejection::NoSuchKey);
        }
        state.latest = state.latest.max(SystemTime::now());
        let version = Arc::new(Version {
            commit: state.log.len() as u64 + 1,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            content,
            replaced: present.map(str::to_owned),
            conditions: terms.conditions,
            request: terms.request,
            at: state.latest,
            uptime: self.0.since.elapsed(),
        });
        objects.entry(key.to_owned()).or_default().push(version.clone());
        state.log.push(version.clone());
        Ok(version)
    }
}

impl State {
    fn bucket(&self, bucket: &str) -> Result<&Bucket, Rejection> {
        self.buckets.get(bucket).ok_or(Rejection::NoSuchBucket)
    }
}

trait Present {
    /// The etag of the object that is there now.
    fn present(&self, key: &str) -> Option<&str>;
}

impl Present for Bucket {
    fn present(&self, key: &str) -> Option<&str> {
        self.get(key)?.last()?.etag()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::condition::{ETag, ETagCondition};

    #[test]
    fn of_32_threads_that_name_one_version_exactly_one_wins_each_round() {
        const THREADS: usize = 32;
        const ROUNDS: usize = 800;
        const KEYS: usize = 50; // each thread runs along them, so that threads meet often
        let store = Store::new();
        store.create_bucket("b");
        for key in 0..KEYS {
            store.overwrite("b", &key.to_string(), b"start").unwrap();
        }
        for round in 0..ROUNDS {
            let barrier = Barrier::new(THREADS);
            let known = store.objects("b");
            let run = |thread: usize| {
                let content = Content::new(format!("{round} {thread}").as_bytes());
                barrier.wait();
                let won = known.iter().filter(|version| {
                    let etag = ETag::Strong(version.etag().unwrap().to_owned());
                    let conditions = Conditions { if_match: Some(ETagCondition::ETag(etag)), if_none_match: None };
                    store.put("b", &version.key, content.clone(), Terms { conditions, ..Terms::default() }).is_ok()
                });
                won.count()
            };
            let won: usize = std::thread::scope(|scope| {
                let run = &run;
                let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(won, KEYS, "round {round}");
            for key in 0..KEYS {
                assert_eq!(store.history("b", &key.to_string()).len(), round + 2, "key {key} in round {round}");
            }
        }
    }

    #[test]
    fn equal_content_repeats_its_etag_and_is_a_commit_of_its_own() {
        let store = Store::new();
        store.create_bucket("b");
        let etags: Vec<_> =
            [b"a", b"b", b"a"].map(|body| store.overwrite("b", "k", body).unwrap().etag().map(str::to_owned)).into();
        assert_eq!(etags[0], etags[2]);
        assert_eq!(store.history("b", "k").iter().map(|version| version.commit).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
