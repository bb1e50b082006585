//! What the fuzz targets hold true of any bytes. The parsers are the production ones; those of the NIF crate, which is
//! built for a VM only, are taken from its source files, as they know nothing of the VM.

// What a target does not call of them is not dead.
#![allow(dead_code)]

mod document;
mod json;
#[path = "../../native/durable_stash_machine/tests/support/judge.rs"]
mod judge;
#[path = "../../native/durable_stash_machine/tests/support/object.rs"]
mod object;

pub use document::document;
pub use json::{json_term, json_text};
