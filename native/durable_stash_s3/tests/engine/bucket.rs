//! A server with one bucket, as the engine is told of it, and what its version log says afterwards.

use std::sync::Arc;

use durable_stash_engine::{Backend, Config, S3Config};
use durable_stash_s3::{Fault, Instead, On, Operation, Options, Passed, Rule, Server, Version};

use crate::support::{config, rev};

pub(crate) struct Bucket {
    pub(crate) server: Server,
}

impl Bucket {
    pub(crate) async fn new() -> Self {
        let bucket = Self::missing().await;
        bucket.create();
        bucket
    }

    /// A server that has no such bucket yet.
    pub(crate) async fn missing() -> Self {
        Self { server: Server::start(Options::default()).await.unwrap() }
    }

    pub(crate) fn create(&self) {
        self.server.store().create_bucket(NAME);
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend::S3(S3Config {
            bucket: NAME.into(),
            region: Some("us-east-1".into()),
            endpoint: Some(self.server.endpoint()),
            access_key_id: Some("test".into()),
            secret_access_key: Some("test".into()),
            allow_http: true,
            ..S3Config::default()
        })
    }

    pub(crate) fn config(&self) -> Config {
        config(self.backend())
    }

    /// From now on this goes wrong with such requests for documents; the probe's own are spared.
    pub(crate) fn documents(&self, operation: Operation, fault: Fault) {
        self.rule(Rule::always(documents(operation), fault));
    }

    /// The same, with a probability.
    pub(crate) fn now_and_then(&self, chance: f64, operation: Operation, fault: Fault) {
        self.rule(Rule::with_chance(chance, documents(operation), fault));
    }

    /// The next such request for a document.
    pub(crate) fn next(&self, operation: Operation, fault: Fault) {
        self.server.faults().next_on(documents(operation), fault);
    }

    /// From now on every request gets this instead of an answer.
    pub(crate) fn everything(&self, instead: Instead) {
        self.rule(Rule::always(On::default(), Fault::before(instead)));
    }

    pub(crate) fn rule(&self, rule: Rule) {
        self.server.faults().add(rule);
    }

    pub(crate) fn heal(&self) {
        self.server.faults().clear();
    }

    /// PUTs of documents that arrived.
    pub(crate) fn puts(&self) -> Vec<Passed> {
        let puts = self.server.trace().of(Operation::PutObject, "/");
        puts.into_iter().filter(|put| !put.key.contains(PROBE) && !put.key.contains("/quarantine/")).collect()
    }

    /// Every version of every document, in the order in which they came to be.
    pub(crate) fn versions(&self) -> Vec<Arc<Version>> {
        let log = self.server.store().log(0);
        log.into_iter().filter(|v| !v.key.contains(PROBE) && !v.key.contains("/quarantine/")).collect()
    }

    pub(crate) fn commits(&self) -> usize {
        self.versions().len()
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.server.store().objects(NAME).iter().any(|object| object.key.contains(part))
    }

    /// The one document's key.
    pub(crate) fn key(&self) -> String {
        let objects = self.server.store().objects(NAME);
        let keys: Vec<_> = objects.iter().map(|o| &o.key).filter(|key| !key.contains("/quarantine/")).collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0].clone()
    }

    /// I5: each document's revisions go up by one, and each commit replaced the version that its condition named.
    pub(crate) fn has_whole_chains(&self) {
        let versions = self.versions();
        let keys: std::collections::BTreeSet<_> = versions.iter().map(|version| version.key.clone()).collect();
        for key in keys {
            let chain: Vec<_> = versions.iter().filter(|version| version.key == key).collect();
            let revs: Vec<_> = chain.iter().map(|version| rev(version.body().unwrap())).collect();
            assert_eq!(revs, (1..=chain.len() as u64).collect::<Vec<_>>(), "{key}");
            for pair in chain.windows(2) {
                assert_eq!(pair[1].replaced.as_deref(), pair[0].etag());
            }
        }
    }
}

pub(crate) fn documents(operation: Operation) -> On {
    On { key_lacks: Some(PROBE.into()), ..On::operation(operation) }
}

pub(crate) const NAME: &str = "bucket";
const PROBE: &str = "/probe/";
