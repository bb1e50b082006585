//! Reads: who waits, what the GET in flight can answer, and what an answer consists of (design §6).
//!
//! A reader that arrives while a GET is in flight waits for the next one: the one in flight may have been answered
//! by the store before the reader asked. Readers that arrive before a GET leaves share it.

use std::sync::Arc;

use crate::base::{Base, Stored};
use crate::command::{ClaimId, RequestId};
use crate::document::Document;
use crate::effect::{Attempt, ETag, Effect};
use crate::error::{ErrorKind, FormatError};
use crate::event::GetOutcome;
use crate::format;
use crate::limits::Now;
use crate::merge::{merge, superseded};
use crate::notice::{Found, Incident, Notice, ReadAnswer};
use crate::phase::Flight;
use crate::session::Session;
use crate::slice::Slot;

/// The reads of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    waiting: Vec<Reader>,
    in_flight: Option<Getting>,
    /// The store failed: ask again at this moment, not before.
    retry_at: Option<u64>,
    failures: u32,
    /// Older revisions in a row from a store that had shown newer ones.
    stale_reads: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reader {
    request: RequestId,
    slot: Arc<Slot>,
    claim: Option<ClaimId>,
    deadline: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Getting {
    attempt: Attempt,
    name: usize,
    unless: Option<ETag>,
    readers: Vec<Reader>,
    /// Revision and age of the base when the GET left: an answer below them is stale.
    floor: Option<(u64, u64)>,
}

impl Reads {
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// When the next reader's patience ends.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let in_flight = self.in_flight.iter().flat_map(|getting| &getting.readers);
        self.waiting.iter().chain(in_flight).map(|reader| reader.deadline).min()
    }

    /// The store asked for a pause.
    pub(crate) fn hold_until(&mut self, mono: u64) {
        self.retry_at = Some(self.retry_at.map_or(mono, |at| at.max(mono)));
    }

    fn take_expired(&mut self, mono: u64) -> Vec<Reader> {
        let mut expired: Vec<Reader> = self.waiting.extract_if(.., |reader| reader.deadline <= mono).collect();
        if let Some(getting) = &mut self.in_flight {
            expired.extend(getting.readers.extract_if(.., |reader| reader.deadline <= mono));
        }
        expired
    }
}

impl Session {
    pub(crate) fn read(&mut self, now: Now, request: RequestId, slot: Arc<Slot>, claim: Option<ClaimId>) {
        if claim.is_some_and(|claim| self.fence.is_superseded(&slot, claim)) {
            return self.tell(Notice::Read { request, answer: Err(ErrorKind::Superseded) });
        }
        let deadline = now.mono.saturating_add(self.policy.recover_timeout_ms);
        let reader = Reader { request, slot, claim, deadline };
        if self.may_answer_unasked(now) {
            self.answer(now, &reader, false);
        } else {
            self.reads.waiting.push(reader);
        }
    }

    /// When the next GET is to leave, if one is wanted.
    pub(crate) fn get_at(&self) -> Option<u64> {
        if self.reads.in_flight.is_some() {
            return None;
        }
        let resolving = self.frozen.as_ref().is_some_and(|frozen| matches!(frozen.flight, Flight::Resolving { .. }));
        let wanted = if resolving || !self.reads.waiting.is_empty() {
            Some(0)
        } else if self.frozen.is_none() && self.base == Base::Unknown {
            self.pending_due_at()
        } else {
            None
        };
        wanted.map(|at| at.max(self.reads.retry_at.unwrap_or(0)))
    }

    pub(crate) fn start_get(&mut self, now: Now) {
        if self.get_at().is_some_and(|at| at <= now.mono) {
            let readers = std::mem::take(&mut self.reads.waiting);
            self.get(0, readers);
        }
    }

