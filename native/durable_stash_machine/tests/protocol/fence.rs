//! Who may write for a tab, and what a fresh mount empties.

use durable_stash_machine::slice::Epoch;
use durable_stash_machine::{ErrorKind, Outcome, PutOutcome, Refusal, Slot, format};

use crate::lab::{Lab, slot};

const SUPERSEDED: Option<Outcome> = Some(Outcome::Failed(ErrorKind::Superseded));

#[test]
fn a_later_mount_of_the_tab_supersedes_the_one_before_at_once() {
    let mut lab = Lab::new();
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    let before = lab.stash_tab(&zombie, &[("d", "1")]);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    assert!(lab.is_superseded(&zombie));
    let late = lab.stash_tab(&zombie, &[("d", "2")]);
    assert_eq!(lab.outcome(&zombie, late), SUPERSEDED);
    let refused = lab.read(&zombie);
    assert_eq!(lab.shown(0, refused), "superseded");
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "d=1", "what it wrote before is the tab's");
    assert!(lab.is_saved(&zombie, before));
}

#[test]
fn a_later_mount_on_another_node_supersedes_from_when_its_claim_is_stored() {
    let mut lab = Lab::nodes(2);
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&zombie, &[("d", "1")]);
    lab.settle();
    lab.wait(10);
    let live = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.stash_tab(&live, &[("d", "2")]);
    lab.settle();
    let op = lab.write(&zombie, &[("k", "3")], &[("d", "3")]);
    lab.settle();
    assert_eq!(lab.outcome(&zombie, op), SUPERSEDED);
    assert!(lab.is_superseded(&zombie));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("2"));
    assert_eq!(lab.stored(&live.slot, "k"), None, "nothing any more, `:session` keys included");
    let op = lab.stash_tab(&live, &[("d", "4")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
}

#[test]
fn of_two_mounts_within_one_millisecond_on_two_nodes_exactly_one_wins() {
    for [first, second] in [[0, 1], [1, 0]] {
        for writes_first in [0, 1] {
            let mut lab = Lab::nodes(2);
            let lives = [first, second].map(|node| lab.rejoin(node, &slot("a", 1, "t1")));
            assert_ne!(lab.epoch(&lives[0]), lab.epoch(&lives[1]));
            for round in 1..=2 {
                for live in [&lives[writes_first], &lives[1 - writes_first]] {
                    lab.stash_tab(live, &[("d", &round.to_string())]);
                    lab.settle();
                }
            }
            let [loses, wins] =
                if lab.is_superseded(&lives[0]) { &lives } else { &[lives[1].clone(), lives[0].clone()] };
            assert!(lab.is_superseded(loses) && !lab.is_superseded(wins), "both, or none");
            let (late, op) = (lab.stash_tab(loses, &[("d", "3")]), lab.stash_tab(wins, &[("d", "4")]));
            lab.settle();
            assert_eq!(lab.outcome(loses, late), SUPERSEDED);
            assert!(lab.is_saved(wins, op));
            assert_eq!(lab.stored_tab(&wins.slot, "d").as_deref(), Some("4"));
        }
    }
}

#[test]
fn of_two_mounts_within_one_millisecond_in_two_versions_of_the_code_the_later_one_wins() {
    for [before, since] in [[1, 2], [2, 1]] {
        let mut lab = Lab::new();
        let zombie = lab.rejoin(0, &slot("a", before, "t1"));
        let live = lab.rejoin(0, &slot("a", since, "t1"));
        assert!(lab.epoch(&live) > lab.epoch(&zombie));
        let op = lab.stash_tab(&live, &[("d", "1")]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
        let late = lab.stash_tab(&zombie, &[("d", "2")]);
        lab.settle();
        assert_eq!(lab.outcome(&zombie, late), SUPERSEDED);
    }
}

#[test]
fn of_two_mounts_of_which_only_the_millisecond_is_known_exactly_one_wins() {
    let mut lab = Lab::nodes(2);
    let at = Epoch::at(lab.now.wall);
    let lives = [0, 1].map(|node| lab.claim_late(node, &slot("a", 1, "t1"), false, at));
    for round in 1..=2 {
        for live in &lives {
            lab.stash_tab(live, &[("d", &round.to_string())]);
            lab.settle();
        }
    }
    assert_eq!(lives.iter().filter(|live| lab.is_superseded(live)).count(), 1);
}

#[test]
fn of_two_mounts_that_both_stand_above_one_claim_from_the_future_exactly_one_wins() {
    let mut lab = Lab::nodes(3);
    lab.step_wall(3_600_000);
    let ahead = lab.rejoin(2, &slot("a", 1, "t1"));
    lab.stash_tab(&ahead, &[("d", "0")]);
    lab.settle();
    lab.step_wall(-3_600_000);
    let first = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.wait(7);
    let second = lab.rejoin(1, &slot("a", 1, "t1"));
    for live in [&first, &second] {
        lab.read(live);
    }
    lab.settle();
    for round in 1..=2 {
        for live in [&first, &second] {
            lab.stash_tab(live, &[("d", &round.to_string())]);
            lab.settle();
        }
    }
    assert_eq!([&first, &second].map(|live| lab.is_superseded(live)).iter().filter(|lost| **lost).count(), 1);
}

#[test]
fn mounts_of_one_tab_within_one_millisecond_do_not_run_ahead_of_the_clock() {
    let mut lab = Lab::nodes(2);
    let mut before = Epoch::at(lab.now.wall);
    for _ in 0..16 {
        let live = lab.rejoin(0, &slot("a", 1, "t1"));
        assert!(lab.epoch(&live) > before);
        before = lab.epoch(&live);
    }
    assert_eq!(before.millis(), lab.now.wall);
    lab.wait(1);
    let elsewhere = lab.rejoin(1, &slot("a", 1, "t1"));
    assert!(lab.epoch(&elsewhere) > before);
}

#[test]
fn a_claim_of_a_release_that_counted_in_milliseconds_is_an_earlier_one() {
    let mut lab = Lab::new();
    let earlier = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&earlier, &[("d", "1")]);
    lab.settle();
    let (header, mut document) = lab.store.content(0).unwrap();
    for slice in document.views.values_mut().flat_map(|slices| slices.values_mut()) {
        slice.tabs.values_mut().for_each(|tab| tab.epoch = Epoch(lab.now.wall));
    }
    lab.store.place(0, format::encode(&header, &document));
    let node = lab.boot();
    let live = lab.rejoin(node, &slot("a", 1, "t1"));
    let op = lab.stash_tab(&live, &[("d", "2")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("2"));
}

#[test]
fn only_the_superseded_claims_edits_are_taken_out_of_a_batch() {
    let mut lab = Lab::nodes(2);
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    let bystander = lab.rejoin(0, &slot("a", 1, "t2"));
    let lost = lab.stash(&zombie, &[("k", "1"), ("only", "1")]);
    let kept = lab.stash(&bystander, &[("k", "2")]);
    let on_top = lab.stash(&zombie, &[("k", "3")]);
    lab.wait(10);
    let live = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.stash_tab(&live, &[("d", "1")]);
    lab.serve_node(1);
    lab.settle();
    assert_eq!(lab.outcome(&zombie, lost), SUPERSEDED);
    assert_eq!(lab.outcome(&zombie, on_top), SUPERSEDED);
    assert!(lab.is_saved(&bystander, kept));
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("2"));
    assert_eq!(lab.stored(&live.slot, "only"), None);
}

#[test]
fn what_a_superseded_claim_has_waiting_goes_with_it() {
    let mut lab = Lab::nodes(2);
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    let first = lab.stash_tab(&zombie, &[("d", "1")]);
    lab.serve_next(0);
    let put = lab.take_put(0);
    let second = lab.stash_tab(&zombie, &[("e", "1")]);
    lab.wait(10);
    let live = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.stash_tab(&live, &[("d", "2")]);
    lab.serve_node(1);
    lab.serve(put);
    lab.settle();
    assert_eq!((lab.outcome(&zombie, first), lab.outcome(&zombie, second)), (SUPERSEDED, SUPERSEDED));
    assert_eq!(lab.session_of(0).unsaved_bytes(), 0);
    // Once the document is forgotten nothing in it fences any more; it must be forgotten here then, not waiting.
    lab.forget(1);
    lab.settle();
    assert_eq!(lab.stored_tab(&live.slot, "e"), None);
}

#[test]
fn a_stored_claim_of_a_clock_that_runs_ahead_does_not_fence_off_the_next_mount() {
    let mut lab = Lab::new();
    let ahead = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&ahead, &[("d", "1")]);
    lab.settle();
    lab.crash(0);
    lab.step_wall(-3_600_000);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.read(&live);
    lab.settle();
    let op = lab.stash_tab(&live, &[("d", "2")]);
    lab.settle();
    assert!(!lab.is_superseded(&live));
    assert!(lab.is_saved(&live, op), "{:?}", lab.outcome(&live, op));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("2"));
}

