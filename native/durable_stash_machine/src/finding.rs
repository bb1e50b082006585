//! What a GET's answer says of the object, and whether it may be believed.
//!
//! Bytes that cannot be read may have been spoilt on their way only: nothing follows from them before a second, whole
//! answer is the same.
//!
//! An answer is older than the moment it arrives at: what a commit of this session has put there since is newer. A
//! session with several secrets asks one name after the other, and between two answers another node may have moved
//! the document from the later name to the earlier one.

use bytes::Bytes;

use crate::base::{Base, Stored};
use crate::effect::{Attempt, ETag, Effect};
use crate::error::{ErrorKind, FormatError};
use crate::event::GetOutcome;
use crate::format;
use crate::limits::Now;
use crate::notice::Incident;
use crate::reading::Reader;
use crate::session::Session;

/// The GET in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Getting {
    attempt: Attempt,
    name: usize,
    unless: Option<ETag>,
    /// Revision and age of the base when the GET left: an answer below them is stale.
    floor: Option<(u64, u64)>,
    pub(crate) question: Question,
}

/// What is asked, under one name after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) readers: Vec<Reader>,
    /// When the first name was asked.
    left: Now,
    /// The session's commits by then: if there is another one since, it may be newer than the answer.
    commits: u64,
    /// A tombstone under an older name, to be believed if the home is still free.
    fallback: Option<Box<Stored>>,
    /// How often the question has followed a seal to another home.
    hops: u32,
}

/// An answer that could not be read, once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Suspect {
    name: usize,
    etag: ETag,
    body: Bytes,
}

impl Session {
    /// Asks for the object, at home first.
    pub(crate) fn get(&mut self, now: Now, readers: Vec<Reader>) {
        let question = Question { readers, left: now, commits: self.commits, fallback: None, hops: 0 };
        self.get_under(self.names.home(), question);
    }

    fn get_under(&mut self, name: usize, question: Question) {
        let attempt = self.next_attempt();
        // A suspicion is settled by the bytes alone: "not modified" would be the node's own copy speaking.
        let is_suspect = self.reads.suspect.as_ref().is_some_and(|suspect| suspect.name == name);
        let unless = self.base.etag().filter(|_| self.base.name() == name && !is_suspect).cloned();
        let standing = self.base.stored().filter(|stored| !stored.vanished);
        let floor = standing.map(|stored| (stored.header.rev, stored.header.touched_at));
        let effect = Effect::Get { attempt, name, unless: unless.clone() };
        self.reads.in_flight = Some(Getting { attempt, name, unless, floor, question });
        self.start(effect);
    }

    pub(crate) fn got(&mut self, now: Now, attempt: Attempt, outcome: GetOutcome) {
        let Some(getting) = self.reads.in_flight.take_if(|getting| getting.attempt == attempt) else { return };
        match outcome {
            GetOutcome::Found { body, .. } if body.len() > self.policy.max_document_bytes.saturating_mul(2) => {
                self.refuse_object(getting, ErrorKind::Corrupt, Incident::Corrupt);
            }
            GetOutcome::Found { etag, body } => match format::decode(&body) {
                Ok((header, document)) => {
                    let stored = Stored {
                        etag,
                        name: getting.name,
                        header,
                        document,
                        bytes: body.len(),
                        validated: getting.question.left,
                        vanished: false,
                    };
                    self.found(now, getting, stored);
                }
                Err(error) => self.found_unreadable(now, getting, &error, etag, body),
            },
            GetOutcome::NotModified => self.not_modified(now, getting),
            GetOutcome::Missing => self.missing(now, getting),
            GetOutcome::TooLarge => self.refuse_object(getting, ErrorKind::Corrupt, Incident::Corrupt),
            GetOutcome::Denied => {
                self.reads.is_denied = true;
                self.ask_again(now, None);
                self.refuse_readers(getting.question.readers, ErrorKind::Refused);
            }
            GetOutcome::Unavailable { retry_after } => {
                self.reads.wait_again(getting.question.readers);
                self.ask_again(now, retry_after);
            }
        }
    }

