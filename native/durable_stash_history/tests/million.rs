//! Many events are judged in the time that it takes to read them, give or take. `DURABLE_STASH_SESSIONS=500` makes it a
//! million.
#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write;
use std::time::Instant;

use durable_stash_history::{History, judge};
use serde_json::json;
use support::object;

const SESSIONS: u64 = 50;
const WRITES: u64 = 500;

#[test]
fn judging_takes_about_as_long_as_reading() {
    let sessions = std::env::var("DURABLE_STASH_SESSIONS").map_or(SESSIONS, |text| text.parse().unwrap());
    let text = history(sessions);
    let began = Instant::now();
    let history = History::read([("million", text.as_str())]).unwrap();
    let read = began.elapsed();
    let verdict = judge(&history);
    let judged = began.elapsed() - read;
    assert!(verdict.is_sound(), "{:#?}", &verdict.broken[..verdict.broken.len().min(3)]);
    println!("{verdict} bytes={} read_ms={} judged_ms={}", text.len(), read.as_millis(), judged.as_millis());
    // Asking every event about every other would take hundreds of times as long.
    assert!(judged < read * 20, "{judged:?} after {read:?}");
}

/// Every client writes to one of eight keys, in turn; every second write is read back: 2,000 events a session.
fn history(sessions: u64) -> String {
    let mut out = json!({"e": "run", "ttl_ms": 1_000_000_000_u64}).to_string() + "\n";
    let t = std::cell::Cell::new(0);
    for session in 0..sessions {
        let client = format!("c{session}");
        let at = |out: &mut String, mut line: serde_json::Value| {
            t.set(t.get() + 1);
            line["t"] = t.get().into();
            writeln!(out, "{line}").unwrap();
        };
        at(
            &mut out,
            json!({
                "e": "open", "c": client, "s": session.to_string(), "node": "n", "view": "V", "vsn": 1, "tab": "t", "mount": "fresh"
            }),
        );
        let mut data = serde_json::Map::new();
        let mut etag = None;
        for write in 1..=WRITES {
            let (key, value) = (format!("k{}", write % 8), format!("{client}:{write}"));
            at(&mut out, json!({"e": "invoke", "c": client, "w": write, "op": "stash", "session": {&key: &value}}));
            data.insert(key, value.into());
            let now = t.get() / 1000;
            let header = json!({
                "format": 1, "rev": write, "write": {"writer": "w", "seq": write},
                "applied": {"w": {"seq": write, "at": now}}, "touched_at": now, "expires_at": now + 1_000_000_000
            });
            let views = json!({"V": {"1": {"touched_at": now, "data": data, "tabs": {}}}});
            let next = Some(format!("e{write}"));
            at(
                &mut out,
                json!({
                    "e": "version", "s": session.to_string(), "etag": next, "replaces": etag, "text": object(&header, &views, false)
                }),
            );
            etag = next;
            at(&mut out, json!({"e": "saved", "c": client, "w": write}));
            if write % 2 == 0 {
                at(&mut out, json!({"e": "read", "c": client, "r": write}));
                at(
                    &mut out,
                    json!({
                        "e": "answer", "c": client, "r": write, "rev": write, "found": {"session": data}
                    }),
                );
            }
        }
    }
    out
}