#[test]
fn a_fresh_mount_under_a_stored_claim_from_the_future_empties_its_tab_without_a_write() {
    let mut lab = Lab::new();
    let ahead = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&ahead, &[("d", "1")]);
    lab.settle();
    lab.crash(0);
    lab.step_wall(-3_600_000);
    let live = lab.mount(0, &slot("a", 1, "t1"));
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "");
    assert_eq!(lab.stored_tab(&live.slot, "d"), None);
}

#[test]
fn a_mount_that_writes_without_having_read_stands_above_a_stored_claim_from_the_future() {
    // The node has no copy, or one from before the claim of the clock that runs ahead.
    for knows_older in [false, true] {
        let mut lab = Lab::nodes(2);
        let before = lab.rejoin(0, &slot("a", 1, "t1"));
        lab.stash_tab(&before, &[("d", "0")]);
        lab.settle();
        lab.release(&before);
        if !knows_older {
            lab.crash(0);
        }
        lab.step_wall(3_600_000);
        let ahead = lab.rejoin(1, &slot("a", 1, "t1"));
        lab.stash_tab(&ahead, &[("d", "1"), ("e", "1")]);
        lab.settle();
        lab.step_wall(-3_600_000);
        let live = lab.mount(0, &slot("a", 1, "t1"));
        let op = lab.stash_tab(&live, &[("d", "2")]);
        lab.settle();
        assert!(lab.is_saved(&live, op), "{:?}", lab.outcome(&live, op));
        assert!(!lab.is_superseded(&live));
        assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("2"));
        assert_eq!(lab.stored_tab(&live.slot, "e"), None, "the mount was fresh");
        let op = lab.stash_tab(&live, &[("d", "3")]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
        let late = lab.stash_tab(&ahead, &[("d", "4")]);
        lab.settle();
        assert_eq!(lab.outcome(&ahead, late), SUPERSEDED);
    }
}

