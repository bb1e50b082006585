//! What was accepted and is not yet committed: the fold of the operations since the last batch was frozen.
//!
//! Every edit carries the stamp of its acceptance. Per key the newest stamp wins, whoever wrote it, so a batch never
//! outgrows the state that it describes, and applying two batches in turn equals applying their fold. Edits stay
//! apart by claim all the same: if one claim turns out to be superseded on another node, exactly its edits are
//! taken out and what the other claims wrote to the same keys is still there.
//!
//! A default is no such edit: it gives a key a value where nothing stands, so what it does is known only where it is
//! applied. It is kept beside the claim's edit of the key, since what another claim removes in between lets it count.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::{ClaimId, RequestId, Values};
use crate::slice::{Epoch, Json, Key, Slot, View, Vsn};

/// The order of acceptance on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub u64);

/// One key's edit: a value, or its removal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Edit {
    /// When it was accepted.
    pub stamp: Stamp,
    /// The new value; none removes the key.
    pub value: Option<Json>,
}

impl Edit {
    fn bytes(&self, key: &Key) -> usize {
        edit_bytes(key, self.value.as_ref())
    }
}

/// What one key's edit takes up in memory and in the document, roughly.
pub(crate) fn edit_bytes(key: &Key, value: Option<&Json>) -> usize {
    key.as_str().len() + value.map_or(0, |json| json.as_str().len()) + EDIT_BYTES
}

/// What one key is given where nothing stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyDefault {
    /// When it was accepted. The earliest default counts.
    pub first: Stamp,
    /// When it was accepted again: what was removed before that is given it too.
    pub last: Stamp,
    /// The value.
    pub value: Json,
}

impl KeyDefault {
    fn bytes(&self, key: &Key) -> usize {
        edit_bytes(key, Some(&self.value))
    }
}

/// Edits of one set of keys, and whether the set was emptied before them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layer {
    wiped: Option<Stamp>,
    edits: BTreeMap<Key, Edit>,
    /// Those that came after the edit of their key, if it has one here.
    defaults: BTreeMap<Key, KeyDefault>,
    /// Of `edits` and `defaults`, kept along: every accepted write asks for it.
    bytes: usize,
}

impl Layer {
    /// Everything older than this stamp is gone.
    pub fn wiped(&self) -> Option<Stamp> {
        self.wiped
    }

    /// What was set or removed since.
    pub fn edits(&self) -> &BTreeMap<Key, Edit> {
        &self.edits
    }

    /// What is set where nothing stands.
    pub fn defaults(&self) -> &BTreeMap<Key, KeyDefault> {
        &self.defaults
    }

    /// What it takes up in memory and in the document, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn set(&mut self, stamp: Stamp, key: Key, value: Option<Json>) {
        if let Some(overruled) = self.defaults.remove(&key) {
            self.bytes -= overruled.bytes(&key);
        }
        let edit = Edit { stamp, value };
        self.bytes += edit.bytes(&key);
        let share = key.clone();
        if let Some(replaced) = self.edits.insert(key, edit) {
            self.bytes -= replaced.bytes(&share);
        }
    }

    fn set_default(&mut self, stamp: Stamp, key: Key, value: Json) {
        match self.defaults.entry(key) {
            Entry::Occupied(mut earlier) => earlier.get_mut().last = stamp,
            Entry::Vacant(place) => {
                let default = KeyDefault { first: stamp, last: stamp, value };
                self.bytes += default.bytes(place.key());
                place.insert(default);
            }
        }
    }

    fn wipe(&mut self, stamp: Stamp) {
        *self = Self { wiped: Some(stamp), ..Self::default() };
    }

    /// As `wipe`, but what was accepted after the stamp stays.
    fn wipe_below(&mut self, stamp: Stamp) {
        self.wiped = self.wiped.max(Some(stamp));
        self.edits.retain(|_, edit| edit.stamp >= stamp);
        self.defaults.retain(|_, default| default.last >= stamp);
        let of_edits: usize = self.edits.iter().map(|(key, edit)| edit.bytes(key)).sum();
        let of_defaults: usize = self.defaults.iter().map(|(key, default)| default.bytes(key)).sum();
        self.bytes = of_edits + of_defaults;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wiped.is_none() && self.edits.is_empty() && self.defaults.is_empty()
    }
}

