//! What must hold whenever the document changes: I1, I2, I3, I5, I6, I7, I9 and I10.

use std::collections::BTreeMap;

use durable_stash_machine::WriteId;
use durable_stash_machine::document::{Document, Header};

use super::history::{Content, History, Place, Removal, Told, Verdict, Version, places};
use super::store::Object;

impl History {
    /// A PUT was applied and the document is another one now.
    pub fn committed(&mut self, object: &Object) -> Verdict {
        let (header, document) = object.content().ok_or("a machine wrote what it cannot read")?;
        self.told.commits += 1;
        let places = places(&document);
        let run = *self.runs.get(&header.write.writer.0).ok_or("I2: a writer nobody started")?;
        let mut reasons = Vec::new();
        for base in self.bases(&header) {
            let values = base.into_iter().flat_map(|index| self.versions[index].values(self.ttl_ms));
            self.has_expired |= values.map(|(_, _, over_at)| over_at).any(|over_at| over_at <= header.touched_at);
            match self.check_commit(run, base, &header, &document, &places) {
                Ok(()) => {
                    self.count_commit(base, &header);
                    self.record(Content::Whole { header, document, places }, base);
                    return Ok(());
                }
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.join("; or "))
    }

    /// What it may have been built on: the present state, or, where the store has lost that, anything that a node may
    /// still know of.
    fn bases(&self, header: &Header) -> Vec<Option<usize>> {
        let Some(last) = self.versions.len().checked_sub(1) else { return vec![None] };
        match self.versions[last].content {
            Content::Whole { .. } | Content::Absent { lost: false } => vec![Some(last)],
            Content::Damaged | Content::Absent { lost: true } => {
                let before =
                    |index: &usize| self.versions[*index].header().is_some_and(|before| before.rev + 1 == header.rev);
                (0..last).rev().filter(before).map(Some).chain([None]).collect()
            }
        }
    }

    fn check_commit(
        &self,
        run: u64,
        base: Option<usize>,
        header: &Header,
        document: &Document,
        after: &BTreeMap<Place, u64>,
    ) -> Verdict {
        let previous = base.map(|index| &self.versions[index]);
        self.check_chain(base, header, document)?;
        for (place, value) in after {
            if previous.and_then(|previous| previous.value(place)) != Some(*value) {
                self.check_new_value(run, base, place, *value)?;
                self.check_default(run, previous, header, place, *value)?;
            }
        }
        let was_over = previous.and_then(Version::header).is_some_and(|before| before.expires_at <= header.touched_at);
        for (place, value) in after.iter().filter(|_| was_over) {
            if previous.and_then(|previous| previous.value(place)) == Some(*value) {
                return Err(format!("I10: {value} at {place:?} had expired and is in rev {}", header.rev));
            }
        }
        for (place, _, over_at) in previous.into_iter().flat_map(|previous| previous.values(self.ttl_ms)) {
            // The writer's clock showed this at most.
            let has_expired = over_at <= header.touched_at;
            if !after.contains_key(place) && !has_expired && !self.is_removed_by(run, place) {
                return Err(format!("I2: {place:?} vanished in rev {} and nobody of run {run} removed it", header.rev));
            }
        }
        Ok(())
    }

    /// A default is new only where nothing stood.
    fn check_default(
        &self,
        run: u64,
        previous: Option<&Version>,
        header: &Header,
        place: &Place,
        value: u64,
    ) -> Verdict {
        let is_alive = |(at, _, over_at): (&Place, u64, u64)| at == place && over_at > header.touched_at;
        let stood = previous.is_some_and(|previous| previous.values(self.ttl_ms).any(is_alive));
        match self.writes[&value].is_default && stood && !self.is_removed_by(run, place) {
            true => Err(format!("I2: the default {value} took the place of what stood at {place:?}")),
            false => Ok(()),
        }
    }

    fn is_removed_by(&self, run: u64, place: &Place) -> bool {
        // What was told saved is in the store already and removes nothing any more.
        let is_open = |removal: &Removal| matches!(removal.outcome, Told::Nothing | Told::Unknown) || self.lossy;
        self.removals.iter().any(|removal| removal.run == run && is_open(removal) && removal.scope.covers(place))
    }

    fn check_chain(&self, base: Option<usize>, header: &Header, document: &Document) -> Verdict {
        let previous = base.map(|index| &self.versions[index]);
        let rev = previous.and_then(Version::header).map_or(0, |header| header.rev) + 1;
        if header.rev != rev {
            return Err(format!("I5: rev {} where {rev} was due", header.rev));
        }
        let WriteId { writer, seq } = header.write;
        let is_same = |version: &Version| version.header().is_some_and(|before| before.write == header.write);
        if self.lineage(base).any(is_same) {
            return Err(format!("I3: batch {seq} of {writer} was applied twice"));
        }
        if !header.contains(header.write) {
            return Err("I3: a batch is not in its own `applied`".into());
        }
        // No run lasts for an hour, and none has as many as 32 writers.
        let before = previous.and_then(Version::header).into_iter().flat_map(|before| &before.applied);
        for (writer, applied) in before {
            if !header.contains(WriteId { writer: *writer, seq: applied.seq }) {
                return Err(format!("I3: rev {} forgets that batch {} of {writer} is in it", header.rev, applied.seq));
            }
        }
        for (view, slices) in previous.and_then(Version::document).into_iter().flat_map(|document| &document.views) {
            for (vsn, slice) in slices {
                for (tab, state) in &slice.tabs {
                    let now = document.views.get(view).and_then(|slices| slices.get(vsn)?.tabs.get(tab));
                    let has_expired = slice.is_over(header.touched_at, self.ttl_ms);
                    if !self.may_have_lost_epochs() && !has_expired && now.is_some_and(|now| now.epoch < state.epoch) {
                        return Err(format!("I6: the epoch of {tab:?} went back"));
                    }
                }
            }
        }
        Ok(())
    }

    fn check_new_value(&self, run: u64, base: Option<usize>, place: &Place, value: u64) -> Verdict {
        let write = self.writes.get(&value).ok_or_else(|| format!("I2: nobody wrote {value}"))?;
        if write.place != *place || write.run != run {
            return Err(format!("I9: {value} at {place:?} by run {run}, but it was {write:?}"));
        }
        // Where the store has lost the object, a request that was overtaken long ago may be applied yet: one that creates
        // it, and then one that was built on what that creates.
        if write.outcome == Told::Failed && !self.lossy {
            return Err(format!("I7: {value} was told failed and is in a later object"));
        }
        if write.outcome == Told::Saved && !self.lossy {
            return Err(format!("I3: {value} was saved before and came back"));
        }
        if self.lineage(base).any(|version| version.value(place) == Some(value)) {
            return Err(format!("I3: {value} came back at {place:?}"));
        }
        let mount = |value: u64| self.writes.get(&value).map_or(0, |write| write.mount);
        let last = self.lineage(base).find_map(|version| version.value(place));
        if self.knows_order_of_mounts() && place.tab.is_some() && last.is_some_and(|last| mount(last) > mount(value)) {
            return Err(format!("I6: {value} of a superseded mount replaced a later one's at {place:?}"));
        }
        Ok(())
    }

    fn count_commit(&mut self, base: Option<usize>, header: &Header) {
        match self.current().map(|version| &version.content) {
            Some(Content::Absent { lost: true }) if base.is_some() => self.told.restored += 1,
            Some(Content::Damaged) if base.is_some() => self.told.healed += 1,
            Some(Content::Whole { header: before, .. }) if before.is_over(header.touched_at) && !before.buried => {
                self.told.expired += 1;
            }
            _ => {}
        }
    }

    /// A PUT was applied under an older name, and says where the document goes. It changes nothing else.
    pub fn sealed(&mut self, before: Option<&Object>, after: &Object) -> Verdict {
        self.told.sealed += 1;
        let (header, document) = after.content().ok_or("a machine wrote what it cannot read")?;
        let (old, content) = before.and_then(Object::content).unzip();
        let rev = self.current().and_then(Version::header).map_or(0, |header| header.rev) + 1;
        let applied = old.as_ref().map(|old| old.applied.clone()).unwrap_or_default();
        let is_over = old.as_ref().is_none_or(|old| old.is_over(header.touched_at));
        let is_buried = old.as_ref().is_some_and(|old| old.buried);
        let content = content.filter(|_| !is_over || is_buried).unwrap_or_default();
        // What a tombstone keeps is as old as the seal.
        let is_kept = if is_buried { document.forgotten(0) == content.forgotten(0) } else { document == content };
        if (header.rev, &header.applied, is_kept) != (rev, &applied, true) {
            return Err(format!("I2: a seal made {header:?} of {old:?}, and rev {rev} was due"));
        }
        let places = places(&document);
        self.record(Content::Whole { header, document, places }, self.versions.len().checked_sub(1));
        Ok(())
    }

    /// A PUT was applied to a sealed object. Nothing but a tombstone of what has moved may be put there.
    pub fn retired(&mut self, before: Option<&Object>, after: &Object, stands: bool) -> Verdict {
        self.told.retired += 1;
        let (old, _) = before.and_then(Object::content).ok_or("I5: a tombstone for nothing")?;
        let (new, document) = after.content().ok_or("a machine wrote what it cannot read")?;
        match stands && new.buried && document.views.is_empty() && new.rev == old.rev + 1 {
            true => Ok(()),
            false => Err(format!("I2: under an older name, {old:?} became {new:?}")),
        }
    }
}