#[test]
fn a_mount_whose_first_write_comes_late_gives_way_to_a_claim_that_may_have_come_since() {
    for has_written in [false, true] {
        let mut lab = Lab::nodes(2);
        let zombie = lab.mount(0, &slot("a", 1, "t1"));
        if has_written {
            lab.stash_tab(&zombie, &[("d", "1")]);
            lab.settle();
        } else {
            lab.wait(lab.policy.recover_timeout_ms + 1);
        }
        // The tab mounts again on a node whose clock runs ahead.
        lab.step_wall(3_600_000);
        let live = lab.rejoin(1, &slot("a", 1, "t1"));
        lab.stash_tab(&live, &[("d", "2")]);
        lab.settle();
        lab.step_wall(-3_600_000);
        let op = lab.stash_tab(&zombie, &[("d", "3")]);
        lab.settle();
        assert_eq!(lab.outcome(&zombie, op), SUPERSEDED);
        assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("2"));
    }
}

#[test]
fn a_mount_whose_first_write_has_landed_unheard_gives_way_to_a_later_claim_of_a_clock_that_runs_ahead() {
    for is_given_up in [false, true] {
        let mut lab = Lab::build(2, 1, |policy| policy.max_unsaved_age_ms = 1_000);
        let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
        let first = lab.stash_tab(&zombie, &[("d", "1")]);
        lab.serve_next(0);
        let put = lab.take_put(0);
        lab.reach(&put);
        lab.step_wall(3_600_000);
        let live = lab.rejoin(1, &slot("a", 1, "t1"));
        lab.stash_tab(&live, &[("d", "2")]);
        lab.serve_node(1);
        lab.step_wall(-3_600_000);
        lab.time_out(&put);
        if is_given_up {
            lab.wait(1_001);
            assert_eq!(lab.outcome(&zombie, first), Some(Outcome::Unknown));
        }
        lab.settle();
        let late = lab.stash_tab(&zombie, &[("d", "3")]);
        lab.settle();
        assert_eq!(lab.outcome(&zombie, late), SUPERSEDED);
        assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("2"));
    }
}

