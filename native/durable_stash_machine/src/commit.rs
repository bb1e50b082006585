//! The commit protocol (design §5): freeze, build, send, and find out what became of it. `phase.rs` has the picture.

use crate::base::{Base, Stored};
use crate::batch::Batch;
use crate::command::ClaimId;
use crate::document::{Document, succeed};
use crate::effect::{Attempt, Effect, Precondition};
use crate::error::ErrorKind;
use crate::event::{PutOutcome, Refusal};
use crate::format;
use crate::limits::Now;
use crate::merge::{merge, superseded};
use crate::notice::{Conflict, Incident, Notice, Outcome};
use crate::phase::{Built, Flight, Frozen};
use crate::retire::Retire;
use crate::session::{Edits, Session};

impl Session {
    /// Pending becomes frozen: from here on it has a number and nothing is added to it.
    pub(crate) fn freeze(&mut self, now: Now) {
        let due = self.pending_due_at().is_some_and(|at| at <= now.mono);
        if self.frozen.is_some() || !due || !self.base.is_known() {
            return;
        }
        let batch = std::mem::take(&mut self.pending);
        let applied = self
            .base
            .stored()
            .and_then(|stored| stored.header.applied.get(&self.writer))
            .map_or(0, |applied| applied.seq);
        self.last_seq = self.last_seq.max(applied) + 1;
        self.frozen = Some(Frozen {
            batch,
            seq: self.last_seq,
            built: None,
            flight: Flight::Ready { at: now.mono },
            may_land: false,
            attempts: 0,
            failures: 0,
            insisted: None,
        });
    }

    pub(crate) fn send(&mut self, now: Now) {
        let Some(frozen) = &self.frozen else { return };
        if !matches!(frozen.flight, Flight::Ready { at } if at <= now.mono) {
            return;
        }
        if frozen.built.is_none() && !self.build(now) {
            return;
        }
        let attempt = self.next_attempt();
        let Some(frozen) = &mut self.frozen else { return };
        let Some(built) = &frozen.built else { return };
        let effect =
            Effect::Put { attempt, name: 0, body: built.body.clone(), precondition: built.precondition.clone() };
        frozen.flight = Flight::Sending { attempt };
        frozen.attempts += 1;
        self.start(effect);
    }

    /// Makes the bytes of the frozen batch on what is known of the object. False if there is nothing to send (yet).
    fn build(&mut self, now: Now) -> bool {
        let Some(mut frozen) = self.frozen.take() else { return false };
        let insisted = frozen.insisted.take();
        let stored = insisted.as_deref().or(self.base.stored());
        let (precondition, replaces) = match (&self.base, stored) {
            (_, Some(stored)) if stored.vanished => (Precondition::Absent, None),
            (_, Some(stored)) if stored.name > 0 => (Precondition::Absent, Some((stored.name, stored.etag.clone()))),
            (_, Some(stored)) => (Precondition::Matches(stored.etag.clone()), None),
            (Base::Damaged { etag, name: 0, copied: true }, None) => (Precondition::Matches(etag.clone()), None),
            // Damaged under an older secret: the current name is free.
            (Base::Damaged { copied: true, .. } | Base::Absent, None) => (Precondition::Absent, None),
            (Base::Unknown | Base::Stored(_) | Base::Damaged { copied: false, .. }, _) => {
                frozen.insisted = insisted;
                self.frozen = Some(frozen);
                return false;
            }
        };
        let previous = stored.map(|stored| stored.header.clone());
        let content = stored.and_then(|stored| stored.content(now.wall)).cloned().unwrap_or_default();

        for claim in superseded(&content, &frozen.batch) {
            self.drop_superseded(&mut frozen.batch, claim);
        }
        let write = self.write_id(frozen.seq);
        let (body, header, document) = loop {
            if self.is_void(&frozen.batch, previous.is_some()) {
                self.settle(&frozen.batch, Outcome::Saved { rev: previous.map_or(0, |header| header.rev) });
                return false;
            }
            let mut document = content.clone();
            let merged = merge(&mut document, &frozen.batch, now.wall, &self.policy);
            let was_buried = previous.as_ref().is_some_and(|header| header.buried);
            let buried = document.views.is_empty() && (frozen.batch.forgotten.is_some() || was_buried);
            let header = succeed(previous.as_ref(), write, now.wall, buried, &self.policy);
            let body = format::encode(&header, &document);
            if body.len() <= self.policy.max_document_bytes || !self.shed_largest(&mut frozen.batch) {
                if merged.tabs_evicted > 0 {
                    self.happened(Incident::TabsEvicted { count: merged.tabs_evicted });
                }
                break (body, header, document);
            }
        };
        frozen.built = Some(Built { precondition, body, header, document, replaces });
        self.frozen = Some(frozen);
        true
    }

