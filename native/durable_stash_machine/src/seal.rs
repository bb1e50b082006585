//! Before a document is first written under a new name, the older name is sealed: the object there says from then on
//! where the document is to be found, and that it will not change again.
//!
//! Without this, a node that knows only the older secret, as in a rolling deploy, could go on writing under it: told
//! *saved*, and never seen again by those that know the new one (I1). With it there is one moment at which the document
//! moves, the compare-and-swap of the seal. A write under the older name either comes before, and is part of what moves,
//! or it finds the seal, and follows it. The order is: seal what there is, content included; create the document under
//! the new name; bury what was sealed, which leaves the seal alone (`retire.rs`). A node that dies in between leaves
//! nothing undone that another does not do: sealed content is read, and moved, by whoever comes next.
//!
//! Where there is no document yet, the seal is made all the same, as an empty one: else the new document could be
//! created under both names at once. A seal stands for a whole TTL. `applied` stays as it was: a seal is no batch.

use crate::base::{Base, Stored};
use crate::document::{Document, Header, close};
use crate::effect::{Attempt, ETag, Effect, Precondition};
use crate::error::ErrorKind;
use crate::event::{PutOutcome, Refusal};
use crate::format;
use crate::limits::Now;
use crate::phase::{Flight, Frozen};
use crate::session::Session;

/// A seal that is being set. The frozen batch waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seal {
    attempt: Attempt,
    /// The object as it will be.
    sealed: Stored,
    /// What it was known as when the seal left.
    before: Option<ETag>,
}

/// What has to be sealed.
#[derive(Clone, Debug)]
pub(crate) struct Unsealed {
    pub(crate) name: usize,
    pub(crate) precondition: Precondition,
    pub(crate) previous: Option<Header>,
    pub(crate) document: Document,
}

impl Session {
    pub(crate) fn seals(&self, attempt: Attempt) -> bool {
        self.seal.as_ref().is_some_and(|seal| seal.attempt == attempt)
    }

    /// What stands there becomes an object that says where the document goes.
    pub(crate) fn start_seal(&mut self, now: Now, unsealed: Unsealed) {
        let Unsealed { name, precondition, previous, document } = unsealed;
        let Some(to) = self.names.home_name().cloned() else { return };
        let write = self.next_write();
        let is_empty = document.is_blank();
        let header = close(previous.as_ref(), write, now.wall, is_empty, to, &self.policy);
        let body = format::encode(&header, &document);
        let sealed = Stored {
            // As long as nobody has answered.
            etag: ETag::new(""),
            name,
            header,
            document,
            bytes: body.len(),
            validated: now,
            vanished: false,
        };
        let attempt = self.next_attempt();
        self.seal = Some(Seal { attempt, sealed, before: self.base.version().cloned() });
        self.start(Effect::Put { attempt, name, body, precondition });
    }

    pub(crate) fn sealed(&mut self, now: Now, outcome: PutOutcome) {
        let Some(Seal { sealed, before, .. }) = self.seal.take() else { return };
        if let PutOutcome::Written(etag) = outcome {
            // Else a GET has told more since.
            if self.base.version() == before.as_ref() && self.base.is_known() {
                self.base = Base::Stored(Stored { etag, ..sealed });
                self.commits += 1;
            }
            return;
        }
        let Some(mut frozen) = self.frozen.take() else { return };
        frozen.is_denied = matches!(outcome, PutOutcome::Refused(Refusal::Denied));
        match outcome {
            PutOutcome::Written(_) => {}
            // Whether it was ours or another node's, and what stands there now, is to be seen.
            PutOutcome::Moved | PutOutcome::Gone | PutOutcome::Busy => self.look_again(now, &mut frozen, None),
            PutOutcome::Unknown { retry_after } => self.look_again(now, &mut frozen, retry_after),
            PutOutcome::Refused(Refusal::Denied | Refusal::NotSent) => {
                frozen.flight = Flight::Ready { at: self.retry_at(now, &mut frozen, None) };
            }
            PutOutcome::Refused(Refusal::Unsupported) => return self.fail(&frozen, ErrorKind::Refused),
            PutOutcome::Refused(Refusal::TooLarge) => return self.fail(&frozen, ErrorKind::TooLarge),
        }
        self.frozen = Some(frozen);
    }

    fn look_again(&mut self, now: Now, frozen: &mut Frozen, retry_after: Option<u64>) {
        let at = self.retry_at(now, frozen, retry_after);
        frozen.flight = Flight::Resolving { after: self.last_attempt(), at };
    }
}