    fn found(&mut self, now: Now, getting: Getting, stored: Stored) {
        if let Some(to) = &stored.header.moved_to
            && self.names.follow(stored.name, to)
        {
            let hops = getting.question.hops + 1;
            // Seals that lead in a circle: the secrets were rotated to and fro at once.
            if hops > MAX_HOPS {
                return self.refuse_object(getting, ErrorKind::Corrupt, Incident::Corrupt);
            }
            return self.get_under(self.names.home(), Question { hops, ..getting.question });
        }
        if stored.name != self.names.home() && stored.header.buried && getting.question.fallback.is_none() {
            // Another node may have moved the document since the home was asked for it.
            let fallback = Some(Box::new(stored));
            return self.get_under(self.names.home(), Question { fallback, ..getting.question });
        }
        let below = |floor: (u64, u64)| stored.header.rev < floor.0 && stored.header.touched_at <= floor.1;
        if getting.floor.is_some_and(below) {
            return self.found_stale(now, getting, stored);
        }
        self.reads.succeeded();
        let rank = |stored: &Stored| self.names.rank(stored.name);
        let is_newer = |base: &Stored| (rank(&stored), base.header.rev) > (rank(base), stored.header.rev);
        let overtaken = self.commits != getting.question.commits && self.base.stored().is_some_and(is_newer);
        if !overtaken {
            if stored.header.is_over(now.wall) && !stored.header.buried {
                self.happened(Incident::Expired);
            }
            self.base = Base::Stored(stored);
            // What has been saved stands where it stands: this comes first.
            self.settle_by_base(now, getting.attempt);
            self.stand_above_the_future(now, getting.question.left.mono);
        }
        self.empty_fresh_tabs(now);
        self.answer_all(now, getting.question.readers);
    }

    fn not_modified(&mut self, now: Now, getting: Getting) {
        self.reads.succeeded();
        if self.base.etag() == getting.unless.as_ref() {
            if let Base::Stored(stored) = &mut self.base {
                stored.validated = getting.question.left;
            }
            self.settle_by_base(now, getting.attempt);
        }
        self.answer_all(now, getting.question.readers);
    }

    fn missing(&mut self, now: Now, getting: Getting) {
        let name = getting.name;
        // What stood under this name had left the older ones for good: what they still hold is over.
        let stood_here = self.base.stored().is_some_and(|stored| stored.name == name);
        let is_home = name == self.names.home();
        match (getting.question.fallback.clone(), self.names.after(name)) {
            (Some(stored), _) if is_home => self.found(now, getting, *stored),
            (_, Some(next)) if !stood_here => self.get_under(next, Question { fallback: None, ..getting.question }),
            _ => {
                self.reads.succeeded();
                // Else a commit of ours has created it since.
                if getting.question.commits == self.commits {
                    self.found_nothing(now);
                    self.settle_by_base(now, getting.attempt);
                }
                self.answer_all(now, getting.question.readers);
            }
        }
    }

    fn found_nothing(&mut self, now: Now) {
        match &mut self.base {
            // Known, and about to be created again.
            Base::Stored(stored) if stored.vanished => {}
            // A tombstone stands far longer than this, so it was not forgotten: the store has lost what it held, and
            // this node knows what that was.
            Base::Stored(stored) if !stored.header.is_over(now.wall) && !stored.may_be_forgotten(now, &self.policy) => {
                stored.vanished = true;
                self.pending.restore = true;
                self.pending.since.get_or_insert(now.mono);
            }
            Base::Unknown | Base::Absent | Base::Stored(_) | Base::Damaged { .. } => self.base = Base::Absent,
        }
    }

    /// What was to be created again is too old for that now: the node was suspended, or the store did not answer. It is
    /// asked anew, and if there is still nothing, bytes that restore the old content do not stand (`stands`).
    pub(crate) fn distrust_old_copy(&mut self, now: Now) {
        let is_too_old = |stored: &Stored| stored.vanished && stored.may_be_forgotten(now, &self.policy);
        if self.base.stored().is_some_and(is_too_old) {
            self.base = Base::Unknown;
        }
    }

