//! The engine over real HTTP and real signatures, against this server: the contract of every store, and faults 9 to 30 as planned.
//!
//! They are here and not among the engine's own tests because this crate needs a newer Rust than the engine does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod bodies;
mod bucket;
mod conditions;
mod conformance;
mod load;
mod refusals;

#[path = "../../../durable_stash_engine/tests/contract/mod.rs"]
mod contract;
#[path = "../../../durable_stash_engine/tests/support/mod.rs"]
mod support;
