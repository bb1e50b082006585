//! The commit protocol (design §5): freeze, send, and find out what became of it. `phase.rs` has the picture.

use crate::base::{Base, Stored};
use crate::batch::{Batch, ClaimEdit, Emptying};
use crate::command::ClaimId;
use crate::effect::{Attempt, Effect, Precondition};
use crate::error::ErrorKind;
use crate::event::{PutOutcome, Refusal};
use crate::limits::Now;
use crate::notice::{Conflict, Incident, Notice, Outcome};
use crate::phase::{Built, Flight, Frozen};
use crate::session::Session;
use crate::write_id::WriteId;

impl Session {
    /// Pending becomes frozen: from here on it has a number and nothing is added to it.
    pub(crate) fn freeze(&mut self, now: Now) {
        let due = self.pending_due_at().is_some_and(|at| at <= now.mono);
        if self.frozen.is_some() || !due || !self.base.is_known() {
            return;
        }
        let batch = std::mem::take(&mut self.pending);
        let applied = self.base.stored().and_then(|stored| stored.header.applied.get(&self.writer));
        self.last_seq = self.last_seq.max(applied.map_or(0, |applied| applied.seq));
        let seq = self.next_write().seq;
        self.frozen = Some(Frozen {
            batch,
            seq,
            written_as: seq,
            built: None,
            flight: Flight::Ready { at: now.mono },
            may_land: false,
            confirmed: false,
            is_denied: false,
            attempts: 0,
            failures: 0,
            insisted: None,
        });
    }

    pub(crate) fn send(&mut self, now: Now) {
        let Some(frozen) = &self.frozen else { return };
        let is_due = matches!(frozen.flight, Flight::Ready { at } if at <= now.mono);
        // What is damaged must have been copied aside before bytes that were made earlier replace it, too.
        if !is_due || !self.base.is_known() || self.seal.is_some() || (frozen.built.is_none() && !self.build(now)) {
            return;
        }
        let attempt = self.next_attempt();
        let Some(frozen) = &mut self.frozen else { return };
        let Some(built) = &frozen.built else { return };
        let effect = Effect::Put {
            attempt,
            name: built.name,
            body: built.body.clone(),
            precondition: built.precondition.clone(),
        };
        frozen.flight = Flight::Sending { attempt, sent: now };
        frozen.attempts += 1;
        self.start(effect);
        planted!(self.policy, SavedTooEarly, { self.plant_saved_too_early() });
    }

    pub(crate) fn put(&mut self, now: Now, attempt: Attempt, outcome: PutOutcome) {
        let awaited = |frozen: &mut Frozen| frozen.flight.sent(attempt).is_some();
        let Some(mut frozen) = self.frozen.take_if(awaited) else { return };
        frozen.is_denied = matches!(outcome, PutOutcome::Refused(Refusal::Denied));
        planted!(self.policy, LostIsMine, {
            if outcome == PutOutcome::Moved {
                return self.saved(now, frozen, 0, 0);
            }
        });
        planted!(self.policy, LostIsNeverMine, {
            if outcome == PutOutcome::Moved {
                frozen.seq = self.next_write().seq;
                (frozen.written_as, frozen.built) = (frozen.seq, None);
            }
        });
        match outcome {
            PutOutcome::Written(etag) => return self.written(now, attempt, frozen, etag),
            PutOutcome::Moved => self.lost(now, &mut frozen, Conflict::Moved),
            PutOutcome::Gone => self.lost(now, &mut frozen, Conflict::Gone),
            PutOutcome::Busy => self.lost(now, &mut frozen, Conflict::Busy),
            // Credentials may recover, and nothing has happened: the same again, later.
            PutOutcome::Refused(Refusal::Denied | Refusal::NotSent) => {
                frozen.flight = Flight::Ready { at: self.retry_at(now, &mut frozen, None) };
            }
            PutOutcome::Refused(Refusal::Unsupported) => return self.fail(&frozen, ErrorKind::Refused),
            PutOutcome::Refused(Refusal::TooLarge) => return self.fail(&frozen, ErrorKind::TooLarge),
            PutOutcome::Unknown { retry_after } => {
                frozen.may_land = true;
                let at = self.retry_at(now, &mut frozen, retry_after);
                frozen.flight = Flight::Resolving { after: self.last_attempt(), at };
                if let Some(pause) = retry_after {
                    self.reads.hold_until(now.mono.saturating_add(pause.min(MAX_PAUSE_MS)));
                }
            }
        }
        self.frozen = Some(frozen);
    }

