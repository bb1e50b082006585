//! What every client was told and what the store held, checked against I1 to I8 of the design on every step.

use std::collections::{BTreeMap, BTreeSet};

use durable_stash_machine::document::Document;
use durable_stash_machine::{ClaimId, Key, Outcome, ReadAnswer, RequestId, Slot, TabId, View, Vsn, WriteId};

use super::store::{Store, Version};

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub view: View,
    pub vsn: Vsn,
    pub tab: Option<TabId>,
    pub key: Key,
}

/// Every written value is unique, so that a value names its write.
#[derive(Clone, Debug)]
pub struct Write {
    pub place: Place,
    pub run: u64,
    pub claim: ClaimId,
    pub op: u64,
    pub mount: u64,
    pub tick: u64,
    pub outcome: Told,
    pub settled_tick: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Nothing,
    Saved,
    Failed,
    Unknown,
}

/// What may take values away.
#[derive(Clone, Debug)]
pub struct Removal {
    pub run: u64,
    pub claim: ClaimId,
    pub op: u64,
    pub tick: u64,
    pub scope: Scope,
    pub failed: bool,
    pub settled_tick: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Scope {
    Place(Place),
    Slot(Slot),
    Tab(Slot),
    Everything,
}

impl Scope {
    fn covers(&self, place: &Place) -> bool {
        let is_slice = |slot: &Slot| slot.view == place.view && slot.vsn == place.vsn;
        match self {
            Scope::Place(named) => named == place,
            Scope::Slot(slot) => is_slice(slot) && place.tab.as_ref().is_none_or(|tab| *tab == slot.tab),
            Scope::Tab(slot) => is_slice(slot) && place.tab.as_ref() == Some(&slot.tab),
            Scope::Everything => true,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct History {
    pub tick: u64,
    pub writes: BTreeMap<u64, Write>,
    pub removals: Vec<Removal>,
    /// All values that ever stood at a place, in the order in which they first did.
    pub seen: BTreeMap<Place, Vec<u64>>,
    pub write_ids: BTreeSet<(u128, u64)>,
    pub runs: BTreeMap<u128, u64>,
    /// Clocks of nodes differ: the order of mounts across nodes is not checked.
    pub skewed: bool,
    pub told: Counts,
}

/// Proof that the interesting things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub saved: u64,
    pub failed: u64,
    pub unknown: u64,
    pub rejected: u64,
    pub superseded: u64,
    pub reads: u64,
    pub stale: u64,
    pub conflicts: u64,
    pub resolved_saved: u64,
    pub resolved_unsaved: u64,
    pub commits: u64,
    pub crashes: u64,
}

pub type Verdict = Result<(), String>;

impl History {
    pub fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// A version became current.
    pub fn committed(&mut self, store: &Store) -> Verdict {
        let version = store.current().expect("just written");
        let previous = store.versions.len().checked_sub(2).map(|index| &store.versions[index]);
        self.told.commits += 1;
        self.check_chain(previous, version)?;
        let before = previous.map(|version| places(&version.document)).unwrap_or_default();
        let after = places(&version.document);
        let WriteId { writer, .. } = version.header.write;
        let run = *self.runs.get(&writer.0).ok_or("I2: a writer nobody started")?;
        for (place, value) in &after {
            if before.get(place) != Some(value) {
                self.check_new_value(run, place, *value)?;
            }
        }
        for place in before.keys().filter(|place| !after.contains_key(place)) {
            let explained = self
                .removals
                .iter()
                .any(|removal| removal.run == run && !removal.failed && removal.scope.covers(place));
            if !explained {
                return Err(format!(
                    "I2: {place:?} vanished in rev {} and nobody of run {run} removed it",
                    version.header.rev
                ));
            }
        }
        Ok(())
    }

    fn check_chain(&mut self, previous: Option<&Version>, version: &Version) -> Verdict {
        let expected = previous.map_or(1, |previous| previous.header.rev + 1);
        if version.header.rev != expected {
            return Err(format!("I5: rev {} where {expected} was due", version.header.rev));
        }
        let WriteId { writer, seq } = version.header.write;
        if !self.write_ids.insert((writer.0, seq)) {
            return Err(format!("I3: batch {seq} of {writer} was applied twice"));
        }
        if !version.header.contains(version.header.write) {
            return Err("I3: a batch is not in its own `applied`".into());
        }
        for (view, slices) in previous.iter().flat_map(|previous| &previous.document.views) {
            for (vsn, slice) in slices {
                for (tab, state) in &slice.tabs {
                    let now = version.document.views.get(view).and_then(|slices| slices.get(vsn)?.tabs.get(tab));
                    if !self.was_forgotten() && now.is_some_and(|now| now.epoch < state.epoch) {
                        return Err(format!("I6: the epoch of {tab:?} went back"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Burying the document buries its epochs too: what mounts came before is not known any more.
    fn was_forgotten(&self) -> bool {
        self.removals.iter().any(|removal| matches!(removal.scope, Scope::Everything))
    }

    fn check_new_value(&mut self, run: u64, place: &Place, value: u64) -> Verdict {
        let write = self.writes.get(&value).ok_or_else(|| format!("I2: nobody wrote {value}"))?;
        if write.place != *place || write.run != run {
            return Err(format!("I9: {value} at {place:?} by run {run}, but it was {write:?}"));
        }
        if write.outcome == Told::Failed {
            return Err(format!("I7: {value} was told failed and is in a later object"));
        }
        if write.outcome == Told::Saved {
            return Err(format!("I3: {value} was saved before and came back"));
        }
        let mounts = |value: &u64| self.writes.get(value).map_or(0, |write| write.mount);
        let forgotten = self.was_forgotten();
        let seen = self.seen.entry(place.clone()).or_default();
        if seen.contains(&value) {
            return Err(format!("I3: {value} came back at {place:?}"));
        }
        if !self.skewed
            && !forgotten
            && place.tab.is_some()
            && seen.last().is_some_and(|last| mounts(last) > mounts(&value))
        {
            return Err(format!("I6: {value} of a superseded mount replaced a later one's at {place:?}"));
        }
        seen.push(value);
        Ok(())
    }

    /// A client was told what became of its writes up to `op`.
    pub fn settled(&mut self, run: u64, claim: ClaimId, op: u64, outcome: Outcome) -> Verdict {
        let told = match outcome {
            Outcome::Saved { .. } => Told::Saved,
            Outcome::Failed(_) => Told::Failed,
            Outcome::Unknown => Told::Unknown,
        };
        let tick = self.tick;
        let open = |write: &Write| {
            write.run == run && write.claim == claim && write.op <= op && write.outcome == Told::Nothing
        };
        let values: Vec<u64> = self.writes.iter().filter(|(_, write)| open(write)).map(|(value, _)| *value).collect();
        for removal in &mut self.removals {
            let concerned =
                removal.run == run && removal.claim == claim && removal.op <= op && removal.settled_tick.is_none();
            if concerned {
                removal.settled_tick = Some(tick);
                removal.failed = told == Told::Failed;
            }
        }
        for value in values {
            let stood =
                |history: &Self, place: &Place| history.seen.get(place).is_some_and(|seen| seen.contains(&value));
            let place = self.writes[&value].place.clone();
            match told {
                Told::Saved if !stood(self, &place) && !self.was_replaced(run, value, &place) => {
                    return Err(format!("I1: {value} at {place:?} was told saved and never stood in the store"));
                }
                Told::Failed if stood(self, &place) => {
                    return Err(format!("I7: {value} at {place:?} was told failed and stood in the store"));
                }
                Told::Saved | Told::Failed | Told::Unknown | Told::Nothing => {}
            }
            self.tell(value, told);
        }
        Ok(())
    }

    /// One write was refused outright.
    pub fn rejected(&mut self, run: u64, claim: ClaimId, op: u64) -> Verdict {
        self.told.rejected += 1;
        let tick = self.tick;
        for write in self.writes.values_mut().filter(|write| write.run == run && write.claim == claim && write.op == op)
        {
            if write.outcome != Told::Nothing {
                return Err(format!("I7: a second outcome for {write:?}"));
            }
            write.outcome = Told::Failed;
            write.settled_tick = Some(tick);
        }
        for removal in
            self.removals.iter_mut().filter(|removal| removal.run == run && removal.claim == claim && removal.op == op)
        {
            removal.failed = true;
            removal.settled_tick = Some(tick);
        }
        Ok(())
    }

    /// A request to bury the document was answered. It is known by its number, as a claim's operation is.
    pub fn forgotten(&mut self, run: u64, request: RequestId, outcome: Outcome) {
        let asked = |removal: &&mut Removal| {
            removal.run == run && removal.op == request.0 && matches!(removal.scope, Scope::Everything)
        };
        for removal in self.removals.iter_mut().filter(asked) {
            removal.failed = matches!(outcome, Outcome::Failed(_));
            removal.settled_tick = Some(self.tick);
        }
    }

    fn tell(&mut self, value: u64, told: Told) {
        match told {
            Told::Saved => self.told.saved += 1,
            Told::Failed => self.told.failed += 1,
            Told::Unknown => self.told.unknown += 1,
            Told::Nothing => {}
        }
        if let Some(write) = self.writes.get_mut(&value) {
            write.outcome = told;
            write.settled_tick = Some(self.tick);
        }
    }

    /// A later operation of the same node took its place before it left.
    fn was_replaced(&self, run: u64, value: u64, place: &Place) -> bool {
        let tick = self.writes[&value].tick;
        let by_write = self.writes.iter().any(|(_, later)| {
            later.run == run && later.tick > tick && later.place == *place && later.outcome != Told::Failed
        });
        let by_removal = self
            .removals
            .iter()
            .any(|later| later.run == run && later.tick >= tick && !later.failed && later.scope.covers(place));
        by_write || by_removal
    }

    /// A read was answered: invoked at tick `since`, answered now.
    pub fn read(&mut self, store: &Store, run: u64, slot: &Slot, since: u64, answer: &ReadAnswer) -> Verdict {
        self.told.reads += 1;
        if answer.stale {
            self.told.stale += 1;
            return Ok(());
        }
        let now = self.tick;
        let ends = store.versions.iter().skip(1).map(|version| version.tick).chain([u64::MAX]);
        let mut candidates: Vec<BTreeMap<Place, u64>> = Vec::new();
        if store.versions.first().is_none_or(|first| first.tick > since) {
            candidates.push(BTreeMap::new());
        }
        for (version, end) in store.versions.iter().zip(ends) {
            if version.tick <= now && end > since {
                candidates.push(places(&version.document));
            }
        }
        let Some(found) = &answer.found else { return Ok(()) };
        let place = |tab: Option<&TabId>, key: &Key| Place {
            view: slot.view.clone(),
            vsn: found.vsn,
            tab: tab.cloned(),
            key: key.clone(),
        };
        let shown = found.session.iter().map(|(key, json)| (place(None, key), json));
        let shown = shown.chain(found.tab.iter().map(|(key, json)| (place(Some(&slot.tab), key), json)));
        let mut values = BTreeMap::new();
        for (place, json) in shown {
            let value: u64 = json.as_str().parse().map_err(|_| "I2: a value changed its text")?;
            let committed = candidates.iter().any(|version| version.get(&place) == Some(&value));
            let own = self.writes.get(&value).is_some_and(|write| {
                write.run == run && write.place == place && write.settled_tick.is_none_or(|tick| tick >= since)
            });
            if !committed && !own {
                return Err(format!(
                    "I4/I8: a read at ticks {since}..{now} showed {value} at {place:?}: neither current then nor accepted here"
                ));
            }
            values.insert(place, value);
        }
        self.check_nothing_missing(run, slot, since, found.vsn, &candidates, &values)
    }

    fn check_nothing_missing(
        &self,
        run: u64,
        slot: &Slot,
        since: u64,
        vsn: Vsn,
        candidates: &[BTreeMap<Place, u64>],
        shown: &BTreeMap<Place, u64>,
    ) -> Verdict {
        let Some((first, rest)) = candidates.split_first() else { return Ok(()) };
        let in_answer = |place: &&Place| place.view == slot.view && place.vsn == vsn && place.tab.is_none();
        for place in first.keys().filter(in_answer) {
            let always = rest.iter().all(|version| version.contains_key(place));
            let may_be_removed = self.removals.iter().any(|removal| {
                removal.run == run
                    && removal.scope.covers(place)
                    && removal.settled_tick.is_none_or(|tick| tick >= since)
            });
            if always && !may_be_removed && !shown.contains_key(place) {
                return Err(format!(
                    "I8: a read at tick {since} does not show {place:?}, which was there all the time"
                ));
            }
        }
        Ok(())
    }

    /// Writes of living nodes that were never told anything.
    pub fn open_writes(&self, run: u64) -> usize {
        self.writes.values().filter(|write| write.run == run && write.outcome == Told::Nothing).count()
    }
}

/// Every value of a document.
pub fn places(document: &Document) -> BTreeMap<Place, u64> {
    let mut all = BTreeMap::new();
    for (view, slices) in &document.views {
        for (vsn, slice) in slices {
            let mut add = |tab: Option<&TabId>, key: &Key, text: &str| {
                let place = Place { view: view.clone(), vsn: *vsn, tab: tab.cloned(), key: key.clone() };
                all.insert(place, text.parse().expect("the simulation writes numbers"));
            };
            for (key, json) in &slice.data {
                add(None, key, json.as_str());
            }
            for (tab, state) in &slice.tabs {
                for (key, json) in &state.data {
                    add(Some(tab), key, json.as_str());
                }
            }
        }
    }
    all
}
