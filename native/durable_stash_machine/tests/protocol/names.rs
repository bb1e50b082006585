//! Several secrets: the document stands under the name of one of them (fault 70).

use durable_stash_machine::{Effect, ErrorKind, Incident, Outcome, PutOutcome};

use crate::lab::{Lab, slot};
use crate::store::named;

/// Nodes that know two secrets, and a document that was written under the older one.
fn rotated(nodes: usize) -> Lab {
    let mut before = Lab::new();
    // Another engine run than any of the nodes'.
    for _ in 0..9 {
        before.crash(0);
    }
    let live = before.rejoin(0, &slot("a", 1, "t1"));
    before.write(&live, &[("k", "1"), ("l", "2")], &[("d", "3")]);
    before.settle();
    let mut lab = Lab::build(nodes, 2, |_| ());
    lab.store.place(1, before.store.object(0).unwrap().body.clone());
    lab.wait(1);
    lab
}

fn is_sealed(lab: &Lab, name: usize) -> bool {
    lab.store.content(name).is_some_and(|(header, _)| header.moved_to == Some(named(0)))
}

fn is_buried(lab: &Lab, name: usize) -> bool {
    lab.store.content(name).is_some_and(|(header, _)| header.buried)
}

#[test]
fn fault_70_a_document_is_found_under_the_older_secret_and_moves_with_its_next_write() {
    let mut lab = rotated(1);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=1 l=2 d=3");
    assert!(lab.store.object(0).is_none(), "reading moves nothing");
    let before = lab.store.content(1).unwrap().0;
    let op = lab.stash(&live, &[("k", "4")]);
    lab.settle();
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Saved { rev: before.rev + 2 }), "the seal comes in between");
    assert_eq!(lab.stored(&live.slot, "l").as_deref(), Some("2"));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("3"));
    assert!(is_buried(&lab, 1), "it must not come back once the new one is forgotten");
    assert!(is_sealed(&lab, 1), "who knows the older secret only is told where it is");
    assert_eq!(lab.store.content(1).unwrap().0.rev, before.rev + 2, "its chain goes up by one, too");
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::Rekeyed), 1);
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=4 l=2 d=3");
}

#[test]
fn an_unchanged_document_under_the_older_secret_costs_no_body() {
    let mut lab = rotated(1);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.read(&live);
    lab.settle();
    let read = lab.read(&live);
    lab.serve_next(0);
    let get = lab.take_get(0);
    assert!(matches!(get.effect, Effect::Get { name: 1, unless: Some(_), .. }));
    lab.serve(get);
    assert_eq!(lab.shown(0, read), "k=1 l=2 d=3");
}

#[test]
fn two_nodes_that_move_the_document_at_once_agree_on_one() {
    let mut lab = rotated(2);
    let lives = [0, 1].map(|node| lab.rejoin(node, &slot("a", 1, &format!("u{node}"))));
    let ops = [0, 1].map(|node| lab.stash(&lives[node], &[(["m", "n"][node], "1")]));
    for node in [0, 1] {
        lab.serve_next(node);
        lab.serve_next(node);
    }
    lab.settle();
    for node in [0, 1] {
        assert!(lab.is_saved(&lives[node], ops[node]));
    }
    let stored = |key| lab.stored(&lives[0].slot, key);
    assert!(["k", "l", "m", "n"].iter().all(|key| stored(key).is_some()));
    assert!(is_buried(&lab, 1));
}

#[test]
fn a_document_that_moves_between_two_gets_is_not_taken_for_forgotten() {
    let mut lab = rotated(2);
    let read = lab.peek(0, &slot("a", 1, "t1"));
    // Nothing is there under the current name …
    lab.serve_next(0);
    let second = lab.take_get(0);
    // … and now everything is: another node moves the document and buries what it has moved.
    let other = lab.rejoin(1, &slot("a", 1, "t1"));
    lab.stash(&other, &[("k", "5")]);
    lab.serve_node(1);
    assert!(is_buried(&lab, 1));
    lab.serve(second);
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=5 l=2 d=3");
}

