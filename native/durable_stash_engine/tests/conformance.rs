//! One contract, every backend: in memory (both kinds of etag), on disk, on a real S3-compatible server over HTTP. (On the server
//! that misbehaves as planned: native/durable_stash_s3/tests/conformance.rs.)
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contract;
mod support;

use contract::{World, conforms};
use durable_stash_engine::Backend;
use durable_stash_engine::backend::{EtagMode, MemoryStore};

conforms! {
    memory: |_: &str| boxed(InMemory(MemoryStore::new()));
    memory_with_content_hashes: |_: &str| {
        let store = MemoryStore::new();
        store.use_etags(EtagMode::Content);
        boxed(InMemory(store))
    };
    disk: |_: &str| boxed(OnDisk(support::directory()));
    s3: |test: &str| support::bucket::make(test).map(|bucket| Box::new(OnS3(bucket)) as Box<dyn World>);
}

fn boxed(world: impl World + 'static) -> Option<Box<dyn World>> {
    Some(Box::new(world))
}

struct InMemory(MemoryStore);

impl World for InMemory {
    fn backend(&self) -> Backend {
        Backend::Memory(self.0.clone())
    }
}

struct OnDisk(support::Directory);

impl World for OnDisk {
    fn backend(&self) -> Backend {
        Backend::Disk { path: self.0.path().to_owned() }
    }
}

struct OnS3(durable_stash_engine::S3Config);

impl World for OnS3 {
    fn backend(&self) -> Backend {
        Backend::S3(self.0.clone())
    }
}