#[test]
fn who_was_superseded_stays_so_when_the_document_is_forgotten() {
    for is_carried_on in [false, true] {
        let mut lab = Lab::nodes(3);
        let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
        lab.stash_tab(&zombie, &[("d", "1")]);
        lab.settle();
        lab.wait(1);
        let live = lab.rejoin(1, &slot("a", 1, "t1"));
        lab.stash_tab(&live, &[("d", "2")]);
        lab.settle();
        lab.forget(2);
        lab.settle();
        assert!(lab.header().buried);
        if is_carried_on {
            let other = lab.rejoin(2, &slot("b", 1, "t2"));
            lab.stash(&other, &[("k", "1")]);
            lab.settle();
            assert!(!lab.header().buried);
        }
        let read = lab.peek(2, &slot("a", 1, "t1"));
        lab.settle();
        assert_eq!(lab.shown(2, read), "not found");
        let late = lab.write(&zombie, &[("k", "3")], &[("d", "3")]);
        lab.settle();
        assert_eq!(lab.outcome(&zombie, late), SUPERSEDED);
        assert_eq!((lab.stored(&zombie.slot, "k"), lab.stored_tab(&zombie.slot, "d")), (None, None));
        let op = lab.stash_tab(&live, &[("d", "4")]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
        assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("4"));
    }
}

#[test]
fn who_was_superseded_writes_nothing_with_the_batch_that_forgets_the_document() {
    let mut lab = Lab::nodes(2);
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.read(&zombie);
    lab.serve_node(0);
    lab.wait(1);
    let live = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.stash_tab(&live, &[("d", "1")]);
    lab.serve_node(1);
    let request = lab.forget(0);
    let late = lab.stash_tab(&zombie, &[("d", "2")]);
    lab.settle();
    assert!(matches!(lab.forgotten(0, request), Some(Outcome::Saved { .. })));
    assert_eq!(lab.outcome(&zombie, late), SUPERSEDED);
    assert!(lab.header().buried);
}

#[test]
fn a_tombstone_keeps_where_the_newest_mounts_stood_and_nothing_else() {
    let mut lab = Lab::new();
    let tabs: Vec<_> = (0..40).map(|number| slot(["a", "b"][number % 2], 1, &format!("t{number}"))).collect();
    for tab in &tabs {
        let live = lab.rejoin(0, tab);
        lab.write(&live, &[("k", "1")], &[("d", "1")]);
        lab.settle();
        lab.wait(1);
    }
    let before = lab.document();
    lab.forget(0);
    lab.settle();
    let after = lab.document();
    let kept = |tab: &Slot| after.epoch(&tab.view, &tab.tab);
    assert!(tabs[..8].iter().all(|tab| kept(tab).is_none()));
    assert!(tabs[8..].iter().all(|tab| kept(tab).is_some() && kept(tab) == before.epoch(&tab.view, &tab.tab)));
    assert!(after.is_blank() && !before.is_blank());
    let slices = || after.views.values().flat_map(|slices| slices.values());
    assert!(slices().all(|slice| slice.data.is_empty() && slice.tabs.values().all(|tab| tab.data.is_empty())));
}

