//! Exhaustive model checking of the session's state machine.
//!
//! The transition functions are those of `durable_stash_machine`, as they are released: a node of a model *is* a
//! [`Session`](durable_stash_machine::Session). What is modelled is what surrounds it: a store that keeps its
//! conditions, a network that delays, repeats, reorders and loses, nodes that die, a sweeper, LiveViews. Start at
//! [`scenarios`]; what must hold in every state of them is in `promises.rs`.
//!
//! What is assumed:
//!
//! - A request reaches the store within the time that a tombstone stands (an hour), or never.
//! - The mounts of one tab are seconds apart, on clocks that agree; or all within one millisecond, and then any may win.
//! - The store never refuses (403, 501) a copy of a request that it has applied.
//! - At a moment when something waits for a time, any node may be late. Time itself goes on in steps, from timer to
//!   timer, and for all nodes alike.
//! - States are told apart by fingerprints of 64 bits: among the few millions of one scenario that two are taken for
//!   one has a chance below one in a million.
//!
//! What is left to the seeds of the machine's own simulation: objects that are damaged or lost, documents under an older
//! secret, `:shared` keys, limits, and clocks that differ. Each model has one session: that sessions do not touch each other follows
//! from their names.

#![forbid(unsafe_code)]

mod action;
mod acts;
mod bits;
mod content;
mod ends;
mod fingerprint;
mod log;
mod model;
mod node;
mod object;
mod plant;
mod promises;
mod reached;
mod reading;
mod requests;
mod run;
mod scenario;
pub mod scenarios;
mod step;
mod told;
mod world;

#[cfg(feature = "planted-bugs")]
pub use plant::Bug;
pub use reached::Reached;
pub use run::{Figures, Verdict, check, explain};
pub use scenario::{Faults, Scenario, Script, Step};
