//! Objects that nobody of ours wrote, and sound ones that say strange things: what the session makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::slice::Slice;
use durable_stash_machine::{ErrorKind, FormatError, Outcome, Slot, TabId, View, Vsn, format};

use crate::lab::{Lab, slot};
use crate::mutation::Corpus;
use crate::rng::Rng;
use crate::seeds;
use crate::store::named;

const OBJECTS: u64 = 6_000;

#[test]
fn fault_26_27_28_over_any_object_a_write_is_saved_or_refused_by_its_kind_and_nothing_else_is_lost() {
    let names: Vec<_> = (0..3).map(|number| format!("\"moved_to\":\"{}\"", named(number).as_str())).collect();
    let corpus = Corpus::golden_with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut met = BTreeMap::new();
    let count = seeds::each(OBJECTS, |rng| {
        let object = corpus.mutant(rng);
        let mut lab = Lab::nodes(2);
        // When the golden objects were written, a month later, or an age before.
        lab.now.wall = *rng.pick(&[1_750_000_000_000, 1_752_600_000_000, 1_700_000_000_000]);
        lab.store.place(0, object.clone().into());
        let before = format::decode(&object);
        if leads_away(before.as_ref().ok()) {
            return;
        }
        let live = lab.claim(0, &slot_of(before.as_ref().ok(), rng), rng.chance(50), rng.chance(50));
        let read = lab.read(&live);
        lab.settle();
        assert!(lab.answered(0, read).is_some(), "a reader is left without an answer");
        let op = lab.write(&live, &[("k", "\"new\"")], &[("d", "[]")]);
        lab.settle();
        let outcome = lab.outcome(&live, op).expect("a write is left without an outcome");
        let name = match &before {
            Err(FormatError::Newer(_)) => {
                assert_eq!(outcome, Outcome::Failed(ErrorKind::NewerFormat));
                assert_eq!(lab.store.object(0).unwrap().body, object, "it stands as it was");
                "newer"
            }
            Err(_) => {
                assert!(matches!(outcome, Outcome::Saved { .. }), "{outcome:?}");
                assert_eq!(lab.store.aside, [object], "copied aside before it was replaced");
                "damaged"
            }
            // A seal that leads to itself: nobody can say where the document is.
            Ok((Header { moved_to: Some(to), .. }, _)) if *to == named(0) => {
                assert_eq!(outcome, Outcome::Failed(ErrorKind::Corrupt));
                assert_eq!(lab.store.object(0).unwrap().body, object, "it stands as it was");
                "circle"
            }
            Ok((Header { moved_to: Some(_), .. }, _)) => {
                assert!(matches!(outcome, Outcome::Saved { .. }), "{outcome:?}");
                "moved"
            }
            // Nobody's clock has ever come so far; who mounts there next can stand no higher.
            Ok((_, document))
                if document.epoch(&live.slot.view, &live.slot.tab).is_some_and(|epoch| epoch.0 == u64::MAX) =>
            {
                "last epoch"
            }
            Ok((header, document)) => {
                assert!(matches!(outcome, Outcome::Saved { .. }), "{outcome:?} over {document:?}");
                assert_kept(&lab, &live.slot, header, document);
                if header.is_over(lab.now.wall) { "over" } else { "alive" }
            }
        };
        *met.entry(name).or_insert(0u64) += 1;
        // Another node finds what this one left, whatever that is.
        let other = lab.claim(1, &live.slot, false, false);
        let (here, there) = (lab.read(&live), lab.read(&other));
        lab.settle();
        if matches!(outcome, Outcome::Saved { .. }) {
            assert_eq!(lab.shown(1, there), lab.shown(0, here));
        }
    });
    println!("{met:?}");
    println!("hostile: sessions={count}");
    if count >= OBJECTS {
        for name in ["newer", "damaged", "circle", "moved", "over", "alive"] {
            assert!(met.get(name).is_some_and(|times| *times >= 10), "{name}: {met:?}");
        }
    }
}

/// Whether it says that the document is in an object which the lab does not have.
fn leads_away(sound: Option<&(Header, Document)>) -> bool {
    let moved_to = sound.and_then(|(header, _)| header.moved_to.as_ref());
    moved_to.is_some_and(|name| !(0..3).any(|number| named(number) == *name))
}

/// That every key which the write did not name is as it was, byte for byte (I2).
fn assert_kept(lab: &Lab, own: &Slot, header: &Header, before: &Document) {
    let (wall, ttl_ms) = (lab.now.wall, lab.policy.ttl_ms);
    let after = lab.document();
    if header.is_over(wall) {
        let names = after.views.iter().flat_map(|(view, slices)| slices.keys().map(move |vsn| (view, *vsn)));
        let names: Vec<_> = names.filter(|(_, vsn)| !header.buried || *vsn != Vsn::FENCES).collect();
        assert_eq!(names, [(&own.view, own.vsn)], "what is over does not come back");
        return;
    }
    for (view, slices) in &before.views {
        for (vsn, slice) in slices.iter().filter(|(_, slice)| !slice.is_over(wall, ttl_ms)) {
            let is_own = (view, vsn) == (&own.view, &own.vsn);
            let now = after.views.get(view).and_then(|slices| slices.get(vsn));
            let now = now.unwrap_or_else(|| panic!("{view:?} {vsn:?} is gone"));
            if is_own { assert_others_kept(slice, now, &own.tab) } else { assert_eq!(now, slice) }
        }
    }
}

fn assert_others_kept(before: &Slice, after: &Slice, own: &TabId) {
    for (key, json) in before.data.iter().filter(|(key, _)| key.as_str() != "k") {
        assert_eq!(after.data.get(key), Some(json));
    }
    for (tab, content) in before.tabs.iter().filter(|(tab, _)| *tab != own) {
        assert_eq!(after.tabs.get(tab), Some(content));
    }
}

/// A slot that is in the document, or nearly.
fn slot_of(sound: Option<&(Header, Document)>, rng: &mut Rng) -> Arc<Slot> {
    let slots: Vec<(View, Vsn, Option<TabId>)> = sound
        .iter()
        .flat_map(|(_, document)| &document.views)
        .filter(|(view, _)| **view != View::shared())
        .flat_map(|(view, slices)| {
            slices.iter().map(move |(vsn, slice)| (view.clone(), *vsn, slice.tabs.keys().next().cloned()))
        })
        .collect();
    if slots.is_empty() || rng.chance(20) {
        return slot("a", 1, "t1");
    }
    let (view, vsn, tab) = rng.pick(&slots).clone();
    let vsn = if rng.chance(20) { Vsn(vsn.0.saturating_add(1)) } else { vsn };
    Arc::new(Slot { view, vsn, tab: tab.filter(|_| rng.chance(80)).unwrap_or_else(|| TabId::new("another")) })
}