    fn get(&mut self, name: usize, readers: Vec<Reader>) {
        let attempt = self.next_attempt();
        let unless = self.base.etag().filter(|_| self.base.name() == name).cloned();
        let standing = self.base.stored().filter(|stored| !stored.vanished);
        let floor = standing.map(|stored| (stored.header.rev, stored.header.touched_at));
        self.reads.retry_at = None;
        self.reads.in_flight = Some(Getting { attempt, name, unless: unless.clone(), readers, floor });
        self.start(Effect::Get { attempt, name, unless });
    }

    pub(crate) fn got(&mut self, now: Now, attempt: Attempt, outcome: GetOutcome) {
        let Some(getting) = self.reads.in_flight.take_if(|getting| getting.attempt == attempt) else { return };
        match outcome {
            GetOutcome::Found { etag, body } => match format::decode(&body) {
                _ if body.len() > self.policy.max_document_bytes.saturating_mul(2) => {
                    self.refuse_object(now, getting, &FormatError::TooLarge)
                }
                Ok((header, document)) => {
                    let stored = Stored {
                        etag,
                        name: getting.name,
                        header,
                        document,
                        bytes: body.len(),
                        validated_at: now.mono,
                        vanished: false,
                    };
                    self.found(now, getting, stored);
                }
                Err(error @ (FormatError::Newer(_) | FormatError::TooLarge)) => {
                    self.refuse_object(now, getting, &error)
                }
                Err(_) => self.found_damage(now, getting, etag, body),
            },
            GetOutcome::NotModified => self.not_modified(now, getting),
            GetOutcome::Missing if getting.name + 1 < self.names => self.get(getting.name + 1, getting.readers),
            GetOutcome::Missing => self.found_nothing(now, getting),
            GetOutcome::TooLarge => self.refuse_object(now, getting, &FormatError::TooLarge),
            GetOutcome::Denied => {
                self.ask_again(now, None);
                for reader in getting.readers {
                    self.tell(Notice::Read { request: reader.request, answer: Err(ErrorKind::Refused) });
                }
            }
            GetOutcome::Unavailable { retry_after } => {
                self.wait_again(getting.readers);
                self.ask_again(now, retry_after);
            }
        }
    }

    fn found(&mut self, now: Now, getting: Getting, stored: Stored) {
        let below = |floor: (u64, u64)| stored.header.rev < floor.0 && stored.header.touched_at <= floor.1;
        if getting.floor.is_some_and(below) {
            return self.found_stale(now, getting, stored);
        }
        self.reads.failures = 0;
        self.reads.stale_reads = 0;
        // The base may have moved on while the GET was under way: then the base is the newer of the two.
        let overtaken =
            self.base.stored().is_some_and(|base| base.name == stored.name && base.header.rev > stored.header.rev)
                && getting.floor.map(|(rev, _)| rev) != self.committed_rev();
        if !overtaken {
            if stored.header.is_over(now.wall) && !stored.header.buried {
                self.happened(Incident::Expired);
            }
            self.base = Base::Stored(stored);
            self.settle_by_base(now, getting.attempt);
        }
        self.empty_fresh_tabs(now);
        self.answer_all(now, getting.readers);
    }

    fn not_modified(&mut self, now: Now, getting: Getting) {
        self.reads.failures = 0;
        self.reads.stale_reads = 0;
        if self.base.etag() == getting.unless.as_ref() {
            if let Base::Stored(stored) = &mut self.base {
                stored.validated_at = now.mono;
            }
            self.settle_by_base(now, getting.attempt);
        }
        self.answer_all(now, getting.readers);
    }

