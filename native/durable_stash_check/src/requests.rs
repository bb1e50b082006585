//! What becomes of requests: how they reach the store, and how their answers come back or do not.

use std::sync::Arc;

use durable_stash_machine::{Event, GetOutcome, Precondition, PutOutcome};

use crate::action::{Asked, list};
use crate::bits::Bits;
use crate::content::Change;
use crate::fingerprint::fingerprint;
use crate::node::{Ask, Input, Put, Request};
use crate::object::{Object, Stored};
use crate::plant;
use crate::promises::{Commit, Promise};
use crate::reached::Reached;
use crate::scenario::Step;
use crate::step::Stepping;
use crate::world::{By, Deed, Fate, Loose};

impl Stepping<'_> {
    pub(crate) fn reach(&mut self, asked: Asked, stale: bool) -> Option<()> {
        let request = self.request(asked)?;
        let answer = match &request.ask {
            Ask::Get { unless } => {
                let object = &self.world.object;
                let outcome = if stale { object.get_stale(unless.as_ref()) } else { object.get(unless.as_ref()) };
                self.log.note(|| format!("GET: {}", told_get(&outcome)));
                Event::Got { attempt: asked.attempt, outcome }
            }
            Ask::Put(put) => {
                let run = self.world.nodes[usize::from(asked.node)].run;
                let outcome = self.put(By::Run(run), put);
                Event::Put { attempt: asked.attempt, outcome }
            }
            Ask::Quarantine => Event::Quarantined { attempt: asked.attempt, ok: true },
        };
        self.change(asked.node, |node| {
            for request in node.requests.iter_mut().filter(|request| request.attempt == asked.attempt) {
                request.answer = Some(answer.clone());
            }
        });
        Some(())
    }

    pub(crate) fn repeat(&mut self, asked: Asked, is_heard: bool) -> Option<()> {
        self.world.left.repeats -= 1;
        let Ask::Put(put) = self.request(asked)?.ask else { return None };
        if is_heard {
            self.reach(asked, false)?;
            self.set_loose(asked.node, put);
            return Some(());
        }
        let run = self.world.nodes[usize::from(asked.node)].run;
        self.put(By::Run(run), &put);
        Some(())
    }

    pub(crate) fn time_out(&mut self, asked: Asked) -> Option<()> {
        self.world.left.timeouts -= 1;
        let Request { attempt, ask, answer } = self.take_request(asked)?;
        let event = match ask {
            Ask::Get { .. } => Event::Got { attempt, outcome: GetOutcome::Unavailable { retry_after: None } },
            Ask::Put(put) => {
                if answer.is_none() {
                    self.set_loose(asked.node, put);
                }
                Event::Put { attempt, outcome: PutOutcome::Unknown { retry_after: None } }
            }
            Ask::Quarantine => Event::Quarantined { attempt, ok: false },
        };
        self.turn(asked.node, Input::Event(event));
        Some(())
    }

    pub(crate) fn answer(&mut self, asked: Asked, outcome: PutOutcome) -> Option<()> {
        let Request { attempt, .. } = self.take_request(asked)?;
        self.turn(asked.node, Input::Event(Event::Put { attempt, outcome }));
        Some(())
    }

    pub(crate) fn land(&mut self, index: u8) {
        let Loose { by, deed } = (*self.world.loose.remove(usize::from(index))).clone();
        match deed {
            Deed::Put(put) => {
                let outcome = self.put(by, &put);
                let is_written = matches!(outcome, PutOutcome::Written(_));
                match by {
                    By::Run(run) if is_written && self.world.node_of(run).is_none() => {
                        self.world.reach(Reached::OrphanLanded);
                    }
                    By::Run(_) if is_written => self.world.reach(Reached::LatePutLanded),
                    By::Sweeper if is_written => self.world.reach(Reached::SweepBuried),
                    By::Sweeper => self.world.reach(Reached::SweepLost),
                    By::Run(_) => {}
                }
            }
            Deed::Delete(etag) if self.world.object.etag() == Some(&etag) => {
                self.world.reach(Reached::TombstoneRemoved);
                let mut gone = (*self.world.object).clone();
                (gone.stored, gone.previous) = (None, None);
                self.show(gone);
            }
            Deed::Delete(_) => self.world.reach(Reached::SweepLost),
        }
    }

    fn put(&mut self, by: By, put: &Put) -> PutOutcome {
        let Put { object: after, precondition, ops, is_rebased } = put;
        let before = self.world.object.clone();
        if !before.admits(precondition) {
            let is_gone = before.stored.is_none() && matches!(precondition, Precondition::Matches(_));
            self.log.note(|| format!("PUT ({}): {}", list(*ops), if is_gone { "404" } else { "412" }));
            if !ops.is_empty() && ops.without(before.applied).is_empty() {
                self.world.reach(Reached::MetItself);
            }
            return if is_gone { PutOutcome::Gone } else { PutOutcome::Moved };
        }
        let commit =
            Commit { scenario: self.scenario, world: self.world, by, ops: *ops, precondition, before: &before, after };
        let broken: Vec<Promise> = commit.breaks().collect();
        self.shows(&before, after, by, *is_rebased);
        if ops.members().any(|op| self.gives_way(op, &before)) {
            self.world.reach(Reached::DefaultGaveWay);
        }
        for promise in broken {
            self.log.note(|| format!("breaks {promise:?}"));
            self.world.require(promise, false);
        }
        self.log.note(|| {
            let what = if after.header.buried { "a tombstone" } else { "it is written" };
            format!("PUT ({}): {what}, rev {}", list(*ops), after.header.rev)
        });
        let etag = after.etag.clone();
        let mut object = (*before).clone();
        object.previous = None;
        if self.scenario.faults.stale > 0 {
            object.previous = Some(object.clone().sealed());
        }
        object.applied = object.applied.and(*ops);
        if let By::Run(run) = by {
            object.committed(run, after.header.write.seq);
        }
        object.stored = Some(after.clone());
        self.show(object);
        PutOutcome::Written(etag)
    }

    /// Whether the operation is a default where something stands.
    fn gives_way(&self, op: u8, before: &Object) -> bool {
        let is_default = self.scenario.ops[usize::from(op)].change == Change::Defaults;
        is_default && !self.world.ops[usize::from(op)].places.both(before.content().taken()).is_empty()
    }

    fn shows(&mut self, before: &Object, after: &Stored, by: By, is_rebased: bool) {
        let Some(stored) = &before.stored else { return };
        let By::Run(run) = by else { return };
        let content = after.content.unwrap_or_default();
        let is_foreign = |op: u8| self.world.ops[usize::from(op)].run != run;
        let kept = (0..u8::try_from(self.scenario.places.len()).unwrap_or(0))
            .any(|place| content.at(place).is_some_and(|op| is_foreign(op) && before.content().at(place) == Some(op)));
        if kept && is_rebased {
            self.world.reach(Reached::RebaseKeptForeign);
        }
        if stored.header.buried && !after.header.buried {
            self.world.reach(Reached::WroteOnTombstone);
        }
        if stored.document.views.values().any(|slices| slices.len() > 1) {
            self.world.reach(Reached::TwoVersions);
        }
        let tabs: Bits = self.scenario.places_where(|place| place.tab.is_some());
        if content.changes(&before.content()).both(tabs).members().any(|place| content.at(place).is_none()) {
            self.world.reach(Reached::TabEmptied);
        }
    }

    /// This is what stands in the store from now on.
    fn show(&mut self, object: Object) {
        let object = object.sealed();
        for reading in &mut self.world.readings {
            reading.seen.push(object.clone());
        }
        let is_empty = object.content().is_empty();
        for (spec, op) in self.scenario.ops.iter().zip(&mut self.world.ops) {
            let step = self.scenario.lives[usize::from(spec.live)].steps[usize::from(spec.step)];
            op.void |= is_empty && step == Step::Forget && op.fate == Fate::Open;
        }
        self.world.object = object;
    }

    /// Requests whose condition can never hold again change nothing. Etags do not return: that is I5.
    pub(crate) fn forget_dead_requests(&mut self) {
        if self.world.loose.is_empty() {
            return;
        }
        let object = self.world.object.clone();
        let can_vanish = self.scenario.faults.sweeps > 0;
        let etags_return = plant::etags_return(self.scenario.plant);
        self.world.loose.retain(|loose| match &loose.deed {
            _ if loose.by == By::Sweeper || etags_return => true,
            Deed::Put(put) => {
                object.admits(&put.precondition) || (can_vanish && put.precondition == Precondition::Absent)
            }
            Deed::Delete(_) => true,
        });
        // In what order they are kept makes no difference. Nor do copies: when one has landed the others are dead.
        self.world.loose.sort_by_cached_key(fingerprint);
        if !etags_return {
            self.world.loose.dedup();
        }
    }

    fn set_loose(&mut self, node: u8, put: Put) {
        let run = self.world.nodes[usize::from(node)].run;
        self.set_loose_by(run, put);
    }

    pub(crate) fn set_loose_by(&mut self, run: u8, put: Put) {
        self.world.loose.push(Arc::new(Loose { by: By::Run(run), deed: Deed::Put(put) }));
    }
}

fn told_get(outcome: &GetOutcome) -> String {
    match outcome {
        GetOutcome::Found { etag, .. } => format!("found {}", etag.as_str()),
        other => format!("{other:?}"),
    }
}
