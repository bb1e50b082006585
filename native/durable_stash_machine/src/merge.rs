//! `merge(previous document, one batch)`: the only way a document changes (I2).
//!
//! Every key that the batch does not name stays byte-equal. Four things go besides, each by its own rule of the
//! design: tabs beyond the limit, the least recently touched first; likewise LiveComponents of one module; slices that
//! nobody touched for a whole TTL; and everything but who is superseded, when the batch
//! buries the document.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::batch::{Batch, ClaimEdit, KeyDefault, Layer, Stamp};
use crate::command::ClaimId;
use crate::document::Document;
use crate::limits::Policy;
use crate::slice::{Json, Key, Slice, TabId, View, Vsn};

/// What a merge did beyond setting keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Tabs that went because there were too many.
    pub tabs_evicted: usize,
    /// LiveComponents that went because their module had too many.
    pub components_evicted: usize,
}

/// The claims of the batch that another node's later claim of the same tab has overtaken. Their edits must not be
/// applied (I6).
pub fn superseded(document: &Document, batch: &Batch) -> Vec<ClaimId> {
    let overtaken = |edit: &ClaimEdit| {
        edit.stores_tab && document.epoch(&edit.slot.view, &edit.slot.tab).is_some_and(|stored| stored > edit.epoch)
    };
    batch.claims.iter().filter(|(_, edit)| overtaken(edit)).map(|(claim, _)| *claim).collect()
}

/// Applies the batch. Whoever calls has taken the superseded claims out of it.
pub fn merge(document: &mut Document, batch: &Batch, wall: u64, policy: &Policy) -> Merged {
    if batch.forgotten.is_some() {
        *document = document.forgotten(wall);
    }
    for (view, vsn) in &batch.touched {
        if let Some(slice) = document.views.get_mut(view).and_then(|slices| slices.get_mut(vsn)) {
            slice.touched_at = slice.touched_at.max(wall);
        }
    }
    // Before the edits: what reads as not found must not come back with the next write to its slice.
    forget_untouched(document, wall, policy.ttl_ms);
    let mut merged = Merged::default();
    let targets = targets(batch);
    for (view, vsn) in &targets {
        planted!(policy, SliceReplaced, {
            document.views.entry((*view).clone()).or_default().retain(|one, _| one == vsn)
        });
        let slice = document.views.entry((*view).clone()).or_default().entry(*vsn).or_default();
        let written = merge_slice(slice, &edits_of(batch, view, *vsn), wall);
        merged.tabs_evicted += evict_tabs(slice, &written, policy.tabs_per_view);
        if *vsn != Vsn::FENCES {
            drop_fences(document, view, &written);
        }
    }
    let written = targets.iter().map(|(view, _)| *view).collect();
    merged.components_evicted = evict_components(document, &written, policy.components_per_module);
    merge_shared(document, batch, wall);
    merged
}

/// Takes out the slices that nobody has touched for a whole TTL.
pub(crate) fn forget_untouched(document: &mut Document, wall: u64, ttl_ms: u64) {
    for slices in document.views.values_mut() {
        slices.retain(|_, slice| !slice.is_over(wall, ttl_ms));
    }
    document.views.retain(|_, slices| !slices.is_empty());
}

/// Applies layers of edits to a set of keys: per key the newest stamp wins, and nothing older than the newest
/// wipe survives. A default counts where nothing stands after that, unless what was removed there was removed later.
pub fn overlay<'a>(data: &mut BTreeMap<Key, Json>, layers: impl Iterator<Item = &'a Layer> + Clone) {
    let wiped = layers.clone().filter_map(Layer::wiped).max();
    if wiped.is_some() {
        data.clear();
    }
    let mut newest: BTreeMap<&Key, (Stamp, &Option<Json>)> = BTreeMap::new();
    for (key, edit) in layers.clone().flat_map(Layer::edits) {
        let survives = wiped.is_none_or(|wipe| edit.stamp >= wipe);
        let wins = newest.get(key).is_none_or(|(stamp, _)| edit.stamp > *stamp);
        if survives && wins {
            newest.insert(key, (edit.stamp, &edit.value));
        }
    }
    let mut defaults: BTreeMap<&Key, &KeyDefault> = BTreeMap::new();
    for (key, default) in layers.flat_map(Layer::defaults) {
        let removed = newest.get(key).map(|(stamp, _)| *stamp).max(wiped);
        let survives = removed.is_none_or(|removed| default.last >= removed);
        let wins = defaults.get(key).is_none_or(|earlier| default.first < earlier.first);
        if survives && wins {
            defaults.insert(key, default);
        }
    }
    for (key, (_, value)) in newest {
        match value {
            Some(json) => data.insert(key.clone(), json.clone()),
            None => data.remove(key),
        };
    }
    for (key, default) in defaults {
        data.entry(key.clone()).or_insert_with(|| default.value.clone());
    }
}

