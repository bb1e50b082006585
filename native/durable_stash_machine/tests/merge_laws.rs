//! The laws of merging (design §4), over random operations against a small model: a document is a map of places.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use durable_stash_machine::batch::{Batch, Stamp};
use durable_stash_machine::document::Document;
use durable_stash_machine::merge::{merge, superseded};
use durable_stash_machine::slice::Epoch;
use durable_stash_machine::{ClaimId, Json, Key, Policy, RequestId, Slot, TabId, Values, View, Vsn};
use proptest::collection::vec;
use proptest::prelude::*;

/// What one LiveView does.
#[derive(Clone, Debug)]
enum Op {
    Merge {
        who: usize,
        session: Vec<(u8, u32)>,
        tab: Vec<(u8, u32)>,
    },
    Drop {
        who: usize,
        session: Vec<u8>,
        tab: Vec<u8>,
    },
    Share {
        who: usize,
        shared: Vec<(u8, u32)>,
    },
    /// Every default of a place is the same: which of two counts is another test's matter.
    Default {
        who: usize,
        session: Vec<u8>,
        tab: Vec<u8>,
        shared: Vec<u8>,
    },
    Reset {
        who: usize,
    },
    StartFresh {
        who: usize,
    },
    Forget,
}

/// Where a value stands: view, version, tab if it is a tab's, key.
type Place = (String, u64, Option<String>, String);

/// The model: operations one after the other on a flat map.
fn model(before: &BTreeMap<Place, String>, ops: &[Op]) -> BTreeMap<Place, String> {
    let mut all = before.clone();
    for op in ops {
        match op {
            Op::Merge { who, session, tab } => {
                all.extend(session.iter().map(|(key, value)| (place(*who, false, *key), value.to_string())));
                all.extend(tab.iter().map(|(key, value)| (place(*who, true, *key), value.to_string())));
            }
            Op::Drop { who, session, tab } => {
                session.iter().for_each(|key| drop(all.remove(&place(*who, false, *key))));
                tab.iter().for_each(|key| drop(all.remove(&place(*who, true, *key))));
            }
            Op::Share { shared, .. } => {
                all.extend(shared.iter().map(|(key, value)| (shared_place(*key), value.to_string())))
            }
            Op::Default { who, session, tab, shared } => {
                let places = session.iter().map(|key| (place(*who, false, *key), *key));
                let places = places.chain(tab.iter().map(|key| (place(*who, true, *key), *key)));
                for (place, key) in places.chain(shared.iter().map(|key| (shared_place(*key), *key))) {
                    all.entry(place).or_insert(default_of(key));
                }
            }
            Op::Reset { who } => all.retain(|at, _| !(is_session_of(at, *who) || is_tab_of(at, *who))),
            Op::StartFresh { who } => all.retain(|at, _| !is_tab_of(at, *who)),
            Op::Forget => all.clear(),
        }
    }
    all
}

#[test]
fn an_empty_batch_changes_nothing() {
    proptest!(|(ops in ops())| {
        let document = apply(Document::default(), &fold(&ops));
        prop_assert_eq!(apply(document.clone(), &Batch::default()), document);
    });
}

#[test]
fn a_batch_does_what_its_operations_do_one_after_the_other() {
    proptest!(|(before in ops(), ops in ops())| {
        let document = apply(Document::default(), &fold(&before));
        prop_assert_eq!(places(&apply(document.clone(), &fold(&ops))), model(&places(&document), &ops));
    });
}

#[test]
fn a_batch_applied_twice_does_what_it_does_once() {
    proptest!(|(before in ops(), ops in ops())| {
        let once = apply(apply(Document::default(), &fold(&before)), &fold(&ops));
        prop_assert_eq!(apply(once.clone(), &fold(&ops)), once);
    });
}

#[test]
fn two_batches_in_turn_do_what_their_fold_does() {
    proptest!(|(before in ops(), first in ops(), second in ops())| {
        let document = apply(Document::default(), &fold(&before));
        let in_turn = apply(apply(document.clone(), &fold(&first)), &fold_from(&second, first.len()));
        let both = [first, second].concat();
        prop_assert_eq!(places(&in_turn), places(&apply(document, &fold(&both))));
    });
}

