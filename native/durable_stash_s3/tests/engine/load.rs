//! Many sessions, or many writes, against a store that has had enough.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use durable_stash_engine::{HealthState, Mount};
use durable_stash_s3::{Fault, Instead, On, Operation, Rule};

use crate::bucket::{Bucket, documents};
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_08_nodes_that_write_one_session_at_once_lose_nothing_and_all_get_their_turn() {
    for (nodes, puts_per_commit) in [(2, 2.0), (8, 5.0)] {
        let bucket = Bucket::new().await;
        // What a round trip to a store in the same region takes.
        bucket.rule(Rule::always(On::default(), Fault::delay_after(Duration::from_millis(5))));
        let engines: Vec<_> = (0..nodes).map(|_| start(bucket.config())).collect();
        for engine in &engines {
            health(engine, HealthState::Ready).await;
        }
        let tabs: Vec<_> = engines
            .iter()
            .enumerate()
            .map(|(n, engine)| mount(engine, "sid", &format!("tab {n}"), Mount::Fresh))
            .collect();
        let writers: Vec<_> = tabs
            .into_iter()
            .enumerate()
            .map(|(n, tab)| {
                tokio::spawn(async move {
                    let mut longest = Duration::ZERO;
                    for round in 1..=20 {
                        let began = Instant::now();
                        stash(&tab, &format!("key {n}"), round);
                        flush(&tab).await.unwrap();
                        longest = longest.max(began.elapsed());
                    }
                    longest
                })
            })
            .collect();
        for writer in writers {
            let longest = writer.await.unwrap();
            assert!(longest < Duration::from_secs(10), "one of {nodes} nodes waited for {longest:?}");
        }
        for n in 0..nodes {
            assert_eq!(stored(&engines[0], "sid", &format!("key {n}")).await, Some(20));
        }
        let ratio = bucket.puts().len() as f64 / bucket.commits() as f64;
        assert!(ratio <= puts_per_commit, "{nodes} nodes: {ratio} PUTs for a commit");
        bucket.has_whole_chains();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_after_an_outage_of_resets_every_accepted_write_is_saved_with_few_requests() {
    const SESSIONS: u64 = 20;
    let bucket = Bucket::new().await;
    let mut config = bucket.config();
    config.policy.backoff_base_ms = 50;
    config.policy.backoff_cap_ms = 5_000;
    let engine = start(config.clone());
    health(&engine, HealthState::Ready).await;
    let handles: Vec<_> = (0..SESSIONS).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
    bucket.everything(Instead::Reset);
    for round in 1..=10 {
        for handle in &handles {
            stash(handle, "count", round);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(engine.health().state, HealthState::Degraded);
    assert!(handles.iter().all(|handle| handle.status().saved == 0 && handle.status().failures == 0));
    // One state of each session, and not ten.
    assert!(engine.stats().unsaved_bytes < SESSIONS * 2_000, "{:?}", engine.stats());
    bucket.heal();
    for handle in &handles {
        flush(handle).await.unwrap();
    }
    assert_eq!(engine.health().state, HealthState::Ready);
    assert!(bucket.commits() as u64 <= 2 * SESSIONS, "{} commits", bucket.commits());
    let next = start(config);
    for n in 0..SESSIONS {
        assert_eq!(stored(&next, &format!("sid {n}"), "count").await, Some(10));
    }
    bucket.has_whole_chains();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_20_a_brown_out_in_both_directions_loses_and_doubles_nothing() {
    let bucket = Bucket::new().await;
    let engines = [start(bucket.config()), start(bucket.config()), start(bucket.config())];
    for engine in &engines {
        health(engine, HealthState::Ready).await;
    }
    for operation in [Operation::GetObject, Operation::PutObject] {
        bucket.now_and_then(0.10, operation, Fault::before(Instead::SlowDown));
        bucket.now_and_then(0.05, operation, Fault::after(Instead::InternalError));
        bucket.now_and_then(0.05, operation, Fault::before(Instead::TooManyRequests { retry_after_s: 0 }));
        bucket.now_and_then(0.05, operation, Fault::before(Instead::Reset));
        bucket.now_and_then(0.05, operation, Fault::after(Instead::Reset));
    }
    let tabs: Vec<_> = (0..6).map(|n| mount(&engines[n % 3], "sid", &format!("tab {n}"), Mount::Fresh)).collect();
    for round in 1..=15 {
        for (n, tab) in tabs.iter().enumerate() {
            stash(tab, &format!("key {n}"), round);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for tab in &tabs {
        flush(tab).await.unwrap();
    }
    assert!(bucket.server.trace().counts().faulty > 10, "{:?}", bucket.server.trace().counts());
    bucket.heal();
    let next = start(bucket.config());
    for n in 0..6 {
        assert_eq!(stored(&next, "sid", &format!("key {n}")).await, Some(15));
    }
    bucket.has_whole_chains();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_24_a_store_that_throttles_one_key_gets_few_puts_one_at_a_time() {
    let bucket = Bucket::new().await;
    let engine = start(bucket.config());
    health(&engine, HealthState::Ready).await;
    let throttled = Fault::before(Instead::TooManyRequests { retry_after_s: 1 });
    bucket.rule(Rule { min_interval_ms: Some(1_000), ..Rule::always(documents(Operation::PutObject), throttled) });
    let handle = fresh(&engine, "sid");
    let began = Instant::now();
    for n in 1..=300 {
        stash(&handle, "count", n);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    flush(&handle).await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    // One that the store takes and one that it turns away, in each second at most.
    let puts = bucket.puts();
    assert!((puts.len() as f64) <= 2.0 * (seconds + 1.0), "{} PUTs in {seconds} s", puts.len());
    assert!(puts.len() >= 3, "the store has throttled: {puts:?}");
    assert_eq!(stored(&engine, "sid", "count").await, Some(300));
    bucket.has_whole_chains();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_25_names_spread_over_prefixes_and_one_hot_prefix_holds_up_no_other() {
    const SESSIONS: usize = 60;
    let bucket = Bucket::new().await;
    let engine = start(bucket.config());
    health(&engine, HealthState::Ready).await;
    let handles: Vec<_> = (0..SESSIONS).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
    for handle in &handles {
        stash(handle, "count", 1);
        flush(handle).await.unwrap();
    }
    let folder = |key: &str| key.rsplit('/').nth(1).unwrap().to_owned();
    let folders: BTreeSet<_> = bucket.versions().iter().map(|version| folder(&version.key)).collect();
    // Of 60 throws with 256 faces, 53 are expected to differ.
    assert!(folders.len() >= 40, "{folders:?}");

    let hot = folder(&bucket.versions()[0].key);
    let on = On { key_contains: Some(format!("/{hot}/")), ..On::operation(Operation::PutObject) };
    bucket.rule(Rule::always(on, Fault::before(Instead::SlowDown)));
    for handle in &handles {
        stash(handle, "count", 2);
    }
    let cool: Vec<_> = handles.iter().filter(|handle| !handle.session_tag().starts_with(&hot)).collect();
    assert!(cool.len() < SESSIONS, "one at least is in the hot folder");
    for handle in &cool {
        flush(handle).await.unwrap();
    }
    assert!(handles.iter().any(|handle| handle.status().saved == 1 && handle.status().failures == 0));
    bucket.heal();
    for handle in &handles {
        flush(handle).await.unwrap();
    }
    bucket.has_whole_chains();
}
