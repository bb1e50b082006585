//! What each action makes of a state. What LiveViews do is in `acts.rs`, what becomes of requests in `requests.rs`, how
//! runs end in `ends.rs`, what LiveViews are told in `told.rs`.

use std::sync::Arc;

use durable_stash_machine::{Effect, Precondition, PutOutcome, Refusal};

use crate::action::{Action, Asked, next_timer};
use crate::acts::claim_id;
use crate::bits::Bits;
use crate::log::Log;
use crate::node::{Input, Node, Request};
use crate::promises::Promise;
use crate::scenario::Scenario;
use crate::world::World;

/// The next state; none if the action changes nothing.
pub(crate) fn step(scenario: &Scenario, world: &World, action: Action, log: &mut Log) -> Option<World> {
    let mut world = World { just: Bits::default(), ..world.clone() };
    Stepping { scenario, world: &mut world, log }.take(action)?;
    Some(world)
}

/// One step being taken.
pub(crate) struct Stepping<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) world: &'a mut World,
    pub(crate) log: &'a mut Log,
}

impl Stepping<'_> {
    fn take(&mut self, action: Action) -> Option<()> {
        match action {
            Action::Act { live } => self.act(live)?,
            Action::Reach(asked) => self.reach(asked, false)?,
            Action::ReachStale(asked) => {
                self.world.left.stale -= 1;
                self.reach(asked, true)?;
            }
            Action::Answer(asked) => {
                let request = self.take_request(asked)?;
                self.turn(asked.node, Input::Event(request.answer?));
            }
            Action::TimeOut(asked) => self.time_out(asked)?,
            Action::RepeatHeard(asked) => self.repeat(asked, true)?,
            Action::RepeatUnheard(asked) => self.repeat(asked, false)?,
            Action::Busy(asked) => {
                self.world.left.busy -= 1;
                self.answer(asked, PutOutcome::Busy)?;
            }
            Action::Deny(asked) => {
                self.world.left.denials -= 1;
                self.answer(asked, PutOutcome::Refused(Refusal::Denied))?;
            }
            Action::Refuse(asked) => {
                self.world.left.refusals -= 1;
                self.answer(asked, PutOutcome::Refused(Refusal::Unsupported))?;
            }
            Action::NotSend(asked) => {
                self.world.left.unsent -= 1;
                self.answer(asked, PutOutcome::Refused(Refusal::NotSent))?;
            }
            Action::Land { index } => self.land(index),
            Action::Crash { node } => {
                self.world.left.crashes -= 1;
                self.crash(node);
            }
            Action::Restart { node } => {
                self.world.left.restarts -= 1;
                self.restart(node);
            }
            Action::Evict { node } => {
                self.world.left.evictions -= 1;
                let scenario = self.scenario;
                self.change(node, |node| node.evict(scenario));
            }
            Action::Tick => {
                self.world.left.ticks -= 1;
                self.world.time = next_timer(self.world)?;
            }
            Action::Timer { node } => self.turn(node, Input::Timeout),
            Action::Age => {
                self.world.left.ages -= 1;
                let policy = &self.scenario.policy;
                // The sweeper waits for as long as a tombstone stands before it touches what is over.
                self.world.time += policy.ttl_ms + policy.tombstone_ms + 1_000;
                // What was on its way has arrived or is lost: nothing is under way for as long as a tombstone stands.
                self.world.loose.clear();
            }
            Action::Sweep => self.sweep()?,
        }
        self.forget_dead_requests();
        for node in &mut self.world.nodes {
            // A node that this step has changed is its own now.
            if let Some(node) = Arc::get_mut(node) {
                node.seal();
            }
        }
        Some(())
    }

    /// A request that its node waits for.
    pub(crate) fn request(&self, asked: Asked) -> Option<Request> {
        let node = &self.world.nodes[usize::from(asked.node)];
        node.requests.iter().find(|request| request.attempt == asked.attempt).cloned()
    }

    /// The same, and the node waits for it no longer.
    pub(crate) fn take_request(&mut self, asked: Asked) -> Option<Request> {
        let mut taken = None;
        self.change(asked.node, |node| taken = node.take(asked.attempt));
        taken
    }

    /// The node takes one more input of a LiveView: the so-manieth of its run.
    pub(crate) fn accepted(&mut self, node: u8) -> u8 {
        let mut order = 0;
        self.change(node, |node| {
            node.accepted += 1;
            order = node.accepted;
        });
        order
    }

    /// Changes a node. Its fingerprint is taken when the step is over.
    pub(crate) fn change(&mut self, index: u8, change: impl FnOnce(&mut Node)) {
        change(Arc::make_mut(&mut self.world.nodes[usize::from(index)]));
    }

    /// One turn of the driver.
    pub(crate) fn turn(&mut self, index: u8, input: Input) {
        let now = self.world.now();
        let node = Arc::make_mut(&mut self.world.nodes[usize::from(index)]);
        let run = node.run;
        let (notices, effects) = node.turn(now, input);
        for notice in notices {
            self.told(run, notice);
        }
        let open = self.world.open(run);
        for effect in effects {
            self.log.note(|| asks(&effect));
            let (scenario, mut is_sound) = (self.scenario, true);
            self.change(index, |node| is_sound = node.ask(scenario, effect, open));
            self.world.require(Promise::Chain, is_sound);
        }
        let session = &self.world.nodes[usize::from(index)].session;
        for (script, live) in self.scenario.lives.iter().zip(&mut self.world.lives) {
            if script.node == index && live.claim > 0 && !live.is_cut_off {
                live.epoch = session.epoch(claim_id(live.claim)).unwrap_or(live.epoch);
            }
        }
    }
}

fn asks(effect: &Effect) -> String {
    match effect {
        Effect::Get { attempt, .. } => format!("asks for the object (request {})", attempt.0),
        Effect::Put { attempt, precondition: Precondition::Absent, .. } => {
            format!("creates it (request {})", attempt.0)
        }
        Effect::Put { attempt, precondition: Precondition::Matches(etag), .. } => {
            format!("replaces {} (request {})", etag.as_str(), attempt.0)
        }
        Effect::Quarantine { attempt, .. } => format!("copies it aside (request {})", attempt.0),
    }
}