    pub(crate) fn put(&mut self, now: Now, attempt: Attempt, outcome: PutOutcome) {
        let Some(mut frozen) = self.frozen.take_if(|frozen| frozen.flight == (Flight::Sending { attempt })) else {
            return;
        };
        match outcome {
            PutOutcome::Written(etag) => {
                let Some(built) = frozen.built.take() else { return };
                let rev = built.header.rev;
                if let Some((name, etag)) = built.replaces {
                    self.happened(Incident::Rekeyed);
                    self.retire = Some(Retire::new(name, etag, self.tombstone(now, &built.header)));
                }
                let bytes = built.body.len();
                self.base = Base::Stored(Stored {
                    etag,
                    name: 0,
                    header: built.header,
                    document: built.document,
                    bytes,
                    validated_at: now.mono,
                    vanished: false,
                });
                self.saved(now, &frozen, rev, bytes);
                self.empty_fresh_tabs(now);
                return;
            }
            PutOutcome::Moved => self.lost(&mut frozen, Conflict::Moved),
            PutOutcome::Gone => self.lost(&mut frozen, Conflict::Gone),
            PutOutcome::Busy => self.lost(&mut frozen, Conflict::Busy),
            PutOutcome::Refused(Refusal::Denied) => self.try_later(now, &mut frozen),
            PutOutcome::Refused(Refusal::Unsupported) => return self.fail(&frozen, ErrorKind::Refused),
            PutOutcome::Refused(Refusal::TooLarge) => return self.fail(&frozen, ErrorKind::TooLarge),
            PutOutcome::Unknown { retry_after } => {
                frozen.may_land = true;
                frozen.failures += 1;
                frozen.flight = Flight::Resolving { after: self.last_attempt() };
                if let Some(pause) = retry_after {
                    self.reads.hold_until(now.mono.saturating_add(pause.min(MAX_PAUSE_MS)));
                }
            }
        }
        self.frozen = Some(frozen);
    }

    /// The base was read anew by the GET `attempt`: what does it say of the frozen batch?
    pub(crate) fn settle_by_base(&mut self, now: Now, attempt: Attempt) {
        let Some(mut frozen) = self.frozen.take() else { return };
        let stored = self.base.stored();
        if let Some(stored) = stored.filter(|stored| stored.header.contains(self.write_id(frozen.seq))) {
            let (rev, bytes) = (stored.header.rev, stored.bytes);
            self.happened(Incident::Resolved { saved: true });
            return self.saved(now, &frozen, rev, bytes);
        }
        let Some(built) = &frozen.built else {
            self.frozen = Some(frozen);
            return;
        };
        let stands = match (&built.precondition, &self.base) {
            (Precondition::Matches(etag), base) => base.etag() == Some(etag),
            (Precondition::Absent, Base::Absent) => true,
            (Precondition::Absent, Base::Stored(stored)) => stored.vanished || stored.name > 0,
            (Precondition::Absent, Base::Unknown | Base::Damaged { .. }) => false,
        };
        match frozen.flight {
            // Its answer is still to come, and will be judged then.
            Flight::Sending { .. } => {}
            // This GET left before the PUT was answered.
            Flight::Resolving { after } if attempt <= after => {}
            Flight::Ready { .. } if stands => {}
            Flight::Resolving { .. } if stands => {
                self.happened(Incident::Resolved { saved: false });
                self.try_later(now, &mut frozen);
            }
            // What the bytes were built on is no more: they can never be applied. Build them anew on what there is.
            Flight::Ready { .. } | Flight::Resolving { .. } => {
                frozen.built = None;
                frozen.may_land = false;
                self.try_later(now, &mut frozen);
            }
        }
        self.frozen = Some(frozen);
    }

