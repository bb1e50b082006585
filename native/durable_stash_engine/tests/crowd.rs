//! Ten thousand sessions at one moment, in tokio's time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use durable_stash_engine::backend::MemoryStore;
use durable_stash_engine::{Config, Engine, Mount};
use futures_util::future::join_all;
use support::*;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn fault_35_ten_thousand_unsaved_sessions_are_saved_within_the_time_that_a_shutdown_has() {
    let (store, engine, _config) = saved_crowd().await;
    let tabs: Vec<_> = (0..SESSIONS).map(|n| mount(&engine, &sid(n), "tab", Mount::Rejoin)).collect();
    store.set_latency(Duration::from_millis(200));
    for tab in &tabs {
        stash(tab, "count", 2);
    }
    let report = drain(&engine, Duration::from_secs(20)).await;
    assert_eq!((report.unsaved_sessions, report.unsaved_ops, report.saved_sessions), (0, 0, SESSIONS), "{report:?}");
    assert!(tabs.iter().all(|tab| tab.status().saved == 1));
    assert!(store.counts().most_in_flight <= IN_FLIGHT, "{:?}", store.counts());
}

#[tokio::test(start_paused = true)]
async fn fault_54_ten_thousand_sessions_that_reconnect_at_once_cost_one_capped_read_each_and_are_all_shown() {
    let (store, engine, config) = saved_crowd().await;
    drain(&engine, Duration::from_secs(60)).await;
    store.set_latency(Duration::from_millis(20));
    let before = store.counts().gets;
    let next = start(config);
    let began = Instant::now();
    let tabs: Vec<_> = (0..SESSIONS).map(|n| mount(&next, &sid(n), "tab", Mount::Rejoin)).collect();
    for answer in join_all(tabs.iter().map(recover)).await {
        let answer = answer.unwrap();
        assert_eq!((value(&answer, "count"), answer.stale), (Some(1), false));
    }
    // 10,000 reads, 128 at a time, 20 ms each.
    assert!(began.elapsed() < Duration::from_millis(2_000), "{:?}", began.elapsed());
    assert_eq!(store.counts().gets - before, SESSIONS);
    assert!(store.counts().most_in_flight <= IN_FLIGHT, "{:?}", store.counts());
    assert_eq!(next.stats().unanswered, 0);
}

/// An engine whose sessions are in memory and have one write saved each.
async fn saved_crowd() -> (MemoryStore, Engine, Config) {
    let (store, mut config) = memory();
    config.requests_in_flight = IN_FLIGHT as usize;
    let engine = start(config.clone());
    let tabs: Vec<_> = (0..SESSIONS).map(|n| fresh(&engine, &sid(n))).collect();
    for tab in &tabs {
        stash(tab, "count", 1);
    }
    for saved in join_all(tabs.iter().map(flush)).await {
        saved.unwrap();
    }
    (store, engine, config)
}

fn sid(n: u64) -> String {
    format!("sid {n}")
}

const SESSIONS: u64 = 10_000;
const IN_FLIGHT: u64 = 128;
