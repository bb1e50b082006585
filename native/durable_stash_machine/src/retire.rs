//! Once a document is written under the current secret, its old object is buried, or it could come back when the new
//! one is forgotten (I10). Best effort: an old release may still be writing there, and then it is left alone.

use bytes::Bytes;

use crate::effect::{Attempt, ETag, Effect, Precondition};
use crate::event::{PutOutcome, Refusal};
use crate::limits::Now;
use crate::session::Session;

/// An object under an older secret that is being buried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Retire {
    name: usize,
    etag: ETag,
    tombstone: Bytes,
    attempt: Option<Attempt>,
    retry_at: u64,
    failures: u32,
}

impl Retire {
    pub(crate) fn new(name: usize, etag: ETag, tombstone: Bytes) -> Self {
        Self { name, etag, tombstone, attempt: None, retry_at: 0, failures: 0 }
    }

    pub(crate) fn awaits(&self, attempt: Attempt) -> bool {
        self.attempt == Some(attempt)
    }

    pub(crate) fn retry_at(&self) -> Option<u64> {
        self.attempt.is_none().then_some(self.retry_at)
    }
}

impl Session {
    pub(crate) fn retry_retire(&mut self, now: Now) {
        let attempt = match &self.retire {
            Some(retire) if retire.retry_at().is_some_and(|at| at <= now.mono) => self.next_attempt(),
            Some(_) | None => return,
        };
        let Some(retire) = &mut self.retire else { return };
        retire.attempt = Some(attempt);
        let precondition = Precondition::Matches(retire.etag.clone());
        let effect = Effect::Put { attempt, name: retire.name, body: retire.tombstone.clone(), precondition };
        self.start(effect);
    }

    pub(crate) fn retired(&mut self, now: Now, outcome: PutOutcome) {
        let Some(mut retire) = self.retire.take() else { return };
        match outcome {
            PutOutcome::Written(_) | PutOutcome::Moved | PutOutcome::Gone => {}
            PutOutcome::Refused(Refusal::Unsupported | Refusal::TooLarge) => {}
            PutOutcome::Busy | PutOutcome::Refused(Refusal::Denied) | PutOutcome::Unknown { .. } => {
                retire.failures += 1;
                retire.attempt = None;
                retire.retry_at = now.mono.saturating_add(self.jitter.delay(retire.failures, None, &self.policy));
                self.retire = Some(retire).filter(|retire| retire.failures < MAX_FAILURES);
            }
        }
    }
}

const MAX_FAILURES: u32 = 8;
