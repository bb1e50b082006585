//! Reads: who shares a GET, what lies on top of its answer, and what is said when none comes.

use durable_stash_machine::{Effect, Incident};

use crate::commit::lab_with_a_document;
use crate::lab::{Lab, Live, slot};

#[test]
fn reads_that_arrive_while_a_get_is_in_flight_share_the_next_one() {
    let (mut lab, live) = lab_with_a_document(1);
    let first = lab.read(&live);
    let get = lab.take_get(0);
    let answer = lab.reach(&get);
    // Another node writes after the store has answered: the readers that ask now must see it.
    let other = lab.boot();
    let theirs = lab.claim(other, &slot("a", 1, "t2"), false, false);
    lab.stash(&theirs, &[("k", "2")]);
    lab.serve_node(other);
    let later = [lab.read(&live), lab.read(&live), lab.peek(0, &live.slot)];
    assert!(lab.asks_nothing(0), "one GET at a time");
    lab.answer(0, answer);
    assert_eq!(lab.shown(0, first), "first=0");
    assert_eq!(lab.shown(0, later[0]), "no answer");
    let before = lab.gets(0);
    lab.serve_node(0);
    assert_eq!(lab.gets(0), before, "the next GET had left with the first one's answer");
    for read in later {
        assert_eq!(lab.shown(0, read), "first=0 k=2");
    }
}

#[test]
fn what_is_accepted_lies_on_top_of_what_is_stored() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    lab.stash(&live, &[("l", "2")]);
    lab.remove(&live, &["first"], &[]);
    let read = lab.read(&live);
    lab.serve_next(0);
    assert_eq!(lab.shown(0, read), "k=1 l=2");
    // Also where the GET has seen the batch whose answer is still to come.
    lab.reach(&put);
    let read = lab.read(&live);
    lab.serve_next(0);
    assert_eq!(lab.shown(0, read), "k=1 l=2");
}

#[test]
fn an_answer_names_the_writes_of_others_in_it_that_are_not_saved() {
    let (mut lab, live) = lab_with_a_document(1);
    let tab = lab.mount(0, &slot("a", 1, "t2"));
    let other = lab.mount(0, &slot("b", 1, "t3"));
    let frozen = lab.stash(&live, &[("k", "1")]);
    let put = lab.take_put(0);
    let draft = lab.stash_tab(&tab, &[("d", "1")]);
    lab.stash(&other, &[("k", "2")]);
    let unsaved = |lab: &mut Lab, live: &Live| {
        let read = lab.read(live);
        lab.serve_next(0);
        lab.answered(0, read).unwrap().as_ref().unwrap().unsaved.clone()
    };
    // Neither one's own, nor what another tab or another view keeps to itself.
    assert_eq!(unsaved(&mut lab, &live), []);
    assert_eq!(unsaved(&mut lab, &tab), [(live.claim, frozen)]);
    let rejoined = lab.rejoin(0, &tab.slot);
    assert_eq!(unsaved(&mut lab, &rejoined), [(live.claim, frozen), (tab.claim, draft)]);
    let shared = lab.share(&other, &[("theme", "1")]);
    assert_eq!(unsaved(&mut lab, &live), [(other.claim, shared)]);
    // The store has the batch, although its answer is still to come.
    lab.reach(&put);
    assert_eq!(unsaved(&mut lab, &rejoined), [(tab.claim, draft), (other.claim, shared)]);
    lab.settle();
    assert_eq!(unsaved(&mut lab, &rejoined), []);
    // What is emptied is shown, too.
    let reset = lab.reset(&live);
    let _on_its_way = lab.take_put(0);
    assert_eq!(unsaved(&mut lab, &rejoined), [(live.claim, reset)]);
}

#[test]
fn an_unchanged_object_costs_no_body() {
    let (mut lab, live) = lab_with_a_document(1);
    let read = lab.read(&live);
    let get = lab.take_get(0);
    let etag = lab.store.object(0).unwrap().etag.clone();
    assert!(matches!(&get.effect, Effect::Get { unless: Some(unless), .. } if *unless == etag));
    lab.serve(get);
    assert_eq!(lab.shown(0, read), "first=0");
}

#[test]
fn when_the_store_does_not_answer_in_time_the_cached_copy_does_and_says_so() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.stash(&live, &[("k", "1")]);
    let read = lab.read(&live);
    lab.wait(2_999);
    assert_eq!(lab.shown(0, read), "no answer");
    lab.wait(1);
    assert_eq!(lab.shown(0, read), "first=0 k=1");
    assert!(lab.answered(0, read).unwrap().as_ref().unwrap().stale);
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::StaleServed), 1);
    lab.settle();
}

