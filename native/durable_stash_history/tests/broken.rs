//! For each promise, the smallest histories that break it, and what is said of them.
#![allow(clippy::unwrap_used)]

mod support;

use durable_stash_history::Promise;
use serde_json::json;
use support::Story;

/// Two clients of two nodes, in two tabs, and `x1` of the first stored under `k` in rev 1.
fn two() -> Story {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.open("b", "n2", "u", "fresh");
    story.stash("a", 1, "k", "x1");
    story.set("k", "x1");
    story.commit("w1");
    story.end("a", 1, "saved");
    story
}

#[test]
fn i1_told_saved_and_in_no_revision() {
    let mut story = two();
    story.stash("a", 2, "k", "x2");
    story.end("a", 2, "saved");
    story.breaks(Promise::I1, &["key \"k\"", "write 2 of client a", "rev 1", "in no revision"]);
}

#[test]
fn i1_told_saved_before_it_was_stored() {
    let mut story = two();
    story.stash("a", 2, "k", "x2");
    story.end("a", 2, "saved");
    story.set("k", "x2");
    story.commit("w1");
    story.breaks(Promise::I1, &["key \"k\"", "write 2 of client a", "only with rev 2"]);
}

#[test]
fn i1_told_that_all_is_saved_after_a_write_has_failed() {
    let mut story = two();
    story.stash("a", 2, "k", "x2");
    story.end("a", 2, "failed");
    story.stash("a", 3, "j", "x3");
    story.set("j", "x3");
    story.commit("w1");
    story.end("a", 3, "saved");
    story.is_sound();
    story.line(json!({"e": "flushed", "c": "a", "session": {"k": "x2", "j": "x3"}}));
    story.breaks(Promise::I1, &["key \"k\"", "write 2 of client a", "Failed"]);
}

#[test]
fn i1_a_removal_that_removed_nothing() {
    let mut story = two();
    story.line(json!({"e": "invoke", "c": "a", "w": 2, "op": "remove", "session": ["k"]}));
    story.end("a", 2, "saved");
    story.breaks(Promise::I1, &["key \"k\"", "write 2 of client a", "removed it"]);
}

#[test]
fn i1_a_saved_write_that_is_not_there_in_the_end() {
    let mut story = Story::without_log();
    story.open("a", "n1", "t", "fresh");
    story.stash("a", 1, "k", "x1");
    story.end("a", 1, "saved");
    story.stash("a", 2, "k", "x2");
    story.end("a", 2, "saved");
    story.header = json!({
        "format": 1, "rev": 3, "write": {"writer": "w", "seq": 1}, "applied": {}, "touched_at": 1, "expires_at": u64::MAX
    });
    let mut lost = story.clone();
    story.set("k", "x1");
    story.finish();
    story.breaks(Promise::I1, &["key \"k\"", "write 2 of client a", "older value of write 1 of client a"]);
    lost.set("other", "x1");
    lost.finish();
    lost.breaks(Promise::I1, &["key \"k\"", "nothing stands there"]);
}

#[test]
fn i1_told_saved_and_a_shared_key_is_in_no_revision() {
    let mut story = two();
    story.line(json!({"e": "invoke", "c": "a", "w": 2, "op": "stash", "shared": {"k": "x2"}}));
    story.end("a", 2, "saved");
    story.breaks(Promise::I1, &["key \"k\"", "view *", "write 2 of client a", "in no revision"]);
}

#[test]
fn i2_a_key_that_another_writers_batch_does_not_name_vanishes() {
    let mut story = two();
    story.stash("b", 1, "j", "y1");
    story.set("j", "y1");
    story.set_vsn(1, "k", None);
    story.commit("w2");
    story.breaks(Promise::I2, &["key \"k\"", "write 1 of client a", "rev 2 of writer w2"]);
}

#[test]
fn i2_a_view_that_is_reset_takes_what_others_share() {
    let mut story = two();
    story.share("a", 2, "k", "x2");
    story.commit("w1");
    story.op("b", 1, "reset");
    let mut spared = story.clone();
    spared.set_vsn(1, "k", None);
    spared.commit("w2");
    spared.end("b", 1, "saved");
    story.set_vsn(1, "k", None);
    story.document.as_object_mut().unwrap().remove("*");
    story.commit("w2");
    story.breaks(Promise::I2, &["key \"k\"", "write 2 of client a", "rev 3 of writer w2"]);
    spared.is_sound();
}