    fn found_nothing(&mut self, now: Now, getting: Getting) {
        self.reads.failures = 0;
        let half_a_tombstone = self.policy.tombstone_ms / 2;
        match &mut self.base {
            // Known, and about to be created again.
            Base::Stored(stored) if stored.vanished => self.settle_by_base(now, getting.attempt),
            // A commit of ours has created it since the GET left.
            Base::Stored(stored) if getting.floor.is_none_or(|(rev, _)| rev < stored.header.rev) => {}
            // A tombstone stands far longer than this, so it was not forgotten: the store has lost what it held, and
            // this node knows what that was.
            Base::Stored(stored)
                if !stored.header.is_over(now.wall)
                    && now.mono.saturating_sub(stored.validated_at) < half_a_tombstone =>
            {
                stored.vanished = true;
                self.pending.restore = true;
                self.pending.since.get_or_insert(now.mono);
                self.settle_by_base(now, getting.attempt);
            }
            Base::Unknown | Base::Absent | Base::Stored(_) | Base::Damaged { .. } => {
                self.base = Base::Absent;
                self.settle_by_base(now, getting.attempt);
            }
        }
        self.answer_all(now, getting.readers);
    }

    /// The store shows less than it has shown before (fault 15). It is asked again; if it insists, the next
    /// compare-and-swap decides, and until then no reader is given the older revision.
    fn found_stale(&mut self, now: Now, getting: Getting, stored: Stored) {
        self.happened(Incident::StaleRead);
        self.wait_again(getting.readers);
        self.reads.stale_reads += 1;
        if self.reads.stale_reads > MAX_STALE_READS {
            self.reads.stale_reads = 0;
            self.insist(now, getting.attempt, stored);
        }
        self.ask_again(now, None);
    }

    fn found_damage(&mut self, now: Now, getting: Getting, etag: ETag, body: bytes::Bytes) {
        let known = matches!(&self.base, Base::Damaged { etag: known, .. } if *known == etag);
        if !known {
            self.happened(Incident::Corrupt);
            self.base = Base::Damaged { etag, name: getting.name, copied: false };
            self.settle_by_base(now, getting.attempt);
            self.copy_aside(getting.name, body);
        } else {
            self.settle_by_base(now, getting.attempt);
        }
        self.answer_all(now, getting.readers);
    }

    /// An object that this release must leave alone.
    fn refuse_object(&mut self, now: Now, getting: Getting, error: &FormatError) {
        let kind = error.kind();
        self.happened(match kind {
            ErrorKind::NewerFormat => Incident::NewerFormat,
            _ => Incident::Corrupt,
        });
        self.base = Base::Unknown;
        self.fail_everything(now, kind);
        for reader in getting.readers {
            self.tell(Notice::Read { request: reader.request, answer: Err(kind) });
        }
    }

    /// Whether the copy at hand may answer without a question to the store.
    fn may_answer_unasked(&self, now: Now) -> bool {
        match &self.base {
            Base::Stored(stored) if stored.vanished => false,
            Base::Stored(stored) => {
                self.policy.single_writer || stored.validated_at.saturating_add(self.policy.fresh_for_ms) > now.mono
            }
            Base::Absent => self.policy.single_writer,
            Base::Unknown | Base::Damaged { .. } => false,
        }
    }

    fn wait_again(&mut self, mut readers: Vec<Reader>) {
        readers.append(&mut self.reads.waiting);
        self.reads.waiting = readers;
    }

    fn ask_again(&mut self, now: Now, retry_after: Option<u64>) {
        self.reads.failures += 1;
        let delay_ms = self.jitter.delay(self.reads.failures, retry_after, &self.policy);
        self.reads.hold_until(now.mono.saturating_add(delay_ms));
        self.happened(Incident::Retry { delay_ms });
    }

    pub(crate) fn expire_reads(&mut self, now: Now) {
        for reader in self.reads.take_expired(now.mono) {
            if self.policy.serve_stale && self.base.is_known() {
                self.happened(Incident::StaleServed);
                self.answer(now, &reader, true);
            } else {
                self.tell(Notice::Read { request: reader.request, answer: Err(ErrorKind::Unavailable) });
            }
        }
    }

    fn answer_all(&mut self, now: Now, readers: Vec<Reader>) {
        for reader in readers {
            self.answer(now, &reader, false);
        }
    }

