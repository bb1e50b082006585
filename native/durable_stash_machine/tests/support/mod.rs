//! What the simulation is made of: a seeded world of nodes around one document, and the history that judges it.

pub mod actions;
pub mod commits;
pub mod history;
pub mod network;
pub mod reads;
pub mod rng;
pub mod store;
pub mod world;
