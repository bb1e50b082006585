//! Limits: sizes, tabs, writers remembered, numbers at their ends.

use std::collections::BTreeMap;

use durable_stash_machine::document::{Applied, Document, Header, succeed};
use durable_stash_machine::slice::{Epoch, Slice, Tab};
use durable_stash_machine::{ErrorKind, Incident, Outcome, Policy, TabId, View, Vsn, WriteId, WriterId, format};

use crate::lab::{Lab, slot};

const TOO_LARGE: Option<Outcome> = Some(Outcome::Failed(ErrorKind::TooLarge));

fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes))
}

#[test]
fn a_write_that_outgrows_the_document_is_rejected_alone() {
    let mut lab = Lab::with(|policy| policy.max_document_bytes = 50_000);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, true);
    let small = lab.stash(&live, &[("k", "1")]);
    let large = lab.write(&live, &[("l", &text(30_000)), ("m", "2")], &[("d", &text(30_000))]);
    let after = lab.stash(&live, &[("n", "3")]);
    assert_eq!(lab.outcome(&live, large), TOO_LARGE, "at once, and as a whole");
    lab.settle();
    assert!(lab.is_saved(&live, small) && lab.is_saved(&live, after));
    let stored = |key| lab.stored(&live.slot, key);
    assert_eq!((stored("k").is_some(), stored("m").is_some(), stored("n").is_some()), (true, false, true));
}

#[test]
fn a_value_that_is_replaced_does_not_count_twice() {
    let mut lab = Lab::with(|policy| policy.max_document_bytes = 50_000);
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    for _ in 0..5 {
        let op = lab.stash(&live, &[("k", &text(40_000))]);
        assert_eq!(lab.outcome(&live, op), None);
    }
    lab.settle();
    assert_eq!(lab.stored(&live.slot, "k").map(|json| json.len()), Some(40_002));
}

#[test]
fn what_turns_out_too_large_once_the_document_is_known_fails_and_the_rest_is_saved() {
    let mut lab = Lab::build(2, 1, |policy| policy.max_document_bytes = 50_000);
    let other = lab.claim(1, &slot("b", 1, "t1"), false, false);
    lab.stash(&other, &[("k", &text(30_000))]);
    lab.settle();
    let fat = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let thin = lab.claim(0, &slot("a", 1, "t2"), false, false);
    let ops = [lab.stash(&fat, &[("k", &text(30_000))]), lab.stash(&thin, &[("l", "1")])];
    lab.settle();
    assert_eq!(lab.outcome(&fat, ops[0]), TOO_LARGE);
    assert!(lab.is_saved(&thin, ops[1]));
    assert_eq!(lab.stored(&other.slot, "k").map(|json| json.len()), Some(30_002));
}

#[test]
fn a_document_over_a_lowered_limit_may_shrink_and_not_grow() {
    let mut lab = Lab::new();
    let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
    lab.stash(&live, &[("k", &text(50_000)), ("l", &text(50_000))]);
    lab.settle();
    let store = lab.store.clone();
    for knows_the_document in [true, false] {
        let mut lab = Lab::with(|policy| policy.max_document_bytes = 60_000);
        lab.store = store.clone();
        let live = lab.claim(0, &slot("a", 1, "t1"), false, false);
        if knows_the_document {
            lab.read(&live);
            lab.settle();
        }
        let op = lab.stash(&live, &[("k", &text(45_000))]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
        let op = lab.stash(&live, &[("m", "1")]);
        lab.settle();
        assert_eq!(lab.outcome(&live, op), TOO_LARGE);
        let op = lab.remove(&live, &["k"], &[]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
    }
}

#[test]
fn the_least_recently_touched_tabs_go_first() {
    let mut lab = Lab::with(|policy| policy.tabs_per_view = 3);
    for tab in ["t1", "t2", "t3", "t1", "t4"] {
        let live = lab.rejoin(0, &slot("a", 1, tab));
        lab.stash_tab(&live, &[("d", "1")]);
        lab.settle();
        lab.wait(10);
    }
    let stands = |tab| lab.stored_tab(&slot("a", 1, tab), "d").is_some();
    assert_eq!(["t1", "t2", "t3", "t4"].map(stands), [true, false, true, true]);
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::TabsEvicted { count: 1 }), 1);
}