#[test]
fn edits_of_disjoint_places_commute() {
    proptest!(|(before in ops(), left in ops_of(0..2), mut right in ops_of(4..6))| {
        // Two views' slices are disjoint, what they share is not.
        right.retain(|op| !matches!(op, Op::Share { .. } | Op::Default { .. }));
        let document = apply(Document::default(), &fold(&before));
        let one = apply(apply(document.clone(), &fold(&left)), &fold(&right));
        let other = apply(apply(document, &fold(&right)), &fold(&left));
        prop_assert_eq!(one, other);
    });
}

#[test]
fn what_a_batch_does_not_name_stays_byte_equal() {
    proptest!(|(before in ops(), ops in ops_of(0..6))| {
        let document = apply(Document::default(), &fold(&before));
        let named = |at: &Place| ops.iter().any(|op| names(op, at));
        let (mut expected, mut found) = (places(&document), places(&apply(document, &fold(&ops))));
        expected.retain(|at, _| !named(at));
        found.retain(|at, _| !named(at));
        prop_assert_eq!(found, expected);
    });
}

#[test]
fn after_a_reset_only_what_was_set_later_is_left_of_the_slice_and_the_tab() {
    proptest!(|(before in ops(), who in 0..6usize, after in ops_of(0..6))| {
        let document = apply(Document::default(), &fold(&before));
        let ops = [vec![Op::Reset { who }], after.clone()].concat();
        let left = places(&apply(document, &fold(&ops)));
        let later = model(&BTreeMap::new(), &after);
        for (at, value) in left.iter().filter(|(at, _)| is_session_of(at, who) || is_tab_of(at, who)) {
            prop_assert_eq!(later.get(at), Some(value));
        }
    });
}

#[test]
fn a_dropped_key_is_gone_whoever_set_it() {
    proptest!(|(before in ops(), who in 0..6usize, key in 0..4u8)| {
        let document = apply(Document::default(), &fold(&before));
        let drop = Op::Drop { who, session: vec![key], tab: vec![key] };
        let left = places(&apply(document, &fold(&[drop])));
        prop_assert!(!left.contains_key(&place(who, false, key)) && !left.contains_key(&place(who, true, key)));
    });
}

#[test]
fn a_default_changes_no_key_that_has_a_value() {
    proptest!(|(before in ops(), who in 0..6usize, keys in vec(0..4u8, 0..4))| {
        let document = apply(Document::default(), &fold(&before));
        let (session, tab, shared) = (keys.clone(), keys.clone(), keys.clone());
        let after = places(&apply(document.clone(), &fold(&[Op::Default { who, session, tab, shared }])));
        for (at, value) in places(&document) {
            prop_assert_eq!(after.get(&at), Some(&value));
        }
        prop_assert!(keys.iter().all(|key| after.contains_key(&place(who, false, *key))));
    });
}

#[test]
fn what_was_forgotten_is_gone_and_what_came_later_is_all_there_is() {
    proptest!(|(before in ops(), lost in ops_of(0..6), after in ops_of(0..6))| {
        let document = apply(Document::default(), &fold(&before));
        let batch = fold(&[lost, vec![Op::Forget], after.clone()].concat());
        prop_assert_eq!(places(&apply(document, &batch)), model(&BTreeMap::new(), &after));
    });
}

#[test]
fn without_one_claim_a_batch_does_what_it_would_have_done_had_that_claim_never_written() {
    proptest!(|(before in ops(), ops in ops_of(0..6), gone in 0..6usize)| {
        let document = apply(Document::default(), &fold(&before));
        let mut batch = fold(&ops);
        batch.claims.remove(&ClaimId(gone as u64));
        let others: Vec<Op> = ops.into_iter().filter(|op| who(op) != Some(gone)).collect();
        prop_assert_eq!(places(&apply(document.clone(), &batch)), model(&places(&document), &others));
    });
}

