//! What stands in an object, as far as the scripts can tell, and what a batch makes of it: the ten lines that the
//! machine's merge is held against.

use durable_stash_machine::document::Document;
use durable_stash_machine::{Json, Key, Slot, TabId, View, Vsn};

use crate::bits::Bits;

/// Where a value may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The view.
    pub(crate) view: View,
    /// The version of its code.
    pub(crate) vsn: Vsn,
    /// The tab; none for a `:session` key.
    pub(crate) tab: Option<TabId>,
    /// The key.
    pub(crate) key: Key,
}

impl Place {
    /// Whether a LiveView of this slot may write there.
    pub(crate) fn is_in(&self, slot: &Slot) -> bool {
        self.view == slot.view && self.vsn == slot.vsn && self.tab.as_ref().is_none_or(|tab| *tab == slot.tab)
    }
}

/// What an operation does to its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Its value stands there.
    Sets,
    /// Its value stands there if nothing else does.
    Defaults,
    /// Nothing stands there.
    Empties,
}

/// Per place, the operation whose value stands there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Content([u8; MAX_PLACES]);

impl Content {
    /// Reads a document. None if it holds a value at a place that nobody names, or one that nobody wrote.
    pub(crate) fn of(document: &Document, places: &[Place]) -> Option<Self> {
        let mut content = Self::default();
        let mut set = |view: &View, vsn: Vsn, tab: Option<&TabId>, key: &Key, json: &Json| {
            let is_there = |place: &Place| {
                place.vsn == vsn && place.key == *key && place.tab.as_ref() == tab && place.view == *view
            };
            let index = places.iter().position(is_there)?;
            content.0[index] = json.as_str().parse::<u8>().ok()? + 1;
            Some(())
        };
        for (view, slices) in &document.views {
            for (vsn, slice) in slices {
                for (key, json) in &slice.data {
                    set(view, *vsn, None, key, json)?;
                }
                for (id, tab) in &slice.tabs {
                    for (key, json) in &tab.data {
                        set(view, *vsn, Some(id), key, json)?;
                    }
                }
            }
        }
        Some(content)
    }

    /// The operation whose value stands there.
    pub(crate) fn at(&self, place: u8) -> Option<u8> {
        self.0[usize::from(place)].checked_sub(1)
    }

    /// The operation's value stands there now.
    pub(crate) fn set(&mut self, place: u8, op: u8) {
        self.0[usize::from(place)] = op + 1;
    }

    /// Nothing stands at these places any more.
    pub(crate) fn empty(&mut self, places: Bits) {
        for place in places.members() {
            self.0[usize::from(place)] = 0;
        }
    }

    /// What one operation makes of it.
    pub(crate) fn apply(&mut self, op: u8, places: Bits, change: Change) {
        match change {
            Change::Sets => places.members().for_each(|place| self.set(place, op)),
            Change::Defaults => places.without(self.taken()).members().for_each(|place| self.set(place, op)),
            Change::Empties => self.empty(places),
        }
    }

    /// Where something stands.
    pub(crate) fn taken(&self) -> Bits {
        self.changes(&Self::default())
    }

    /// Whether nothing stands anywhere.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The places at which the two differ.
    pub(crate) fn changes(&self, other: &Self) -> Bits {
        (0u8..).zip(self.0.iter().zip(&other.0)).filter(|(_, (one, two))| one != two).map(|(place, _)| place).collect()
    }
}

/// No scenario has more.
const MAX_PLACES: usize = 12;
