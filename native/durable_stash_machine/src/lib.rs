//! The state machine of DurableStash: one browser session's document, and every decision about it.
//!
//! Pure: no I/O, no clock, no randomness, no threads. Time, seeds and the store's answers are arguments, so that
//! a simulation or a model checker can drive the code that runs in production. Start at [`session`], whose
//! head states the contract between a [`Session`] and its driver.

#![forbid(unsafe_code)]

#[doc(hidden)]
#[macro_use]
pub mod planted;

mod backoff;
mod base;
pub mod batch;
mod build;
mod command;
mod commit;
pub mod document;
mod effect;
mod error;
mod event;
mod fence;
mod finding;
pub mod format;
mod limits;
pub mod merge;
mod name;
mod notice;
mod park;
mod phase;
mod quarantine;
mod reading;
mod retire;
mod seal;
pub mod session;
pub mod slice;
pub mod sweep;
mod write_id;

pub use command::{ClaimId, Command, RequestId, Values};
pub use effect::{Attempt, ETag, Effect, Precondition};
pub use error::{ErrorKind, FormatError};
pub use event::{Event, GetOutcome, PutOutcome, Refusal};
pub use fence::Fence;
pub use limits::{Now, Policy};
pub use name::DocumentName;
pub use notice::{Conflict, Found, Incident, Notice, Outcome, ReadAnswer};
pub use park::Parked;
pub use session::{Session, Start};
pub use slice::{Json, Key, Slot, TabId, View, Vsn};
pub use write_id::{WriteId, WriterId};