    fn written(&mut self, now: Now, attempt: Attempt, mut frozen: Frozen, etag: crate::effect::ETag) {
        let Some(built) = &mut frozen.built else { return };
        let (rev, bytes) = (built.header.rev, built.body.len());
        if built.name != self.names.home() {
            // It was in time before the object was sealed, and is part of what has moved.
            return self.saved(now, frozen, rev, bytes);
        }
        self.base = Base::Stored(Stored {
            etag,
            name: built.name,
            header: built.header.clone(),
            document: std::mem::take(&mut built.document),
            bytes,
            // Later it may already have been replaced.
            validated: frozen.flight.sent(attempt).unwrap_or(now),
            vanished: false,
        });
        self.commits += 1;
        self.saved(now, frozen, rev, bytes);
        self.empty_fresh_tabs(now);
    }

    /// The base was read anew by the GET `attempt`: what does it say of the frozen batch?
    pub(crate) fn settle_by_base(&mut self, now: Now, attempt: Attempt) {
        let Some(mut frozen) = self.frozen.take() else { return };
        let stored = self.base.stored();
        if let Some(stored) = stored.filter(|stored| stored.header.contains(self.write_id(frozen.seq))) {
            let (rev, bytes) = (stored.header.rev, stored.bytes);
            self.happened(Incident::Resolved { saved: true });
            return self.saved(now, frozen, rev, bytes);
        }
        let stands = frozen.built.as_ref().map(|built| self.stands(built));
        match (frozen.flight, stands) {
            // Its answer is still to come, and will be judged then.
            (Flight::Sending { .. }, _) => {}
            // This GET left before the PUT was answered.
            (Flight::Resolving { after, .. }, _) if attempt <= after => {}
            (Flight::Ready { .. }, Some(true) | None) => {}
            (Flight::Resolving { at, .. }, Some(true)) => {
                self.happened(Incident::Resolved { saved: false });
                frozen.flight = Flight::Ready { at: at.max(now.mono) };
            }
            // They may have been applied and overwritten so long ago that the object no longer remembers: building them
            // anew could apply them twice, over what came after.
            (Flight::Ready { .. } | Flight::Resolving { .. }, Some(false)) if self.may_be_forgotten(&frozen) => {
                return self.fail(&frozen, ErrorKind::Unavailable);
            }
            // What the bytes were built on is no more: they can never be applied. Build them anew on what there is.
            (Flight::Ready { at } | Flight::Resolving { at, .. }, Some(false)) => {
                planted!(self.policy, BlindRebase, { self.plant_blind_rebase(&frozen) });
                let built = frozen.built.take();
                // Bytes that restore what is not to come back are in nobody's way either: they may yet be applied.
                frozen.may_land &= matches!(self.base, Base::Absent) && built.is_some_and(|built| built.restores);
                frozen.flight = Flight::Ready { at: at.max(now.mono) };
            }
            // It was to be asked whether there is anything to forget.
            (Flight::Resolving { at, .. }, None) => {
                frozen.confirmed = true;
                frozen.flight = Flight::Ready { at: at.max(now.mono) };
            }
        }
        self.frozen = Some(frozen);
    }