#[test]
fn exactly_the_claims_below_a_stored_one_of_their_tab_are_superseded() {
    proptest!(|(stored in ops_of(0..6), ops in ops_of(0..6), moved in vec(0..3u64, 6))| {
        let document = apply(Document::default(), &fold(&stored));
        let mut batch = fold(&ops);
        for (claim, edit) in &mut batch.claims {
            edit.epoch = Epoch(edit.epoch.0 + moved[claim.0 as usize] - 1);
        }
        let expected: Vec<ClaimId> = batch
            .claims
            .iter()
            .filter(|(_, edit)| document.epoch(&edit.slot.view, &edit.slot.tab).is_some_and(|at| at > edit.epoch))
            .map(|(claim, _)| *claim)
            .collect();
        prop_assert_eq!(superseded(&document, &batch), expected);
    });
}

#[test]
fn a_batch_never_outgrows_the_state_that_it_describes() {
    proptest!(|(ops in vec(op(0..6), 200..400))| {
        // Six claims with four keys in each of three scopes, an edit and a default each: however long the history, no
        // more than that.
        prop_assert!(fold(&ops).bytes() < 6 * (4 + 4 + 4) * 2 * 100 + 6 * 300);
    });
}

#[test]
fn a_batchs_running_size_is_the_sum_of_its_parts() {
    proptest!(|(ops in ops())| {
        let batch = fold(&ops);
        for edit in batch.claims.values() {
            for layer in [&edit.session, &edit.tab, &edit.shared] {
                let edits = layer.edits().iter().map(|(key, edit)| (key, edit.value.as_ref()));
                let defaults = layer.defaults().iter().map(|(key, default)| (key, Some(&default.value)));
                let sum: usize = edits
                    .chain(defaults)
                    .map(|(key, value)| key.as_str().len() + value.map_or(0, |json| json.as_str().len()) + 64)
                    .sum();
                prop_assert_eq!(layer.bytes(), sum);
            }
        }
    });
}

/// The fold of the operations, as a session makes it.
fn fold(ops: &[Op]) -> Batch {
    fold_from(ops, 0)
}

fn fold_from(ops: &[Op], stamps: usize) -> Batch {
    let mut batch = Batch::default();
    for (index, op) in ops.iter().enumerate() {
        let stamp = Stamp((stamps + index + 1) as u64);
        let Some(claim) = who(op) else {
            batch.forget(stamp, RequestId(0));
            continue;
        };
        let edit = batch.claim(ClaimId(claim as u64), &slot(claim), EPOCH, true);
        let set = |entries: &[(u8, u32)]| -> Vec<(Key, Option<Json>)> {
            entries.iter().map(|(key, value)| (key_of(*key), Some(Json::from_encoded(value.to_string())))).collect()
        };
        let unset = |keys: &[u8]| -> Vec<(Key, Option<Json>)> { keys.iter().map(|key| (key_of(*key), None)).collect() };
        match op {
            Op::Merge { session, tab, .. } => edit.edit(stamp, set(session), set(tab)),
            Op::Drop { session, tab, .. } => edit.edit(stamp, unset(session), unset(tab)),
            Op::Share { shared, .. } => {
                edit.share(
                    stamp,
                    shared.iter().map(|(key, value)| (key_of(*key), Json::from_encoded(value.to_string()))),
                );
            }
            Op::Default { session, tab, shared, .. } => {
                let values =
                    |keys: &[u8]| keys.iter().map(|key| (key_of(*key), Json::from_encoded(default_of(*key)))).collect();
                let (session, tab, shared) = (values(session), values(tab), values(shared));
                edit.set_defaults(stamp, Values { session, tab, shared });
            }
            Op::Reset { .. } => edit.reset(stamp),
            Op::StartFresh { .. } => edit.start_fresh(stamp, None),
            Op::Forget => {}
        }
    }
    batch
}

fn apply(mut document: Document, batch: &Batch) -> Document {
    merge(&mut document, batch, WALL, &Policy::default());
    document
}

fn places(document: &Document) -> BTreeMap<Place, String> {
    let mut all = BTreeMap::new();
    for (view, slices) in &document.views {
        for (vsn, slice) in slices {
            let at = |tab: Option<&TabId>, key: &Key| {
                (view.as_str().to_owned(), vsn.0, tab.map(|tab| tab.as_str().to_owned()), key.as_str().to_owned())
            };
            all.extend(slice.data.iter().map(|(key, json)| (at(None, key), json.as_str().to_owned())));
            for (tab, state) in &slice.tabs {
                all.extend(state.data.iter().map(|(key, json)| (at(Some(tab), key), json.as_str().to_owned())));
            }
        }
    }
    all
}

