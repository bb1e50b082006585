//! What the machine's tests share: a seeded world of nodes around one object, and the history that judges it.

pub mod history;
pub mod rng;
pub mod store;
pub mod world;