#[test]
fn i2_a_removal_that_failed_and_was_done_unless_the_object_was_taken_away_since() {
    let mut story = two();
    story.line(json!({"e": "invoke", "c": "a", "w": 2, "op": "remove", "session": ["k"]}));
    story.set_vsn(1, "k", None);
    story.commit("w1");
    let mut lost = story.clone();
    lost.line(json!({"e": "lost", "s": "s"}));
    story.end("a", 2, "failed");
    lost.end("a", 2, "failed");
    story.breaks(Promise::I2, &["key \"k\"", "write 1 of client a", "vanished in rev 2"]);
    lost.is_sound();
}

#[test]
fn i2_a_value_that_nobody_wrote() {
    let mut story = two();
    story.set("k", "z");
    story.commit("w1");
    story.breaks(Promise::I2, &["key \"k\"", "rev 2", "nobody wrote"]);
}

#[test]
fn i2_the_same_value_in_other_bytes() {
    let mut story = two();
    let last = story.lines.iter().rposition(|line| line.contains("\"version\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&story.lines[last]).unwrap();
    story.stash("b", 1, "j", "y1");
    story.set("j", "y1");
    story.commit("w2");
    let second = story.lines.pop().unwrap();
    assert!(line["text"].as_str().unwrap().contains("x1"));
    // The same string, with an escape that need not be there.
    let mut second: serde_json::Value = serde_json::from_str(&second).unwrap();
    let text = second["text"].as_str().unwrap();
    let (head, body) = text.split_once('\n').unwrap();
    let body = body.replace("\"x1\"", "\"\\u0078\\u0031\"");
    let mut header: serde_json::Value = serde_json::from_str(head).unwrap();
    header["len"] = body.len().into();
    header.as_object_mut().unwrap().remove("crc32c");
    let head = header.to_string();
    let head = format!("{},\"crc32c\":\"", &head[..head.len() - 1]);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(head.as_bytes()), body.as_bytes());
    second["text"] = format!("{head}{checksum:08x}\"}}\n{body}").into();
    story.lines.push(second.to_string() + "\n");
    story.breaks(Promise::I2, &["key \"k\"", "rev 2", "other bytes"]);
}

/// The two names of one session, and `x1` stored under the first.
fn rotated() -> Story {
    let mut story = Story::new();
    for object in ["o1", "o2"] {
        story.line(json!({"e": "session", "s": "s", "object": object}));
    }
    story.open("a", "n1", "t", "fresh");
    story.open("b", "n2", "u", "fresh");
    story.stash("a", 1, "k", "x1");
    story.set("k", "x1");
    story.commit_under("o1", "w1");
    story.end("a", 1, "saved");
    story
}

#[test]
fn i2_a_document_moves_before_it_is_sealed() {
    let (mut story, mut sealed) = (rotated(), rotated());
    sealed.seal("o1", "w2", "o2");
    for story in [&mut story, &mut sealed] {
        story.stash("b", 1, "j", "y1");
        story.set("j", "y1");
        story.commit_under("o2", "w2");
        story.end("b", 1, "saved");
    }
    story.breaks(Promise::I2, &["session \"s\"", "rev 2 was created before the name before it was sealed"]);
    sealed.is_sound();
}

#[test]
fn i2_a_write_under_a_name_that_is_sealed() {
    let mut story = rotated();
    story.seal("o1", "w2", "o2");
    story.stash("a", 2, "k", "x2");
    story.set("k", "x2");
    story.commit_under("o1", "w1");
    story.breaks(Promise::I2, &["session \"s\"", "rev 3 was written after the name was sealed"]);
}

#[test]
fn i2_what_was_sealed_does_not_arrive() {
    let mut story = rotated();
    story.seal("o1", "w2", "o2");
    story.stash("b", 1, "j", "y1");
    story.set("j", "y1");
    story.set_vsn(1, "k", None);
    story.commit_under("o2", "w2");
    story.breaks(Promise::I2, &["key \"k\"", "write 1 of client a", "vanished in rev 3"]);
}

#[test]
fn i2_half_a_write() {
    let mut story = two();
    story.line(json!({"e": "invoke", "c": "b", "w": 1, "op": "stash", "session": {"i": "y1", "j": "y1"}}));
    story.set("i", "y1");
    story.commit("w2");
    story.breaks(Promise::I2, &["key \"j\"", "rev 2 has a part of write 1 of client b"]);
}

#[test]
fn i2_one_writer_commits_what_another_node_accepted() {
    let mut story = two();
    story.stash("b", 1, "j", "y1");
    story.set("j", "y1");
    story.commit("w1");
    story.breaks(Promise::I2, &["key \"j\"", "rev 2 is by writer w1", "write 1 of client b on node n2"]);
}

#[test]
fn i2_nobody_stores_what_cannot_be_read_unless_the_object_was_damaged() {
    let mut story = two();
    story.commit_with("w1", |commit| commit.spoilt = true);
    let mut damaged = two();
    damaged.line(json!({"e": "lost", "s": "s"}));
    damaged.commit_with("w1", |commit| commit.spoilt = true);
    story.breaks(Promise::I2, &["rev 1", "no document"]);
    damaged.is_sound();
}

#[test]
fn i3_a_value_comes_back() {
    let mut story = two();
    story.stash("b", 1, "k", "y1");
    story.set("k", "y1");
    story.commit("w2");
    story.end("b", 1, "saved");
    story.set("k", "x1");
    story.commit("w1");
    story.breaks(Promise::I3, &["key \"k\"", "write 1 of client a", "came back in rev 3"]);
}

#[test]
fn i3_a_batch_is_applied_twice() {
    let mut story = two();
    story.commit_with("w1", |commit| commit.header["write"]["seq"] = 1.into());
    story.breaks(Promise::I3, &["rev 2", "batch 1 of writer w1 was applied before"]);
}

#[test]
fn i3_a_commit_forgets_what_is_applied() {
    let mut story = two();
    story.stash("b", 1, "j", "y1");
    story.set("j", "y1");
    story.commit_with("w2", |commit| drop(commit.header["applied"].as_object_mut().unwrap().remove("w1")));
    story.breaks(Promise::I3, &["rev 2 forgets that batch 1 of writer w1"]);
}

#[test]
fn i4_an_older_write_replaces_a_newer_one_of_its_client() {
    let mut story = two();
    story.stash("a", 2, "k", "x2");
    story.stash("a", 3, "k", "x3");
    story.set("k", "x3");
    story.commit("w1");
    story.set("k", "x2");
    story.commit("w1");
    story.breaks(Promise::I4, &["key \"k\"", "rev 3", "write 2 of client a", "replaced write 3 of client a"]);
}

#[test]
fn i4_a_read_that_is_older_than_what_was_saved() {
    let mut story = two();
    story.stash("a", 2, "k", "x2");
    story.set("k", "x2");
    story.commit("w1");
    story.end("a", 2, "saved");
    story.read("b", 1);
    let mut stale = story.clone();
    stale.line(json!({"e": "stale", "s": "s", "node": "n2"}));
    story.answer("b", 1, json!({"k": "x1"}), json!({}));
    stale.answer("b", 1, json!({"k": "x1"}), json!({}));
    story.breaks(Promise::I4, &["key \"k\"", "\"x1\" where rev 2 has \"x2\"", "read 1 of client b"]);
    stale.is_sound();
}

#[test]
fn i4_a_read_without_what_is_shared() {
    let mut story = two();
    story.share("a", 2, "k", "x2");
    story.commit("w1");
    story.end("a", 2, "saved");
    story.read("b", 1);
    let mut sound = story.clone();
    story.answer("b", 1, json!({"k": "x1"}), json!({}));
    sound.answer("b", 1, json!({"k": "x1"}), json!({}));
    let answer = sound.lines.pop().unwrap();
    sound.lines.push(answer.replace("\"session\":", "\"shared\":{\"k\":\"x2\"},\"session\":"));
    story.breaks(Promise::I4, &["key \"k\"", "nothing where rev 2 has \"x2\"", "read 1 of client b"]);
    sound.is_sound();
}

#[test]
fn i4_without_a_log_a_read_is_older_than_what_was_saved() {
    let mut story = Story::without_log();
    story.open("a", "n1", "t", "fresh");
    story.stash("a", 1, "k", "x1");
    story.end("a", 1, "saved");
    story.stash("a", 2, "k", "x2");
    story.end("a", 2, "saved");
    story.read("a", 1);
    story.answer("a", 1, json!({"k": "x1"}), json!({}));
    story.breaks(Promise::I4, &["key \"k\"", "read 1 of client a", "write 2 of client a"]);
}

#[test]
fn i5_a_revision_is_left_out() {
    let mut story = two();
    story.commit_with("w1", |commit| commit.header["rev"] = 3.into());
    story.breaks(Promise::I5, &["rev 3", "rev 2 was due"]);
}

#[test]
fn i5_a_commit_names_another_etag_than_it_replaces() {
    let mut story = two();
    story.commit_with("w1", |commit| commit.replaces = Some("*".into()));
    story.breaks(Promise::I5, &["rev 2", "\"*\"", "etag 1"]);
}

#[test]
fn i5_two_revisions_have_one_etag() {
    let mut story = two();
    story.commit("w1");
    story.commit_with("w1", |commit| commit.etag = Some("etag 1".into()));
    story.breaks(Promise::I5, &["rev 3", "etag 1", "earlier revision"]);
}

#[test]
fn i6_a_superseded_client_of_the_same_node_writes() {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.open("b", "n1", "t", "rejoin");
    story.stash("a", 1, "k", "x1");
    story.set("k", "x1");
    story.commit("w1");
    story.breaks(Promise::I6, &["key \"k\"", "write 1 of client a", "rev 1", "client b"]);
}

#[test]
fn i6_two_mounts_that_no_clock_tells_apart_write_by_turns() {
    let mut story = at_once();
    story.stash("a", 2, "k", "x2");
    story.set("k", "x2");
    story.commit("w1");
    story.breaks(Promise::I6, &["key \"k\"", "write 2 of client a", "rev 3", "another had written"]);
}

#[test]
fn i6_two_mounts_that_no_clock_tells_apart_are_told_from_each_other_also_by_a_restarted_engine() {
    let mut story = at_once();
    story.line(json!({
        "e": "open", "c": "c", "of": "a", "s": "s", "node": "n3", "view": "V", "vsn": 1, "tab": "t", "mount": "again"
    }));
    story.stash("c", 1, "k", "x2");
    story.set("k", "x2");
    story.commit("w3");
    story.breaks(Promise::I6, &["write 1 of client c", "another had written"]);
}

/// Of two mounts within one millisecond, one has written, and the other over it.
fn at_once() -> Story {
    let mut story = Story::new();
    story.open("a", "n1", "t", "rejoin");
    story.open("b", "n2", "t", "rejoin");
    story.set_tab("t", "d", None);
    for (client, value, writer) in [("a", "x1", "w1"), ("b", "y1", "w2")] {
        story.stash(client, 1, "k", value);
        story.set("k", value);
        story.commit(writer);
    }
    story.clone().is_sound();
    story
}

#[test]
fn i6_a_superseded_client_of_another_node_writes_once_the_later_claim_is_stored() {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.wait(2);
    story.open("b", "n2", "t", "rejoin");
    story.stash("b", 1, "k", "y1");
    story.stash("a", 1, "j", "x1");
    let mut early = story.clone();
    story.set("k", "y1");
    story.set_tab("t", "d", None);
    story.commit("w2");
    story.set("j", "x1");
    story.commit("w1");
    story.breaks(Promise::I6, &["key \"j\"", "write 1 of client a", "rev 2", "client b"]);
    early.set("j", "x1");
    early.set_tab("t", "d", None);
    early.commit("w1");
    early.set("k", "y1");
    early.commit("w2");
    early.is_sound();
}

#[test]
fn i7_told_failed_and_stored() {
    let mut story = two();
    story.stash("b", 1, "j", "y1");
    story.set("j", "y1");
    story.commit("w2");
    story.end("b", 1, "failed");
    story.breaks(Promise::I7, &["key \"j\"", "write 1 of client b", "Failed", "rev 2"]);
}

#[test]
fn i7_two_outcomes() {
    let mut story = two();
    story.end("a", 1, "failed");
    story.breaks(Promise::I7, &["write 1 of client a", "Saved", "Failed"]);
}

#[test]
fn i7_a_drain_that_says_nothing_of_a_write() {
    let mut story = two();
    story.stash("a", 2, "k", "x2");
    let mut told = story.clone();
    story.line(json!({"e": "drained", "node": "n1", "unsaved": 0}));
    story.breaks(Promise::I7, &["node n1", "write 2 of client a"]);
    told.line(json!({"e": "drained", "node": "n1", "unsaved": 1}));
    told.is_sound();
}

#[test]
fn i8_a_client_does_not_read_its_own_write() {
    let mut story = two();
    story.stash("a", 2, "k", "x2");
    story.read("a", 1);
    let mut sound = story.clone();
    story.answer("a", 1, json!({"k": "x1"}), json!({}));
    sound.answer("a", 1, json!({"k": "x2"}), json!({}));
    for story in [&mut story, &mut sound] {
        story.set("k", "x2");
        story.commit("w1");
        story.end("a", 2, "saved");
    }
    story.breaks(Promise::I8, &["key \"k\"", "its own write 2 of client a", "is missing"]);
    sound.is_sound();
}

#[test]
fn i8_an_answer_mixes_two_revisions() {
    let mut story = two();
    story.stash("a", 2, "j", "x2");
    story.set("j", "x2");
    story.commit("w1");
    story.end("a", 2, "saved");
    story.read("b", 1);
    story.line(json!({"e": "invoke", "c": "a", "w": 3, "op": "stash", "session": {"j": "x3", "k": "x4"}}));
    story.set("j", "x3");
    story.set("k", "x4");
    story.commit("w1");
    let mut whole = story.clone();
    story.answer("b", 1, json!({"k": "x1", "j": "x3"}), json!({}));
    whole.answer("b", 1, json!({"k": "x4", "j": "x3"}), json!({}));
    story.breaks(Promise::I4, &["read 1 of client b"]);
    whole.is_sound();
}

#[test]
fn i8_an_answer_rests_on_a_revision_that_was_over() {
    let mut story = two();
    story.stash("a", 2, "j", "x2");
    story.set("j", "x2");
    story.commit("w1");
    story.read("b", 1);
    story.line(json!({"e": "answer", "c": "b", "r": 1, "rev": 1, "found": {"session": {"k": "x1"}}}));
    story.breaks(Promise::I8, &["read 1 of client b", "rev 1", "2 to 2"]);
}

#[test]
fn i9_a_value_shows_up_in_another_tab() {
    let mut story = two();
    story.stash_tab("a", 2, "d", "x2");
    story.set_tab("u", "d", Some("x2"));
    story.commit("w1");
    story.breaks(Promise::I9, &["tab \"u\"", "write 2 of client a", "rev 2"]);
}

#[test]
fn i10_an_expired_document_goes_on() {
    let mut story = two();
    story.wait(support::TTL_MS + 1);
    story.stash("b", 1, "j", "y1");
    story.set("j", "y1");
    story.commit("w2");
    story.breaks(Promise::I10, &["rev 2", "key \"k\"", "had expired"]);
}

#[test]
fn i10_a_live_document_is_buried_or_deleted() {
    let mut buried = two();
    buried.document = json!({});
    buried.commit_with("sweeper", |commit| commit.header["buried"] = true.into());
    buried.breaks(Promise::I10, &["key \"k\"", "write 1 of client a", "rev 2"]);

    let mut deleted = two();
    deleted.line(json!({"e": "version", "s": "s", "deleted": true}));
    deleted.breaks(Promise::I10, &["rev 1", "was deleted"]);
}

#[test]
fn i10_a_removed_value_returns() {
    let mut story = two();
    story.line(json!({"e": "invoke", "c": "a", "w": 2, "op": "remove", "session": ["k"]}));
    story.set_vsn(1, "k", None);
    story.commit("w1");
    story.end("a", 2, "saved");
    story.set("k", "x1");
    story.commit("w1");
    story.breaks(Promise::I10, &["key \"k\"", "write 1 of client a", "came back in rev 3"]);
}

#[test]
fn i11_a_write_of_one_version_takes_the_slice_of_another_away() {
    let mut story = two();
    story.open_vsn("c", "n2", "v", "fresh", 2);
    story.stash("c", 1, "k", "z1");
    story.document["V"] = json!({});
    story.set_vsn(2, "k", Some("z1"));
    story.commit("w2");
    story.breaks(Promise::I11, &["key \"k\"", "vsn 1", "write 1 of client a", "rev 2"]);
}

#[test]
fn i11_a_value_of_one_version_shows_up_in_another() {
    let mut story = two();
    story.stash("b", 1, "j", "y1");
    story.set_vsn(2, "j", Some("y1"));
    story.commit("w2");
    story.breaks(Promise::I11, &["key \"j\"", "vsn 2", "write 1 of client b"]);
}
