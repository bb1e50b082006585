//! Directed tests of the session: each is a claim, and `fault_NN` names the row of the fault list that it covers.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/mutation.rs"]
mod mutation;
#[path = "../support/object.rs"]
mod object;
#[path = "../support/rng.rs"]
mod rng;
#[path = "../support/seeds.rs"]
mod seeds;
#[path = "../support/store.rs"]
mod store;

mod commit;
mod contention;
mod crash;
mod damage;
mod defaults;
mod expiry;
mod fence;
mod forget;
mod hostile;
mod limits;
mod names;
mod outage;
mod read;
mod shared;