#[test]
fn a_fence_outlives_the_sessions_eviction() {
    let mut lab = Lab::new();
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.evict(0);
    let late = lab.stash_tab(&zombie, &[("d", "1")]);
    assert_eq!(lab.outcome(&zombie, late), SUPERSEDED);
    let op = lab.stash_tab(&live, &[("d", "2")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    lab.evict(0);
    let next = lab.rejoin(0, &slot("a", 1, "t1"));
    assert!(lab.is_superseded(&live));
    let op = lab.stash_tab(&next, &[("d", "3")]);
    lab.settle();
    assert!(lab.is_saved(&next, op));
}

#[test]
fn a_fence_is_empty_once_all_its_live_views_are_gone() {
    let mut lab = Lab::nodes(2);
    let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&live, &[("d", "1")]);
    let get = lab.take_get(0);
    for gone in [&zombie, &live] {
        lab.release(gone);
    }
    // Superseded on another node after its LiveView has gone: nobody is left who would be told apart.
    lab.wait(10);
    let other = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.stash_tab(&other, &[("d", "2")]);
    lab.serve_node(1);
    lab.serve(get);
    lab.settle();
    assert!(lab.session_of(0).fence().is_empty());
}

#[test]
fn a_fresh_mount_empties_its_own_tab_and_no_other() {
    let mut lab = Lab::new();
    for tab in ["t1", "t2"] {
        let live = lab.rejoin(0, &slot("a", 1, tab));
        lab.write(&live, &[("k", "1")], &[("d", "1")]);
    }
    lab.settle();
    let fresh = lab.mount(0, &slot("a", 1, "t1"));
    let read = lab.read(&fresh);
    lab.serve_node(0);
    assert_eq!(lab.shown(0, read), "k=1");
    lab.settle();
    assert_eq!(lab.stored_tab(&fresh.slot, "d"), None, "even if it never writes");
    assert_eq!(lab.stored_tab(&slot("a", 1, "t2"), "d").as_deref(), Some("1"));
    assert_eq!(lab.stored(&fresh.slot, "k").as_deref(), Some("1"));
}

#[test]
fn a_rejoin_after_a_fresh_mount_that_never_wrote_inherits_the_emptying() {
    let mut lab = Lab::new();
    let old = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&old, &[("d", "1")]);
    lab.settle();
    lab.release(&old);
    lab.evict(0);
    let fresh = lab.mount(0, &slot("a", 1, "t1"));
    lab.release(&fresh);
    let rejoined = lab.rejoin(0, &slot("a", 1, "t1"));
    let read = lab.read(&rejoined);
    lab.settle();
    assert_eq!(lab.shown(0, read), "");
    lab.release(&rejoined);
    assert!(lab.session_of(0).fence().is_empty());
}

#[test]
fn an_inherited_emptying_spares_what_the_tab_has_stored_from_another_node_since() {
    for reads in [true, false] {
        let mut lab = Lab::nodes(2);
        let tab = slot("a", 1, "t1");
        let fresh = lab.mount(0, &tab);
        lab.release(&fresh);
        lab.wait(1_000);
        let elsewhere = lab.rejoin(1, &tab);
        let op = lab.stash_tab(&elsewhere, &[("d", "1")]);
        lab.settle();
        assert!(lab.is_saved(&elsewhere, op));
        lab.wait(1_000);
        let back = lab.rejoin(0, &tab);
        if reads {
            let read = lab.read(&back);
            lab.settle();
            assert!(lab.shown(0, read).contains("d=1"), "{}", lab.shown(0, read));
        }
        lab.stash_tab(&back, &[("e", "2")]);
        lab.settle();
        assert_eq!(lab.stored_tab(&tab, "d").as_deref(), Some("1"), "it was saved, and nobody has removed it");
        assert_eq!(lab.stored_tab(&tab, "e").as_deref(), Some("2"));
    }
}