    /// The store insists on an older revision than it had shown: build on that and let the compare-and-swap judge.
    pub(crate) fn insist(&mut self, now: Now, attempt: Attempt, stored: Stored) {
        let Some(mut frozen) = self.frozen.take() else { return };
        if matches!(frozen.flight, Flight::Resolving { after } if attempt > after) {
            frozen.built = None;
            frozen.insisted = Some(Box::new(stored));
            self.try_later(now, &mut frozen);
        }
        self.frozen = Some(frozen);
    }

    fn lost(&mut self, frozen: &mut Frozen, conflict: Conflict) {
        self.happened(Incident::Conflict(conflict));
        frozen.failures += 1;
        frozen.flight = Flight::Resolving { after: self.last_attempt() };
    }

    fn try_later(&mut self, now: Now, frozen: &mut Frozen) {
        frozen.failures = frozen.failures.max(1);
        let delay_ms = self.jitter.delay(frozen.failures, None, &self.policy);
        if matches!(frozen.flight, Flight::Sending { .. }) {
            frozen.failures += 1;
        }
        frozen.flight = Flight::Ready { at: now.mono.saturating_add(delay_ms) };
        self.happened(Incident::Retry { delay_ms });
    }

    fn saved(&mut self, now: Now, frozen: &Frozen, rev: u64, bytes: usize) {
        let age_ms = now.mono.saturating_sub(frozen.batch.since.unwrap_or(now.mono));
        self.happened(Incident::Committed { rev, bytes, ops: frozen.batch.ops, attempts: frozen.attempts, age_ms });
        self.settle(&frozen.batch, Outcome::Saved { rev });
    }

    /// Says that the batch is in no later object, or, if that cannot be said, that its outcome is unknown.
    fn fail(&mut self, frozen: &Frozen, kind: ErrorKind) {
        let outcome = if frozen.may_land { Outcome::Unknown } else { Outcome::Failed(kind) };
        self.fail_batch(&frozen.batch, outcome);
    }

    fn fail_batch(&mut self, batch: &Batch, outcome: Outcome) {
        for (claim, edit) in batch.claims.iter().filter(|(_, edit)| edit.carries_fresh) {
            if let Some(holder) = self.fence.holder(&edit.slot, *claim) {
                holder.starts_fresh = true;
            }
        }
        self.settle(batch, outcome);
    }

    pub(crate) fn fail_everything(&mut self, _now: Now, kind: ErrorKind) {
        if let Some(frozen) = self.frozen.take() {
            self.fail(&frozen, kind);
        }
        let pending = std::mem::take(&mut self.pending);
        self.fail_batch(&pending, Outcome::Failed(kind));
    }

    /// Batches that grew too old are given up, but not while an answer is about to come.
    pub(crate) fn give_up(&mut self, now: Now) {
        let limit = self.policy.max_unsaved_age_ms;
        let is_over = |batch: &Batch| batch.since.is_some_and(|since| since.saturating_add(limit) <= now.mono);
        let given_up =
            self.frozen.take_if(|frozen| is_over(&frozen.batch) && !matches!(frozen.flight, Flight::Sending { .. }));
        if let Some(frozen) = given_up {
            self.fail(&frozen, ErrorKind::Unavailable);
        }
        // Outcomes are told in the order of acceptance: what is frozen comes first.
        if self.frozen.is_none() && is_over(&self.pending) {
            let pending = std::mem::take(&mut self.pending);
            self.fail_batch(&pending, Outcome::Failed(ErrorKind::Unavailable));
        }
    }

