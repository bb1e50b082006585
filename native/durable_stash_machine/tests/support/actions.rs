//! What users, LiveViews and operators do.

use std::mem::take;
use std::sync::Arc;

use durable_stash_machine::slice::Epoch;
use durable_stash_machine::sweep::{self, Verdict as SweepVerdict};
use durable_stash_machine::{ClaimId, Command, Json, Key, Now, RequestId, Slot, TabId, Values, View, Vsn, WriteId};

use super::history::{Content, Place, Removal, Scope, Told, Verdict, Write};
use super::network::{Flights, Happening};
use super::reads::Asked;
use super::store::named;
use super::world::{EXPIRING_SKEW_MS, Kind, LiveView, SWEEPER, World, writer};

impl World {
    /// One thing that happens.
    pub(super) fn act(&mut self) -> Verdict {
        let often = if self.kind == Kind::Expiring { 12 } else { 5 };
        if self.rng.chance(often) {
            self.act_of_the_world()?;
        }
        let index = self.rng.below(self.nodes.len() as u64) as usize;
        if self.nodes[index].thaws_at > self.time {
            return Ok(());
        }
        match self.rng.below(100) {
            0..=11 => self.mount(index),
            12..=71 => self.merge(index),
            72..=75 => self.remove(index),
            76..=77 => self.reset(index),
            78..=87 => self.read(index, None),
            88..=90 => self.close(index),
            91 => self.crash(index),
            92 if self.allow_restart => self.restart(index),
            92 => self.crash(index),
            93..=94 => {
                self.nodes[index].thaws_at = self.time + self.rng.between(50, 5_000);
                Ok(())
            }
            95..=98 => self.evict(index),
            _ if self.allow_forget => self.forget(index),
            _ => Ok(()),
        }
    }

    fn act_of_the_world(&mut self) -> Verdict {
        let is_whole = self.store.content(0).is_some_and(|(header, _)| !header.buried);
        match self.kind {
            Kind::Plain | Kind::TwoSecrets => {}
            Kind::Losing if is_whole => {
                self.history.told.lost += 1;
                self.store.lose(0);
                self.note(|_| "the store loses the object".to_owned());
                self.history.vanished(Content::Absent { lost: true });
            }
            Kind::Damaging if is_whole => {
                self.history.told.damaged += 1;
                let (bit, keeps_etag) = (self.rng.next() as usize, self.rng.chance(50));
                self.store.flip(0, bit, keeps_etag);
                self.note(|_| format!("a bit turns over, keeps_etag: {keeps_etag}"));
                self.history.vanished(Content::Damaged);
            }
            Kind::Losing | Kind::Damaging => {}
            Kind::Expiring => match self.rng.below(6) {
                0 => {
                    let index = self.rng.below(self.nodes.len() as u64) as usize;
                    self.nodes[index].skew = self.rng.below(EXPIRING_SKEW_MS);
                }
                1..=4 => self.sweep(),
                _ => {
                    let pause = self.rng.between(1_000, 25_000);
                    self.pass(pause)?;
                    self.sweep();
                }
            },
        }
        Ok(())
    }

    /// The sweeper looks at the object, and acts on it a little later.
    fn sweep(&mut self) {
        let Some(object) = self.store.object(0).cloned() else { return };
        self.sweeps += 1;
        let write = WriteId { writer: SWEEPER, seq: self.sweeps };
        let now = Now { mono: self.time, wall: self.time + self.rng.below(EXPIRING_SKEW_MS) };
        let tombstone = match sweep::verdict(&object.body, write, now, &self.policy) {
            Ok(SweepVerdict::Bury { body }) => Some(body),
            Ok(SweepVerdict::Delete) => None,
            Ok(SweepVerdict::Keep) | Err(_) => return,
        };
        let delay = self.rng.between(1, 50);
        self.schedule(self.time + delay, Happening::Sweeps { etag: object.etag, tombstone });
    }

    pub(super) fn command(&mut self, index: usize, command: Command) -> Verdict {
        let now = self.now(index);
        self.note(|world| format!("run {} at {}: {command:?}", world.nodes[index].run, now.mono));
        self.nodes[index].session.command(now, command);
        self.drain(index)
    }

