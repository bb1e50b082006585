//! What a read has shown, and what it could have shown.

use durable_stash_machine::{Key, ReadAnswer, TabId, Vsn};

use crate::bits::Bits;
use crate::content::{Change, Content, Place};
use crate::object::Object;
use crate::scenario::Scenario;
use crate::world::{Fate, Fresh, Reading, World};

/// An answer, in the scenario's terms.
pub(crate) struct Shown<'a> {
    scenario: &'a Scenario,
    world: &'a World,
    reading: &'a Reading,
    content: Content,
    places: Bits,
}

impl<'a> Shown<'a> {
    /// Reads the answer. None if it shows a value that nobody wrote there.
    pub(crate) fn of(
        scenario: &'a Scenario,
        world: &'a World,
        reading: &'a Reading,
        answer: &ReadAnswer,
    ) -> Option<Self> {
        let slot = &scenario.lives[usize::from(reading.live)].slot;
        // Of the versions that it could have found, all below the one that it did find are not shown.
        let (lowest, lowest_tab) = answer.found.as_ref().map_or((0, 0), |found| (found.vsn.0, found.tab_vsn.0));
        let places = scenario.places_where(|place| {
            let lowest = if place.tab.is_some() { lowest_tab } else { lowest };
            let is_own = place.tab.as_ref().is_none_or(|tab| *tab == slot.tab);
            place.view == slot.view && is_own && (lowest..=slot.vsn.0).contains(&place.vsn.0)
        });
        let mut content = Content::default();
        if let Some(found) = &answer.found {
            let mut set = |vsn: Vsn, tab: Option<&TabId>, key: &Key, value: &str| {
                let stands = |place: &Place| {
                    place.view == slot.view && place.vsn == vsn && place.tab.as_ref() == tab && place.key == *key
                };
                let index = scenario.places.iter().position(stands)?;
                content.set(u8::try_from(index).ok()?, value.parse().ok()?);
                Some(())
            };
            for (key, json) in &found.session {
                set(found.vsn, None, key, json.as_str())?;
            }
            for (key, json) in &found.tab {
                set(found.tab_vsn, Some(&slot.tab), key, json.as_str())?;
            }
        }
        Some(Self { scenario, world, reading, content, places })
    }

    /// The places that the answer speaks of.
    pub(crate) fn places(&self) -> Bits {
        self.places
    }

    /// What could have been shown: what stood in the store at any moment of the read, with what this node has accepted
    /// on top.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = Content> {
        let seen = self.reading.seen.iter();
        seen.flat_map(|object| [self.with_own(object, false), self.with_own(object, true)])
    }

    /// Whether the answer shows this, at these places.
    pub(crate) fn agrees(&self, candidate: &Content, places: Bits) -> bool {
        self.content.changes(candidate).both(places).is_empty()
    }

    /// Whether it shows something that is not committed.
    pub(crate) fn has_uncommitted(&self) -> bool {
        let open = self.world.open(self.reading.run).without(self.world.object.applied);
        self.places.members().any(|place| self.content.at(place).is_some_and(|op| open.has(op)))
    }

    /// Whether what stands in the store now is something else.
    pub(crate) fn is_overtaken(&self) -> bool {
        ![false, true].iter().any(|is_fresh| self.agrees(&self.with_own(&self.world.object, *is_fresh), self.places))
    }

    /// With this node's writes on top; and, if it owes that to a fresh mount, with the tab emptied before them.
    fn with_own(&self, object: &Object, empties: bool) -> Content {
        let mut content = object.readable(self.world.now().wall);
        let own = |index: &u8| {
            let op = &self.world.ops[usize::from(*index)];
            op.run == self.reading.run && op.fate == Fate::Open && !object.applied.has(*index)
        };
        let mut deeds: Vec<(u8, Option<u8>, Bits)> = (0u8..)
            .zip(&self.world.ops)
            .filter(|(index, _)| own(index) && !self.is_superseded(object, *index))
            .map(|(index, op)| (op.order, Some(index), op.places))
            .collect();
        let tab = self.scenario.places_of(self.reading.live, true);
        let slot_of = |live: u8| &self.scenario.lives[usize::from(live)].slot;
        let is_here =
            |fresh: &&Fresh| fresh.run == self.reading.run && slot_of(fresh.live) == slot_of(self.reading.live);
        let document = object.stored.as_ref().map(|stored| &stored.document);
        let is_past = |fresh: &Fresh| document.is_some_and(|it| self.world.is_past(fresh, self.scenario, it));
        // Who has mounted fresh sees none of it, whoever has mounted elsewhere since.
        let is_due = |fresh: &&Fresh| fresh.live == self.reading.live || !is_past(fresh);
        let fresh = self.world.fresh.iter().filter(|_| empties).filter(is_here).filter(is_due);
        deeds.extend(fresh.map(|fresh| (fresh.order, None, tab)));
        deeds.sort_by_key(|(order, _, _)| *order);
        for (_, op, places) in deeds {
            let change = op.map_or(Change::Empties, |op| self.scenario.ops[usize::from(op)].change);
            content.apply(op.unwrap_or(0), places, change);
        }
        content
    }

    /// What a later mount on another node has overtaken will not be committed, and is not shown.
    fn is_superseded(&self, object: &Object, op: u8) -> bool {
        let script = &self.scenario.lives[usize::from(self.scenario.ops[usize::from(op)].live)];
        let stored =
            object.stored.as_ref().and_then(|stored| stored.document.epoch(&script.slot.view, &script.slot.tab));
        script.stores_tab
            && stored.is_some_and(|stored| self.world.is_later(stored, self.world.ops[usize::from(op)].mount))
    }
}
