//! Once a document is written under the current secret, its old object is buried, or it could come back when the new
//! one is forgotten (I10).
//!
//! After a re-key that is best effort: an old release may still be writing there, and then it is left alone. A document
//! that is to be forgotten is looked for under every older name, since the node that re-keyed it may have died in
//! between; whoever asked is told when nothing is left.

use bytes::Bytes;

use crate::command::RequestId;
use crate::document::{Document, Header, close};
use crate::effect::{Attempt, ETag, Effect, Precondition};
use crate::event::{GetOutcome, PutOutcome, Refusal};
use crate::format;
use crate::limits::Now;
use crate::notice::{Notice, Outcome};
use crate::session::Session;

/// Objects under older secrets that are being buried, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Retire {
    /// Under which names; the last one is in work.
    names: Vec<usize>,
    step: Step,
    attempt: Option<Attempt>,
    retry_at: u64,
    failures: u32,
    /// The last answer, if it could not be read.
    suspect: Option<Bytes>,
    /// Who waits for it: requests to forget the document.
    requests: Vec<RequestId>,
    /// The revision that buried the document itself.
    rev: u64,
}

/// An object under an older secret that a commit has replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Replaced {
    /// Which of the session's names.
    pub(crate) name: usize,
    /// Its version.
    pub(crate) etag: ETag,
    /// What it said of itself.
    pub(crate) header: Header,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Look,
    Bury { etag: ETag, tombstone: Bytes },
}

impl Retire {
    pub(crate) fn awaits(&self, attempt: Attempt) -> bool {
        self.attempt == Some(attempt)
    }

    pub(crate) fn retry_at(&self) -> Option<u64> {
        self.attempt.is_none().then_some(self.retry_at)
    }
}

impl Session {
    /// The commit `rev` has replaced an object under an older name, or was to forget the document, or both.
    pub(crate) fn retire(&mut self, now: Now, replaced: Option<Replaced>, requests: Vec<RequestId>, rev: u64) {
        let mut retire = self.retire.take().unwrap_or_else(|| Retire {
            names: Vec::new(),
            step: Step::Look,
            attempt: None,
            retry_at: now.mono,
            failures: 0,
            suspect: None,
            requests: Vec::new(),
            rev,
        });
        // What is in flight is waited for: its name stays the last one.
        let in_work = retire.names.last().copied().filter(|_| retire.attempt.is_some());
        if in_work.is_none() {
            retire.step = Step::Look;
            retire.retry_at = now.mono;
        }
        if !requests.is_empty() {
            retire.names = self.names.older().rev().collect();
            retire.requests.extend(requests);
        }
        if let Some(Replaced { name, etag, header }) = replaced {
            retire.names.retain(|other| *other != name);
            retire.names.push(name);
            if in_work.is_none() {
                let Some(tombstone) = self.tombstone(now, &header) else { return };
                retire.step = Step::Bury { etag, tombstone };
            }
        }
        if let Some(in_work) = in_work {
            retire.names.retain(|name| *name != in_work);
            retire.names.push(in_work);
        }
        self.retire = Some(retire);
    }

    pub(crate) fn retry_retire(&mut self, now: Now) {
        let attempt = match &self.retire {
            Some(retire) if retire.retry_at().is_some_and(|at| at <= now.mono) => self.next_attempt(),
            Some(_) | None => return,
        };
        let Some(retire) = &mut self.retire else { return };
        let Some(name) = retire.names.last().copied() else { return self.end_retire(None) };
        retire.attempt = Some(attempt);
        let effect = match &retire.step {
            Step::Look => Effect::Get { attempt, name, unless: None },
            Step::Bury { etag, tombstone } => Effect::Put {
                attempt,
                name,
                body: tombstone.clone(),
                precondition: Precondition::Matches(etag.clone()),
            },
        };
        self.start(effect);
    }

    /// What stands under an older name.
    pub(crate) fn retire_got(&mut self, now: Now, outcome: GetOutcome) {
        match outcome {
            GetOutcome::Found { etag, body } => match format::decode(&body) {
                Ok((header, _)) if !header.buried => {
                    let Some(tombstone) = self.tombstone(now, &header) else { return };
                    self.step_retire(now, Step::Bury { etag, tombstone });
                }
                // A tombstone already.
                Ok(_) => self.next_retire(now),
                // Perhaps it was spoilt on its way only. If not, no release of ours would show it to anybody.
                Err(_) => {
                    let Some(retire) = &mut self.retire else { return };
                    let before = retire.suspect.replace(body.clone());
                    if before == Some(body) { self.next_retire(now) } else { self.again_retire(now) }
                }
            },
            GetOutcome::Missing | GetOutcome::NotModified | GetOutcome::TooLarge => self.next_retire(now),
            GetOutcome::Denied | GetOutcome::Unavailable { .. } => self.again_retire(now),
        }
    }

    pub(crate) fn retired(&mut self, now: Now, outcome: PutOutcome) {
        match outcome {
            PutOutcome::Written(_) | PutOutcome::Gone => self.next_retire(now),
            PutOutcome::Moved if self.retire.as_ref().is_some_and(|retire| retire.requests.is_empty()) => {
                self.next_retire(now);
            }
            // It was ours that moved it, or somebody writes there still.
            PutOutcome::Moved => {
                self.step_retire(now, Step::Look);
                self.again_retire(now);
            }
            PutOutcome::Refused(Refusal::Unsupported | Refusal::TooLarge) => self.end_retire(Some(Outcome::Unknown)),
            PutOutcome::Busy | PutOutcome::Refused(Refusal::Denied | Refusal::NotSent) | PutOutcome::Unknown { .. } => {
                self.again_retire(now);
            }
        }
    }

    fn step_retire(&mut self, now: Now, step: Step) {
        let Some(retire) = &mut self.retire else { return };
        retire.step = step;
        retire.attempt = None;
        retire.retry_at = now.mono;
    }

    fn next_retire(&mut self, now: Now) {
        if let Some(retire) = &mut self.retire {
            retire.names.pop();
            retire.failures = 0;
            retire.suspect = None;
        }
        self.step_retire(now, Step::Look);
    }

    fn again_retire(&mut self, now: Now) {
        let Some(retire) = &mut self.retire else { return };
        retire.failures += 1;
        retire.attempt = None;
        retire.retry_at = now.mono.saturating_add(self.jitter.delay(retire.failures, None, &self.policy));
        if retire.failures >= MAX_FAILURES {
            self.end_retire(Some(Outcome::Unknown));
        }
    }

    /// Nothing is left to bury, or it could not be done.
    fn end_retire(&mut self, otherwise: Option<Outcome>) {
        let Some(retire) = self.retire.take() else { return };
        let outcome = otherwise.unwrap_or(Outcome::Saved { rev: retire.rev });
        for request in retire.requests {
            self.tell(Notice::Forgotten { request, outcome });
        }
    }

    /// The seal stays.
    fn tombstone(&mut self, now: Now, header: &Header) -> Option<Bytes> {
        let to = self.names.home_name()?.clone();
        let write = self.next_write();
        let header = close(Some(header), write, now.wall, true, to, &self.policy);
        Some(format::encode(&header, &Document::default()))
    }
}

const MAX_FAILURES: u32 = 8;
