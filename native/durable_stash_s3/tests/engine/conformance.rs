//! The contract of every store, on this server without faults.

use durable_stash_engine::Backend;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::bucket::Bucket;
use crate::contract::{World, conforms};

conforms! {
    s3: |_: &str| Some(Box::new(block_in_place(|| Handle::current().block_on(Bucket::new()))) as Box<dyn World>);
}

impl World for Bucket {
    fn backend(&self) -> Backend {
        self.backend()
    }
}