#[test]
fn a_tab_does_not_fall_to_its_own_write_where_the_clock_is_behind() {
    let mut lab = Lab::with(|policy| policy.tabs_per_view = 2);
    for tab in ["t1", "t2"] {
        let live = lab.rejoin(0, &slot("a", 1, tab));
        lab.stash_tab(&live, &[("d", "1")]);
        lab.settle();
    }
    lab.step_wall(-60_000);
    let live = lab.rejoin(0, &slot("a", 1, "t3"));
    let op = lab.stash_tab(&live, &[("d", "3")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.stored_tab(&live.slot, "d").as_deref(), Some("3"));
}

#[test]
fn the_least_recently_touched_components_of_a_module_go_first_whichever_node_writes() {
    let mut lab = Lab::build(2, 1, |policy| policy.components_per_module = 3);
    let others = ["Form", "Forms:1", "For:1"];
    for view in others {
        let live = lab.rejoin(0, &slot(view, 1, "t1"));
        lab.stash(&live, &[("k", "0")]);
        lab.settle();
    }
    lab.wait(10);
    for (node, id) in [(0, "1"), (1, "2"), (0, "3"), (1, "1"), (0, "4")] {
        let live = lab.rejoin(node, &slot(&format!("Form:{id}"), 1, "t1"));
        lab.read(&live);
        lab.settle();
        let op = lab.stash(&live, &[("k", id)]);
        lab.settle();
        assert!(lab.is_saved(&live, op));
        lab.wait(10);
    }
    let stands = |view: &str| lab.stored(&slot(view, 1, "t1"), "k").is_some();
    assert_eq!(["1", "2", "3", "4"].map(|id| stands(&format!("Form:{id}"))), [true, false, true, true]);
    assert!(others.into_iter().all(stands));
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::ComponentsEvicted { count: 1 }), 1);
}

#[test]
fn a_component_does_not_fall_to_its_own_write_where_the_clock_is_behind() {
    let mut lab = Lab::with(|policy| policy.components_per_module = 2);
    for id in ["1", "2"] {
        let live = lab.rejoin(0, &slot(&format!("Form:{id}"), 1, "t1"));
        lab.stash(&live, &[("k", "0")]);
        lab.settle();
    }
    lab.step_wall(-60_000);
    let live = lab.rejoin(0, &slot("Form:3", 1, "t1"));
    let op = lab.stash(&live, &[("k", "3")]);
    lab.settle();
    assert!(lab.is_saved(&live, op));
    assert_eq!(lab.stored(&live.slot, "k").as_deref(), Some("3"));
}

#[test]
fn one_batch_of_more_components_than_are_kept_is_stored_whole_and_the_next_one_makes_room() {
    let mut lab = Lab::with(|policy| policy.components_per_module = 2);
    // They wait for the first look at the document, and leave together.
    let written = ["1", "2", "3", "4", "5"].map(|id| {
        let live = lab.rejoin(0, &slot(&format!("Form:{id}"), 1, "t1"));
        let op = lab.stash(&live, &[("k", id)]);
        (live, op)
    });
    lab.settle();
    for (live, op) in &written {
        assert!(lab.is_saved(live, *op));
        assert!(lab.stored(&live.slot, "k").is_some(), "{:?} was told saved", live.slot);
    }
    lab.stash(&written[0].0, &[("k", "6")]);
    lab.settle();
    let standing = written.iter().filter(|(live, _)| lab.stored(&live.slot, "k").is_some()).count();
    assert_eq!(standing, 2);
    assert_eq!(lab.stored(&written[0].0.slot, "k").as_deref(), Some("6"));
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::ComponentsEvicted { count: 3 }), 1);
}

#[test]
fn one_batch_of_more_tabs_than_are_kept_is_stored_whole_and_the_next_one_makes_room() {
    let mut lab = Lab::with(|policy| policy.tabs_per_view = 1);
    let written = ["t1", "t2", "t3"].map(|tab| {
        let live = lab.rejoin(0, &slot("V", 1, tab));
        let op = lab.stash_tab(&live, &[("k", "1")]);
        (live, op)
    });
    lab.settle();
    for (live, op) in &written {
        assert!(lab.is_saved(live, *op));
        assert!(lab.stored_tab(&live.slot, "k").is_some(), "{:?} was told saved", live.slot);
    }
    lab.stash_tab(&written[0].0, &[("k", "2")]);
    lab.settle();
    let standing = written.iter().filter(|(live, _)| lab.stored_tab(&live.slot, "k").is_some()).count();
    assert_eq!(standing, 1);
    assert_eq!(lab.incidents(0, |incident| *incident == Incident::TabsEvicted { count: 2 }), 1);
}

