//! Requests on their way to the store and answers on their way back: lost, delayed, repeated, refused.

use durable_stash_machine::{
    Attempt, Conflict, ETag, Effect, ErrorKind, Event, GetOutcome, Incident, Notice, PutOutcome, Refusal,
};

use super::history::{Content, History, Verdict};
use super::store::{Object, flipped, named, numbered};
use super::world::{Kind, Node, World, writer};

pub enum Happening {
    /// A request reaches the store. If `answer` is set the store's answer travels back to the node.
    Reaches {
        run: u64,
        effect: Effect,
        answer: bool,
    },
    /// An answer, or the client's own "I do not know", reaches the node.
    Answers {
        run: u64,
        event: Event,
    },
    Timer {
        run: u64,
        at: u64,
    },
    /// The sweeper's change reaches the store: a tombstone, or a deletion.
    Sweeps {
        etag: ETag,
        tombstone: Option<bytes::Bytes>,
    },
}

/// What a node has in flight, as its contract bounds it.
#[derive(Default)]
pub struct Flights {
    /// The PUT of the document whose outcome is open.
    put: Option<Attempt>,
    gets: Vec<Attempt>,
}

impl Flights {
    fn leaves(&mut self, effect: &Effect, gets: usize) -> Verdict {
        match effect {
            Effect::Put { attempt, name: 0, .. } => match self.put.replace(*attempt) {
                None => Ok(()),
                Some(other) => Err(format!("two PUTs are in flight: {other:?} and {attempt:?}")),
            },
            Effect::Get { attempt, .. } => {
                self.gets.push(*attempt);
                if self.gets.len() > gets {
                    Err(format!("too many GETs are in flight: {:?}", self.gets))
                } else {
                    Ok(())
                }
            }
            Effect::Put { .. } | Effect::Quarantine { .. } => Ok(()),
        }
    }

    fn arrives(&mut self, event: &Event) {
        match event {
            Event::Put { attempt, .. } => {
                self.put.take_if(|put| put == attempt);
            }
            Event::Got { attempt, .. } => self.gets.retain(|get| get != attempt),
            Event::Quarantined { .. } => {}
        }
    }
}

impl World {
    pub(super) fn happen(&mut self, happening: Happening) -> Verdict {
        match happening {
            Happening::Reaches { run, effect, answer } => self.reach(run, effect, answer),
            Happening::Answers { run, event } => {
                let Some(index) = self.awake(run, || Happening::Answers { run, event: event.clone() }) else {
                    return Ok(());
                };
                let now = self.now(index);
                self.nodes[index].flights.arrives(&event);
                self.nodes[index].session.handle(now, event);
                self.drain(index)
            }
            Happening::Timer { run, at } => {
                let Some(index) = self.awake(run, || Happening::Timer { run, at }) else { return Ok(()) };
                if self.nodes[index].timer != Some(at) {
                    return Ok(());
                }
                self.nodes[index].timer = None;
                let now = self.now(index);
                self.nodes[index].session.timeout(now);
                self.drain(index)
            }
            Happening::Sweeps { etag, tombstone } => self.swept(&etag, tombstone),
        }
    }

    /// The living node of that run; what reaches a frozen one happens after its thaw.
    fn awake(&mut self, run: u64, again: impl FnOnce() -> Happening) -> Option<usize> {
        let index = self.nodes.iter().position(|node| node.run == run)?;
        let thaws_at = self.nodes[index].thaws_at;
        if thaws_at > self.time {
            self.schedule(thaws_at, again());
            return None;
        }
        Some(index)
    }

    fn reach(&mut self, run: u64, effect: Effect, answer: bool) -> Verdict {
        let event = match effect {
            Effect::Put { attempt, name, ref body, ref precondition } => {
                let before = self.store.object(name).cloned();
                let outcome = self.store.put(name, body, precondition);
                if let (PutOutcome::Written(_), Some(after)) = (&outcome, self.store.object(name).cloned()) {
                    let is_sealed =
                        |object: &Object| object.content().is_some_and(|(header, _)| header.moved_to.is_some());
                    let was_sealed = before.as_ref().is_some_and(is_sealed);
                    if !was_sealed {
                        self.check_copied_aside(before.as_ref())?;
                        let verdict = match is_sealed(&after) {
                            true => self.history.sealed(before.as_ref(), &after),
                            false => self.history.committed(&after),
                        };
                        self.note(|world| {
                            format!("run {run} commits {:?}", world.history.current().map(History::describe))
                        });
                        verdict?;
                    } else {
                        let stands = self.store.object(0).is_some();
                        self.history.retired(before.as_ref(), &after, stands)?;
                    }
                }
                Event::Put { attempt, outcome }
            }
            Effect::Get { attempt, name, ref unless } => {
                Event::Got { attempt, outcome: self.store.get(name, unless.as_ref()) }
            }
            Effect::Quarantine { attempt, ref body, .. } => {
                self.store.aside.push(body.clone());
                Event::Quarantined { attempt, ok: true }
            }
        };
        let event = self.spoil(event);
        if answer {
            let delay = self.rng.between(1, 20);
            self.schedule(self.time + delay, Happening::Answers { run, event });
        }
        Ok(())
    }

