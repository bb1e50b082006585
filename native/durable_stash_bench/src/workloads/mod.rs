//! What users do.

mod burst;
mod crawlers;
mod deploy;
mod growth;
mod herd;
mod memory;
mod saving;
mod tabs;
mod typing;

use std::path::PathBuf;
use std::time::Duration;

use crate::row::Figures;
use crate::world::Kind;

/// How much of each workload is done, and with which S3 server.
pub(crate) struct Scale {
    pub(crate) server: PathBuf,
    /// To see that everything works: the figures mean nothing.
    pub(crate) quick: bool,
}

impl Scale {
    pub(crate) fn runs(&self) -> usize {
        self.of(5, 2)
    }

    pub(crate) fn of<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub(crate) fn s3(&self, latency_ms: u64) -> Kind<'_> {
        Kind::S3 { server: &self.server, latency: Duration::from_millis(latency_ms) }
    }
}

pub(crate) type Workload = fn(&Scale, &mut Figures) -> Result<(), String>;

pub(crate) fn named(name: &str) -> Option<Workload> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, workload)| *workload)
}

/// In the order of the page.
pub(crate) const ALL: &[(&str, Workload)] = &[
    ("a-small-change", saving::a_small_change),
    ("big-neighbour", saving::big_neighbour),
    ("many-sessions", saving::many_sessions),
    ("burst", burst::burst),
    ("typing", typing::typing),
    ("many-tabs", tabs::many_tabs),
    ("herd", herd::herd),
    ("deploy-drain", deploy::drain),
    ("memory", memory::memory),
    ("crawlers", crawlers::crawlers),
    ("crawlers-that-only-look", crawlers::only_looking),
    ("growth-sessions", growth::sessions),
    ("growth-keys", growth::keys),
    ("growth-bytes", growth::bytes),
];