#[test]
fn an_emptying_that_fails_after_its_page_was_left_is_the_next_mounts() {
    let mut lab = Lab::new();
    let old = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&old, &[("d", "1")]);
    lab.settle();
    let fresh = lab.mount(0, &slot("a", 1, "t1"));
    let put = lab.take_put(0);
    lab.release(&fresh);
    lab.refuse(&put, PutOutcome::Refused(Refusal::Unsupported));
    let next = lab.rejoin(0, &slot("a", 1, "t1"));
    let read = lab.read(&next);
    lab.settle();
    assert_eq!(lab.shown(0, read), "");
    assert_eq!(lab.stored_tab(&next.slot, "d"), None);
}

#[test]
fn an_emptying_whose_outcome_was_unknown_does_not_take_away_what_was_written_with_it() {
    let mut lab = Lab::with(|policy| policy.max_unsaved_age_ms = 4_000);
    let old = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&old, &[("old", "1")]);
    lab.settle();
    lab.evict(0);
    lab.wait(10);
    let live = lab.mount(0, &slot("a", 1, "t1"));
    let op = lab.stash_tab(&live, &[("d", "1")]);
    lab.serve_next(0);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.time_out(&put);
    while lab.outcome(&live, op).is_none() {
        lab.wait(10);
        if !lab.asks_nothing(0) {
            let get = lab.take_get(0);
            lab.time_out(&get);
        }
    }
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Unknown));
    lab.settle();
    let next = lab.stash_tab(&live, &[("e", "2")]);
    lab.settle();
    assert!(lab.is_saved(&live, next));
    let stored = |key| lab.stored_tab(&live.slot, key);
    assert_eq!((stored("old"), stored("d").as_deref(), stored("e").as_deref()), (None, Some("1"), Some("2")));
}

#[test]
fn a_reset_empties_the_tab_also_where_it_carries_an_emptying_that_may_be_done_already() {
    let mut lab = Lab::with(|policy| policy.max_unsaved_age_ms = 2_000);
    let live = lab.mount(0, &slot("a", 1, "t1"));
    let lost = lab.stash_tab(&live, &[("d", "1")]);
    lab.serve_next(0);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.time_out(&put);
    lab.wait(3_000);
    assert_eq!(lab.outcome(&live, lost), Some(durable_stash_machine::Outcome::Unknown));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("1"), "it was applied for all that");
    let reset = lab.reset(&live);
    lab.settle();
    assert!(lab.is_saved(&live, reset));
    assert_eq!(lab.stored_tab(&live.slot, "d"), None);
}

#[test]
fn page_loads_that_never_write_do_not_add_up() {
    let mut lab = Lab::new();
    for n in 0..1_000 {
        let live = lab.mount(0, &slot("a", 1, &format!("t{n}")));
        lab.release(&live);
    }
    let size = format!("{:?}", lab.session_of(0).fence()).len();
    assert!(size < 20_000, "{size} bytes of debts");
}

#[test]
fn an_emptying_that_failed_is_done_below_what_was_written_since() {
    let mut lab = Lab::new();
    let old = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash_tab(&old, &[("old", "1")]);
    lab.settle();
    lab.evict(0);
    let live = lab.mount(0, &slot("a", 1, "t1"));
    lab.stash_tab(&live, &[("d", "1")]);
    lab.serve_next(0);
    let put = lab.take_put(0);
    let second = lab.stash_tab(&live, &[("e", "2")]);
    lab.refuse(&put, PutOutcome::Refused(Refusal::Unsupported));
    let third = lab.stash_tab(&live, &[("f", "3")]);
    lab.settle();
    assert!(lab.is_saved(&live, second) && lab.is_saved(&live, third));
    let stored = |key| lab.stored_tab(&live.slot, key);
    assert_eq!((stored("e").as_deref(), stored("f").as_deref()), (Some("2"), Some("3")));
    assert_eq!(stored("old"), None, "the tab was emptied all the same");
}

