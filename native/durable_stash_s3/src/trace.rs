//! What came in and what went out: the latest requests, and counts of all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;

use crate::fault::Fault;
use crate::operation::{Head, Operation};

/// The requests that a server has dealt with. Clones are the same.
#[derive(Clone, Default)]
pub struct Trace(Arc<Shared>);

#[derive(Default)]
struct Shared {
    numbers: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    latest: VecDeque<Passed>,
    counts: Counts,
}

/// How many there were of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests of each operation, done with.
    pub operations: BTreeMap<Operation, u64>,
    /// Requests that something was made to go wrong with.
    pub faulty: u64,
    /// Requests that changed the store.
    pub committed: u64,
}

/// A request that the server is done with. In JSON, times are left out: `GET /_versions` has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// The `x-amz-request-id` of its answer.
    pub request: u64,
    /// What it was.
    pub operation: Operation,
    /// In which bucket.
    pub bucket: String,
    /// On which object.
    pub key: String,
    /// Whether it had a condition.
    pub conditional: bool,
    /// What the store answered; none if a fault kept the request from it.
    pub served: Option<u16>,
    /// What the client was sent; none if nothing.
    pub sent: Option<u16>,
    /// The last commit that it made, if any.
    pub commit: Option<u64>,
    /// What was made to go wrong.
    pub fault: Fault,
    /// When the server was done with it.
    #[serde(skip)]
    pub at: SystemTime,
}

impl Trace {
    /// The latest requests, oldest first, ten thousand at most.
    pub fn latest(&self) -> Vec<Passed> {
        self.0.state.lock().latest.iter().cloned().collect()
    }

    /// Those of the latest that are of this operation on a key with this in it.
    pub fn of(&self, operation: Operation, key_contains: &str) -> Vec<Passed> {
        let fits = |passed: &Passed| passed.operation == operation && passed.key.contains(key_contains);
        self.0.state.lock().latest.iter().filter(|passed| fits(passed)).cloned().collect()
    }

    /// Counts of all requests since the server was made.
    pub fn counts(&self) -> Counts {
        self.0.state.lock().counts.clone()
    }

    /// The number of a new request: 1, 2, 3 …
    pub(crate) fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn done(&self, request: u64, head: Head, fault: Fault, answers: Answers) {
        let passed = Passed {
            request,
            operation: head.operation,
            bucket: head.bucket,
            key: head.key,
            conditional: head.conditional,
            served: answers.served,
            sent: answers.sent,
            commit: answers.commit,
            fault,
            at: SystemTime::now(),
        };
        let mut state = self.0.state.lock();
        *state.counts.operations.entry(passed.operation).or_default() += 1;
        state.counts.faulty += u64::from(!passed.fault.is_none());
        state.counts.committed += u64::from(passed.commit.is_some());
        if state.latest.len() == CAPACITY {
            state.latest.pop_front();
        }
        state.latest.push_back(passed);
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) served: Option<u16>,
    pub(crate) sent: Option<u16>,
    pub(crate) commit: Option<u64>,
}

const CAPACITY: usize = 10_000;
