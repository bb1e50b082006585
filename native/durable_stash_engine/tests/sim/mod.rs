//! A world in one thread and simulated time: several engines on one store that misbehaves, LiveViews that come and go,
//! and a record of what each was told (`durable_stash_history`).

mod live_view;
mod network;
mod node;
mod random;
mod recorder;
mod store;
mod weather;
mod world;

pub(crate) use recorder::{FAULTS, Tally};
pub(crate) use world::{Planted, Run, World};