#[test]
fn without_a_copy_or_without_serve_stale_it_is_an_error() {
    let mut lab = Lab::new();
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let read = lab.read(&live);
    lab.wait(3_000);
    assert_eq!(lab.shown(0, read), "unavailable");

    let mut lab = Lab::with(|policy| policy.serve_stale = false);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.stash(&live, &[("k", "1")]);
    lab.settle();
    let read = lab.read(&live);
    lab.wait(3_000);
    assert_eq!(lab.shown(0, read), "unavailable");
}

#[test]
fn a_store_that_comes_back_in_time_is_waited_for() {
    let (mut lab, live) = lab_with_a_document(1);
    lab.evict(0);
    let read = lab.read(&live);
    for _ in 0..3 {
        let get = lab.take_get(0);
        lab.time_out(&get);
        lab.wait(500);
    }
    lab.serve_node(0);
    assert_eq!(lab.shown(0, read), "first=0");
}

#[test]
fn a_copy_validated_a_moment_ago_answers_without_asking_if_so_configured() {
    let mut lab = Lab::with(|policy| policy.fresh_for_ms = 500);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.stash(&live, &[("k", "1")]);
    lab.settle();
    let before = lab.gets(0);
    let read = lab.read(&live);
    assert_eq!(lab.shown(0, read), "k=1");
    lab.wait(500);
    lab.read(&live);
    assert_eq!(lab.gets(0), before + 1);
    lab.settle();
}

#[test]
fn fault_42_a_copy_is_as_old_as_the_question_it_answered() {
    let mut lab = Lab::with(|policy| policy.fresh_for_ms = 500);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.stash(&live, &[("k", "1")]);
    lab.settle();
    lab.wait(1_000);
    lab.read(&live);
    let get = lab.take_get(0);
    let answer = lab.reach(&get);
    // The node stands still, and only then takes the answer in.
    lab.wait(1_000);
    lab.answer(0, answer);
    let before = lab.gets(0);
    lab.read(&live);
    assert_eq!(lab.gets(0), before + 1, "a copy from a second ago is not fresh");
    lab.settle();
}

#[test]
fn a_single_writers_own_copy_is_authoritative() {
    let mut lab = Lab::with(|policy| policy.single_writer = true);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let read = lab.read(&live);
    lab.settle();
    assert_eq!((lab.shown(0, read).as_str(), lab.gets(0)), ("not found", 1));
    lab.stash(&live, &[("k", "1")]);
    lab.settle();
    lab.wait(1_000_000);
    let read = lab.read(&live);
    assert_eq!((lab.shown(0, read).as_str(), lab.gets(0)), ("k=1", 1));
}

#[test]
fn fault_15_an_older_revision_is_never_shown_and_the_store_is_asked_again() {
    let (mut lab, live) = lab_with_a_document(1);
    let old = lab.store.object(0).unwrap().body.clone();
    lab.stash(&live, &[("k", "1")]);
    lab.settle();
    let new = lab.store.object(0).unwrap().body.clone();
    lab.store.place(0, old);
    let read = lab.read(&live);
    lab.serve_next(0);
    assert_eq!(lab.shown(0, read), "no answer");
    lab.store.place(0, new);
    lab.run(1_000);
    assert_eq!(lab.shown(0, read), "first=0 k=1");
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::StaleRead), 1);
}

#[test]
fn fault_15_71_where_the_store_insists_on_an_older_revision_writes_go_on_from_there() {
    let (mut lab, live) = lab_with_a_document(1);
    let old = lab.store.object(0).unwrap().body.clone();
    lab.stash(&live, &[("k", "1")]);
    lab.settle();
    lab.store.place(0, old);
    let read = lab.read(&live);
    lab.run(3_000);
    assert!(lab.answered(0, read).unwrap().as_ref().unwrap().stale, "no reader is given the older one");
    assert!(lab.gets(0) < 20, "{} GETs in three seconds", lab.gets(0));
    let op = lab.stash(&live, &[("l", "2")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.stored(&live.slot, "l").as_deref(), Some("2"));
}

#[test]
fn a_read_is_told_nothing_of_other_views_and_tabs() {
    let mut lab = Lab::new();
    let one = lab.rejoin(0, &slot("a", 1, "t1"));
    let two = lab.rejoin(0, &slot("a", 1, "t2"));
    let three = lab.rejoin(0, &slot("b", 1, "t1"));
    for (live, value) in [(&one, "1"), (&two, "2"), (&three, "3")] {
        lab.write(live, &[("k", value)], &[("d", value)]);
    }
    lab.settle();
    for (live, shown) in [(&one, "k=2 d=1"), (&two, "k=2 d=2"), (&three, "k=3 d=3")] {
        let read = lab.read(live);
        lab.settle();
        assert_eq!(lab.shown(0, read), shown);
    }
}