/// A fresh mount's emptying of its tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Emptying {
    /// What is older goes.
    pub stamp: Stamp,
    /// The mount that owed it, if that was an earlier one than the claim's: what mounts after that one have stored, on
    /// other nodes, is not its to empty.
    pub owed_by: Option<Epoch>,
    /// A reset came with it or after it: the tab is emptied, whoever has written there.
    pub is_reset: bool,
}

/// All that one claim wrote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimEdit {
    /// Where it writes.
    pub slot: Arc<Slot>,
    /// Its standing against other nodes' claims of the same tab.
    pub epoch: Epoch,
    /// Whether the tab is part of the document.
    pub stores_tab: bool,
    /// The mount was fresh and its emptying of the tab travels in this edit. If the batch fails, the next one
    /// must carry it again.
    pub fresh: Option<Emptying>,
    /// Edits of `:session` keys.
    pub session: Layer,
    /// Edits of `:reconnect` keys.
    pub tab: Layer,
    /// Edits of `:shared` keys.
    pub shared: Layer,
    /// The last write in here; 0 when there is none, as in a fresh mount's emptying.
    pub last_op: u64,
}

impl ClaimEdit {
    /// A claim's edit that changes nothing yet.
    pub fn new(slot: Arc<Slot>, epoch: Epoch, stores_tab: bool) -> Self {
        Self {
            slot,
            epoch,
            stores_tab,
            fresh: None,
            session: Layer::default(),
            tab: Layer::default(),
            shared: Layer::default(),
            last_op: 0,
        }
    }

    /// Sets or removes keys.
    pub fn edit(
        &mut self,
        stamp: Stamp,
        session: impl IntoIterator<Item = (Key, Option<Json>)>,
        tab: impl IntoIterator<Item = (Key, Option<Json>)>,
    ) {
        for (key, value) in session {
            self.session.set(stamp, key, value);
        }
        for (key, value) in tab {
            self.tab.set(stamp, key, value);
        }
    }

    /// Sets `:shared` keys.
    pub fn share(&mut self, stamp: Stamp, shared: impl IntoIterator<Item = (Key, Json)>) {
        for (key, json) in shared {
            self.shared.set(stamp, key, Some(json));
        }
    }

    /// Sets keys where nothing stands.
    pub fn set_defaults(&mut self, stamp: Stamp, defaults: Values) {
        let scopes =
            [(&mut self.session, defaults.session), (&mut self.tab, defaults.tab), (&mut self.shared, defaults.shared)];
        for (layer, values) in scopes {
            for (key, json) in values {
                layer.set_default(stamp, key, json);
            }
        }
    }

    /// Empties the slice and the tab. What is shared belongs to other views too.
    pub fn reset(&mut self, stamp: Stamp) {
        self.session.wipe(stamp);
        self.tab.wipe(stamp);
        if let Some(fresh) = &mut self.fresh {
            fresh.is_reset = true;
        }
    }

    /// Empties the tab, as a fresh mount does.
    pub fn start_fresh(&mut self, stamp: Stamp, owed_by: Option<Epoch>) {
        self.tab.wipe(stamp);
        self.fresh = Some(Emptying { stamp, owed_by, is_reset: false });
    }

    /// Empties the tab below what was written since: a fresh mount's emptying that has failed once.
    pub(crate) fn start_fresh_below(&mut self, fresh: Emptying) {
        self.tab.wipe_below(fresh.stamp);
        self.fresh = Some(fresh);
    }