    /// The store shows less than it has shown before (fault 15). It is asked again; if it insists, the next
    /// compare-and-swap decides, and until then no reader is given the older revision.
    fn found_stale(&mut self, now: Now, getting: Getting, stored: Stored) {
        self.happened(Incident::StaleRead);
        self.reads.wait_again(getting.question.readers);
        self.reads.stale_reads += 1;
        if self.reads.stale_reads > MAX_STALE_READS {
            self.reads.stale_reads = 0;
            self.insist(now, getting.attempt, stored);
        }
        self.ask_again(now, None);
    }

    /// Damage, an object of a newer release, or bytes that were spoilt on their way.
    fn found_unreadable(&mut self, now: Now, getting: Getting, error: &FormatError, etag: ETag, body: Bytes) {
        let suspect = Suspect { name: getting.name, etag, body };
        let is_known = matches!(&self.base, Base::Damaged { etag, .. } if *etag == suspect.etag);
        let before = self.reads.suspect.take();
        if !is_known && before.as_ref() != Some(&suspect) {
            self.reads.wait_again(getting.question.readers);
            self.reads.suspect = Some(suspect);
            // The first time there is no reason to wait.
            if before.is_some() {
                self.ask_again(now, None);
            }
            return;
        }
        let Suspect { etag, body, .. } = suspect;
        match error {
            FormatError::Newer(_) => self.refuse_object(getting, ErrorKind::NewerFormat, Incident::NewerFormat),
            FormatError::NoHeader
            | FormatError::Header(_)
            | FormatError::Length { .. }
            | FormatError::Checksum
            | FormatError::Body(_)
            | FormatError::TooLarge => self.found_damage(now, getting, etag, body),
        }
    }

    fn found_damage(&mut self, now: Now, getting: Getting, etag: ETag, body: Bytes) {
        // Else a commit of ours has replaced it since.
        if self.commits == getting.question.commits {
            if self.base.version() != Some(&etag) || self.base.stored().is_some() {
                self.happened(Incident::Corrupt);
                let last = self.last_known(now, &body);
                self.base = Base::Damaged { etag, name: getting.name, copied: false, last };
                self.quarantine = None;
            }
            self.settle_by_base(now, getting.attempt);
            if !self.base.is_known() && self.quarantine.is_none() {
                self.copy_aside(getting.name, body);
            }
        }
        self.answer_all(now, getting.question.readers);
    }

    /// What stood there before the damage, unless that was forgotten since.
    fn last_known(&mut self, now: Now, damaged: &[u8]) -> Option<Box<Stored>> {
        let is_tombstone = format::decode_header(damaged).is_ok_and(|header| header.buried);
        let last = match std::mem::replace(&mut self.base, Base::Unknown) {
            Base::Stored(stored) => Some(Box::new(stored)),
            Base::Damaged { last, .. } => last,
            Base::Unknown | Base::Absent => None,
        };
        last.filter(|last| !is_tombstone && !last.header.is_over(now.wall))
    }

    /// An object that this release must leave alone.
    fn refuse_object(&mut self, getting: Getting, kind: ErrorKind, incident: Incident) {
        self.happened(incident);
        self.base = Base::Unknown;
        self.fail_everything(kind);
        self.refuse_readers(getting.question.readers, kind);
    }

    fn ask_again(&mut self, now: Now, retry_after: Option<u64>) {
        self.reads.failures += 1;
        let delay_ms = self.jitter.delay(self.reads.failures, retry_after, &self.policy);
        self.reads.hold_until(now.mono.saturating_add(delay_ms));
        self.happened(Incident::Retry { delay_ms });
    }
}

/// After so many older answers in a row the store is taken at its word, for the next compare-and-swap to judge.
const MAX_STALE_READS: u32 = 3;
/// More rotations than anybody makes while a seal stands.
const MAX_HOPS: u32 = 16;
