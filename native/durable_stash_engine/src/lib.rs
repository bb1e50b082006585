//! The engine of DurableStash: it drives session machines on tokio against a store, and decides nothing itself.
//!
//! | file | what it is |
//! |---|---|
//! | `engine` | start, open, forget, drain: the one entrance |
//! | `handle` | what one LiveView holds: stash, reset, recover, flush, status |
//! | `standing`, `ticket` | what became of its writes, and who waits to hear of it |
//! | `leaning` | what a LiveView was shown and is not saved yet |
//! | `registry` | which sessions are in memory; eviction against look-up |
//! | `cell`, `inbox` | the place of one session, parked or with a driver, and what the driver has yet to take |
//! | `leaving` | when parked sessions leave memory |
//! | `driver` | one task per session that has something to do: input, machine, effects, notices, one timer |
//! | `budget` | the bytes that are accepted and not yet saved |
//! | `gate`, `probe` | no PUT before the store has proved compare-and-swap; health |
//! | `requests` | the limit on requests in flight and the time that each may take |
//! | `store`, `backend/*` | the store trait; in memory, on disk, on S3 |
//! | `retry` | what a status or an I/O error means to the machine |
//! | `sweeper` | expired documents become tombstones, old tombstones go |
//! | `session_key` | from a session id to an object's name |
//! | `config`, `error`, `clock`, `tasks`, `observer`, `stats` | what their names say |

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod backend;
#[cfg(feature = "test-util")]
pub mod brake;
mod budget;
mod cell;
mod clock;
mod config;
mod driver;
mod engine;
mod error;
#[cfg(feature = "test-util")]
pub mod fault_store;
mod gate;
mod handle;
mod inbox;
mod leaning;
mod leaving;
mod observer;
mod probe;
mod registry;
mod requests;
mod retry;
mod session_key;
mod standing;
mod stats;
pub mod store;
mod sweeper;
mod sync;
mod tasks;
mod ticket;

pub use clock::Clock;
pub use config::{Backend, Config, S3Config};
pub use durable_stash_machine::{
    Conflict, ErrorKind, Found, Incident, Json, Key, Policy, ReadAnswer, Slot, TabId, Values, View, Vsn,
};
pub use engine::{DrainReport, Engine, Mount, Open, Overrides};
pub use error::Error;
pub use gate::{Health, HealthState};
pub use handle::{Change, Handle, Reply, Reset, Status, Watcher};
pub use observer::{EngineEvent, Observer, Unobserved};
pub use session_key::Secret;
pub use stats::Stats;
#[cfg(shuttle)]
pub use sync::bugs;
