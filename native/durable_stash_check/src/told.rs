//! What a node tells its LiveViews, and what they make of it.

use durable_stash_machine::{ClaimId, Conflict, ErrorKind, Incident, Notice, Outcome, ReadAnswer, RequestId};

use crate::acts::READS;
use crate::bits::Bits;
use crate::content::Change;
use crate::plant;
use crate::promises::{Promise, i4_each_key_was_there, i8_is_one_revision_and_own_writes};
use crate::reached::Reached;
use crate::reading::Shown;
use crate::step::Stepping;
use crate::world::Fate;

impl Stepping<'_> {
    pub(crate) fn told(&mut self, run: u8, notice: Notice) {
        match notice {
            Notice::Settled { claim, op, outcome } => self.settled(run, claim, op, outcome),
            Notice::Rejected { claim, op, kind } => self.rejected(run, claim, op, kind),
            Notice::Superseded { claim } => self.log.note(|| format!("claim {} is superseded", claim.0)),
            Notice::Read { request, answer } => self.answered(run, request, answer),
            Notice::Forgotten { request, outcome } => {
                self.log.note(|| format!("forgotten: {outcome:?}"));
                let op = number(request.0);
                if outcome != Outcome::Unknown {
                    self.world.reach(Reached::Forgotten);
                }
                self.settle(Bits::one(op), outcome);
            }
            Notice::Happened(incident) => self.happened(&incident),
        }
    }

    /// Every write of the claim up to this one that has no outcome has this one.
    fn settled(&mut self, run: u8, claim: ClaimId, op: u64, outcome: Outcome) {
        let last = number(op);
        let ops = self.world.ops_where(|op| op.run == run && op.fate == Fate::Open && u64::from(op.claim) == claim.0);
        let ops: Bits = ops.members().filter(|index| *index <= last && !self.is_forget(*index)).collect();
        self.log.note(|| format!("tells {}: {outcome:?}", crate::action::list(ops)));
        // I7: an answer for nobody is a second one.
        self.world.require(Promise::HonestOutcome, ops.has(last));
        if outcome == Outcome::Failed(ErrorKind::Superseded) {
            self.world.reach(Reached::ZombieFenced);
        }
        self.settle(ops, outcome);
    }

    fn settle(&mut self, ops: Bits, outcome: Outcome) {
        let (fate, reached) = match outcome {
            Outcome::Saved { .. } => (Fate::Saved, Reached::ToldSaved),
            Outcome::Failed(_) => (Fate::Failed, Reached::ToldFailed),
            Outcome::Unknown => (Fate::Unknown, Reached::ToldUnknown),
        };
        self.world.reach(reached);
        for index in ops.members() {
            let op = &mut self.world.ops[usize::from(index)];
            let is_first = op.fate == Fate::Open;
            op.fate = fate;
            let (claim, places) = (op.claim, op.places);
            self.world.require(Promise::HonestOutcome, is_first);
            if fate != Fate::Saved && outcome != Outcome::Failed(ErrorKind::Superseded) {
                self.owe(index, claim, places);
            }
        }
    }

    fn rejected(&mut self, run: u8, claim: ClaimId, op: u64, kind: ErrorKind) {
        let index = number(op);
        self.log.note(|| format!("refuses w{index}: {kind:?}"));
        let state = &mut self.world.ops[usize::from(index)];
        let is_first = state.fate == Fate::Open && state.run == run && u64::from(state.claim) == claim.0;
        state.fate = Fate::Failed;
        let (claim, places) = (state.claim, state.places);
        self.world.require(Promise::HonestOutcome, is_first);
        if kind == ErrorKind::Superseded {
            self.world.reach(Reached::ZombieRefused);
        } else {
            self.owe(index, claim, places);
        }
    }

    /// The client sends again what may not be in the store: its kept terms do not say "stored" of it.
    fn owe(&mut self, op: u8, claim: u8, places: Bits) {
        let spec = &self.scenario.ops[usize::from(op)];
        let live = &mut self.world.lives[usize::from(spec.live)];
        if spec.change == Change::Sets && live.claim == claim && !plant::forgets_failures(self.scenario.plant) {
            live.owed = live.owed.and(places);
        }
    }

    fn answered(&mut self, run: u8, request: RequestId, answer: Result<ReadAnswer, ErrorKind>) {
        let read = number(request.0 - READS + 1);
        let found = self.world.readings.iter().position(|reading| reading.read == read && reading.run == run);
        // I7: one answer for each read.
        let Some(index) = found else { return self.world.require(Promise::HonestOutcome, false) };
        let reading = self.world.readings.remove(index);
        self.log.note(|| format!("answers read {read}: {answer:?}"));
        let Ok(answer) = answer else { return };
        if answer.stale {
            return self.world.reach(Reached::StaleServed);
        }
        let (mut is_ordered, mut is_sound, mut is_own, mut is_older) = (false, false, false, false);
        if let Some(shown) = Shown::of(self.scenario, self.world, &reading, &answer) {
            is_ordered = i4_each_key_was_there(&shown);
            is_sound = i8_is_one_revision_and_own_writes(&shown);
            is_own = shown.has_uncommitted();
            is_older = shown.is_overtaken();
        }
        self.world.require(Promise::Order, is_ordered);
        self.world.require(Promise::SoundRecovery, is_sound);
        if is_own {
            self.world.reach(Reached::ReadOwnUncommitted);
        }
        if is_older {
            self.world.reach(Reached::ReadOlder);
        }
    }

    fn happened(&mut self, incident: &Incident) {
        match incident {
            Incident::Conflict(Conflict::Moved) => self.world.reach(Reached::Conflict),
            Incident::Resolved { saved: true } => self.world.reach(Reached::ResolvedSaved),
            Incident::Resolved { saved: false } => self.world.reach(Reached::ResolvedUnsaved),
            Incident::StaleRead => self.world.reach(Reached::StaleRead),
            Incident::Conflict(Conflict::Gone | Conflict::Busy)
            | Incident::Committed { .. }
            | Incident::Retry { .. }
            | Incident::StaleServed
            | Incident::Quarantined
            | Incident::Corrupt
            | Incident::NewerFormat
            | Incident::Rekeyed
            | Incident::Expired
            | Incident::TabsEvicted { .. }
            | Incident::ComponentsEvicted { .. } => {}
        }
    }

    fn is_forget(&self, op: u8) -> bool {
        let spec = &self.scenario.ops[usize::from(op)];
        let script = &self.scenario.lives[usize::from(spec.live)];
        script.steps[usize::from(spec.step)] == crate::scenario::Step::Forget
    }
}

/// Operations are numbered from 1 for the machine, from 0 here.
fn number(op: u64) -> u8 {
    u8::try_from(op - 1).unwrap_or(u8::MAX)
}
