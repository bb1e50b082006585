//! The NIF of DurableStash: decode, call, encode. Nothing here decides anything, and nothing here blocks a scheduler.
//!
//! | module | what it is |
//! |---|---|
//! | `engine`, `session` | the two resources and their entry points |
//! | `test_store` | the in-memory store of `DurableStash.TestBackend` |
//! | `reply`, `claim` | messages to processes, and who has the last word on one |
//! | `events`, `backlog` | the engine's events on their way to telemetry |
//! | `json`, `value` | terms to JSON text and back |
//! | `runtime` | the threads, one set for the VM |
//! | `list`, `error`, `atoms` | arguments and results |
//! | `interface` | whether the Elixir side fits |
//! | `fault_hook` | panics on demand, for tests |
//!
//! What calls the VM is not built for `cargo test`: its symbols exist inside a VM only. Those modules are tested from
//! Elixir, in `test/durable_stash/native_test.exs`; the rest is written so that it needs no VM, and tested here.

// What only the modules below use has no user in a test build.
#![cfg_attr(test, allow(dead_code))]

mod backlog;
mod claim;
mod json;

#[cfg(not(test))]
mod atoms;
#[cfg(not(test))]
mod engine;
#[cfg(not(test))]
mod error;
#[cfg(not(test))]
mod events;
#[cfg(not(test))]
mod fault_hook;
#[cfg(not(test))]
mod interface;
#[cfg(not(test))]
mod list;
#[cfg(not(test))]
mod reply;
#[cfg(not(test))]
mod runtime;
#[cfg(not(test))]
mod session;
#[cfg(not(test))]
mod test_store;
#[cfg(not(test))]
mod value;

#[cfg(not(test))]
rustler::init!("Elixir.DurableStash.Native", load = interface::fits);