#[test]
fn a_claim_that_was_never_announced_writes_its_tab_keys_too() {
    let mut lab = Lab::new();
    let live = lab.open(0, &slot("a", 1, "t1"));
    lab.stash(&live, &[("k", "1")]);
    let op = lab.stash_tab(&live, &[("d", "1")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("1"));
}

#[test]
fn a_debt_of_a_live_view_that_is_gone_stands_in_nobodys_way() {
    let mut lab = Lab::new();
    let fresh = lab.mount(0, &slot("a", 1, "t1"));
    lab.release(&fresh);
    let unannounced = lab.open(0, &slot("a", 1, "t1"));
    let op = lab.stash(&unannounced, &[("k", "1")]);
    lab.settle();
    assert!(lab.is_saved(&unannounced, op));
}

#[test]
fn after_a_restart_of_the_engine_a_live_view_is_not_fenced_off_by_its_own_claim() {
    let mut lab = Lab::nodes(2);
    // The tab was last on a node whose clock runs ahead, so that the claim stands above its own clock.
    lab.now.wall += 5_000;
    let ahead = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.stash_tab(&ahead, &[("d", "0")]);
    lab.settle();
    lab.now.wall -= 5_000;
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.read(&live);
    lab.settle();
    lab.stash_tab(&live, &[("d", "1")]);
    lab.settle();
    let epoch = lab.epoch(&live);
    assert!(epoch.millis() > lab.now.wall);
    lab.crash(0);
    let again = lab.reclaim(&live, epoch);
    let op = lab.stash_tab(&again, &[("d", "2")]);
    lab.settle();
    assert!(lab.is_saved(&again, op), "{:?}", lab.outcome(&again, op));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("2"));
}

#[test]
fn after_a_restart_of_the_engine_the_latest_mount_holds_the_tab_whoever_comes_back_first() {
    for zombie_first in [true, false] {
        let mut lab = Lab::new();
        let before = lab.rejoin(0, &slot("a", 1, "t1"));
        let first = lab.epoch(&before);
        let after = lab.rejoin(0, &slot("a", 1, "t1"));
        let second = lab.epoch(&after);
        assert!(first < second);
        lab.crash(0);
        let order = if zombie_first { [first, second] } else { [second, first] };
        let lives = order.map(|epoch| lab.reclaim(&before, epoch));
        let [zombie, live] = if zombie_first { lives } else { [lives[1].clone(), lives[0].clone()] };
        assert!(lab.is_superseded(&zombie) && !lab.is_superseded(&live));
        let late = lab.stash_tab(&zombie, &[("d", "1")]);
        assert_eq!(lab.outcome(&zombie, late), SUPERSEDED);
        let op = lab.stash_tab(&live, &[("d", "2")]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
    }
}

#[test]
fn after_a_restart_of_the_engine_a_zombie_stays_one() {
    // The tab has mounted again, right after, on this node after the restart or on another node.
    for elsewhere in [false, true] {
        let mut lab = Lab::nodes(2);
        let zombie = lab.rejoin(0, &slot("a", 1, "t1"));
        let epoch = lab.epoch(&zombie);
        lab.crash(0);
        lab.wait(1);
        let live = lab.rejoin(usize::from(elsewhere), &slot("a", 1, "t1"));
        lab.stash_tab(&live, &[("d", "1")]);
        lab.settle();
        let again = lab.reclaim(&zombie, epoch);
        let op = lab.stash_tab(&again, &[("d", "2")]);
        lab.settle();
        assert_eq!(lab.outcome(&again, op), SUPERSEDED);
        assert!(lab.is_superseded(&again) && !lab.is_superseded(&live));
        assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("1"));
    }
}

