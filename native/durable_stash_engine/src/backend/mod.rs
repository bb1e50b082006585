//! The stores: in memory, on a disk, on S3.

mod credentials;
mod disk;
mod kept;
mod memory;
mod s3;
mod s3_settings;
mod script;

use std::sync::Arc;

use crate::config::{Backend, Config};
use crate::error::Error;
use crate::store::Store;

pub use self::memory::{Counts, EtagMode, MemoryStore};
pub use self::script::{Contention, Fault};

/// The store that the configuration names, under its prefix. Nothing is asked of it yet.
pub fn open(config: &Config) -> Result<Arc<dyn Store>, Error> {
    Ok(match &config.backend {
        Backend::Memory(store) => Arc::new(store.prefixed(&config.prefix, config.largest_body())),
        Backend::Disk { path } => Arc::new(disk::DiskStore::open(path, &config.prefix, config.largest_body())?),
        Backend::S3(s3) => Arc::new(s3::S3Store::open(s3, config)?),
    })
}