/// Six LiveViews: two tabs each of one view in two versions, and of another view.
fn slot(who: usize) -> Arc<Slot> {
    let (view, vsn) = [("a", 1), ("a", 2), ("b", 1)][who / 2];
    Arc::new(Slot { view: View::new(view), vsn: Vsn(vsn), tab: TabId::new(format!("t{}", who % 2)) })
}

fn place(who: usize, in_tab: bool, key: u8) -> Place {
    let slot = slot(who);
    let tab = in_tab.then(|| slot.tab.as_str().to_owned());
    (slot.view.as_str().to_owned(), slot.vsn.0, tab, key_of(key).as_str().to_owned())
}

/// What all views share, in one slice of a fixed version.
fn shared_place(key: u8) -> Place {
    ("*".to_owned(), 1, None, key_of(key).as_str().to_owned())
}

fn is_session_of(at: &Place, who: usize) -> bool {
    let (view, vsn, tab, _) = place(who, false, 0);
    (&at.0, at.1, &at.2) == (&view, vsn, &tab)
}

fn is_tab_of(at: &Place, who: usize) -> bool {
    let (view, vsn, tab, _) = place(who, true, 0);
    (&at.0, at.1, &at.2) == (&view, vsn, &tab)
}

fn names(op: &Op, at: &Place) -> bool {
    let keys = |entries: &[(u8, u32)]| entries.iter().map(|(key, _)| *key).collect::<Vec<_>>();
    let (who, session, tab) = match op {
        Op::Merge { who, session, tab } => (*who, keys(session), keys(tab)),
        Op::Drop { who, session, tab } => (*who, session.clone(), tab.clone()),
        Op::Default { who, session, tab, shared } => {
            if shared.iter().any(|key| shared_place(*key) == *at) {
                return true;
            }
            (*who, session.clone(), tab.clone())
        }
        Op::Share { shared, .. } => return shared.iter().any(|(key, _)| shared_place(*key) == *at),
        Op::Reset { who } => return is_session_of(at, *who) || is_tab_of(at, *who),
        Op::StartFresh { who } => return is_tab_of(at, *who),
        Op::Forget => return true,
    };
    session.iter().any(|key| place(who, false, *key) == *at) || tab.iter().any(|key| place(who, true, *key) == *at)
}

fn who(op: &Op) -> Option<usize> {
    match op {
        Op::Merge { who, .. }
        | Op::Drop { who, .. }
        | Op::Share { who, .. }
        | Op::Default { who, .. }
        | Op::Reset { who }
        | Op::StartFresh { who } => Some(*who),
        Op::Forget => None,
    }
}

fn key_of(key: u8) -> Key {
    Key::new(format!("key {key} \"é\u{1F600}\u{1}"))
}

fn default_of(key: u8) -> String {
    format!("\"the default of {key}\"")
}

/// Operations of these LiveViews, without a forgetting.
fn ops_of(who: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    vec(op(who), 0..12)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    vec(prop_oneof![15 => op(0..6), 1 => Just(Op::Forget)], 0..20)
}

fn op(who: std::ops::Range<usize>) -> impl Strategy<Value = Op> {
    let entries = || vec((0..4u8, any::<u32>()), 0..3);
    let keys = || vec(0..4u8, 0..3);
    prop_oneof![
        6 => (who.clone(), entries(), entries()).prop_map(|(who, session, tab)| Op::Merge { who, session, tab }),
        2 => (who.clone(), keys(), keys()).prop_map(|(who, session, tab)| Op::Drop { who, session, tab }),
        2 => (who.clone(), entries()).prop_map(|(who, shared)| Op::Share { who, shared }),
        3 => (who.clone(), keys(), keys(), keys())
            .prop_map(|(who, session, tab, shared)| Op::Default { who, session, tab, shared }),
        1 => who.clone().prop_map(|who| Op::Reset { who }),
        1 => who.prop_map(|who| Op::StartFresh { who }),
    ]
}

const EPOCH: Epoch = Epoch(100);
const WALL: u64 = 1_700_000_000_000;
