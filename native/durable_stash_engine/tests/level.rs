//! Alone in its process, so that it can measure what the process takes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use durable_stash_engine::{Engine, Mount, Unobserved};
use support::*;

/// A day of visitors, at the speed of a test: as many sessions come and go as some servers see in hours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_56_at_constant_load_memory_files_and_tasks_stay_level() {
    let (_store, mut config) = memory();
    config.idle_after_ms = 5;
    // Not the tests' own observer: that one remembers every event.
    let engine = Engine::start(config, tokio::runtime::Handle::current(), Arc::new(Unobserved)).unwrap();
    rounds(&engine, 100).await;
    let before = held(&engine).await;
    rounds(&engine, 400).await;
    let after = held(&engine).await;
    assert_eq!((after.files, after.tasks), (before.files, before.tasks));
    // 40,000 sessions since: 5 % are some ten bytes for each.
    assert!(after.resident < before.resident + before.resident / 20, "{before:?}, then {after:?}");
}

/// Sessions come, write, are read by a second tab and go.
async fn rounds(engine: &Engine, rounds: u64) {
    for round in 0..rounds {
        let tabs: Vec<_> = (0..SESSIONS).map(|n| mount(engine, &sid(n), "tab", Mount::Fresh)).collect();
        for tab in &tabs {
            stash(tab, "count", round);
            stash_text(tab, "text", 500).unwrap();
        }
        for tab in &tabs {
            flush(tab).await.unwrap();
        }
        drop(tabs);
        assert_eq!(stored(engine, &sid(round % SESSIONS), "count").await, Some(round));
    }
}

fn sid(n: u64) -> String {
    format!("sid {n}")
}

#[derive(Debug)]
struct Held {
    /// Bytes.
    resident: u64,
    files: usize,
    tasks: usize,
}

/// What is held once everybody has left.
async fn held(engine: &Engine) -> Held {
    until("every session has left", || engine.known_sessions() == 0 && engine.stats().live_sessions == 0).await;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    Held {
        resident: pages * 4096,
        files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        tasks: engine.running_tasks(),
    }
}

const SESSIONS: u64 = 100;
