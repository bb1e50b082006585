//! Several secrets: the document stands under the name of one of them (fault 70).

use durable_stash_machine::{Effect, ErrorKind, Incident, Outcome, Precondition, PutOutcome};

use crate::lab::{Lab, slot};

/// Nodes that know two secrets, and a document that was written under the older one.
fn rotated(nodes: usize) -> Lab {
    let mut before = Lab::new();
    let live = before.rejoin(0, &slot("a", 1, "t1"));
    before.write(&live, &[("k", "1"), ("l", "2")], &[("d", "3")]);
    before.settle();
    let mut lab = Lab::build(nodes, 2, |_| ());
    lab.store.place(1, before.store.object(0).unwrap().body.clone());
    lab
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
    assert_eq!(lab.outcome(&live, op), Some(Outcome::Saved { rev: before.rev + 1 }));
    assert_eq!(lab.stored(&live.slot, "l").as_deref(), Some("2"));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("3"));
    assert!(is_buried(&lab, 1), "it must not come back once the new one is forgotten");
    assert_eq!(lab.store.content(1).unwrap().0.rev, before.rev + 1, "its chain goes up by one, too");
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
    // … when a commit of ours creates the document under the current one.
    let op = lab.stash(&live, &[("n", "9")]);
    let put = lab.take_put(0);
    lab.serve(put);
    assert!(lab.is_saved(&live, op));
    lab.serve(second);
    assert_eq!(lab.shown(0, read), "n=9");
    let read = lab.read(&live);
    lab.settle();
    assert_eq!(lab.shown(0, read), "n=9");
}

#[test]
fn forgetting_buries_what_a_dead_node_left_under_the_older_secret() {
    let mut lab = rotated(1);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    lab.stash(&live, &[("k", "4")]);
    lab.serve_next(0);
    lab.serve_next(0);
    let put = lab.take_put(0);
    lab.reach(&put);
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
    for _ in 0..2 {
        lab.serve_next(0);
    }
    let put = lab.take_put(0);
    lab.serve(put);
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

#[test]
fn an_old_release_that_still_writes_under_the_older_secret_is_left_alone_until_it_is_to_be_forgotten() {
    for forgets in [false, true] {
        let mut lab = rotated(1);
        let live = lab.rejoin(0, &slot("a", 1, "t1"));
        lab.read(&live);
        lab.settle();
        if forgets {
            lab.forget(0);
        } else {
            lab.stash(&live, &[("k", "4")]);
        }
        let put = lab.take_put(0);
        lab.serve(put);
        let bury = lab.take_put(0);
        assert!(matches!(&bury.effect, Effect::Put { name: 1, precondition: Precondition::Matches(_), .. }));
        // The old release writes once more before the tombstone arrives.
        let mut old = Lab::new();
        old.store.place(0, lab.store.object(1).unwrap().body.clone());
        let theirs = old.rejoin(0, &slot("a", 1, "t9"));
        old.stash(&theirs, &[("late", "1")]);
        old.settle();
        lab.store.place(1, old.store.object(0).unwrap().body.clone());
        lab.serve(bury);
        lab.settle();
        assert_eq!(is_buried(&lab, 1), forgets);
    }
}

#[test]
fn a_create_that_may_land_beside_damage_under_the_older_secret_is_not_called_failed() {
    let mut lab = Lab::build(1, 2, |policy| policy.max_unsaved_age_ms = 10_000);
    let live = lab.rejoin(0, &slot("a", 1, "t1"));
    let op = lab.stash(&live, &[("k", "1")]);
    lab.serve_next(0);
    lab.serve_next(0);
    let zombie = lab.take_put(0);
    lab.time_out(&zombie);
    lab.store.place(1, bytes::Bytes::from_static(b"damage"));
    lab.wait(60);
    lab.serve_next(0);
    lab.serve_next(0);
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
    lab.serve_next(0);
    lab.serve_next(0);
    let put = lab.take_put(0);
    lab.reach(&put);
    // The node dies before it has buried the old object.
    lab.crash(0);
    lab.forget(0);
    lab.serve_next(0);
    lab.serve_next(0);
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