    /// What it does to a tab that a mount of this epoch was the last to write.
    pub(crate) fn tab_after(&self, stored: Epoch) -> Cow<'_, Layer> {
        let is_void = |fresh: Emptying| {
            let is_overtaken = fresh.owed_by.is_some_and(|owed_by| stored > owed_by);
            is_overtaken && !fresh.is_reset && self.tab.wiped == Some(fresh.stamp)
        };
        match self.fresh {
            Some(fresh) if is_void(fresh) => Cow::Owned(Layer { wiped: None, ..self.tab.clone() }),
            Some(_) | None => Cow::Borrowed(&self.tab),
        }
    }

    /// Whether applying it would do nothing.
    pub fn is_empty(&self) -> bool {
        self.spares_slice() && self.shared.is_empty()
    }

    /// Whether it leaves its view's slice alone. A slice that nobody writes is not begun: it would hide the one of a
    /// lower version.
    pub fn spares_slice(&self) -> bool {
        self.session.is_empty() && self.tab.is_empty()
    }

    /// Whether a reader at this slot is shown any of it, or what it emptied.
    pub(crate) fn is_seen_from(&self, slot: &Slot) -> bool {
        let is_of_view = self.slot.view == slot.view && self.slot.vsn <= slot.vsn;
        let is_of_tab = is_of_view && self.slot.tab == slot.tab;
        !self.shared.is_empty() || (is_of_view && !self.session.is_empty()) || (is_of_tab && !self.tab.is_empty())
    }

    /// What it takes up in memory and in the document, roughly.
    pub fn bytes(&self) -> usize {
        self.session.bytes + self.tab.bytes + self.shared.bytes + CLAIM_BYTES
    }
}

/// The fold of accepted operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Batch {
    /// Per claim, what it wrote.
    pub claims: BTreeMap<ClaimId, ClaimEdit>,
    /// Slices that a mount has seen: they stay alive although nothing in them changes.
    pub touched: BTreeSet<(View, Vsn)>,
    /// Write the document as it is: the store has lost it.
    pub restore: bool,
    /// Bury the document as it was before this stamp.
    pub forgotten: Option<Stamp>,
    /// Who asked for that.
    pub forget_requests: Vec<RequestId>,
    /// How many operations are folded in here.
    pub ops: u64,
    /// When the first of them was accepted (monotonic ms).
    pub since: Option<u64>,
}

impl Batch {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.touched.is_empty() && !self.restore && self.forgotten.is_none()
    }

    /// Once all that was in it has been taken out it is as good as new.
    pub(crate) fn rest_if_empty(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Counts one more operation, accepted now.
    pub fn accept(&mut self, mono: u64) {
        self.ops += 1;
        self.since.get_or_insert(mono);
    }

    /// The claim's edit, begun if this is its first.
    pub fn claim(&mut self, claim: ClaimId, slot: &Arc<Slot>, epoch: Epoch, stores_tab: bool) -> &mut ClaimEdit {
        self.claims.entry(claim).or_insert_with(|| ClaimEdit::new(slot.clone(), epoch, stores_tab))
    }

    /// Buries the document: what was accepted before has no effect any more.
    pub fn forget(&mut self, stamp: Stamp, request: RequestId) {
        for edit in self.claims.values_mut() {
            edit.session = Layer::default();
            edit.tab = Layer::default();
            edit.shared = Layer::default();
        }
        self.touched.clear();
        self.restore = false;
        self.forgotten = Some(stamp);
        self.forget_requests.push(request);
    }

    /// What it takes up in memory and in the document, roughly.
    pub fn bytes(&self) -> usize {
        self.claims.values().map(ClaimEdit::bytes).sum()
    }
}

/// A key's share of the document beyond its text: quotes, colon, comma, and its node in the map.
const EDIT_BYTES: usize = 64;
const CLAIM_BYTES: usize = 256;
