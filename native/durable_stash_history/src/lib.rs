//! Judges recorded histories of DurableStash: was every saved write kept, in order, once, by whom it may be?
//!
//! In: what every client asked and was told, with times, and every version of every object, in the order of effect. Out:
//! a verdict on I1 to I11 of design §1. It shares no code with what it judges: it reads the stored objects by itself.
//! Simulations, kill runs and load tests write such histories; `durable-stash-history FILE…` reads them.
//!
//! Since the versions give the order of the writes, one sweep along each chain of revisions is enough, O(n log n) in the
//! size of the history (see `chain.rs`); a read is held against the revisions that were the present one while it ran.
//!
//! # The format
//!
//! Lines of JSON, one event a line, in any number of files, in any order of files: one file for each client process is
//! best. A client writes `open`, `invoke` and `read` *before* the call and their ends after it, so that one that is
//! killed leaves a sound history: what has no end is unknown. The last line of a file may be torn.
//!
//! `t` is in microseconds since the epoch, on one clock for all. Equal times are never taken for an order.
//!
//! | event | fields besides `t` | |
//! |---|---|---|
//! | `run` | `ttl_ms` `skew_ms` `applied_age_ms` `applied_max` `tabs_per_view` `log` | the rules, where they are not the defaults. `skew_ms`: how far wall clocks of nodes are apart. `"log":false`: there are no versions, only `final` |
//! | `session` | `s` `object` | whose object is called what (the prefix does not matter). Where the secret is rotated it has several, the oldest first |
//! | `open` | `c` `s` `node` `view` `vsn` `tab` `mount` `stores_tab` `of` | a client (one LiveView, one handle) under a name of its own, on a node: one *run* of an engine. `mount`: `dead`, `fresh`, `rejoin`, or `again`, which carries on the mount of the client `of`; without it, one that no session has heard of |
//! | `opened`, `close` | `c` | the mount is over; the client is gone |
//! | `invoke` | `c` `w` `op` | a write, numbered upwards by its client. `stash`: `session`, `tab` and `shared`, objects of keys and values; `remove`: `session` and `tab` as lists of keys; `reset`; `forget`, which needs no `open` but `s` and `node` |
//! | `saved`, `failed`, `unknown` | `c`, and `w` or `upto` | the one outcome of a write, or of all up to a number that have none yet. `failed` is certain: refused, or in no later object |
//! | `flushed` | `c` `session` `tab` `shared` | the client was told that all it holds is saved: the last values that it has sent |
//! | `read`, `answer` | `c` `r` | `answer` has `found` (null, or `vsn`, `tab_vsn`, `session`, `tab`, `shared`), `rev`, `stale`; or `error`. `"scope":"session"`: it leaves the tab out, whatever is in it |
//! | `version` | `s` or `object`; `etag` `replaces` `text` | a commit: the etag that it named (null: none), and the object as text, or as base64 in `body`; or `"deleted":true`. Where its time is not known, `t` is the earliest that it can have been, and `until` the latest |
//! | `final` | `s` or `object`; `text` | what stands in the end; or `"missing":true` |
//! | `lost` | `s` | somebody took the object away, damaged it or rolled it back behind everybody's back |
//! | `stale` | `s` `node` | the store answered that node with an old revision: its reads meanwhile may be old |
//! | `drained` | `node` `unsaved` | the node's drain is over, and it says how many of its accepted writes are not saved |
//! | `start`, `kill`, `term`, `freeze`, `resume`, `drain`, `fault` | `node`; `n` | counted |
//!
//! A line without `e` is a version in the words of the S3 fault server (`GET /_versions`). No two writes have a value in
//! common, so that a value names its write. A register is (session, view, vsn, tab, key), without the tab for `:session`
//! keys; what views share stands under view `*`, vsn 1.
//!
//! Writes here take the place of what stands. A default, which gives way to it, is nothing that a history can say: the
//! machine's own simulation judges those, and the model checker.
//!
//! # Excuses
//!
//! A removal, reset, fresh mount or request to forget that was open at the time, of the committing node; the TTL; tabs
//! beyond the limit; from a `lost` on, that session's object being gone, and old requests that land in its place. Reads
//! marked stale must only be sound values of their own register.

#![forbid(unsafe_code)]

mod chain;
mod event;
mod finals;
mod history;
mod intake;
mod judge;
mod moves;
mod names;
mod object;
mod outcomes;
mod reads;
mod removals;
mod state;

pub use history::{History, NotAHistory};
pub use judge::{Broken, Promise, Verdict, judge};
