//! An S3 server for tests: real HTTP and real signatures on a loopback port, atomic conditional writes, every version of
//! every object kept, and faults as planned, request by request.
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use durable_stash_s3::{Fault, Instead, Operation, Options, Server};
//!
//! let server = Server::start(Options::default()).await?; // key pair `test`, `test`
//! server.store().create_bucket("bucket");
//! server.faults().next(Operation::PutObject, Fault::after(Instead::Reset)); // the next PUT commits, its answer is lost
//!
//! // … let a client loose on server.endpoint() …
//!
//! for version in server.store().log(0) {
//!     println!("{}: {} replaced {:?}", version.commit, version.key, version.replaced);
//! }
//! # std::io::Result::Ok(())
//! # })?;
//! # std::io::Result::Ok(())
//! ```
//!
//! The same from a shell, and from a test in another language:
//!
//! ```text
//! $ durable-stash-s3 --port 0 --plan plans/brown-out.json --bucket bucket
//! listening on http://127.0.0.1:43217
//! $ curl -X PUT  http://127.0.0.1:43217/_plan -d '{"rules":[{"fault":{"before":"reset"}}]}'
//! $ curl         http://127.0.0.1:43217/_versions/bucket/some/key
//! ```
//!
//! - [`Plan`] says which requests get which [`Fault`]; its module documents the JSON of both.
//! - [`Store`] has the objects and the version log; [`Trace`] the requests.
//! - [`control`] documents the paths under `/_`.
//!
//! # What it is not
//! A copy of all of S3. It knows buckets, single-part objects, conditions, ranges, and ListObjectsV2; no multipart uploads,
//! no versioning API, no other access than by its one key pair, no virtual-hosted buckets, no TLS. Everything is in memory
//! and stays there, since no version may be forgotten. `If-Match` on a missing key is 404 `NoSuchKey`, on another version
//! 412; 409 comes from a plan only, since here a write takes no time during which another could conflict with it.

mod access;
mod answer;
mod body;
mod condition;
mod connection;
pub mod control;
mod dice;
mod fault;
mod faults;
mod listing;
mod operation;
pub mod plan;
mod server;
mod service;
mod store;
mod trace;
mod version;
mod wire;

pub use condition::{Conditions, ETag, ETagCondition, Rejection};
pub use fault::{BodyFault, ConditionFault, ETagFault, Fault, Instead, Millis};
pub use faults::Faults;
pub use operation::{Head, Operation};
pub use plan::{On, Plan, Rule, Step};
pub use server::{Options, Server};
pub use store::{Store, Terms};
pub use trace::{Counts, Passed, Trace};
pub use version::{Content, Version};