    fn mount(&mut self, index: usize) -> Verdict {
        self.next_claim += 1;
        self.next_mount += 1;
        let claim = ClaimId(self.next_claim);
        let view = *self.rng.pick(&["a", "b"]);
        let tab = *self.rng.pick(&["t1", "t2", "t3"]);
        let slot = Arc::new(Slot { view: View::new(view), vsn: Vsn(*self.rng.pick(&[1, 1, 2])), tab: TabId::new(tab) });
        let stores_tab = view == "a";
        let fresh = self.rng.chance(30) && stores_tab;
        if fresh {
            self.removal(index, claim, u64::MAX, Scope::Tab((*slot).clone()));
        }
        // A mount elsewhere does not tell this node's LiveView of the same tab, but one here does.
        let mount = self.next_mount;
        let epoch = Epoch::at(self.now(index).wall);
        let view = LiveView { claim, slot: slot.clone(), stores_tab, ops: 0, mount, epoch, fresh, superseded: false };
        self.nodes[index].views.push(view.clone());
        self.history.mounts.insert((slot.view.clone(), slot.tab.clone()), mount);
        self.command(index, Command::Claim { claim, slot, fresh, stores_tab })?;
        if self.rng.chance(70) { self.read(index, Some(view)) } else { Ok(()) }
    }

    fn removal(&mut self, index: usize, claim: ClaimId, op: u64, scope: Scope) {
        let (run, tick) = (self.nodes[index].run, self.history.next_tick());
        let outcome = Told::Nothing;
        self.history.removals.push(Removal { run, claim, op, tick, scope, outcome, settled_tick: None });
    }

    /// A LiveView of the node that is about to write: its claim, slot, and the number of the write.
    fn writer(&mut self, index: usize) -> Option<LiveView> {
        let count = self.nodes[index].views.len() as u64;
        let chosen = (count > 0).then(|| self.rng.below(count) as usize)?;
        let view = &mut self.nodes[index].views[chosen];
        view.ops += 1;
        Some(view.clone())
    }

    fn merge(&mut self, index: usize) -> Verdict {
        let Some(view) = self.writer(index) else { return self.mount(index) };
        // Drawn from no dice, as what is shared below: seeds go on meaning what they meant.
        let are_defaults = self.next_value.is_multiple_of(5);
        let mut session = Vec::new();
        let mut tab = Vec::new();
        for key in ["k0", "k1", "k2"] {
            if self.rng.chance(40) {
                session.push(self.value(index, &view, None, key));
            }
        }
        for key in ["d0", "d1"] {
            if view.stores_tab && self.rng.chance(30) {
                tab.push(self.value(index, &view, Some(view.slot.tab.clone()), key));
            }
        }
        if session.is_empty() && tab.is_empty() {
            session.push(self.value(index, &view, None, "k0"));
        }
        let mut shared = Vec::new();
        if self.next_value.is_multiple_of(4) {
            let place = Place { view: View::shared(), vsn: Vsn::SHARED, tab: None, key: Key::new("s0") };
            shared.push(self.value_at(index, &view, place));
        }
        let mut defaults = Values::default();
        if are_defaults {
            defaults = Values { session: take(&mut session), tab: take(&mut tab), shared: take(&mut shared) };
            for (_, value) in defaults.iter() {
                self.history.is_default(value);
            }
        }
        let LiveView { claim, slot, ops: op, .. } = view;
        self.command(index, Command::Merge { claim, slot, op, session, tab, shared, defaults })
    }

    fn value(&mut self, index: usize, view: &LiveView, tab: Option<TabId>, key: &str) -> (Key, Json) {
        let place = Place { view: view.slot.view.clone(), vsn: view.slot.vsn, tab, key: Key::new(key) };
        self.value_at(index, view, place)
    }

    fn value_at(&mut self, index: usize, view: &LiveView, place: Place) -> (Key, Json) {
        self.next_value += 1;
        let key = place.key.clone();
        let (run, tick) = (self.nodes[index].run, self.history.next_tick());
        let (claim, op, mount) = (view.claim, view.ops, view.mount);
        let (is_default, outcome, settled_tick) = (false, Told::Nothing, None);
        let write = Write { place, run, claim, op, mount, tick, is_default, outcome, settled_tick };
        self.history.writes.insert(self.next_value, write);
        (key, Json::from_encoded(self.next_value.to_string()))
    }

