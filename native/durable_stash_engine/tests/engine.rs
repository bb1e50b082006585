//! The engine over the in-memory store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use durable_stash_engine::backend::{Contention, EtagMode, Fault, MemoryStore};
use durable_stash_engine::brake::Brake;
use durable_stash_engine::{
    Backend, Change, Clock, Conflict, EngineEvent, ErrorKind, HealthState, Incident, Mount, Overrides, Secret, Status,
};
use support::*;

#[tokio::test(start_paused = true)]
async fn what_was_saved_is_there_for_the_next_engine() {
    let (store, config) = memory();
    let engine = start(config.clone());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 41);
    stash(&handle, "count", 42);
    flush(&handle).await.unwrap();
    drop((handle, engine));

    let next = start(config);
    assert_eq!(stored(&next, "sid", "count").await, Some(42));
    assert_eq!(stored(&next, "another sid", "count").await, None);
    assert_eq!(store.dump().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_sid_and_no_secret_is_stored() {
    let (store, config) = memory();
    let engine = start(config);
    let handle = fresh(&engine, "a very personal sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    let (name, body) = store.dump().remove(0);
    assert!(!name.contains("personal") && !String::from_utf8_lossy(&body).contains("personal"));
    assert!(!handle.session_tag().contains("personal"));
}

#[tokio::test(start_paused = true)]
async fn fault_57_a_burst_of_a_thousand_stashes_costs_two_puts() {
    let (store, config) = memory();
    let engine = start(config);
    store.set_latency(Duration::from_millis(50));
    let handle = fresh(&engine, "sid");
    for n in 1..=1_000 {
        stash(&handle, "count", n);
    }
    flush(&handle).await.unwrap();
    assert_eq!(handle.status().saved, 1_000);
    assert!(store.counts().puts <= 2, "{:?}", store.counts());
    assert_eq!(stored(&engine, "sid", "count").await, Some(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_was_accepted_and_no_longer() {
    let (store, config) = memory();
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    flush(&handle).await.unwrap(); // nothing is open
    assert_eq!(store.counts().puts, 0);
    store.script(Fault::StallPuts { count: 1 });
    stash(&handle, "count", 1);
    assert!(!handle.is_saved());
    let pending = flush(&handle);
    tokio::pin!(pending);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut pending).await.is_err());
    store.release();
    pending.await.unwrap();
    assert!(handle.is_saved());
    let status = handle.status();
    assert_eq!((status.accepted, status.saved, status.failures), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_hears_of_saves_and_failures() {
    let (store, mut config) = memory();
    config.policy.max_unsaved_age_ms = 1_000;
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let hearing = heard.clone();
    handle.watch(Some(Arc::new(move |change| hearing.lock().push(change))));
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    store.script(Fault::DenyPuts { count: u32::MAX });
    stash(&handle, "count", 2);
    let error = flush(&handle).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    let failed = Change::Failed { kind: ErrorKind::Refused, first: 2, last: 2, certain: true };
    assert_eq!(*heard.lock(), [Change::Saved { op: 1 }, failed]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_until_a_later_write_is_saved() {
    let (store, mut config) = memory();
    config.policy.max_unsaved_age_ms = 1_000;
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    store.script(Fault::DenyPuts { count: u32::MAX });
    stash(&handle, "count", 1);
    assert_eq!(flush(&handle).await.unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(flush(&handle).await.unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(handle.status().failures, 1);
    store.reset_script();
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn fault_01_a_lost_answer_is_recognised_as_our_own_write() {
    let (store, config) = memory();
    let (engine, seen) = start_seen(config);
    store.keep_versions();
    store.script(Fault::DropAnswers { count: 1 });
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 7);
    flush(&handle).await.unwrap();
    assert_eq!(store.counts().commits, 1);
    assert_eq!(store.versions().len(), 1);
    let conflict = |event: &EngineEvent| matches!(event, EngineEvent::Session { incident: Incident::Conflict(_), .. });
    assert!(!seen.any(conflict), "{:?}", seen.events());
}

#[tokio::test(start_paused = true)]
async fn fault_02_a_put_that_never_arrived_is_sent_again_and_commits_once() {
    let (store, config) = memory();
    let engine = start(config);
    store.script(Fault::FailPuts { count: 3, retry_after_ms: None });
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 7);
    flush(&handle).await.unwrap();
    let counts = store.counts();
    assert_eq!((counts.puts, counts.commits), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_recovers_what_is_not_saved_yet_is_not_saved_before_it_is() {
    let (store, config) = memory();
    let engine = start(config);
    let before = fresh(&engine, "sid");
    stash(&before, "count", 1);
    flush(&before).await.unwrap();
    store.script(Fault::StallPuts { count: 1 });
    stash(&before, "count", 2);
    drop(before);

    let after = mount(&engine, "sid", "tab", Mount::Rejoin);
    let dead = mount(&engine, "sid", "tab", Mount::Dead);
    for handle in [&after, &dead] {
        assert_eq!(value(&recover(handle).await.unwrap(), "count"), Some(2));
        assert!(!handle.is_saved());
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(handle.status().leans_for >= Some(300));
    }
    let pending = flush(&after);
    tokio::pin!(pending);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut pending).await.is_err());
    store.release();
    pending.await.unwrap();
    for handle in [&after, &dead] {
        assert!(handle.is_saved());
        assert_eq!(handle.status(), Status::default());
    }

    // Where nothing is open nobody leans on anything.
    recover(&after).await.unwrap();
    assert_eq!(after.status(), Status::default());
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_recovered_what_is_then_given_up_has_failed_with_it() {
    let (store, mut config) = memory();
    config.policy.max_unsaved_age_ms = 1_000;
    let engine = start(config);
    let before = fresh(&engine, "sid");
    stash(&before, "count", 1);
    flush(&before).await.unwrap();
    store.script(Fault::DenyPuts { count: u32::MAX });
    stash(&before, "count", 2);

    let after = mount(&engine, "sid", "tab", Mount::Rejoin);
    assert_eq!(value(&recover(&after).await.unwrap(), "count"), Some(2));
    assert_eq!(flush(&after).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!((after.status().failures, after.status().leans_for), (1, None));
    assert_eq!(flush(&after).await.unwrap_err().kind, ErrorKind::Unavailable);
    store.reset_script();
    stash(&after, "count", 2);
    flush(&after).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
    assert_eq!(engine.stats().unsaved_ops, 0);
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_leans_on_a_write_is_told_when_the_session_is_lost_with_it() {
    let (store, config) = memory();
    let engine = start(config);
    let before = fresh(&engine, "sid");
    stash(&before, "count", 1);
    flush(&before).await.unwrap();
    store.script(Fault::StallPuts { count: 1 });
    stash(&before, "count", 2);
    let after = mount(&engine, "sid", "tab", Mount::Rejoin);
    recover(&after).await.unwrap();
    drain(&engine, Duration::ZERO).await;
    assert_eq!(flush(&after).await.unwrap_err().kind, ErrorKind::EngineDown);
    assert_eq!((after.status().failures, after.status().down), (1, true));
}

#[tokio::test(start_paused = true)]
async fn fault_04_a_delayed_put_that_lands_after_its_retry_changes_nothing() {
    let (store, config) = memory();
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    store.script(Fault::StallPuts { count: 1 });
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap(); // the stalled try runs into its time, the next one wins
    assert_eq!(engine.stats().conflicts, 0, "a request without an answer has not lost");
    stash(&handle, "count", 3);
    flush(&handle).await.unwrap();
    let before = store.dump();
    store.release();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.dump(), before);
    assert_eq!(stored(&engine, "sid", "count").await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn fault_06_content_that_returns_does_not_return_its_etag() {
    let (store, config) = memory();
    store.use_etags(EtagMode::Content);
    store.keep_versions();
    let one = start(config.clone());
    let other = start(config);
    let (a, b) = (fresh(&one, "sid"), mount(&other, "sid", "other tab", Mount::Fresh));
    for round in 0..10 {
        // A, B, A: the values return to what they were.
        stash(&a, "count", 1);
        flush(&a).await.unwrap();
        stash(&b, "count", 2);
        flush(&b).await.unwrap();
        stash(&a, "count", 1);
        flush(&a).await.unwrap();
        assert_eq!(stored(&other, "sid", "count").await, Some(1), "round {round}");
    }
    let bodies: Vec<_> = store.versions().into_iter().map(|(_, body)| body).collect();
    let different: std::collections::HashSet<_> = bodies.iter().collect();
    assert_eq!(different.len(), bodies.len(), "no two revisions have equal bytes");
}

#[tokio::test(start_paused = true)]
async fn fault_07_a_foreign_write_is_merged_key_by_key() {
    let (store, config) = memory();
    let one = start(config.clone());
    let (other, seen) = start_seen(config);
    let (a, b) = (fresh(&one, "sid"), mount(&other, "sid", "other tab", Mount::Fresh));
    stash(&b, "theirs", 1);
    flush(&b).await.unwrap();
    stash(&a, "ours", 2);
    flush(&a).await.unwrap();
    // The other node does not know yet that it is behind.
    stash(&b, "theirs", 3);
    flush(&b).await.unwrap();
    assert_eq!(stored(&one, "sid", "ours").await, Some(2));
    assert_eq!(stored(&one, "sid", "theirs").await, Some(3));
    let moved = EngineEvent::Session { session: b.session_tag(), incident: Incident::Conflict(Conflict::Moved) };
    assert!(seen.any(|event| *event == moved), "{:?}", seen.events());
    assert_eq!(store.dump().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn fault_09_a_busy_store_is_asked_again() {
    let (store, config) = memory();
    let engine = start(config);
    store.script(Fault::Conflict { count: 2, with: Contention::Busy });
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1); // on create
    flush(&handle).await.unwrap();
    store.script(Fault::Conflict { count: 2, with: Contention::Busy });
    stash(&handle, "count", 2); // on update
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn fault_10_an_object_that_was_deleted_under_us_is_made_again() {
    let (store, config) = memory();
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    let (name, _) = store.dump().remove(0);
    assert!(store.uproot(&name));
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn fault_11_two_nodes_that_create_the_same_session_both_keep_their_keys() {
    let (store, config) = memory();
    store.set_latency(Duration::from_millis(20));
    let engines: Vec<_> = (0..2).map(|_| start(config.clone())).collect();
    let handles: Vec<_> =
        engines.iter().enumerate().map(|(n, engine)| mount(engine, "sid", &format!("tab {n}"), Mount::Fresh)).collect();
    for (n, handle) in handles.iter().enumerate() {
        stash(handle, &format!("key {n}"), n as u64);
    }
    for handle in &handles {
        flush(handle).await.unwrap();
    }
    for engine in &engines {
        assert_eq!(stored(engine, "sid", "key 0").await, Some(0));
        assert_eq!(stored(engine, "sid", "key 1").await, Some(1));
    }
    assert_eq!(store.dump().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn fault_19_writes_wait_out_an_outage_and_reads_say_so_in_time() {
    let (store, mut config) = memory();
    config.policy.recover_timeout_ms = 300;
    let (engine, seen) = start_seen(config.clone());
    let handles: Vec<_> = (0..50).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
    for handle in &handles {
        stash(handle, "count", 1);
        flush(handle).await.unwrap();
    }
    store.script(Fault::FailPuts { count: u32::MAX, retry_after_ms: None });
    store.script(Fault::FailGets { count: u32::MAX, retry_after_ms: None });
    for (n, handle) in handles.iter().enumerate() {
        stash(handle, "count", 100 + n as u64);
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(engine.health().state, HealthState::Degraded);
    assert!(handles.iter().all(|handle| handle.status().saved == 1 && handle.status().failures == 0));
    // A session of this node is served from its copy; one that nobody has seen here is an error, within its time.
    let began = tokio::time::Instant::now();
    assert!(recover(&handles[0]).await.unwrap().stale);
    let stranger = mount(&engine, "stranger", "tab", Mount::Dead);
    assert_eq!(recover(&stranger).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(1));

    store.reset_script();
    for (n, handle) in handles.iter().enumerate() {
        flush(handle).await.unwrap();
        assert_eq!(stored(&engine, &format!("sid {n}"), "count").await, Some(100 + n as u64));
    }
    assert_eq!(engine.health().state, HealthState::Ready);
    assert_eq!(engine.stats().unsaved_bytes, 0);
    assert!(seen.any(|event| matches!(event, EngineEvent::Health(health) if health.state == HealthState::Degraded)));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_too_old_fails_and_is_told() {
    let (store, mut config) = memory();
    config.policy.max_unsaved_age_ms = 2_000;
    let engine = start(config);
    store.script(Fault::FailPuts { count: u32::MAX, retry_after_ms: None });
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    let error = flush(&handle).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(handle.status().failures, 1);
    assert_eq!(engine.stats().unsaved_ops, 0);
}

#[tokio::test(start_paused = true)]
async fn fault_35_a_drain_saves_what_it_can_and_reports_the_rest() {
    let (store, mut config) = memory();
    config.requests_in_flight = 64;
    let engine = start(config.clone());
    store.set_latency(Duration::from_millis(200));
    let handles: Vec<_> = (0..2_000).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
    for handle in &handles {
        stash(handle, "count", 1);
    }
    let report = drain(&engine, Duration::from_secs(9)).await;
    assert!(report.unsaved_sessions > 0 && report.saved_sessions > 0, "{report:?}");
    assert_eq!(report.saved_sessions + report.unsaved_sessions, 2_000);
    assert_eq!(report.unsaved_ops, report.unsaved_sessions);
    let saved = handles.iter().filter(|handle| handle.status().saved == 1).count() as u64;
    assert_eq!(saved, report.saved_sessions, "what is not reported is saved");
    assert_eq!(engine.running_tasks(), 0);

    let engine = start(config);
    let handles: Vec<_> = (0..2_000).map(|n| fresh(&engine, &format!("other sid {n}"))).collect();
    for handle in &handles {
        stash(handle, "count", 1);
    }
    let report = drain(&engine, Duration::from_secs(60)).await;
    assert_eq!((report.saved_sessions, report.unsaved_sessions, report.unsaved_ops), (2_000, 0, 0));
    assert!(report.took_ms < 30_000, "it waits for what is unsaved and for nothing else: {report:?}");
    assert!(handles.iter().all(|handle| handle.status().saved == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fault_35_a_stash_during_a_drain_is_saved_or_refused_and_never_dropped() {
    let (store, config) = memory();
    let engine = start(config.clone());
    store.set_latency(Duration::from_millis(5));
    let handles: Vec<_> = (0..40).map(|n| Arc::new(fresh(&engine, &format!("sid {n}")))).collect();
    let writers: Vec<_> = handles
        .iter()
        .cloned()
        .map(|handle| {
            tokio::task::spawn_blocking(move || {
                let mut accepted = 0;
                for n in 1.. {
                    match try_stash(&handle, "count", n) {
                        Ok(_) => accepted = n,
                        Err(error) => {
                            assert_eq!(error.kind, ErrorKind::EngineDown, "{error}");
                            return accepted;
                        }
                    }
                    std::thread::sleep(Duration::from_micros(300));
                }
                accepted
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let report = drain(&engine, Duration::from_millis(700)).await;
    let next = start(config);
    let mut lost = 0;
    for (n, writer) in writers.into_iter().enumerate() {
        let accepted = writer.await.unwrap();
        let status = handles[n].status();
        let stored = stored(&next, &format!("sid {n}"), "count").await.unwrap_or(0);
        assert!(stored >= status.saved, "what was told to be saved is there");
        assert_eq!(status.accepted, accepted);
        lost += accepted - status.saved;
    }
    assert_eq!(engine.stats().unsaved_ops, 0);
    assert_eq!(report.unsaved_ops, lost, "whatever was accepted and not saved is reported");
    assert_eq!(handles.iter().filter(|handle| !handle.status().down).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn fault_48_whoever_stops_waiting_changes_nothing() {
    let (store, config) = memory();
    let engine = start(config);
    store.set_latency(Duration::from_millis(100));
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    // The waiter dies: its reply goes nowhere. The LiveView dies: its handle is dropped with everything open.
    drop(tokio::time::timeout(Duration::from_millis(1), flush(&handle)).await);
    drop(tokio::time::timeout(Duration::from_millis(1), recover(&handle)).await);
    drop(handle);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stored(&engine, "sid", "count").await, Some(1));
    assert_eq!(engine.stats().unsaved_ops, 0);
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_answered_even_if_its_handle_is_gone() {
    let (store, config) = memory();
    let engine = start(config);
    store.set_latency(Duration::from_millis(100));
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    let (sender, answer) = tokio::sync::oneshot::channel();
    handle.flush(Box::new(|result| drop(sender.send(result))));
    drop(handle);
    answer.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn fault_53_what_is_unsaved_is_bounded_and_freed_by_saving() {
    let (store, mut config) = memory();
    config.max_unsaved_bytes = 256 * 1024;
    let engine = start(config);
    store.script(Fault::FailPuts { count: u32::MAX, retry_after_ms: None });
    let handles: Vec<_> = (0..100).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
    let mut refused = 0;
    for handle in &handles {
        match stash_text(handle, "text", 10 * 1024) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
                refused += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await; // the session has it now, and no longer the queue
        assert!(engine.stats().unsaved_bytes <= 256 * 1024);
    }
    assert!((70..=80).contains(&refused), "{refused}");
    assert_eq!(engine.stats().overloaded, refused);
    store.reset_script();
    for handle in &handles {
        let _ = flush(handle).await;
    }
    assert_eq!(engine.stats().unsaved_bytes, 0);
    for handle in &handles {
        stash_text(handle, "text", 1024).unwrap();
        flush(handle).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn fault_53_a_session_that_is_overwritten_holds_only_its_newest_state() {
    let (store, mut config) = memory();
    config.max_unsaved_bytes = 256 * 1024;
    let engine = start(config);
    store.script(Fault::FailPuts { count: u32::MAX, retry_after_ms: None });
    let handle = fresh(&engine, "sid");
    // 10 MiB pass through an account of a quarter of one: each write takes the place of the one before.
    for _ in 0..1_000 {
        stash_text(&handle, "text", 10 * 1024).unwrap();
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(engine.stats().unsaved_bytes < 64 * 1024, "{:?}", engine.stats());
}

#[tokio::test(start_paused = true)]
async fn fault_52_a_write_over_the_documents_limit_is_refused_at_once() {
    let (store, mut config) = memory();
    config.policy.max_document_bytes = 100 * 1024;
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    let error = stash_text(&handle, "text", 200 * 1024).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.message.contains("max_document_bytes"), "{error}");
    assert_eq!(store.counts().puts, 0);
    assert_eq!(engine.stats().unsaved_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn fault_55_visitors_who_never_stash_cost_the_store_nothing_and_leave_memory() {
    let (store, mut config) = memory();
    config.idle_after_ms = 60_000;
    let engine = start(config);
    for n in 0..20_000 {
        let sid = format!("crawler {n}");
        let open = |mount, minted| {
            let open = durable_stash_engine::Open {
                sid: &sid,
                secrets: None,
                slot: slot("tab"),
                mount,
                epoch: None,
                stores_tab: false,
                minted,
            };
            engine.open(open).unwrap()
        };
        // The dead render of a session id that was just minted, and sometimes a connected mount.
        let dead = open(Mount::Dead, true);
        assert!(recover(&dead).await.unwrap().found.is_none());
        if n % 10 == 0 {
            drop(open(Mount::Fresh, false));
        }
    }
    assert_eq!(store.counts().gets + store.counts().puts, 0);
    tokio::time::sleep(Duration::from_secs(70)).await;
    let stats = engine.stats();
    assert_eq!((stats.live_sessions, stats.handles), (0, 0));
    assert_eq!((engine.known_sessions(), engine.running_tasks()), (0, 0));
    assert_eq!(store.counts().puts, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_leaves_memory_and_its_handle_still_works() {
    let (store, mut config) = memory();
    config.idle_after_ms = 1_000;
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(engine.stats().live_sessions, 0);
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
    assert_eq!(store.counts().commits, 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_has_no_task_and_goes_on_without_asking_the_store() {
    let (store, config) = memory();
    let engine = start(config);
    let handles: Vec<_> = (0..100).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
    for (n, handle) in handles.iter().enumerate() {
        stash(handle, "count", n as u64);
        flush(handle).await.unwrap();
    }
    until("one task sees to all of them", || engine.running_tasks() == 1).await;
    assert_eq!((engine.stats().live_sessions, engine.stats().evicted), (100, 0));
    let gets = store.counts().gets;
    for (n, handle) in handles.iter().enumerate() {
        stash(handle, "more", n as u64);
        flush(handle).await.unwrap();
    }
    assert_eq!((store.counts().gets, store.counts().commits, engine.stats().conflicts), (gets, 200, 0));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!((engine.stats().live_sessions, engine.stats().evicted, engine.running_tasks()), (0, 100, 0));
    assert_eq!(stored(&engine, "sid 7", "count").await, Some(7));
}

#[tokio::test(start_paused = true)]
async fn what_a_parked_session_knows_stays_as_fresh_as_it_was() {
    let (store, mut config) = memory();
    config.policy.fresh_for_ms = 5_000;
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    let gets = store.counts().gets;
    for (after_ms, asked) in [(2_000, 0), (2_000, 0), (2_000, 1), (2_000, 1)] {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        assert!(recover(&handle).await.unwrap().found.is_some());
        assert_eq!(store.counts().gets - gets, asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_made_while_the_session_is_parked_reaches_the_one_before() {
    let (_store, config) = memory();
    let engine = start(config);
    let zombie = fresh(&engine, "sid");
    stash(&zombie, "count", 1);
    flush(&zombie).await.unwrap();
    until("the session is parked", || engine.running_tasks() == 1).await;
    let _successor = mount(&engine, "sid", "tab", Mount::Rejoin);
    until("the other one is told", || zombie.status().superseded).await;
    assert_eq!(engine.stats().evicted, 0);
}

/// Else what is pushed late of an older write would replace what the recovery has brought.
#[tokio::test(start_paused = true)]
async fn a_recovery_shows_the_turns_of_before_the_session_was_parked() {
    let (_store, mut config) = memory();
    config.idle_after_ms = 1_000;
    let engine = start(config);
    let writer = fresh(&engine, "sid");
    stash(&writer, "count", 1);
    flush(&writer).await.unwrap();
    for pause_ms in [10, 3_000] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let reader = mount(&engine, "sid", &format!("tab after {pause_ms}"), Mount::Rejoin);
        assert!(recover(&reader).await.unwrap().found.is_some());
        assert!(reader.seen() >= writer.turn(), "{} < {}", reader.seen(), writer.turn());
        stash(&writer, "count", pause_ms);
        assert!(reader.seen() < writer.turn(), "that one came later");
        flush(&writer).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn fault_05_a_delayed_put_from_before_an_eviction_is_not_taken_for_a_later_one() {
    let (store, mut config) = memory();
    config.idle_after_ms = 1_000;
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    // The first try of the first write is on its way for long; the second one is saved.
    store.script(Fault::StallPuts { count: 1 });
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(engine.stats().evicted, 1);
    // Somebody deletes the object, and with it the record of what was applied. The next machine starts from nothing.
    let (name, _) = store.dump().remove(0);
    assert!(store.uproot(&name));
    store.set_latency(Duration::from_millis(100));
    store.script(Fault::FailPuts { count: 1, retry_after_ms: None });
    let puts = store.counts().puts;
    stash(&handle, "count", 2);
    until("the PUT is under way", || store.counts().puts > puts).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    // It fails; and while the machine looks whether it has arrived, the delayed one lands. If both had one number, the
    // look would find this write saved.
    store.release();
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_superseded_liveview_stays_so_after_an_eviction() {
    let (_store, mut config) = memory();
    config.idle_after_ms = 1_000;
    let (engine, seen) = start_seen(config);
    let zombie = fresh(&engine, "sid");
    stash(&zombie, "count", 1);
    flush(&zombie).await.unwrap();
    let successor = mount(&engine, "sid", "tab", Mount::Rejoin);
    stash(&successor, "count", 2);
    flush(&successor).await.unwrap();
    assert!(zombie.status().superseded && !successor.status().superseded);
    assert_eq!(try_stash(&zombie, "count", 3).unwrap_err().kind, ErrorKind::Superseded);
    assert!(seen.any(|event| matches!(event, EngineEvent::Superseded { .. })));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(engine.stats().live_sessions, 0);
    assert_eq!(try_stash(&zombie, "count", 3).unwrap_err().kind, ErrorKind::Superseded);
    stash(&successor, "count", 4);
    flush(&successor).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_claim_made_after_an_eviction_reaches_the_one_before() {
    let (_store, mut config) = memory();
    config.idle_after_ms = 1_000;
    let engine = start(config);
    let zombie = fresh(&engine, "sid");
    stash(&zombie, "count", 1);
    flush(&zombie).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _successor = mount(&engine, "sid", "tab", Mount::Rejoin);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(zombie.status().superseded);
}

#[tokio::test(start_paused = true)]
async fn a_tab_can_be_emptied_and_a_key_removed() {
    let (_store, config) = memory();
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    stash(&handle, "a", 1);
    stash(&handle, "b", 2);
    handle.remove(vec![durable_stash_engine::Key::new("a")], vec![]).unwrap();
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "a").await, None);
    assert_eq!(stored(&engine, "sid", "b").await, Some(2));
    handle.reset().unwrap();
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "b").await, None);
    let nothing = handle.stash(vec![], vec![]).unwrap();
    assert_eq!(nothing, handle.status().accepted);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_forgotten_is_not_found() {
    let (_store, config) = memory();
    let engine = start(config);
    forget(&engine, "never seen").await.unwrap();
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    drop(handle);
    forget(&engine, "sid").await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, None);
}

#[tokio::test(start_paused = true)]
async fn fault_70_an_older_secrets_document_is_found_and_moved_under_the_current_one() {
    let (store, mut config) = memory();
    let old = start(config.clone());
    let handle = fresh(&old, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    drop((handle, old));
    let old_name = store.dump().remove(0).0;

    // Of two mounts of a tab in one millisecond either may win, and the wall clock is the machine's.
    std::thread::sleep(Duration::from_millis(2));
    config.secrets.insert(0, Secret::new([9; 32]).unwrap());
    let (engine, seen) = start_seen(config);
    let handle = mount(&engine, "sid", "tab", Mount::Rejoin);
    assert_eq!(value(&recover(&handle).await.unwrap(), "count"), Some(1));
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    assert!(store.dump().iter().any(|(name, _)| *name != old_name));
    assert!(seen.any(|event| matches!(event, EngineEvent::Session { incident: Incident::Rekeyed, .. })));
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn fault_70_a_node_that_knows_the_older_secret_only_follows_the_document_to_the_current_one() {
    let (store, config) = memory();
    let old = start(config.clone());
    let before = fresh(&old, "sid");
    stash(&before, "count", 1);
    flush(&before).await.unwrap();

    // A rolling deploy: both nodes live, and write by turns.
    let mut rotated = config;
    rotated.secrets.insert(0, Secret::new([9; 32]).unwrap());
    let new = start(rotated);
    let after = mount(&new, "sid", "another tab", Mount::Fresh);
    for (handle, key, number) in
        [(&after, "count", 2), (&before, "late", 3), (&after, "later", 4), (&before, "last", 5)]
    {
        stash(handle, key, number);
        flush(handle).await.unwrap();
    }
    for engine in [&old, &new] {
        let found = recover(&mount(engine, "sid", "a third tab", Mount::Dead)).await.unwrap();
        let values = ["count", "late", "later", "last"].map(|key| value(&found, key));
        assert_eq!(values, [Some(2), Some(3), Some(4), Some(5)]);
    }
    // A new session is one document, too, whichever node it comes to first.
    let both = [mount(&old, "new", "t1", Mount::Fresh), mount(&new, "new", "t2", Mount::Fresh)];
    for (handle, key) in both.iter().zip(["a", "b"]) {
        stash(handle, key, 1);
    }
    for handle in &both {
        flush(handle).await.unwrap();
    }
    for (engine, key) in [(&old, "a"), (&old, "b"), (&new, "a"), (&new, "b")] {
        assert_eq!(stored(engine, "new", key).await, Some(1));
    }
    assert_eq!(store.dump().len(), 4, "a document and a seal each");
}

#[tokio::test(start_paused = true)]
async fn fault_26_a_damaged_document_is_copied_aside_before_it_is_replaced() {
    let (store, config) = memory();
    let engine = start(config.clone());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    drop((handle, engine));
    let (name, body) = store.dump().remove(0);
    let mut damaged = body.to_vec();
    let last = damaged.len() - 10;
    damaged[last] ^= 1;
    store.plant(&name, damaged.clone());

    let engine = start(config);
    let handle = mount(&engine, "sid", "tab", Mount::Rejoin);
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Corrupt);
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    let aside = store.dump().into_iter().find(|(name, _)| name.contains("quarantine/")).unwrap();
    assert_eq!(aside.1, damaged);
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_views_own_secrets_make_an_object_of_their_own() {
    let (store, config) = memory();
    let engine = start(config);
    let open = |secrets: Option<Vec<Secret>>| {
        engine.open(durable_stash_engine::Open {
            sid: "sid",
            secrets,
            slot: slot("tab"),
            mount: Mount::Fresh,
            epoch: None,
            stores_tab: true,
            minted: false,
        })
    };
    let (a, b) = (open(None).unwrap(), open(Some(vec![Secret::new([3; 32]).unwrap()])).unwrap());
    stash(&a, "count", 1);
    stash(&b, "count", 2);
    flush(&a).await.unwrap();
    flush(&b).await.unwrap();
    assert_eq!(store.dump().len(), 2);
    let empty = open(Some(vec![])).err().unwrap();
    assert_eq!(empty.kind, ErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn fault_53_documents_at_hand_are_bounded_and_what_is_unsaved_is_not_dropped_for_it() {
    const SESSIONS: u64 = 60;
    let (store, mut config) = memory();
    config.max_cached_bytes = 100_000;
    let engine = start(config);
    let mut handles = Vec::new();
    for n in 0..SESSIONS {
        let handle = fresh(&engine, &format!("sid {n}"));
        stash_text(&handle, "text", 10_000).unwrap();
        stash(&handle, "count", n);
        flush(&handle).await.unwrap();
        handles.push(handle);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let live = engine.stats().live_sessions;
    assert!((5..=11).contains(&live), "{live} documents of 10 kB are at hand, and 100 kB are allowed");
    // Nothing is saved for a while, and everybody writes.
    store.set_latency(Duration::from_millis(500));
    for (n, handle) in handles.iter().enumerate() {
        stash(handle, "count", 1_000 + n as u64);
    }
    for handle in &handles {
        flush(handle).await.unwrap();
    }
    store.set_latency(Duration::ZERO);
    for n in 0..SESSIONS {
        assert_eq!(stored(&engine, &format!("sid {n}"), "count").await, Some(1_000 + n));
    }
}

/// Panics on its first read.
struct Breaking {
    inner: Arc<dyn durable_stash_engine::store::Store>,
    reads: AtomicU64,
}

#[async_trait::async_trait]
impl durable_stash_engine::store::Store for Breaking {
    async fn get(
        &self,
        name: &durable_stash_engine::store::ObjectName,
        unless: Option<&durable_stash_machine::ETag>,
    ) -> durable_stash_machine::GetOutcome {
        assert!(self.reads.fetch_add(1, Relaxed) != 0, "broken on purpose");
        self.inner.get(name, unless).await
    }

    async fn put(
        &self,
        name: &durable_stash_engine::store::ObjectName,
        body: bytes::Bytes,
        precondition: &durable_stash_machine::Precondition,
    ) -> durable_stash_machine::PutOutcome {
        self.inner.put(name, body, precondition).await
    }

    async fn list(
        &self,
        cursor: Option<&durable_stash_engine::store::Cursor>,
        limit: usize,
    ) -> Result<durable_stash_engine::store::Page, durable_stash_engine::store::StoreError> {
        self.inner.list(cursor, limit).await
    }

    async fn delete_if(
        &self,
        name: &durable_stash_engine::store::ObjectName,
        etag: &durable_stash_machine::ETag,
    ) -> durable_stash_engine::store::DeleteOutcome {
        self.inner.delete_if(name, etag).await
    }

    async fn put_aside(&self, name: &durable_stash_engine::store::ObjectName, body: bytes::Bytes) -> bool {
        self.inner.put_aside(name, body).await
    }

    async fn remove_scratch(&self, name: &durable_stash_engine::store::ObjectName) {
        self.inner.remove_scratch(name).await;
    }

    fn wants_probe(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        "a store that breaks".into()
    }
}

#[tokio::test(start_paused = true)]
async fn fault_44_a_session_that_breaks_takes_nobody_along() {
    let (_store, config) = memory();
    let inner = durable_stash_engine::backend::open(&config).unwrap();
    let store: Arc<dyn durable_stash_engine::store::Store> = Arc::new(Breaking { inner, reads: AtomicU64::new(0) });
    let (engine, seen) = start_with(config, Overrides { store: Some(store), ..Overrides::default() });
    let broken = fresh(&engine, "broken");
    assert_eq!(recover(&broken).await.unwrap_err().kind, ErrorKind::EngineDown);
    until("the session is down", || broken.status().down).await;
    assert_eq!(try_stash(&broken, "count", 1).unwrap_err().kind, ErrorKind::EngineDown);
    assert_eq!(flush(&broken).await, Ok(()), "nothing was accepted, so nothing is open");
    assert!(seen.any(|event| matches!(event, EngineEvent::Crashed { .. })));

    let other = fresh(&engine, "other");
    stash(&other, "count", 1);
    flush(&other).await.unwrap();
    let again = fresh(&engine, "broken");
    stash(&again, "count", 2);
    flush(&again).await.unwrap();
    drop(broken);
    assert_eq!(stored(&engine, "broken", "count").await, Some(2));
    assert_eq!(engine.stats().crashed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_a_dropped_engine_says_that_it_is_down() {
    let (store, config) = memory();
    let engine = start(config);
    store.set_latency(Duration::from_millis(100));
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    drop(engine);
    let error = flush(&handle).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::EngineDown);
    assert!(handle.status().down);
    assert_eq!(try_stash(&handle, "count", 2).unwrap_err().kind, ErrorKind::EngineDown);
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::EngineDown);
}

fn mount_again(engine: &durable_stash_engine::Engine, epoch: u64) -> durable_stash_engine::Handle {
    let open = durable_stash_engine::Open {
        sid: "sid",
        secrets: None,
        slot: slot("tab"),
        mount: Mount::Again,
        epoch: Some(epoch),
        stores_tab: true,
        minted: false,
    };
    engine.open(open).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_liveview_that_outlives_its_engine_takes_its_tab_again_unless_somebody_mounted_since() {
    let (_store, config) = memory();
    let engine = start(config.clone());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    let epoch = handle.epoch().unwrap();
    drop(engine);
    until("the handle is down", || handle.status().down).await;

    let engine = start(config);
    let again = mount_again(&engine, epoch);
    stash(&again, "count", 2);
    flush(&again).await.unwrap();
    let later = mount(&engine, "sid", "tab", Mount::Rejoin);
    stash(&later, "count", 3);
    flush(&later).await.unwrap();
    let zombie = mount_again(&engine, epoch);
    if try_stash(&zombie, "count", 4).is_ok() {
        assert_eq!(flush(&zombie).await.unwrap_err().kind, ErrorKind::Superseded);
    }
    assert_eq!(stored(&engine, "sid", "count").await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_in_flight_than_allowed() {
    let (store, mut config) = memory();
    config.requests_in_flight = 8;
    let engine = start(config);
    store.set_latency(Duration::from_millis(20));
    let handles: Vec<_> = (0..200).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
    for handle in &handles {
        stash(handle, "count", 1);
    }
    for handle in &handles {
        flush(handle).await.unwrap();
    }
    assert!(store.counts().most_in_flight <= 8, "{:?}", store.counts());
}

#[tokio::test(start_paused = true)]
async fn an_expired_document_is_buried_and_later_deleted_and_a_live_one_stays() {
    let (store, mut config) = memory();
    config.policy.ttl_ms = 1_000_000;
    config.policy.tombstone_ms = 10_000;
    config.idle_after_ms = 1_000;
    let wall = now_ms();
    let (engine, seen) = start_with(config, Overrides { clock: Some(Clock::simulated(wall)), ..Overrides::default() });
    for sid in ["dying", "living"] {
        let handle = fresh(&engine, sid);
        stash(&handle, "count", 1);
        flush(&handle).await.unwrap();
    }
    engine.sweep(1_000).await;
    assert_eq!(engine.stats().swept, 0, "what was written a moment ago is not even read");
    tokio::time::sleep(Duration::from_millis(600_000)).await;
    let handle = fresh(&engine, "living");
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600_000)).await;
    for (name, _) in store.dump() {
        store.touch(&name, wall); // last modified long ago, as far as the store is concerned
    }
    engine.sweep(1_000).await;
    assert_eq!((engine.stats().buried, engine.stats().deleted), (1, 0), "{:?}", seen.events());
    assert_eq!(store.dump().len(), 2, "a tombstone stands in its place");
    assert_eq!(stored(&engine, "dying", "count").await, None);
    assert_eq!(stored(&engine, "living", "count").await, Some(2));
    tokio::time::sleep(Duration::from_millis(20_000)).await;
    for (name, _) in store.dump() {
        store.touch(&name, wall);
    }
    engine.sweep(1_000).await;
    assert_eq!((engine.stats().buried, engine.stats().deleted), (1, 1));
    assert_eq!(store.dump().len(), 1);
    assert_eq!(stored(&engine, "living", "count").await, Some(2));
    assert!(seen.any(|event| matches!(event, EngineEvent::Swept { read: 2, buried: 1, .. })));
}

#[tokio::test(start_paused = true)]
async fn fault_12_a_write_beats_a_sweep_that_judged_the_version_before() {
    let (store, mut config) = memory();
    config.policy.ttl_ms = 10_000;
    config.policy.tombstone_ms = 5_000;
    config.idle_after_ms = 1_000;
    config.attempt_timeout_ms = 60_000;
    let clock = Some(Clock::simulated(now_ms()));
    let (engine, _) = start_with(config, Overrides { clock, ..Overrides::default() });
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    store.touch(&store.dump()[0].0, 0);
    store.script(Fault::StallPuts { count: 1 });
    let sweeper = engine.clone();
    let sweep = tokio::spawn(async move { sweeper.sweep(1_000).await });
    until("the sweeper writes its tombstone", || store.counts().puts > 1).await;
    // Stalled on its way; meanwhile the visitor is back.
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    store.release();
    sweep.await.unwrap();
    assert_eq!(engine.stats().buried, 0);
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_never_swept() {
    let (store, mut config) = memory();
    config.policy.ttl_ms = 1_000;
    let wall = now_ms();
    let (engine, _) = start_with(config, Overrides { clock: Some(Clock::simulated(wall)), ..Overrides::default() });
    let stranger = format!("durable_stash/ab/ab{}", "0".repeat(62));
    store.plant(&stranger, "somebody else's");
    store.plant("durable_stash/readme.txt", "by hand");
    store.plant("another_app/x", "not under our prefix");
    let stale_probe = format!("durable_stash/probe/{:032x}", 7);
    store.plant(&stale_probe, "left by a probe that was killed");
    for (name, _) in store.dump() {
        store.touch(&name, 0);
    }
    engine.sweep(1_000).await;
    let left: Vec<_> = store.dump().into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["another_app/x".to_owned(), stranger, "durable_stash/readme.txt".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn the_sweeper_runs_by_itself() {
    let (_store, mut config) = memory();
    config.sweep_every_ms = 1_000;
    let (_engine, seen) = start_seen(config);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let rounds = seen.events().iter().filter(|event| matches!(event, EngineEvent::Swept { .. })).count();
    assert!((5..=10).contains(&rounds), "{rounds}");
}

#[tokio::test]
async fn a_named_memory_store_is_the_same_store_everywhere() {
    let store = MemoryStore::named("engine tests");
    let engine = start(config(Backend::Memory(MemoryStore::named("engine tests"))));
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    assert_eq!(store.dump().len(), 1);
    store.reset();
    assert_eq!((store.dump().len(), store.counts().puts), (0, 0));
}

#[test]
fn an_engine_starts_from_outside_of_its_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_store, config) = memory();
    let observer = Arc::new(durable_stash_engine::Unobserved);
    let engine = durable_stash_engine::Engine::start(config, runtime.handle().clone(), observer).unwrap();
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    let (sender, answer) = std::sync::mpsc::channel();
    handle.flush(Box::new(move |result| drop(sender.send(result))));
    answer.recv().unwrap().unwrap();
    // The runtime goes first: whoever waits is told all the same.
    let (sender, answer) = std::sync::mpsc::channel();
    runtime.shutdown_timeout(Duration::from_secs(1));
    handle.recover(Box::new(move |result| drop(sender.send(result))));
    assert_eq!(answer.recv().unwrap().unwrap_err().kind, ErrorKind::EngineDown);
    // And nobody hangs who comes later, on a session that was live or on one that was not.
    assert!(try_stash(&handle, "count", 2).is_err());
    let late = fresh(&engine, "another sid");
    assert!(try_stash(&late, "count", 1).is_err());
    drop((handle, late));
    let stats = engine.stats();
    assert_eq!((stats.live_sessions, stats.unsaved_ops, stats.unsaved_bytes, stats.handles), (0, 0, 0, 0));
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn fault_42_a_mount_that_a_frozen_node_hears_of_late_is_not_taken_for_a_later_one() {
    let (_store, config) = memory();
    let brake = Brake::default();
    let frozen = Overrides { brake: brake.clone(), clock: Some(Clock::simulated(WALL)), ..Overrides::default() };
    let other = Overrides { clock: Some(Clock::simulated(WALL)), ..Overrides::default() };
    let (frozen, _) = start_with(config.clone(), frozen);
    let (other, _) = start_with(config, other);
    brake.freeze();
    let zombie = mount(&frozen, "sid", "tab", Mount::Rejoin);
    tokio::time::sleep(Duration::from_secs(5)).await;
    // The browser has given up, and is back on another node.
    let owner = mount(&other, "sid", "tab", Mount::Rejoin);
    stash(&owner, "count", 1);
    flush(&owner).await.unwrap();
    brake.resume();
    stash(&zombie, "count", 666);
    assert_eq!(flush(&zombie).await.unwrap_err().kind, ErrorKind::Superseded);
    assert_eq!(stored(&other, "sid", "count").await, Some(1));
}

const WALL: u64 = 1_750_000_000_000;