#[test]
fn what_a_fresh_mount_opens_late_is_emptied_of_what_an_earlier_one_left() {
    for (fresh, writes) in [(true, true), (true, false), (false, true)] {
        let mut lab = Lab::new();
        let component = slot("form:1", 1, "t1");
        let earlier = lab.mount(0, &component);
        lab.stash_tab(&earlier, &[("d", "1"), ("e", "1")]);
        lab.settle();
        lab.release(&earlier);
        lab.wait(1);

        let page = lab.claim(0, &slot("a", 1, "t1"), fresh, false);
        let late = lab.claim_late(0, &component, fresh, lab.epoch(&page));
        let request = lab.read(&late);
        lab.settle();
        assert_eq!(lab.shown(0, request).contains("d=1"), !fresh);
        if writes {
            let op = lab.stash_tab(&late, &[("d", "2")]);
            lab.settle();
            assert!(lab.is_saved(&late, op));
        }
        let d = lab.stored_tab(&component, "d");
        assert_eq!(d.as_deref(), writes.then_some("2"));
        assert_eq!(lab.stored_tab(&component, "e").is_none(), fresh);
    }
}

#[test]
fn what_is_opened_late_is_not_fenced_off_by_an_earlier_mount_whose_clock_was_ahead() {
    for reads in [true, false] {
        let mut lab = Lab::nodes(2);
        let component = slot("form:1", 1, "t1");
        lab.now.wall += 5_000;
        let ahead = lab.rejoin(1, &component);
        lab.stash_tab(&ahead, &[("d", "1")]);
        lab.settle();
        lab.now.wall -= 5_000;
        let page = lab.claim(0, &slot("a", 1, "t1"), false, false);
        let late = lab.claim_late(0, &component, false, lab.epoch(&page));
        if reads {
            lab.read(&late);
            lab.settle();
        }
        let op = lab.stash_tab(&late, &[("d", "2")]);
        lab.settle();
        assert!(lab.is_saved(&late, op), "{:?}", lab.outcome(&late, op));
        assert_eq!(lab.stored_tab(&component, "d").as_deref(), Some("2"));
    }
}

#[test]
fn what_a_zombie_opens_late_neither_empties_nor_changes_its_successors() {
    // The tab has mounted again on this node or on another one.
    for (elsewhere, fresh) in [(false, true), (false, false), (true, true), (true, false)] {
        let mut lab = Lab::nodes(2);
        let component = slot("form:1", 1, "t1");
        let zombie = lab.claim(0, &slot("a", 1, "t1"), fresh, false);
        let epoch = lab.epoch(&zombie);
        lab.wait(1);
        let live = lab.rejoin(usize::from(elsewhere), &component);
        let op = lab.stash_tab(&live, &[("d", "1")]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
        lab.wait(1);
        let late = lab.claim_late(0, &component, fresh, epoch);
        lab.read(&late);
        lab.settle();
        let undead = lab.stash_tab(&late, &[("d", "2")]);
        lab.settle();
        assert_eq!(lab.outcome(&late, undead), SUPERSEDED);
        assert!(lab.is_superseded(&late) && !lab.is_superseded(&live));
        assert_eq!(lab.stored_tab(&component, "d").as_deref(), Some("1"));
    }
}

#[test]
fn what_is_opened_late_on_a_fresh_page_empties_nothing_that_may_be_of_a_later_mount() {
    let mut lab = Lab::nodes(2);
    let component = slot("form:1", 1, "t1");
    lab.now.wall += 5_000;
    let ahead = lab.rejoin(1, &component);
    lab.stash_tab(&ahead, &[("d", "1")]);
    lab.settle();
    lab.now.wall -= 5_000;
    let page = lab.claim(0, &slot("a", 1, "t1"), true, false);
    let late = lab.claim_late(0, &component, true, lab.epoch(&page));
    lab.read(&late);
    lab.settle();
    let op = lab.stash_tab(&late, &[("e", "2")]);
    lab.settle();
    assert!(lab.is_saved(&late, op));
    assert_eq!(lab.stored_tab(&component, "d").as_deref(), Some("1"));
}