#[test]
fn a_document_that_was_forgotten_under_the_older_secret_is_not_found() {
    let mut lab = rotated(1);
    let mut old = Lab::new();
    old.store.place(0, lab.store.object(1).unwrap().body.clone());
    old.forget(0);
    old.settle();
    lab.store.place(1, old.store.object(0).unwrap().body.clone());
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "not found");
    let op = lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
}

#[test]
fn a_lost_document_is_restored_and_not_sought_under_the_secrets_that_it_has_left() {
    let mut lab = rotated(1);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash(&live, &[("k", "4")]);
    lab.settle();
    lab.store.lose(0);
    let op = lab.stash(&live, &[("m", "5")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=4 l=2 m=5 d=3");
}

#[test]
fn a_commit_is_not_undone_by_an_older_answer_about_an_older_name() {
    let mut lab = Lab::names(2);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.read(&live);
    lab.settle();
    // An old release writes under the older name, and a read of ours is about to find that …
    lab.store.place(1, rotated(1).store.object(1).unwrap().body.clone());
    let read = lab.read(&live);
    lab.serve_next(0);
    let second = lab.take_get(0);
    // … when a commit of ours makes it the current one's.
    let op = lab.stash(&live, &[("n", "9")]);
    let answer = lab.reach(&second);
    let seal = lab.take_put(0);
    lab.serve(seal);
    lab.run(200);
    assert_eq!(lab.outcome(&live, op), None, "one GET at a time, and that one is on its way");
    lab.answer(0, answer);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.shown(0, read), "k=1 l=2 n=9 d=3");
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=1 l=2 n=9 d=3");
}

#[test]
fn forgetting_buries_what_a_dead_node_left_under_the_older_secret() {
    let mut lab = rotated(1);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash(&live, &[("k", "4")]);
    for _ in 0..3 {
        lab.serve_next(0);
    }
    let put = lab.take_put(0);
    lab.reach(&put);
    assert!(lab.store.object(0).is_some());
    // The node dies before it has buried the old object.
    lab.crash(0);
    let request = lab.forget(0);
    lab.serve_next(0);
    lab.serve_next(0);
    assert!(is_buried(&lab, 0) && !is_buried(&lab, 1));
    assert_eq!(lab.forgotten(0, request), None, "not before all of it is");
    lab.settle();
    assert!(is_buried(&lab, 1), "or it would come back once the tombstone is swept");
    assert!(matches!(lab.forgotten(0, request), Some(Outcome::Saved { .. })));
}

#[test]
fn forgetting_a_document_that_still_stands_under_the_older_secret_buries_both() {
    let mut lab = rotated(1);
    let request = lab.forget(0);
    lab.settle();
    assert!(matches!(lab.forgotten(0, request), Some(Outcome::Saved { .. })));
    assert!(is_buried(&lab, 0) && is_buried(&lab, 1));
}

#[test]
fn what_could_not_be_buried_under_the_older_secret_is_said_to_be_unknown() {
    let mut lab = rotated(1);
    let request = lab.forget(0);
    for _ in 0..4 {
        lab.serve_next(0);
    }
    assert!(is_buried(&lab, 0));
    let mut tries = 0;
    while lab.forgotten(0, request).is_none() {
        if lab.asks_nothing(0) {
            lab.wait(100);
            continue;
        }
        tries += 1;
        let put = lab.take_put(0);
        lab.time_out(&put);
    }
    assert_eq!(lab.forgotten(0, request), Some(Outcome::Unknown));
    assert!((2..=20).contains(&tries), "{tries} tries");
    lab.settle();
}

/// Three nodes around a document that was written under the older secret: one knows both secrets, one the older only,
/// as in a rolling deploy, and one more both.
fn rolling() -> Lab {
    let mut lab = Lab::build(1, 2, |_| ());
    lab.boot_with(vec![1]);
    lab.boot();
    let before = rotated(1).store.object(1).unwrap().body.clone();
    lab.store.place(1, before);
    lab.wait(1);
    lab
}

#[test]
fn fault_70_what_a_node_of_the_older_secret_saves_while_the_document_moves_moves_with_it() {
    // Its write comes in before the seal, between the seal and the new object, or after that.
    for moment in 0..3 {
        let mut lab = rolling();
        let (old, new) = (lab.rejoin(1, &slot("a", 1, "t8")), lab.rejoin(0, &slot("a", 1, "t9")));
        lab.read(&old);
        lab.serve_node(1);
        lab.read(&new);
        lab.serve_node(0);
        let ours = lab.stash(&new, &[("k", "4")]);
        for _ in 0..moment {
            let put = lab.take_put(0);
            lab.serve(put);
        }
        let theirs = lab.stash(&old, &[("late", "1")]);
        while !lab.is_saved(&old, theirs) {
            lab.serve_node(1);
            lab.wait(10);
        }
        lab.settle();
        assert!(lab.is_saved(&new, ours));
        for key in ["k", "l", "late"] {
            assert!(lab.stored(&new.slot, key).is_some(), "{key} is lost at moment {moment}");
        }
        let theirs = lab.stash(&old, &[("later", "1")]);
        lab.settle();
        assert!(lab.is_saved(&old, theirs));
        for node in [0, 1, 2] {
            let read = lab.peek(node, &slot("a", 1, "t1"));
            lab.settle();
            assert_eq!(lab.shown(node, read), "k=4 l=2 late=1 later=1 d=3", "node {node}, moment {moment}");
        }
    }
}

#[test]
fn fault_70_a_node_of_the_older_secret_finds_what_has_moved_and_writes_it_where_it_is() {
    let mut lab = rolling();
    let new = lab.rejoin(0, &slot("a", 1, "t9"));
    lab.stash(&new, &[("k", "4")]);
    lab.settle();
    let old = lab.rejoin(1, &slot("a", 1, "t1"));
    let read = lab.read(&old);
    lab.settle();
    assert_eq!(lab.shown(1, read), "k=4 l=2 d=3", "nothing is lost to who lands on it");
    let op = lab.stash(&old, &[("m", "5")]);
    lab.settle();
    assert!(lab.is_saved(&old, op));
    assert_eq!(lab.stored(&old.slot, "m").as_deref(), Some("5"));
    let gets = lab.gets(1);
    lab.read(&old);
    lab.settle();
    assert_eq!(lab.gets(1), gets + 1, "while it is in memory it knows the way");
}

#[test]
fn fault_70_a_new_document_is_not_created_under_both_secrets() {
    for old_first in [false, true] {
        let mut lab = Lab::names(2);
        lab.boot_with(vec![1]);
        let lives = [0, 1].map(|node| lab.rejoin(node, &slot("a", 1, &format!("u{node}"))));
        for node in [0, 1] {
            lab.read(&lives[node]);
            lab.serve_node(node);
        }
        let ops = [0, 1].map(|node| lab.stash(&lives[node], &[(["m", "n"][node], "1")]));
        let order = if old_first { [1, 0] } else { [0, 1] };
        for node in order {
            let put = lab.take_put(node);
            lab.serve(put);
        }
        lab.settle();
        for node in [0, 1] {
            assert!(lab.is_saved(&lives[node], ops[node]));
            let read = lab.read(&lives[node]);
            lab.settle();
            assert_eq!(lab.shown(node, read), "m=1 n=1");
        }
    }
}

#[test]
fn fault_70_a_node_that_dies_after_the_seal_leaves_nothing_out_of_reach() {
    for finisher in [1, 2] {
        let mut lab = rolling();
        let new = lab.rejoin(0, &slot("a", 1, "t9"));
        lab.read(&new);
        lab.serve_node(0);
        lab.stash(&new, &[("k", "4")]);
        let seal = lab.take_put(0);
        lab.reach(&seal);
        lab.crash(0);
        let live = lab.rejoin(finisher, &slot("a", 1, "t1"));
        let read = lab.read(&live);
        lab.settle();
        assert_eq!(lab.shown(finisher, read), "k=1 l=2 d=3");
        let op = lab.stash(&live, &[("m", "5")]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
        assert_eq!(lab.stored(&live.slot, "m").as_deref(), Some("5"));
        assert!(is_buried(&lab, 1) && is_sealed(&lab, 1));
    }
}

#[test]
fn fault_70_what_was_on_its_way_when_the_document_moved_is_settled_where_it_went() {
    // The answer to a write of the older secret is lost; it came in before the seal, or too late.
    for came_in in [true, false] {
        let mut lab = rolling();
        let old = lab.rejoin(1, &slot("a", 1, "t8"));
        lab.read(&old);
        lab.serve_node(1);
        let theirs = lab.stash(&old, &[("late", "1")]);
        let put = lab.take_put(1);
        if came_in {
            lab.reach(&put);
        }
        let new = lab.rejoin(0, &slot("a", 1, "t9"));
        lab.stash(&new, &[("k", "4")]);
        lab.serve_node(0);
        lab.time_out(&put);
        lab.settle();
        assert!(lab.is_saved(&old, theirs));
        assert_eq!(lab.stored(&old.slot, "late").as_deref(), Some("1"));
        assert_eq!(lab.stored(&old.slot, "k").as_deref(), Some("4"));
    }
}

#[test]
fn fault_70_an_answer_that_comes_after_the_document_has_moved_is_believed() {
    let mut lab = rolling();
    let old = lab.rejoin(1, &slot("a", 1, "t8"));
    lab.read(&old);
    lab.serve_node(1);
    let theirs = lab.stash(&old, &[("late", "1")]);
    let put = lab.take_put(1);
    let answer = lab.reach(&put);
    let new = lab.rejoin(0, &slot("a", 1, "t9"));
    lab.stash(&new, &[("k", "4")]);
    lab.serve_node(0);
    lab.read(&old);
    lab.serve_node(1);
    lab.answer(1, answer);
    assert!(lab.is_saved(&old, theirs));
    let after = lab.stash(&old, &[("later", "2")]);
    lab.settle();
    assert!(lab.is_saved(&old, after));
    let read = lab.read(&new);
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=4 l=2 late=1 later=2");
}

#[test]
fn a_document_that_a_node_of_the_older_secret_forgets_is_gone_everywhere() {
    let mut lab = rolling();
    let new = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash(&new, &[("k", "4")]);
    lab.settle();
    let request = lab.forget(1);
    lab.settle();
    assert!(matches!(lab.forgotten(1, request), Some(Outcome::Saved { .. })));
    assert!(is_buried(&lab, 0) && is_buried(&lab, 1));
    let read = lab.read(&new);
    lab.settle();
    assert_eq!(lab.shown(0, read), "not found");
    // The new tombstone is swept long before the seal is: nothing comes back, and the seal still leads there.
    lab.wait(lab.policy.tombstone_ms);
    lab.store.lose(0);
    let old = lab.rejoin(1, &slot("a", 1, "t1"));
    let op = lab.stash(&old, &[("m", "5")]);
    lab.settle();
    assert!(lab.is_saved(&old, op));
    let read = lab.peek(0, &new.slot);
    lab.settle();
    assert_eq!(lab.shown(0, read), "m=5");
}

#[test]
fn a_seal_stands_for_a_whole_ttl() {
    let mut lab = rolling();
    let new = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash(&new, &[("k", "4")]);
    lab.settle();
    let (seal, _) = lab.store.content(1).unwrap();
    assert_eq!(seal.expires_at, lab.now.wall + lab.policy.ttl_ms);
}

#[test]
fn seals_that_lead_in_a_circle_are_an_error_and_asked_for_a_bounded_number_of_times() {
    let mut lab = rolling();
    let new = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash(&new, &[("k", "4")]);
    lab.settle();
    let (mut header, document) = lab.store.content(1).unwrap();
    header.moved_to = Some(named(1));
    lab.store.place(0, durable_stash_machine::format::encode(&header, &document));
    let before = lab.gets(1);
    let read = lab.peek(1, &slot("a", 1, "t1"));
    lab.settle();
    assert_eq!(lab.shown(1, read), ErrorKind::Corrupt.as_str());
    assert!((3..40).contains(&(lab.gets(1) - before)));
}

#[test]
fn a_rotation_that_is_rolled_back_leaves_the_document_where_it_has_moved_to() {
    let mut lab = rolling();
    let new = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash(&new, &[("k", "4")]);
    lab.settle();
    lab.wait(1);
    let back = lab.boot_with(vec![1, 0]);
    let live = lab.rejoin(back, &slot("a", 1, "t1"));
    let op = lab.stash(&live, &[("m", "5")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    let read = lab.peek(0, &new.slot);
    lab.settle();
    assert_eq!(lab.shown(0, read), "k=4 l=2 m=5 d=3");
}

#[test]
fn without_an_older_secret_a_new_document_costs_one_put_and_with_one_it_costs_two() {
    for (names, puts) in [(1, 1), (2, 2)] {
        let mut lab = Lab::names(names);
        lab.mint(0);
        let live = lab.rejoin(0, &slot("a", 1, "t1"));
        lab.stash(&live, &[("k", "1")]);
        lab.settle();
        assert_eq!((lab.puts(0), lab.gets(0)), (puts, 0));
        lab.stash(&live, &[("k", "2")]);
        lab.settle();
        assert_eq!(lab.puts(0), puts + 1);
    }
}

#[test]
fn a_create_that_may_land_beside_damage_under_the_older_secret_is_not_called_failed() {
    let mut lab = Lab::build(1, 2, |policy| policy.max_unsaved_age_ms = 10_000);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    let op = lab.stash(&live, &[("k", "1")]);
    for _ in 0..3 {
        lab.serve_next(0);
    }
    let zombie = lab.take_put(0);
    lab.time_out(&zombie);
    lab.store.place(1, bytes::Bytes::from_static(b"damage"));
    lab.wait(60);
    for _ in 0..4 {
        lab.serve_next(0);
    }
    while lab.outcome(&live, op).is_none() {
        while !lab.asks_nothing(0) {
            let request = lab.take(0);
            lab.time_out(&request);
        }
        lab.wait(500);
    }
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Unknown));
    lab.reach(&zombie);
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("1"));
}

#[test]
fn damage_under_the_older_secret_is_copied_aside_and_does_not_block_the_current_one() {
    let mut lab = Lab::names(2);
    lab.store.place(1, bytes::Bytes::from_static(b"damage"));
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), ErrorKind::Corrupt.as_str());
    let op = lab.stash(&live, &[("k", "1")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.store.aside, [&b"damage"[..]]);
    assert!(is_buried(&lab, 1));
}

#[test]
fn fault_26_an_old_object_whose_bytes_were_spoilt_on_their_way_is_buried_all_the_same() {
    let mut lab = rotated(1);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash(&live, &[("k", "4")]);
    for _ in 0..3 {
        lab.serve_next(0);
    }
    let put = lab.take_put(0);
    lab.reach(&put);
    assert!(lab.store.object(0).is_some());
    // The node dies before it has buried the old object.
    lab.crash(0);
    lab.forget(0);
    for _ in 0..2 {
        lab.serve_next(0);
    }
    let look = lab.take_get(0);
    lab.serve_spoilt(look, 3_000);
    lab.settle();
    assert!(is_buried(&lab, 1), "or it would come back once the tombstone is swept");
}

#[test]
fn a_lost_answer_to_the_move_still_buries_the_old_object() {
    let mut lab = rotated(1);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    let op = lab.stash(&live, &[("k", "4")]);
    lab.serve_next(0);
    lab.serve_next(0);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.refuse(&put, PutOutcome::Unknown { retry_after: None });
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert!(is_buried(&lab, 1));
}
