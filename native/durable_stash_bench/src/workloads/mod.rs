//! What users do.

mod burst;
mod growth;
mod herd;
mod memory;
mod saving;
mod typing;

use std::path::Path;

use crate::row::Figures;

/// Runs with the S3 server's program, and adds its rows.
pub(crate) type Workload = fn(&Path, &mut Figures) -> Result<(), String>;

pub(crate) const ALL: &[(&str, Workload)] = &[
    ("a-small-change", saving::a_small_change),
    ("many-sessions", saving::many_sessions),
    ("burst", burst::burst),
    ("typing", typing::typing),
    ("herd", herd::herd),
    ("memory", memory::memory),
    ("crawlers", memory::crawlers),
    ("growth", growth::growth),
];
