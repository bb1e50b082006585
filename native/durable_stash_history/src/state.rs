//! What a session's object held at one time.

use std::collections::BTreeMap;

use crate::history::Register;
use crate::names::{Name, Names, canonical};
use crate::object::{Header, Object};

/// The object from one commit to the next.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) at: u64,
    /// By when it was certainly there, if `at` is but the earliest that it can have been.
    pub(crate) until: u64,
    pub(crate) etag: Option<String>,
    pub(crate) replaces: Option<String>,
    pub(crate) content: Content,
    /// It is the first under another name, and follows what was sealed under the one before.
    pub(crate) has_moved: bool,
}

#[derive(Debug)]
pub(crate) enum Content {
    Absent,
    /// Bytes that are no document.
    Damaged,
    Whole(Box<Whole>),
}

/// A document.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) header: Header,
    /// In order.
    pub(crate) values: Vec<(Register, Value)>,
    /// When each slice was touched, in ms since the epoch, and how many tabs it has.
    pub(crate) slices: BTreeMap<(Name, u64), (u64, u64)>,
    /// The epoch of each tab.
    pub(crate) tabs: BTreeMap<(Name, u64, Name), u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// What it means.
    pub(crate) name: Name,
    /// The bytes it is stored as.
    pub(crate) bytes: Name,
}

impl Whole {
    /// The highest epoch that any version of the view has for the tab.
    pub(crate) fn epoch(&self, view: Name, tab: Name) -> u64 {
        let of_tab = self.tabs.iter().filter(|((of, _, name), _)| (*of, *name) == (view, tab));
        of_tab.map(|(_, epoch)| *epoch).max().unwrap_or(0)
    }

    /// Whether the register's tab is not there, and there are as many others as a view keeps.
    pub(crate) fn has_evicted(&self, register: &Register, limit: u64) -> bool {
        let Register { view, vsn, tab, .. } = *register;
        let Some(tab) = tab else { return false };
        let is_full = self.slices.get(&(view, vsn)).is_some_and(|(_, tabs)| *tabs >= limit);
        is_full && !self.tabs.contains_key(&(view, vsn, tab))
    }
}

impl State {
    pub(crate) fn whole(&self) -> Option<&Whole> {
        match &self.content {
            Content::Whole(whole) => Some(whole),
            Content::Absent | Content::Damaged => None,
        }
    }

    /// It says that the document is to be found under another name from now on.
    pub(crate) fn is_seal(&self) -> bool {
        self.whole().is_some_and(|whole| whole.header.moved_to.is_some())
    }

    pub(crate) fn value(&self, register: &Register) -> Option<Name> {
        let whole = self.whole()?;
        let at = whole.values.binary_search_by_key(register, |(register, _)| *register).ok()?;
        Some(whole.values[at].1.name)
    }
}

impl Content {
    pub(crate) fn of(session: Name, object: &Object<'_>, names: &mut Names) -> Self {
        let mut values = Vec::new();
        let (mut all_slices, mut all_tabs) = (BTreeMap::new(), BTreeMap::new());
        for (view, slices) in &object.views {
            let view = names.of(view);
            for (vsn, slice) in slices {
                let vsn = vsn.parse().unwrap_or(u64::MAX);
                all_slices.insert((view, vsn), (slice.touched_at, slice.tabs.len() as u64));
                let mut add = |names: &mut Names, tab, key: &str, raw: &str| {
                    let register = Register { session, view, vsn, tab, key: names.of(key) };
                    let (name, bytes) = (names.of(&canonical(raw)), names.of(raw));
                    values.push((register, Value { name, bytes }));
                };
                for (key, raw) in &slice.data {
                    add(names, None, key, raw.get());
                }
                for (tab, content) in &slice.tabs {
                    let tab = names.of(tab);
                    all_tabs.insert((view, vsn, tab), content.epoch);
                    for (key, raw) in &content.data {
                        add(names, Some(tab), key, raw.get());
                    }
                }
            }
        }
        values.sort_unstable_by_key(|(register, _)| *register);
        let header = object.header.clone();
        Self::Whole(Box::new(Whole { header, values, slices: all_slices, tabs: all_tabs }))
    }
}
