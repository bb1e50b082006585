//! Whether writes may leave, and how the engine is.
//!
//! No PUT leaves before the boot probe has seen the store keep to compare-and-swap. Reads go on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::Failure;
use crate::observer::{EngineEvent, Observer};
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How the engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// In a word.
    pub state: HealthState,
    /// In a sentence, where there is something to say.
    pub reason: Option<String>,
}

/// How the engine is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// It is finding out whether the store keeps to conditions.
    Probing,
    /// All is well.
    Ready,
    /// The store does not answer; the engine keeps trying.
    Degraded,
    /// The store does not keep to conditions: nothing is written.
    Refusing,
}

/// What the probe has found so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Unproven,
    Open,
    Refused(Arc<str>),
}

/// What a write is told that asks to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Go,
    /// Not yet: ask again.
    Later,
    Never,
}

pub(crate) struct Gate {
    verdict: Mutex<Verdict>,
    /// Whoever waits for a verdict goes on in the order of arrival.
    settled: Notify,
    health: Mutex<Health>,
    /// What health says when all is well: the probe's remark, if it had one.
    remark: Mutex<Option<String>>,
    unanswered_in_a_row: AtomicU32,
    observer: Arc<dyn Observer>,
}

impl Gate {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        Self {
            verdict: Mutex::new(Verdict::Unproven),
            settled: Notify::new(),
            health: Mutex::new(Health { state: HealthState::Probing, reason: None }),
            remark: Mutex::default(),
            unanswered_in_a_row: AtomicU32::new(0),
            observer,
        }
    }

    /// Writes may leave from now on.
    pub(crate) fn open(&self, remark: Option<String>) {
        self.remark.lock().clone_from(&remark);
        self.unanswered_in_a_row.store(0, Relaxed);
        self.become_(HealthState::Ready, remark);
        self.settle(Verdict::Open);
    }

    /// No write leaves, unless the probe finds otherwise.
    pub(crate) fn refuse(&self, sentence: &str) {
        self.become_(HealthState::Refusing, Some(sentence.to_owned()));
        self.settle(Verdict::Refused(sentence.into()));
    }

    /// The store cannot be asked at present.
    pub(crate) fn degrade(&self, reason: String) {
        self.become_(HealthState::Degraded, Some(reason));
    }

    /// Why nothing can be written, if that is settled.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        match &*self.verdict.lock() {
            Verdict::Refused(sentence) => Some(Failure::Conditions { sentence: sentence.to_string() }),
            Verdict::Unproven | Verdict::Open => None,
        }
    }

    /// Waits for the verdict, but not for ever: the machine keeps its own deadlines.
    pub(crate) async fn admit(&self, patience: Duration) -> Admission {
        // Made before the look: a verdict in between is heard.
        let settled = self.settled.notified();
        if self.admission() == Admission::Later {
            let _ = tokio::time::timeout(patience, settled).await;
        }
        self.admission()
    }

    /// A request of a session ended. Some failures in a row are an outage; one answer ends it.
    pub(crate) fn answered(&self, usable: bool, trouble: impl FnOnce() -> String) {
        if usable {
            if self.unanswered_in_a_row.swap(0, Relaxed) >= OUTAGE && self.is_open() {
                self.become_(HealthState::Ready, self.remark.lock().clone());
            }
        } else if self.unanswered_in_a_row.fetch_add(1, Relaxed) + 1 == OUTAGE && self.is_open() {
            self.degrade(trouble());
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    fn settle(&self, verdict: Verdict) {
        *self.verdict.lock() = verdict;
        self.settled.notify_waiters();
    }

    fn admission(&self) -> Admission {
        match &*self.verdict.lock() {
            Verdict::Open => Admission::Go,
            Verdict::Unproven => Admission::Later,
            Verdict::Refused(_) => Admission::Never,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.verdict.lock() == Verdict::Open
    }

    fn become_(&self, state: HealthState, reason: Option<String>) {
        let health = Health { state, reason };
        let changed = {
            let mut present = self.health.lock();
            // The reason may tell of the latest try; only another state is news.
            let changed = present.state != health.state;
            present.clone_from(&health);
            changed
        };
        // Not under the lock: whoever is told may ask for our health.
        if changed {
            self.observer.happened(EngineEvent::Health(health));
        }
    }
}

/// So many requests in a row without a usable answer are an outage: one lost connection is none.
const OUTAGE: u32 = 5;
