//! What every client was told, and what the store held: the records that the checks of `commits.rs` and `reads.rs` go by.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::{ClaimId, Json, Key, Outcome, RequestId, Slot, TabId, View, Vsn};

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
    /// It is set where nothing stands, and otherwise changes nothing.
    pub is_default: bool,
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
    pub outcome: Told,
    pub settled_tick: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Scope {
    Place(Place),
    Slot(Slot),
    /// A fresh mount's emptying of its tab.
    Tab(Slot),
    Everything,
}

impl Scope {
    pub fn covers(&self, place: &Place) -> bool {
        let is_slice = |slot: &Slot| slot.view == place.view && slot.vsn == place.vsn;
        match self {
            Scope::Place(named) => named == place,
            Scope::Slot(slot) => is_slice(slot) && place.tab.as_ref().is_none_or(|tab| *tab == slot.tab),
            Scope::Tab(slot) => is_slice(slot) && place.tab.as_ref() == Some(&slot.tab),
            Scope::Everything => true,
        }
    }
}

/// A state of the document, in the order in which they became the current one.
#[derive(Clone, Debug)]
pub struct Version {
    /// When, in the history's ticks and in ms.
    pub tick: u64,
    pub time: u64,
    /// The version that it was built on; the one before, except where the store had lost that.
    pub parent: Option<usize>,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    /// No object under any name. Whether the store has lost it.
    Absent {
        lost: bool,
    },
    /// Bytes that are no document.
    Damaged,
    Whole {
        header: Header,
        document: Document,
        places: BTreeMap<Place, u64>,
    },
}

impl Version {
    pub fn header(&self) -> Option<&Header> {
        match &self.content {
            Content::Whole { header, .. } => Some(header),
            Content::Absent { .. } | Content::Damaged => None,
        }
    }

    pub fn document(&self) -> Option<&Document> {
        match &self.content {
            Content::Whole { document, .. } => Some(document),
            Content::Absent { .. } | Content::Damaged => None,
        }
    }

    pub fn value(&self, place: &Place) -> Option<u64> {
        match &self.content {
            Content::Whole { places, .. } => places.get(place).copied(),
            Content::Absent { .. } | Content::Damaged => None,
        }
    }

    /// The values, and the moment (wall clock) from which each may be taken for expired.
    pub fn values(&self, ttl_ms: u64) -> impl Iterator<Item = (&Place, u64, u64)> {
        let whole = match &self.content {
            Content::Whole { header, document, places } => Some((header, document, places)),
            Content::Absent { .. } | Content::Damaged => None,
        };
        whole.into_iter().flat_map(move |(header, document, places)| {
            places.iter().map(move |(place, value)| {
                let slice = document.views.get(&place.view).and_then(|slices| slices.get(&place.vsn));
                let slice_over = slice.map_or(0, |slice| slice.touched_at.saturating_add(ttl_ms));
                (place, *value, slice_over.min(header.expires_at))
            })
        })
    }
}

#[derive(Clone, Debug, Default)]
pub struct History {
    pub tick: u64,
    pub time: u64,
    pub ttl_ms: u64,
    pub writes: BTreeMap<u64, Write>,
    pub removals: Vec<Removal>,
    pub versions: Vec<Version>,
    /// All that ever stood in the store.
    pub stood: BTreeSet<(Place, u64)>,
    pub runs: BTreeMap<u128, u64>,
    /// The number of each tab's latest mount.
    pub mounts: BTreeMap<(View, TabId), u64>,
    /// Clocks of nodes differ: the order of mounts across nodes is not checked.
    pub skewed: bool,
    /// The store has lost or damaged the object: what it told before may be undone.
    pub lossy: bool,
    /// Something of the document has come to the end of its time.
    pub has_expired: bool,
    pub told: Counts,
}

