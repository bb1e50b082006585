//! What LiveViews do.

use durable_stash_machine::{ClaimId, Command, Json, Key, RequestId, Values};

use crate::bits::Bits;
use crate::content::Change;
use crate::node::Input;
use crate::object::Object;
use crate::reached::Reached;
use crate::scenario::{Scenario, Step};
use crate::step::Stepping;
use crate::world::{Fate, Fresh, Live, Op, Reading};

impl Stepping<'_> {
    /// The next step of its script; or first what a LiveView does whose node or engine has died.
    pub(crate) fn act(&mut self, live: u8) -> Option<()> {
        let script = &self.scenario.lives[usize::from(live)];
        let state = self.world.lives[usize::from(live)];
        let claims = |step: &Step| matches!(step, Step::Claim { .. });
        let has_mounted = script.steps[..usize::from(state.next)].iter().any(claims);
        if state.claim == 0 && has_mounted {
            // Its node has died: the browser reconnects.
            self.claim(live, false);
            return Some(());
        }
        if state.is_cut_off {
            self.reclaim(live);
            return Some(());
        }
        let at = state.next;
        self.world.lives[usize::from(live)].next += 1;
        match script.steps[usize::from(at)] {
            Step::Claim { fresh } => self.claim(live, fresh),
            Step::Read => self.read(live, self.scenario.read_at(live, at)),
            Step::Leave => {
                let claim = claim_id(self.world.lives[usize::from(live)].claim);
                self.turn(script.node, Input::Command(Command::Release { claim }));
            }
            Step::Drain => self.turn(script.node, Input::Command(Command::Drain)),
            Step::Stash { .. } | Step::Default(_) | Step::Drop(_) | Step::Reset | Step::Forget => {
                self.write(live, at, self.scenario.op_at(live, at)?);
            }
        }
        Some(())
    }

    fn claim(&mut self, live: u8, fresh: bool) {
        let script = &self.scenario.lives[usize::from(live)];
        self.world.pass_to_mount(self.scenario);
        let claim = self.next_claim(live);
        self.world.lives[usize::from(live)].mount = u8::try_from(self.world.mounts.len()).unwrap_or(u8::MAX);
        for (other, rival) in self.scenario.lives.iter().zip(&mut self.world.lives) {
            rival.fenced |= other.node == script.node && other.slot == script.slot && rival.claim > 0;
        }
        let order = self.accepted(script.node);
        let run = self.world.nodes[usize::from(script.node)].run;
        self.inherit(live, claim, run);
        if fresh && script.stores_tab {
            let mount = self.world.lives[usize::from(live)].mount;
            self.world.fresh.push(Fresh { live, mount, claim, run, order });
        }
        let state = &mut self.world.lives[usize::from(live)];
        *state = Live { claim, first: claim, fenced: false, owed: Bits::default(), ..*state };
        let (slot, stores_tab) = (script.slot.clone(), script.stores_tab);
        self.log.note(|| format!("mounts as claim {claim}{}", if fresh { ", fresh" } else { "" }));
        let command = Command::Claim { claim: claim_id(claim), slot, fresh, stores_tab };
        self.turn(script.node, Input::Command(command));
    }

    /// The emptying that a fresh mount owes is the next mount's if it has not written.
    fn inherit(&mut self, live: u8, claim: u8, run: u8) {
        let slot_of = |live: u8| &self.scenario.lives[usize::from(live)].slot;
        let ops = &self.world.ops;
        let has_written = |claim: u8| ops.iter().any(|op| op.run == run && op.claim == claim);
        let of_tab = |fresh: &&mut Fresh| fresh.run == run && slot_of(fresh.live) == slot_of(live);
        for fresh in self.world.fresh.iter_mut().filter(of_tab).filter(|fresh| !has_written(fresh.claim)) {
            fresh.claim = claim;
        }
    }

    /// The engine was restarted under a LiveView: it brings back the moment of its mount, and all that it has stashed is
    /// to be stashed again.
    fn reclaim(&mut self, live: u8) {
        let script = &self.scenario.lives[usize::from(live)];
        let claim = self.next_claim(live);
        let mount = self.world.lives[usize::from(live)].mount;
        self.world.lives[usize::from(live)].is_cut_off = false;
        let mut is_late = false;
        for (other, rival) in self.scenario.lives.iter().zip(&mut self.world.lives) {
            let is_here =
                other.node == script.node && other.slot == script.slot && rival.claim > 0 && !rival.is_cut_off;
            rival.fenced |= is_here && rival.mount < mount;
            is_late |= is_here && rival.mount > mount;
        }
        self.world.lives[usize::from(live)].fenced = is_late;
        let epoch = self.world.lives[usize::from(live)].epoch;
        let (slot, stores_tab) = (script.slot.clone(), script.stores_tab);
        self.log.note(|| format!("claims its tab again, as claim {claim}"));
        let command = Command::Reclaim { claim: claim_id(claim), slot, stores_tab, epoch };
        self.turn(script.node, Input::Command(command));
    }

    /// Gives the LiveView its next claim.
    fn next_claim(&mut self, live: u8) -> u8 {
        let count = u8::try_from(self.scenario.lives.len()).unwrap_or(u8::MAX);
        let state = &mut self.world.lives[usize::from(live)];
        state.claim = live + 1 + count * state.claims;
        state.claims += 1;
        state.claim
    }

    fn write(&mut self, live: u8, at: u8, op: u8) {
        let script = &self.scenario.lives[usize::from(live)];
        let spec = self.scenario.ops[usize::from(op)];
        if self.world.lives[usize::from(live)].claim == 0 {
            self.world.lives[usize::from(live)].first = self.next_claim(live);
        }
        let order = self.accepted(script.node);
        let run = self.world.nodes[usize::from(script.node)].run;
        let state = &mut self.world.lives[usize::from(live)];
        let (mut places, mut stashed_again) = (spec.places, false);
        if spec.change == Change::Sets {
            stashed_again = !state.owed.without(places).is_empty();
            places = places.and(std::mem::take(&mut state.owed));
        }
        let (claim, mount, was_fenced) = (state.claim, state.mount, state.fenced);
        if stashed_again {
            self.world.reach(Reached::StashedAgain);
        }
        let void = self.world.object.content().is_empty();
        let is_forget = script.steps[usize::from(at)] == Step::Forget;
        let (is_doomed, void) = (was_fenced && !is_forget, is_forget && void);
        self.world.ops[usize::from(op)] = Op { fate: Fate::Open, run, claim, mount, order, places, void, is_doomed };
        self.log.note(|| format!("w{op}: {:?}", script.steps[usize::from(at)]));
        let command = self.command(script.steps[usize::from(at)], live, op, places);
        self.turn(script.node, Input::Command(command));
    }

    fn command(&self, step: Step, live: u8, op: u8, places: Bits) -> Command {
        let script = &self.scenario.lives[usize::from(live)];
        let claim = claim_id(self.world.lives[usize::from(live)].claim);
        let (slot, number) = (script.slot.clone(), u64::from(op) + 1);
        let keys = |in_tab: bool| -> Vec<Key> {
            let named = places.members().map(|place| &self.scenario.places[usize::from(place)]);
            named.filter(|place| place.tab.is_some() == in_tab).map(|place| place.key.clone()).collect()
        };
        let set =
            |keys: Vec<Key>| -> Vec<(Key, Json)> { keys.into_iter().map(|key| (key, Scenario::value(op))).collect() };
        match step {
            Step::Default(_) => {
                let (session, tab, shared) = (vec![], vec![], vec![]);
                let defaults = Values { session: set(keys(false)), ..Values::default() };
                Command::Merge { claim, slot, op: number, session, tab, shared, defaults }
            }
            Step::Drop(_) => Command::Drop { claim, slot, op: number, session: keys(false), tab: Vec::new() },
            Step::Reset => Command::Reset { claim, slot, op: number },
            Step::Forget => Command::Forget { request: RequestId(number) },
            Step::Claim { .. } | Step::Stash { .. } | Step::Read | Step::Leave | Step::Drain => Command::Merge {
                claim,
                slot,
                op: number,
                session: set(keys(false)),
                tab: set(keys(true)),
                shared: vec![],
                defaults: Values::default(),
            },
        }
    }

    fn read(&mut self, live: u8, read: u8) {
        let script = &self.scenario.lives[usize::from(live)];
        let run = self.world.nodes[usize::from(script.node)].run;
        let mut seen = vec![self.world.object.clone()];
        // A replica that is behind cannot be told from the store by a node that has not seen more (fault 15).
        let known = self.world.nodes[usize::from(script.node)].session.committed_rev();
        let rev = |object: &Object| object.stored.as_ref().map(|stored| stored.header.rev);
        seen.extend(self.world.object.previous.clone().filter(|previous| rev(previous) >= known));
        self.world.readings.push(Reading { read, live, run, seen });
        let claim = self.world.lives[usize::from(live)].claim;
        let claim = (claim > 0).then(|| claim_id(claim));
        self.log.note(|| format!("reads (read {read})"));
        let request = RequestId(u64::from(read) + READS);
        self.turn(script.node, Input::Command(Command::Read { request, slot: script.slot.clone(), claim }));
    }
}

pub(crate) fn claim_id(claim: u8) -> ClaimId {
    ClaimId(u64::from(claim))
}

/// Reads are numbered above all operations.
pub(crate) const READS: u64 = 100;