    fn remove(&mut self, index: usize) -> Verdict {
        let Some(LiveView { claim, slot, ops: op, .. }) = self.writer(index) else { return Ok(()) };
        let place = Place { view: slot.view.clone(), vsn: slot.vsn, tab: None, key: Key::new("k0") };
        self.removal(index, claim, op, Scope::Place(place));
        self.command(index, Command::Drop { claim, slot, op, session: vec![Key::new("k0")], tab: vec![] })
    }

    fn reset(&mut self, index: usize) -> Verdict {
        let Some(LiveView { claim, slot, ops: op, .. }) = self.writer(index) else { return Ok(()) };
        self.removal(index, claim, op, Scope::Slot((*slot).clone()));
        self.command(index, Command::Reset { claim, slot, op })
    }

    /// A mount asks, or a dead one of some LiveView's page does.
    fn read(&mut self, index: usize, mount: Option<LiveView>) -> Verdict {
        let claim = mount.as_ref().map(|view| view.claim);
        let views = &self.nodes[index].views;
        let some_view = |rng: &mut super::rng::Rng| {
            (!views.is_empty()).then(|| views[rng.below(views.len() as u64) as usize].clone())
        };
        let Some(view) = mount.or_else(|| some_view(&mut self.rng)) else { return Ok(()) };
        self.next_request += 1;
        let request = RequestId(self.next_request);
        let asked = Asked {
            run: self.nodes[index].run,
            slot: view.slot.clone(),
            tick: self.history.next_tick(),
            time: self.time,
            fresh_mount: (claim.is_some() && view.fresh).then_some(view.mount),
            stores_tab: view.stores_tab,
        };
        self.reads.insert(request, asked);
        self.command(index, Command::Read { request, slot: view.slot, claim })
    }

    fn close(&mut self, index: usize) -> Verdict {
        let count = self.nodes[index].views.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let chosen = self.rng.below(count) as usize;
        let view = self.nodes[index].views.swap_remove(chosen);
        self.command(index, Command::Release { claim: view.claim })
    }

    fn forget(&mut self, index: usize) -> Verdict {
        self.next_request += 1;
        self.removal(index, NOBODY, self.next_request, Scope::Everything);
        self.command(index, Command::Forget { request: RequestId(self.next_request) })
    }

    /// kill -9: what was accepted and not committed is gone; requests on the way may still arrive.
    fn crash(&mut self, index: usize) -> Verdict {
        self.history.told.crashes += 1;
        let run = self.nodes[index].run;
        self.note(|_| format!("run {run} crashes"));
        self.reads.retain(|_, asked| asked.run != run);
        self.nodes[index] = self.boot();
        Ok(())
    }

    /// The engine is restarted under its LiveViews: they open their sessions again, in any order.
    fn restart(&mut self, index: usize) -> Verdict {
        let skew = self.nodes[index].skew;
        let mut views = std::mem::take(&mut self.nodes[index].views);
        for view in &mut views {
            let epoch = self.nodes[index].session.epoch(view.claim);
            view.epoch = epoch.unwrap_or(view.epoch);
        }
        self.crash(index)?;
        self.history.told.restarts += 1;
        self.nodes[index].skew = skew;
        while !views.is_empty() {
            let chosen = self.rng.below(views.len() as u64) as usize;
            let LiveView { slot, stores_tab, mount, epoch, .. } = views.swap_remove(chosen);
            self.next_claim += 1;
            let claim = ClaimId(self.next_claim);
            let slot_again = slot.clone();
            let view = LiveView { claim, slot, stores_tab, ops: 0, mount, epoch, fresh: false, superseded: false };
            self.nodes[index].views.push(view);
            self.command(index, Command::Reclaim { claim, slot: slot_again, stores_tab, epoch })?;
        }
        Ok(())
    }

    fn evict(&mut self, index: usize) -> Verdict {
        if !self.nodes[index].session.is_idle() {
            return Ok(());
        }
        let run = self.nodes[index].run;
        let names = self.nodes[index].names.iter().map(|name| named(*name)).collect();
        let left = self.nodes[index].session.leave();
        self.nodes[index].session = left.unpark(writer(run), self.policy.clone(), names);
        self.nodes[index].timer = None;
        self.nodes[index].flights = Flights::default();
        self.note(|_| format!("run {run} evicts"));
        Ok(())
    }
}

/// Who asks to forget: no LiveView's claim.
const NOBODY: ClaimId = ClaimId(0);