#[test]
fn writers_are_forgotten_by_age_and_number_but_never_the_one_that_writes() {
    let policy = Policy::default();
    let commit = |previous: Option<&Header>, writer: u128, wall: u64| {
        succeed(previous, WriteId { writer: WriterId(writer), seq: 7 }, wall, false, &policy)
    };
    let mut header = commit(None, 1, 1_000);
    for writer in 2..=100 {
        header = commit(Some(&header), writer, 1_000 + writer as u64);
        assert!(header.contains(WriteId { writer: WriterId(writer), seq: 7 }));
        assert!(header.applied.len() <= 32);
    }
    assert_eq!(header.applied.keys().map(|writer| writer.0).collect::<Vec<_>>(), (69..=100).collect::<Vec<_>>());
    let hour = policy.applied_age_ms;
    let header = commit(Some(&header), 200, 1_090 + hour);
    let left: Vec<_> = header.applied.keys().map(|writer| writer.0).collect();
    assert_eq!(left, (91..=100).chain([200]).collect::<Vec<_>>(), "older than an hour");
}

#[test]
fn a_batch_of_a_node_whose_clock_is_behind_is_still_recognised_as_applied() {
    let mut lab = Lab::nodes(2);
    let slow = lab.claim(0, &slot("a", 1, "t1"), false, false);
    let other = lab.claim(1, &slot("a", 1, "t2"), false, false);
    lab.stash(&other, &[("first", "0")]);
    lab.settle();
    // Node 0 lives two hours in the past. Its commit is applied, and the answer lost.
    lab.step_wall(-7_200_000);
    let op = lab.stash(&slow, &[("k", "1")]);
    lab.serve_next(0);
    let put = lab.take_put(0);
    lab.reach(&put);
    lab.time_out(&put);
    lab.step_wall(7_200_000);
    lab.stash(&other, &[("k", "2")]);
    while lab.stored(&slow.slot, "k").as_deref() != Some("2") {
        lab.serve_node(1);
        lab.wait(1);
    }
    lab.settle();
    assert!(lab.is_saved(&slow, op));
    assert_eq!(lab.stored(&slow.slot, "k").as_deref(), Some("2"), "applied once");
}

#[test]
fn numbers_at_their_ends_do_not_overflow() {
    let mut lab = Lab::new();
    let write = WriteId { writer: lab.writer_of(0), seq: u64::MAX };
    let header = Header {
        rev: u64::MAX,
        write,
        applied: BTreeMap::from([(write.writer, Applied { seq: u64::MAX, at: u64::MAX })]),
        touched_at: u64::MAX,
        expires_at: u64::MAX,
        buried: false,
        moved_to: None,
    };
    let tab = Tab { epoch: Epoch(u64::MAX), touched_at: u64::MAX, ..Tab::default() };
    let mut slice = Slice { touched_at: u64::MAX, ..Slice::default() };
    slice.tabs.insert(TabId::new("t1"), tab);
    let mut document = Document::default();
    document.views.entry(View::new("a")).or_default().insert(Vsn(u64::MAX), slice);
    lab.store.place(0, format::encode(&header, &document));
    let live = lab.rejoin(0, &slot("a", u64::MAX, "t1"));
    lab.read(&live);
    lab.settle();
    let live = lab.rejoin(0, &slot("a", u64::MAX, "t1"));
    lab.write(&live, &[("k", "1")], &[("d", "1")]);
    lab.run(1_000);
}

#[test]
fn a_backoff_without_a_bound_overflows_nothing() {
    let mut lab = Lab::with(|policy| (policy.backoff_base_ms, policy.backoff_cap_ms) = (u64::MAX, u64::MAX));
    let live = lab.claim(0, &slot("a", 1, "t1"), false, true);
    lab.stash(&live, &[("k", "1")]);
    let get = lab.take_get(0);
    lab.time_out(&get);
    lab.wait(1_000);
    assert!(lab.asks_nothing(0), "it waits for as long as it was told");
}

#[test]
fn unsaved_bytes_follow_what_is_accepted_and_settled() {
    let mut lab = Lab::new();
    let live = lab.claim(0, &slot("a", 1, "t1"), false, true);
    let bytes = |lab: &Lab| lab.session_of(0).unsaved_bytes();
    assert_eq!(bytes(&lab), 0);
    lab.stash(&live, &[("k", &text(1_000))]);
    let one = bytes(&lab);
    assert!((1_000..1_500).contains(&one), "{one}");
    lab.stash(&live, &[("k", &text(3_000))]);
    assert_eq!(bytes(&lab), one + 2_000, "the newest value alone counts");
    lab.remove(&live, &["k"], &[]);
    assert_eq!(bytes(&lab), one - 1_002);
    lab.stash_tab(&live, &[("d", &text(500))]);
    lab.reset(&live);
    assert!(bytes(&lab) < 500);
    lab.settle();
    assert_eq!(bytes(&lab), 0);
}