    /// Whether `applied` could have lost the batch's entry by age or by number, on whatever clock it was pruned.
    fn may_be_forgotten(&self, frozen: &Frozen) -> bool {
        let (Some(built), Some(stored)) = (&frozen.built, self.base.stored()) else { return false };
        let age = stored.header.touched_at.saturating_sub(built.header.touched_at);
        let is_crowded = stored.header.applied.len() >= self.policy.applied_max;
        frozen.may_land && (age >= self.policy.applied_age_ms || is_crowded)
    }

    /// Whether the bytes may still be applied.
    fn stands(&self, built: &Built) -> bool {
        let home = self.names.home();
        if built.name != home {
            return false;
        }
        match (&built.precondition, &self.base) {
            (Precondition::Matches(etag), base) => base.version() == Some(etag),
            // What was forgotten since must not come back.
            (Precondition::Absent, Base::Absent) => !built.restores,
            (Precondition::Absent, Base::Stored(stored)) => stored.vanished || stored.name != home,
            (Precondition::Absent, Base::Damaged { name, .. }) => *name != home,
            (Precondition::Absent, Base::Unknown) => false,
        }
    }

    /// The store insists on an older revision than it had shown: build on that and let the compare-and-swap judge.
    pub(crate) fn insist(&mut self, now: Now, attempt: Attempt, stored: Stored) {
        let Some(frozen) = &mut self.frozen else { return };
        if matches!(frozen.flight, Flight::Resolving { after, .. } if attempt > after) {
            if stored.header.contains(WriteId { writer: self.writer, seq: frozen.seq }) {
                self.base = Base::Stored(stored);
                return self.settle_by_base(now, attempt);
            }
            frozen.built = None;
            frozen.insisted = Some(Box::new(stored));
            frozen.flight = Flight::Ready { at: now.mono };
        }
    }

    /// Somebody else was there first. The pause comes before the look at what there is now, not after it: bytes that
    /// wait are out of date again by the time they leave, and a node that waits longer than others write would never
    /// get through (fault 8).
    fn lost(&mut self, now: Now, frozen: &mut Frozen, conflict: Conflict) {
        self.happened(Incident::Conflict(conflict));
        // The store is well: there is no reason to wait for longer and longer.
        frozen.failures = frozen.failures.min(MAX_CONFLICTS);
        let at = self.retry_at(now, frozen, None);
        frozen.flight = Flight::Resolving { after: self.last_attempt(), at };
    }

    pub(crate) fn retry_at(&mut self, now: Now, frozen: &mut Frozen, retry_after: Option<u64>) -> u64 {
        frozen.failures += 1;
        let delay_ms = self.jitter.delay(frozen.failures, retry_after, &self.policy);
        self.happened(Incident::Retry { delay_ms });
        now.mono.saturating_add(delay_ms)
    }

    fn saved(&mut self, now: Now, mut frozen: Frozen, rev: u64, bytes: usize) {
        self.fence.stored(&frozen.batch);
        let replaced = frozen.built.and_then(|built| built.replaces);
        if replaced.is_some() {
            self.happened(Incident::Rekeyed);
        }
        // Who asked to forget the document is told when it stands under no older name, either.
        let is_everywhere = self.names.has_older() && frozen.batch.forgotten.is_some();
        let requests = if is_everywhere { std::mem::take(&mut frozen.batch.forget_requests) } else { Vec::new() };
        let age_ms = now.mono.saturating_sub(frozen.batch.since.unwrap_or(now.mono));
        self.happened(Incident::Committed { rev, bytes, ops: frozen.batch.ops, attempts: frozen.attempts, age_ms });
        self.settle(&frozen.batch, Outcome::Saved { rev });
        if replaced.is_some() || !requests.is_empty() {
            self.retire(now, replaced, requests, rev);
        }
    }