    /// A bit of a GET's answer turns over on its way, never the same one in two answers in a row.
    fn spoil(&mut self, event: Event) -> Event {
        match event {
            Event::Got { attempt, outcome: GetOutcome::Found { etag, body } }
                if self.fault_percent > 0 && !body.is_empty() && self.rng.chance(4) =>
            {
                self.history.told.spoilt += 1;
                self.spoilt_bit += 1 + self.rng.below(400) as usize;
                let body = flipped(&body, self.spoilt_bit);
                Event::Got { attempt, outcome: GetOutcome::Found { etag, body } }
            }
            event => event,
        }
    }

    /// Fault 26: damaged bytes that anybody could have seen are copied aside before they are replaced. Those that
    /// still have their old etag look unchanged to a node that knows the object.
    fn check_copied_aside(&self, before: Option<&Object>) -> Verdict {
        let damaged = before.filter(|object| object.content().is_none() && !object.hides_damage);
        match damaged {
            Some(object) if !self.store.aside.contains(&object.body) => {
                Err("fault 26: damaged bytes were replaced before they were copied aside".to_owned())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Gives every request its fate.
    fn dispatch(&mut self, run: u64, effect: Effect) {
        let there = self.rng.between(1, 20);
        if !self.rng.chance(self.fault_percent) {
            return self.schedule(self.time + there, Happening::Reaches { run, effect, answer: true });
        }
        let gives_up = self.time + self.rng.between(20, 200);
        let unknown = match effect {
            Effect::Put { attempt, .. } => {
                let retry_after = *self.rng.pick(&[None, None, None, Some(50)]);
                Event::Put { attempt, outcome: PutOutcome::Unknown { retry_after } }
            }
            Effect::Get { attempt, .. } => {
                Event::Got { attempt, outcome: GetOutcome::Unavailable { retry_after: Some(30) } }
            }
            Effect::Quarantine { attempt, .. } => Event::Quarantined { attempt, ok: false },
        };
        match (self.rng.below(6), &effect) {
            // Lost on the way.
            (0, _) => self.schedule(gives_up, Happening::Answers { run, event: unknown }),
            // The answer is lost.
            (1, _) => {
                self.schedule(self.time + there, Happening::Reaches { run, effect, answer: false });
                self.schedule(gives_up, Happening::Answers { run, event: unknown });
            }
            // Delayed beyond the client's patience: a zombie.
            (2, _) => {
                let late = gives_up + self.rng.between(1, 3_000);
                self.schedule(late, Happening::Reaches { run, effect, answer: false });
                self.schedule(gives_up, Happening::Answers { run, event: unknown });
            }
            // Repeated on the way, and the second answer is the one that is handed on: 412 for what the first has done.
            (3, _) if self.rng.chance(40) => {
                self.schedule(self.time + there, Happening::Reaches { run, effect: effect.clone(), answer: false });
                let again = self.time + there + self.rng.between(1, 50);
                self.schedule(again, Happening::Reaches { run, effect, answer: true });
            }
            // Repeated by the network.
            (3, _) => {
                let late = self.time + there + self.rng.between(0, 2_000);
                self.schedule(late, Happening::Reaches { run, effect: effect.clone(), answer: false });
                self.schedule(self.time + there, Happening::Reaches { run, effect, answer: true });
            }
            (4, Effect::Put { attempt, .. }) => {
                let event = Event::Put { attempt: *attempt, outcome: PutOutcome::Busy };
                self.schedule(self.time + there, Happening::Answers { run, event });
            }
            (_, Effect::Put { attempt, .. }) => {
                let refusal =
                    *self.rng.pick(&[Refusal::Denied, Refusal::Denied, Refusal::Denied, Refusal::Unsupported]);
                let event = Event::Put { attempt: *attempt, outcome: PutOutcome::Refused(refusal) };
                self.schedule(self.time + there, Happening::Answers { run, event });
            }
            (5, Effect::Get { attempt, .. }) => {
                let event = Event::Got { attempt: *attempt, outcome: GetOutcome::Denied };
                self.schedule(self.time + there, Happening::Answers { run, event });
            }
            (_, _) => self.schedule(gives_up, Happening::Answers { run, event: unknown }),
        }
    }

    pub(super) fn drain(&mut self, index: usize) -> Verdict {
        let run = self.nodes[index].run;
        // The second one belongs to an object under an older name.
        let gets = if self.kind == Kind::TwoSecrets { 2 } else { 1 };
        while let Some(notice) = self.nodes[index].session.poll_notice() {
            self.history.next_tick();
            self.note(|_| format!("run {run}: {notice:?}"));
            self.notice(index, notice)?;
        }
        while let Some(effect) = self.nodes[index].session.poll_effect() {
            let effect = numbered(effect, &self.nodes[index].session);
            let follows = matches!(effect, Effect::Put { name: 0, .. }) && !self.nodes[index].names.contains(&0);
            self.history.told.followed += u64::from(follows);
            self.nodes[index].flights.leaves(&effect, gets)?;
            self.dispatch(run, effect);
        }
        let timer = self.nodes[index].session.poll_timeout();
        if timer.is_some_and(|at| at <= self.time) {
            return Err(format!("I12: a timer in the past keeps run {run} spinning: {:#?}", self.nodes[index].session));
        }
        if timer != self.nodes[index].timer {
            self.nodes[index].timer = timer;
            if let Some(at) = timer {
                self.schedule(at, Happening::Timer { run, at });
            }
        }
        self.park(index)
    }

    /// Whenever a session is at rest it is parked, and goes on as the one that it was.
    fn park(&mut self, index: usize) -> Verdict {
        let Node { run, session, names, .. } = &self.nodes[index];
        let Some(parked) = session.park() else { return Ok(()) };
        let again = parked.unpark(writer(*run), self.policy.clone(), names.iter().map(|name| named(*name)).collect());
        if again != *session {
            return Err(format!("run {run} was parked as {session:#?}\nand goes on as {again:#?}"));
        }
        self.history.told.parked += 1;
        self.nodes[index].session = again;
        Ok(())
    }

    fn notice(&mut self, index: usize, notice: Notice) -> Verdict {
        let run = self.nodes[index].run;
        match notice {
            Notice::Settled { claim, op, outcome } => self.history.settled(run, claim, op, outcome),
            Notice::Rejected { claim, op, kind } => {
                let view = self.nodes[index].views.iter().find(|view| view.claim == claim);
                if kind == ErrorKind::Superseded && view.is_some_and(|view| !view.superseded) {
                    return Err(format!("I6: {claim:?} was refused without having been superseded"));
                }
                self.history.rejected(run, claim, op)
            }
            Notice::Superseded { claim } => {
                self.history.told.superseded += 1;
                let mut verdict = Ok(());
                for view in self.nodes[index].views.iter_mut().filter(|view| view.claim == claim) {
                    view.superseded = true;
                    let latest = self.history.mounts.get(&(view.slot.view.clone(), view.slot.tab.clone()));
                    if !self.history.skewed && latest == Some(&view.mount) {
                        verdict = Err(format!("I6: {claim:?} is fenced off and no mount of its tab was later"));
                    }
                }
                verdict
            }
            Notice::Read { request, answer } => {
                let asked = self.reads.remove(&request).ok_or("a read was answered twice")?;
                if asked.run != run {
                    return Err("a read was answered by another run".into());
                }
                match answer {
                    Ok(answer) => self.history.read(&asked, &answer, self.lag()),
                    Err(ErrorKind::Corrupt) if self.kind != Kind::Damaging => {
                        Err("I8: a document that was spoilt on its way only is called corrupt".into())
                    }
                    Err(_) => Ok(()),
                }
            }
            Notice::Forgotten { request, outcome } => self.history.forgotten(run, request, outcome),
            Notice::Happened(incident) => {
                // Its PUT is of no interest any more, answered or not.
                let is_over = matches!(incident, Incident::Resolved { saved: true } | Incident::NewerFormat);
                if is_over {
                    self.nodes[index].flights.put = None;
                }
                let told = &mut self.history.told;
                match incident {
                    Incident::Conflict(Conflict::Moved) => told.conflicts += 1,
                    Incident::Resolved { saved: true } => told.resolved_saved += 1,
                    Incident::Resolved { saved: false } => told.resolved_unsaved += 1,
                    Incident::Rekeyed => told.rekeyed += 1,
                    Incident::Quarantined => told.quarantined += 1,
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// The sweeper's change is applied if nothing else was since it looked.
    fn swept(&mut self, etag: &ETag, tombstone: Option<bytes::Bytes>) -> Verdict {
        if self.store.object(0).is_none_or(|object| object.etag != *etag) {
            return Ok(());
        }
        match tombstone {
            Some(tombstone) => {
                self.store.place(0, tombstone);
                self.history.told.swept += 1;
                let object = self.store.object(0).cloned().ok_or("just placed")?;
                self.history.committed(&object)?;
            }
            None => {
                self.store.delete_if(0, etag);
                self.history.told.deleted += 1;
                self.history.vanished(Content::Absent { lost: false });
            }
        }
        self.note(|world| format!("swept: {:?}", world.history.current().map(History::describe)));
        Ok(())
    }
}
