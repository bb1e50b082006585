//! Histories of a sound engine are accepted, whatever went wrong in them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use durable_stash_history::{History, judge};
use serde_json::json;
use support::Story;

#[test]
fn a_saved_write_that_is_read_back_is_sound() {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.stash("a", 1, "k", "x1");
    story.set("k", "x1");
    story.commit("w1");
    story.end("a", 1, "saved");
    story.read("a", 1);
    story.answer("a", 1, json!({"k": "x1"}), json!({}));
    story.is_sound();
}

#[test]
fn a_write_of_a_killed_client_may_be_there_or_not() {
    for lands in [true, false] {
        let mut story = Story::new();
        story.open("a", "n1", "t", "fresh");
        story.stash("a", 1, "k", "x1");
        story.line(json!({"e": "kill", "node": "n1"}));
        if lands {
            story.set("k", "x1");
            story.commit("w1");
        }
        story.lines.push(r#"{"e":"saved","t":10000"#.to_owned());
        story.is_sound();
        let figures = story.verdict().to_string();
        let resolved =
            if lands { "unknown_applied=1 unknown_not_applied=0" } else { "unknown_applied=0 unknown_not_applied=1" };
        assert!(figures.contains("open=1") && figures.contains("torn=1") && figures.contains(resolved), "{figures}");
    }
}

#[test]
fn a_write_that_was_overwritten_before_it_left_is_saved_with_its_successor() {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.stash("a", 1, "k", "x1");
    story.stash("a", 2, "k", "x2");
    story.set("k", "x2");
    story.commit("w1");
    story.line(json!({"e": "saved", "c": "a", "upto": 2}));
    story.is_sound();
}

#[test]
fn a_reset_a_fresh_mount_and_a_forgotten_document_take_values_away() {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.line(json!({"e": "invoke", "c": "a", "w": 1, "op": "stash", "session": {"k": "x1"}, "tab": {"d": "y1"}}));
    story.set("k", "x1");
    story.set_tab("t", "d", Some("y1"));
    story.commit("w1");
    story.end("a", 1, "saved");

    story.open("b", "n2", "t", "fresh");
    story.stash("b", 1, "j", "x2");
    story.set("j", "x2");
    story.set_tab("t", "d", None);
    story.commit("w2");
    story.end("b", 1, "saved");

    story.op("b", 2, "reset");
    story.set_vsn(1, "k", None);
    story.set_vsn(1, "j", None);
    story.commit("w2");
    story.end("b", 2, "saved");

    story.stash("b", 3, "k", "x3");
    story.set("k", "x3");
    story.commit("w2");
    story.end("b", 3, "saved");
    story.line(json!({"e": "invoke", "c": "logout", "w": 1, "op": "forget", "s": "s", "node": "n2"}));
    story.document = json!({});
    story.commit_with("w2", |commit| commit.header["buried"] = true.into());
    story.end("logout", 1, "saved");
    story.is_sound();
}

#[test]
fn what_has_expired_is_gone() {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.stash("a", 1, "k", "x1");
    story.set("k", "x1");
    story.commit("w1");
    story.end("a", 1, "saved");
    story.wait(support::TTL_MS + 1);
    story.open("b", "n1", "u", "fresh");
    story.read("b", 1);
    story.line(json!({"e": "answer", "c": "b", "r": 1, "found": null}));
    story.stash("b", 1, "j", "x2");
    story.document = json!({});
    story.set("j", "x2");
    story.commit("w1");
    story.end("b", 1, "saved");
    story.is_sound();
}

#[test]
fn the_words_of_the_s3_fault_server_are_versions() {
    use base64::Engine as _;
    let mut story = Story::new();
    story.line(json!({"e": "session", "s": "s", "object": "ab/abcd"}));
    story.open("a", "n1", "t", "fresh");
    story.stash("a", 1, "k", "x1");
    story.set("k", "x1");
    story.commit("w1");
    let version: serde_json::Value = serde_json::from_str(&story.lines.pop().unwrap()).unwrap();
    let body = base64::engine::general_purpose::STANDARD.encode(version["text"].as_str().unwrap());
    let lines = [("durable_stash/ab/abcd", body.as_str()), ("durable_stash/probe/0123", "AAAA")];
    for (key, body) in lines {
        story.lines.push(
            json!({
                "commit": 1, "bucket": "b", "key": key, "deleted": false, "etag": "etag 1", "replaced": null,
                "if_match": null, "if_none_match": "*", "request": 7, "at_us": version["t"], "uptime_us": 5, "body": body
            })
            .to_string()
                + "\n",
        );
    }
    story.end("a", 1, "saved");
    story.is_sound();
    assert!(story.verdict().to_string().contains("versions=1 "), "{}", story.verdict());
}

#[test]
fn without_a_log_the_last_content_is_judged() {
    let mut story = Story::without_log();
    story.open("a", "n1", "t", "fresh");
    story.open("b", "n2", "u", "fresh");
    story.stash("a", 1, "k", "x1");
    story.end("a", 1, "saved");
    story.stash("b", 1, "k", "x2");
    story.stash("a", 2, "k", "x3");
    story.end("b", 1, "saved");
    story.end("a", 2, "saved");
    story.read("b", 1);
    story.answer("b", 1, json!({"k": "x3"}), json!({}));
    story.header = json!({
        "format": 1, "rev": 3, "write": {"writer": "w", "seq": 1}, "applied": {}, "touched_at": 1, "expires_at": u64::MAX
    });
    story.set("k", "x2"); // either may have come last
    story.finish();
    story.is_sound();
}

#[test]
fn a_line_that_is_no_event_is_refused_unless_it_is_torn() {
    let open = r#"{"e":"open","t":1,"c":"a","s":"s","node":"n","view":"V","vsn":1,"tab":"t","mount":"fresh"}"#;
    for (text, reason) in [
        (format!("{open}\n{{\"e\":\"inv\n"), "line 2"),
        (format!("{open}\n{{\"e\":\"unheard of\"}}\n"), "is no event"),
        (format!("{open}\n{{\"e\":\"saved\",\"t\":2,\"c\":\"a\",\"w\":1}}\n"), "never invoked"),
        (r#"{"e":"opened","t":1,"c":"nobody"}"#.to_owned() + "\n", "has not opened"),
    ] {
        let error = History::read([("file", text.as_str())]).expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let torn = format!("{open}\n{{\"e\":\"inv");
    assert!(judge(&History::read([("file", torn.as_str())]).unwrap()).is_sound());
}

#[test]
fn a_read_while_a_commit_was_under_way_may_see_either_and_one_after_it_may_not() {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.open("b", "n2", "u", "fresh");
    story.stash("a", 1, "k", "x1");
    story.set("k", "x1");
    story.commit("w1");
    let mut version: serde_json::Value = serde_json::from_str(story.lines.last().unwrap()).unwrap();
    version["until"] = (version["t"].as_u64().unwrap() + 10_000).into();
    *story.lines.last_mut().unwrap() = format!("{version}\n");
    let mut late = story.clone();
    late.wait(11);
    for story in [&mut story, &mut late] {
        story.read("b", 1);
        story.answer("b", 1, json!({}), json!({}));
    }
    story.is_sound();
    late.breaks(durable_stash_history::Promise::I4, &["read 1 of client b", "rev 1 has \"x1\""]);
    story.read("b", 2);
    story.answer("b", 2, json!({"k": "x1"}), json!({}));
    story.is_sound();
}

#[test]
fn an_answer_that_leaves_the_tab_out_says_nothing_of_it() {
    let mut story = Story::new();
    story.open("a", "n1", "t", "fresh");
    story.stash_tab("a", 1, "d", "y1");
    story.set_tab("t", "d", Some("y1"));
    story.commit("w1");
    story.end("a", 1, "saved");
    story.wait(1);
    story.open("b", "n2", "t", "rejoin");
    story.read("b", 1);
    let mut whole = story.clone();
    story.line(json!({"e": "answer", "c": "b", "r": 1, "found": {}, "scope": "session"}));
    story.is_sound();
    whole.line(json!({"e": "answer", "c": "b", "r": 1, "found": {}}));
    whole.breaks(durable_stash_history::Promise::I4, &["key \"d\"", "read 1 of client b"]);
}