    /// Says that the batch is in no later object, or, if that cannot be said, that its outcome is unknown.
    pub(crate) fn fail(&mut self, frozen: &Frozen, kind: ErrorKind) {
        let outcome = if frozen.is_open() { Outcome::Unknown } else { Outcome::Failed(kind) };
        if frozen.is_open() {
            self.fence.stored(&frozen.batch);
        }
        self.fail_batch(&frozen.batch, outcome);
    }

    fn fail_batch(&mut self, batch: &Batch, outcome: Outcome) {
        for (claim, edit) in &batch.claims {
            self.owe_fresh(*claim, edit);
        }
        self.settle(batch, outcome);
    }

    /// The emptying of a fresh mount's tab was in a batch that failed: it is still to be done, below what has been
    /// written to the tab since.
    pub(crate) fn owe_fresh(&mut self, claim: ClaimId, failed: &ClaimEdit) {
        let Some(fresh) = failed.fresh else { return };
        // The batch may have been applied for all that: what has its epoch, or a later one, is not to be emptied again.
        let owed_by = fresh.owed_by.unwrap_or_else(|| failed.epoch.before());
        let since = self.pending.claims.values_mut().find(|edit| edit.slot == failed.slot);
        if let Some(edit) = since {
            edit.start_fresh_below(Emptying { owed_by: Some(owed_by), is_reset: false, ..fresh });
        } else {
            self.fence.owe(claim, failed, owed_by);
        }
    }

    /// The object must be left alone: nothing that is accepted can be written.
    pub(crate) fn fail_everything(&mut self, kind: ErrorKind) {
        if let Some(mut frozen) = self.frozen.take() {
            // A PUT that is in flight may have been applied before the object became what it is.
            frozen.may_land |= matches!(frozen.flight, Flight::Sending { .. });
            self.fail(&frozen, kind);
        }
        let pending = std::mem::take(&mut self.pending);
        self.fail_batch(&pending, Outcome::Failed(kind));
    }

    /// Batches that grew too old are given up, but not while an answer is about to come.
    pub(crate) fn give_up(&mut self, now: Now) {
        let limit = self.policy.max_unsaved_age_ms;
        let is_over = |batch: &Batch| batch.since.is_some_and(|since| since.saturating_add(limit) <= now.mono);
        let kind = |is_denied| if is_denied { ErrorKind::Refused } else { ErrorKind::Unavailable };
        let given_up =
            self.frozen.take_if(|frozen| is_over(&frozen.batch) && !matches!(frozen.flight, Flight::Sending { .. }));
        if let Some(frozen) = given_up {
            self.fail(&frozen, kind(frozen.is_denied || self.reads.is_denied()));
        }
        // Outcomes are told in the order of acceptance: what is frozen comes first.
        if self.frozen.is_none() && is_over(&self.pending) {
            let pending = std::mem::take(&mut self.pending);
            self.fail_batch(&pending, Outcome::Failed(kind(self.reads.is_denied())));
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

    pub(crate) fn settle(&mut self, batch: &Batch, outcome: Outcome) {
        for (claim, edit) in &batch.claims {
            self.tell_outcome(*claim, edit, outcome);
        }
        for request in &batch.forget_requests {
            self.tell(Notice::Forgotten { request: *request, outcome });
        }
    }

    /// An edit without a write, as a fresh mount's emptying, is nobody's to be told of.
    pub(crate) fn tell_outcome(&mut self, claim: ClaimId, edit: &ClaimEdit, outcome: Outcome) {
        if edit.last_op > 0 {
            self.tell(Notice::Settled { claim, op: edit.last_op, outcome });
        }
    }
}

/// Of two nodes that write one document without a break, each must get its turn, at few PUTs too many: with the pause
/// bounded at four times the base, 1.2 PUTs per commit of two nodes and 2.2 of eight, and nobody waits for ten seconds.
const MAX_CONFLICTS: u32 = 2;
/// A store that asks for a longer pause is asked again after this.
const MAX_PAUSE_MS: u64 = 60_000;