fn targets(batch: &Batch) -> BTreeSet<(&View, Vsn)> {
    let named = batch.claims.values().filter(|edit| !edit.spares_slice());
    named.map(|edit| (&edit.slot.view, edit.slot.vsn)).collect()
}

fn edits_of<'a>(batch: &'a Batch, view: &View, vsn: Vsn) -> Vec<&'a ClaimEdit> {
    let of_slice = |edit: &&ClaimEdit| edit.slot.view == *view && edit.slot.vsn == vsn && !edit.spares_slice();
    batch.claims.values().filter(of_slice).collect()
}

fn merge_shared(document: &mut Document, batch: &Batch, wall: u64) {
    let layers = batch.claims.values().map(|edit| &edit.shared).filter(|layer| !layer.is_empty());
    if layers.clone().next().is_some() {
        let slice = document.views.entry(View::shared()).or_default().entry(Vsn::SHARED).or_default();
        slice.touched_at = slice.touched_at.max(wall);
        overlay(&mut slice.data, layers);
    }
}

/// Returns the tabs that were written.
fn merge_slice<'a>(slice: &mut Slice, edits: &[&'a ClaimEdit], wall: u64) -> BTreeSet<&'a TabId> {
    slice.touched_at = slice.touched_at.max(wall);
    overlay(&mut slice.data, edits.iter().map(|edit| &edit.session));
    let tabs: BTreeSet<&TabId> = edits.iter().filter(|edit| edit.stores_tab).map(|edit| &edit.slot.tab).collect();
    for id in &tabs {
        let of_tab = || edits.iter().filter(|edit| edit.stores_tab && edit.slot.tab == **id);
        let tab = slice.tabs.entry((*id).clone()).or_default();
        let layers: Vec<Cow<'_, Layer>> = of_tab().map(|edit| edit.tab_after(tab.epoch)).collect();
        tab.touched_at = tab.touched_at.max(wall);
        tab.epoch = of_tab().map(|edit| edit.epoch).fold(tab.epoch, Ord::max);
        overlay(&mut tab.data, layers.iter().map(|layer| &**layer));
    }
    tabs
}

/// What was kept of a forgotten document for these tabs stands in the tabs themselves now.
fn drop_fences(document: &mut Document, view: &View, written: &BTreeSet<&TabId>) {
    let Some(slices) = document.views.get_mut(view) else { return };
    let Some(fences) = slices.get_mut(&Vsn::FENCES) else { return };
    fences.tabs.retain(|id, tab| !written.contains(id) || !tab.data.is_empty());
    if fences.tabs.is_empty() && fences.data.is_empty() {
        slices.remove(&Vsn::FENCES);
    }
}

/// What this batch has written stays, however much that is: whoever wrote it is told that it is saved. It goes with a later
/// batch. `touched_at` alone would not do, since the clocks of other nodes may be ahead of this one's.
fn evict_tabs(slice: &mut Slice, written: &BTreeSet<&TabId>, limit: usize) -> usize {
    let excess = slice.tabs.len().saturating_sub(limit.max(1));
    if excess == 0 {
        return 0;
    }
    let others = slice.tabs.iter().filter(|(id, _)| !written.contains(id));
    let mut by_age: Vec<_> = others.map(|(id, tab)| (tab.touched_at, tab.epoch, id.clone())).collect();
    by_age.sort();
    by_age.truncate(excess);
    for (_, _, id) in &by_age {
        slice.tabs.remove(id);
    }
    by_age.len()
}

/// A page may show ids without end. As with tabs, what this batch has written stays.
fn evict_components(document: &mut Document, written: &BTreeSet<&View>, limit: usize) -> usize {
    let modules: BTreeSet<&str> = written.iter().filter_map(|view| view.component_module()).collect();
    let mut evicted = 0;
    for module in modules {
        let of_module = || {
            let from_here_on = document.views.range(View::new(format!("{module}:"))..);
            from_here_on.take_while(|(view, _)| view.component_module() == Some(module))
        };
        let excess = of_module().count().saturating_sub(limit.max(1));
        if excess == 0 {
            continue;
        }
        let touched_at = |slices: &BTreeMap<Vsn, Slice>| slices.values().map(|slice| slice.touched_at).max();
        let others = of_module().filter(|(view, _)| !written.contains(view));
        let mut by_age: Vec<_> = others.map(|(view, slices)| (touched_at(slices), view.clone())).collect();
        by_age.sort();
        by_age.truncate(excess);
        for (_, view) in &by_age {
            document.views.remove(view);
        }
        evicted += by_age.len();
    }
    evicted
}