/// Declares the counters of what a run has met.
macro_rules! counts {
    ($($name:ident),* $(,)?) => {
        /// Proof that the interesting things happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $(pub $name: u64,)*
        }

        impl Counts {
            /// What was never met.
            pub fn never(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name)),*];
                all.into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
            }
        }

        impl AddAssign<&Counts> for Counts {
            fn add_assign(&mut self, other: &Counts) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counts! {
    saved, failed, unknown, rejected, superseded, forgotten, reads, stale, conflicts, resolved_saved, resolved_unsaved,
    commits, parked, crashes, restarts, spoilt, rekeyed, sealed, followed, retired, lost, restored, damaged, quarantined, healed, expired, swept, deleted,
}

pub type Verdict = Result<(), String>;

impl History {
    pub fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// The document's present state.
    pub fn current(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The version and all that it was built on, the newest first.
    pub fn lineage(&self, from: Option<usize>) -> impl Iterator<Item = &Version> {
        std::iter::successors(from, |index| self.versions[*index].parent).map(|index| &self.versions[index])
    }

    pub fn record(&mut self, content: Content, parent: Option<usize>) {
        let tick = self.next_tick();
        if let Content::Whole { places, .. } = &content {
            self.stood.extend(places.iter().map(|(place, value)| (place.clone(), *value)));
        }
        self.versions.push(Version { tick, time: self.time, parent, content });
    }

    /// The object is gone, or its bytes are none of ours any more.
    pub fn vanished(&mut self, content: Content) {
        self.lossy |= !matches!(content, Content::Absent { lost: false });
        self.record(content, self.versions.len().checked_sub(1));
    }

    /// The write of this value is a default.
    pub fn is_default(&mut self, value: &Json) {
        let write = value.as_str().parse().ok().and_then(|value: u64| self.writes.get_mut(&value));
        write.expect("it was written down").is_default = true;
    }

    /// A client was told what became of its writes up to `op`.
    pub fn settled(&mut self, run: u64, claim: ClaimId, op: u64, outcome: Outcome) -> Verdict {
        let told = told(outcome);
        let tick = self.tick;
        for removal in &mut self.removals {
            let concerned =
                removal.run == run && removal.claim == claim && removal.op <= op && removal.settled_tick.is_none();
            if concerned {
                removal.settled_tick = Some(tick);
                removal.outcome = told;
            }
        }
        let open = |write: &Write| {
            write.run == run && write.claim == claim && write.op <= op && write.outcome == Told::Nothing
        };
        let values: Vec<u64> = self.writes.iter().filter(|(_, write)| open(write)).map(|(value, _)| *value).collect();
        for value in values {
            let place = self.writes[&value].place.clone();
            let stood = self.stood.contains(&(place.clone(), value)) || self.was_held_off(value, &place);
            match told {
                Told::Saved if !stood && !self.was_replaced(run, value, &place) => {
                    return Err(format!("I1: {value} at {place:?} was told saved and never stood in the store"));
                }
                // Where the store has lost the object, a request to create it that was overtaken long ago may have been
                // applied.
                Told::Failed if self.stood.contains(&(place.clone(), value)) && !self.lossy => {
                    return Err(format!("I7: {value} at {place:?} was told failed and stood in the store"));
                }
                Told::Saved | Told::Failed | Told::Unknown | Told::Nothing => {}
            }
            self.tell(value, told);
        }
        self.close_emptying(run, claim);
        Ok(())
    }

    /// A fresh mount one of whose writes to its tab is saved has emptied the tab: it explains no further loss. After a
    /// failure the emptying is owed again.
    fn close_emptying(&mut self, run: u64, claim: ClaimId) {
        let of_claim = || self.writes.values().filter(|write| write.run == run && write.claim == claim);
        if of_claim().any(|write| matches!(write.outcome, Told::Failed | Told::Unknown)) {
            return;
        }
        let saved: Vec<Place> =
            of_claim().filter(|write| write.outcome == Told::Saved).map(|write| write.place.clone()).collect();
        for removal in self.removals.iter_mut().filter(|removal| removal.run == run && removal.claim == claim) {
            let is_done = saved.iter().any(|place| place.tab.is_some() && removal.scope.covers(place));
            if is_done && matches!(removal.scope, Scope::Tab(_)) && removal.outcome == Told::Nothing {
                removal.outcome = Told::Saved;
                removal.settled_tick = Some(self.tick);
            }
        }
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
            removal.outcome = Told::Failed;
            removal.settled_tick = Some(tick);
        }
        Ok(())
    }

    /// A request to bury the document was answered. It is known by its number, as a claim's operation is.
    pub fn forgotten(&mut self, run: u64, request: RequestId, outcome: Outcome) -> Verdict {
        self.told.forgotten += 1;
        let tick = self.tick;
        let asked = |removal: &&mut Removal| {
            removal.run == run && removal.op == request.0 && matches!(removal.scope, Scope::Everything)
        };
        let mut since = None;
        for removal in self.removals.iter_mut().filter(asked) {
            removal.outcome = told(outcome);
            removal.settled_tick = Some(tick);
            since = Some(removal.tick);
        }
        let since = since.ok_or("I7: a forgotten document that nobody asked to forget")?;
        match outcome {
            Outcome::Saved { .. } => self.check_forgotten(since),
            Outcome::Failed(_) | Outcome::Unknown => Ok(()),
        }
    }

    /// Whether the document was empty at some moment since it was to be forgotten.
    fn check_forgotten(&self, since: u64) -> Verdict {
        let ends = self.versions.iter().skip(1).map(|version| version.tick).chain([u64::MAX]);
        let was_there = |version: &Version| version.header().is_some_and(|header| !header.buried);
        let old_values = |version: &Version| {
            version
                .values(u64::MAX)
                .any(|(_, value, _)| self.writes.get(&value).is_some_and(|write| write.tick < since))
        };
        let empty = |(version, end): (&Version, u64)| end > since && !(was_there(version) && old_values(version));
        let nothing_ever = self.versions.first().is_none_or(|first| first.tick > since);
        match nothing_ever || self.versions.iter().zip(ends).any(empty) {
            true => Ok(()),
            false => Err(format!("I10: told forgotten since tick {since}, and it stood there all the time")),
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

    /// It is a default, and since it was accepted something stood there.
    fn was_held_off(&self, value: u64, place: &Place) -> bool {
        let write = &self.writes[&value];
        let ends = self.versions.iter().skip(1).map(|version| version.tick).chain([u64::MAX]);
        let mut since = self.versions.iter().zip(ends).filter(|(_, end)| *end > write.tick);
        write.is_default && since.any(|(version, _)| version.value(place).is_some())
    }

    /// A later operation of the same node took its place before it left.
    fn was_replaced(&self, run: u64, value: u64, place: &Place) -> bool {
        let tick = self.writes[&value].tick;
        let by_write = self.writes.values().any(|later| {
            let is_later = later.run == run && later.tick > tick && !later.is_default;
            is_later && later.place == *place && later.outcome != Told::Failed
        });
        let by_removal = self.removals.iter().any(|later| {
            later.run == run && later.tick >= tick && later.outcome != Told::Failed && later.scope.covers(place)
        });
        by_write || by_removal
    }

    /// Writes of living nodes that were never told anything.
    pub fn open_writes(&self, run: u64) -> usize {
        self.writes.values().filter(|write| write.run == run && write.outcome == Told::Nothing).count()
    }

    /// Whether the nodes can tell which of two mounts of a tab was later: clocks agree, and no epoch was lost.
    pub fn knows_order_of_mounts(&self) -> bool {
        !self.skewed && !self.may_have_lost_epochs()
    }

    /// With the object, or at its end, its epochs go: what mounts came before is not known any more.
    pub fn may_have_lost_epochs(&self) -> bool {
        let was_removed = self.versions.iter().any(|version| matches!(version.content, Content::Absent { .. }));
        was_removed || self.lossy || self.has_expired
    }
}

fn told(outcome: Outcome) -> Told {
    match outcome {
        Outcome::Saved { .. } => Told::Saved,
        Outcome::Failed(_) => Told::Failed,
        Outcome::Unknown => Told::Unknown,
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