    /// The base and, on top, what this node has accepted and not committed.
    fn answer(&mut self, now: Now, reader: &Reader, stale: bool) {
        let answer = match self.base.error() {
            Some(kind) => Err(kind),
            None => Ok(ReadAnswer { found: self.look_up(now, reader), rev: self.committed_rev(), stale }),
        };
        self.tell(Notice::Read { request: reader.request, answer });
        if let Some(claim) = reader.claim {
            self.mounted(now, &reader.slot, claim);
        }
    }

    fn look_up(&mut self, now: Now, reader: &Reader) -> Option<Found> {
        let slot = &reader.slot;
        let document = self.document_with_accepted(now, Some(&slot.view));
        let (vsn, slice) = document.views.get(&slot.view)?.range(..=slot.vsn).next_back()?;
        let owes_emptying =
            reader.claim.and_then(|claim| self.fence.holder(slot, claim)).is_some_and(|holder| holder.starts_fresh);
        let tab = slice.tabs.get(&slot.tab).filter(|_| !owes_emptying);
        Some(Found {
            vsn: *vsn,
            session: slice.data.iter().map(|(key, json)| (key.clone(), json.clone())).collect(),
            tab: tab.into_iter().flat_map(|tab| &tab.data).map(|(key, json)| (key.clone(), json.clone())).collect(),
        })
    }

    /// The document as it will be once all that is accepted is committed; of one view only, if named.
    pub(crate) fn document_with_accepted(&self, now: Now, view: Option<&crate::slice::View>) -> Document {
        let stored = self.base.stored();
        let content = stored.and_then(|stored| stored.content(now.wall));
        let mut document = match (content, view) {
            (None, _) => Document::default(),
            (Some(content), None) => content.clone(),
            (Some(content), Some(view)) => Document {
                views: content
                    .views
                    .get_key_value(view)
                    .map(|(view, slices)| (view.clone(), slices.clone()))
                    .into_iter()
                    .collect(),
            },
        };
        let frozen = self
            .frozen
            .as_ref()
            .filter(|frozen| !stored.is_some_and(|stored| stored.header.contains(self.write_id(frozen.seq))));
        for batch in frozen.map(|frozen| &frozen.batch).into_iter().chain([&self.pending]) {
            let overtaken = superseded(&document, batch);
            if overtaken.is_empty() {
                merge(&mut document, batch, now.wall, &self.policy);
            } else {
                let mut batch = batch.clone();
                batch.claims.retain(|claim, _| !overtaken.contains(claim));
                merge(&mut document, &batch, now.wall, &self.policy);
            }
        }
        document
    }

    /// A mount has seen the document. A stored claim from the future is one of a clock that runs ahead, not of a later
    /// mount: this mount stands above it. And the visit counts for the slice's life.
    fn mounted(&mut self, now: Now, slot: &Arc<Slot>, claim: ClaimId) {
        let stored_epoch = self.base.epoch(&slot.view, &slot.tab);
        if let Some(holder) = self.fence.holder(slot, claim)
            && !holder.has_written
            && let Some(stored) = stored_epoch
            && stored >= holder.epoch
            && stored.0 > now.wall
        {
            holder.epoch = crate::slice::Epoch(stored.0 + 1);
        }
        let Some(slices) = self.base.stored().and_then(|stored| stored.content(now.wall)?.views.get(&slot.view)) else {
            return;
        };
        if let Some((vsn, slice)) = slices.range(..=slot.vsn).next_back()
            && now.wall.saturating_sub(slice.touched_at) > self.policy.ttl_ms / 8
        {
            self.pending.touched.insert((slot.view.clone(), *vsn));
            self.pending.since.get_or_insert(now.mono);
        }
    }
}

/// After so many older answers in a row the store is taken at its word, for the next compare-and-swap to judge.
const MAX_STALE_READS: u32 = 3;
