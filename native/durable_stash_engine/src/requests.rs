//! The way from a session to the store: the limit on requests in flight, the time that each may take, the gate.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome, Refusal};
use tokio::sync::Semaphore;

use crate::gate::{Admission, Gate};
use crate::stats::{Counters, down, up};
use crate::store::{ObjectName, Store};

/// Makes the sessions' requests.
pub(crate) struct Requests {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) gate: Arc<Gate>,
    counters: Arc<Counters>,
    /// Taken before the time of a request begins: to wait for one's turn is no fault of the store.
    turns: Semaphore,
    attempt_timeout: Duration,
}

impl Requests {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        gate: Arc<Gate>,
        counters: Arc<Counters>,
        in_flight: usize,
        attempt_timeout: Duration,
    ) -> Self {
        let turns = Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS));
        Self { store, gate, counters, turns, attempt_timeout }
    }

    pub(crate) async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        up(&self.counters.gets);
        let answer = self.in_turn(|| self.store.get(name, unless)).await;
        let outcome = answer.unwrap_or(GetOutcome::Unavailable { retry_after: None });
        self.note(!matches!(outcome, GetOutcome::Unavailable { .. } | GetOutcome::Denied));
        outcome
    }

    pub(crate) async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        match self.gate.admit(self.attempt_timeout).await {
            Admission::Go => {}
            Admission::Later => return PutOutcome::Refused(Refusal::NotSent),
            Admission::Never => return PutOutcome::Refused(Refusal::Unsupported),
        }
        // What waits for its turn for as long as a request may take has not left, and the machine decides anew.
        let Ok(turn) = tokio::time::timeout(self.attempt_timeout, self.turns.acquire()).await else {
            return PutOutcome::Refused(Refusal::NotSent);
        };
        up(&self.counters.puts);
        let _in_flight = InFlight::begin(&self.counters);
        let answer = tokio::time::timeout(self.attempt_timeout, self.store.put(name, body, precondition)).await;
        drop(turn);
        let outcome = answer.unwrap_or(PutOutcome::Unknown { retry_after: None });
        self.note(!matches!(outcome, PutOutcome::Unknown { .. } | PutOutcome::Refused(Refusal::Denied)));
        outcome
    }

    pub(crate) async fn put_aside(&self, name: &ObjectName, body: Bytes) -> bool {
        self.in_turn(|| self.store.put_aside(name, body)).await.unwrap_or(false)
    }

    /// Awaits the answer, in turn and in time. None if the time ran out. Nothing is made of the request before its turn:
    /// thousands may wait for theirs.
    async fn in_turn<T, R: Future<Output = T>>(&self, request: impl FnOnce() -> R) -> Option<T> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.ok()?;
        let _in_flight = InFlight::begin(&self.counters);
        tokio::time::timeout(self.attempt_timeout, request()).await.ok()
    }

    fn note(&self, usable: bool) {
        if !usable {
            up(&self.counters.unanswered);
        }
        self.gate.answered(usable, || trouble_sentence(&*self.store));
    }
}

/// That the store does not answer, and what it last said.
pub(crate) fn trouble_sentence(store: &dyn Store) -> String {
    let described = store.describe();
    match store.trouble() {
        Some(trouble) => format!("{described} gives no usable answer: {trouble}. The engine keeps trying."),
        None => format!("{described} gives no usable answer. The engine keeps trying."),
    }
}

/// Counts a request as under way until it is answered or given up.
struct InFlight<'a>(&'a Counters);

impl<'a> InFlight<'a> {
    fn begin(counters: &'a Counters) -> Self {
        up(&counters.in_flight);
        Self(counters)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        down(&self.0.in_flight);
    }
}
