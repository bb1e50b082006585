//! Alone in its process, so that it can measure what the process takes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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
    // 40,000 sessions since: a byte for each would be seen.
    assert!(after.bytes < before.bytes + 40_000, "{before:?}, then {after:?}");
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
    /// Allocated and not freed. What the process has resident depends on how busy the machine is.
    bytes: usize,
    files: usize,
    tasks: usize,
}

/// What is held once everybody has left.
async fn held(engine: &Engine) -> Held {
    until("every session has left", || engine.known_sessions() == 0 && engine.stats().live_sessions == 0).await;
    Held {
        bytes: BYTES.load(Relaxed),
        files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        tasks: engine.running_tasks(),
    }
}

/// The system's allocator, counted.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's own; counting touches no memory that it hands out.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

const SESSIONS: u64 = 100;