    pub(crate) fn give_up_at(&self) -> Option<u64> {
        let since = match &self.frozen {
            Some(Frozen { flight: Flight::Sending { .. }, .. }) => None,
            Some(frozen) => frozen.batch.since,
            None => self.pending.since,
        };
        since.map(|since| since.saturating_add(self.policy.max_unsaved_age_ms))
    }

    fn settle(&mut self, batch: &Batch, outcome: Outcome) {
        for (claim, edit) in batch.claims.iter().filter(|(_, edit)| edit.last_op > 0) {
            self.tell(Notice::Settled { claim: *claim, op: edit.last_op, outcome });
        }
        for request in &batch.forget_requests {
            self.tell(Notice::Forgotten { request: *request, outcome });
        }
    }

    /// A later claim of the tab is in the store: these edits must not be applied (I6).
    fn drop_superseded(&mut self, batch: &mut Batch, claim: ClaimId) {
        let Some(edit) = batch.claims.remove(&claim) else { return };
        self.fence.supersede(&edit.slot, claim);
        if edit.last_op > 0 {
            let outcome = Outcome::Failed(ErrorKind::Superseded);
            self.tell(Notice::Settled { claim, op: edit.last_op, outcome });
        }
        self.tell(Notice::Superseded { claim });
    }

    /// Takes out the claim that weighs most. False if there is none.
    fn shed_largest(&mut self, batch: &mut Batch) -> bool {
        let weight = |edit: &crate::batch::ClaimEdit| {
            let of = |layer: &crate::batch::Layer| -> usize {
                layer.edits.values().map(|edit| edit.value.as_ref().map_or(0, |json| json.as_str().len())).sum()
            };
            of(&edit.session) + of(&edit.tab)
        };
        let Some(claim) = batch.claims.iter().max_by_key(|(_, edit)| weight(edit)).map(|(claim, _)| *claim) else {
            return false;
        };
        let Some(edit) = batch.claims.remove(&claim) else { return false };
        if edit.last_op > 0 {
            self.tell(Notice::Settled { claim, op: edit.last_op, outcome: Outcome::Failed(ErrorKind::TooLarge) });
        }
        true
    }

    /// Whether committing it would change nothing that exists.
    fn is_void(&self, batch: &Batch, has_object: bool) -> bool {
        let has_edits = batch.claims.values().any(|edit| !edit.is_empty());
        !has_edits && (!has_object || (batch.forgotten.is_none() && batch.touched.is_empty() && !batch.restore))
    }

    /// A cheap upper bound says that the document might outgrow its limit.
    pub(crate) fn is_near_limit(&self, edits: &Edits) -> bool {
        let base = self.base.stored().map_or(0, |stored| stored.bytes);
        base + self.unsaved_bytes() + edits.bytes() > self.policy.max_document_bytes
    }

    /// The exact answer.
    pub(crate) fn outgrows(&self, now: Now) -> bool {
        let body = format::encode_body(&self.document_with_accepted(now, None));
        body.len() + HEADER_ALLOWANCE > self.policy.max_document_bytes
    }

    fn tombstone(&mut self, now: Now, header: &crate::document::Header) -> bytes::Bytes {
        self.last_seq += 1;
        let successor = succeed(Some(header), self.write_id(self.last_seq), now.wall, true, &self.policy);
        format::encode(&successor, &Document::default())
    }
}

/// A store that asks for a longer pause is asked again after this.
const MAX_PAUSE_MS: u64 = 60_000;
/// What a header takes at most, with `applied_max` writers in it.
const HEADER_ALLOWANCE: usize = 4 * 1024;
