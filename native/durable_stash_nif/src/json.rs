//! Terms to JSON text and back.
//!
//! The one place that decides what a value looks like in the store (design.md §8). What goes out comes back equal:
//! integers of any size, floats to the bit, strings to the byte. What cannot is refused with the path to the culprit,
//! never changed in silence.
//!
//! Both walks keep their own stack, so that no depth of nesting, of a term or of what the store holds, reaches the
//! thread's (fault 64). Neither knows the BEAM: [`encode`] reads any [`Tree`] and [`decode`] builds into any
//! [`Sink`], which is how they are tested without one.
//!
//! Equal terms give equal text within one run of the VM. Between two runs the order of a map's keys may differ,
//! because the VM orders atoms and hashes keys anew each time; nothing here sorts, and nobody may compare texts of
//! different runs.

mod decode;
mod encode;
#[cfg(test)]
mod model;
mod number;
mod path;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod strategies;
#[cfg(not(test))]
mod term;
mod text;

pub(crate) use decode::{Corrupt, decode};
pub(crate) use encode::{Budget, Limits, Refusal, Stop, encode};
#[cfg(not(test))]
pub(crate) use term::Terms;

/// How many lists and maps may be inside each other, the outermost one included.
pub(crate) const MAX_DEPTH: usize = 128;

/// What the document puts around a value, counted generously: how much deeper than [`MAX_DEPTH`] a whole document may
/// be.
pub(crate) const DOCUMENT_DEPTH: usize = MAX_DEPTH + 16;
