//! Answers that are lost, late, wrong or incomplete.

use std::time::{Duration, Instant};

use durable_stash_engine::{EngineEvent, ErrorKind, HealthState, Incident};
use durable_stash_s3::{ETagFault, Fault, Instead, On, Operation, Rule};

use crate::bucket::Bucket;
use crate::support::*;

/// One write, with this fault in its PUT: so many PUTs, one commit, and no conflict with ourselves.
async fn one_write(fault: Fault, puts: usize) {
    let bucket = Bucket::new().await;
    let mut config = bucket.config();
    config.attempt_timeout_ms = 300;
    let (engine, seen) = start_seen(config);
    health(&engine, HealthState::Ready).await;
    let handle = fresh(&engine, "sid");
    bucket.next(Operation::PutObject, fault.clone());
    stash(&handle, "count", 7);
    flush(&handle).await.unwrap();
    assert_eq!((bucket.puts().len(), bucket.commits()), (puts, 1), "{fault:?}");
    let in_conflict =
        |event: &EngineEvent| matches!(event, EngineEvent::Session { incident: Incident::Conflict(_), .. });
    assert!(!seen.any(in_conflict), "{fault:?}: {:?}", seen.events());
    assert_eq!(stored(&engine, "sid", "count").await, Some(7), "{fault:?}");
}

#[tokio::test]
async fn fault_01_a_connection_that_ends_after_the_commit_leaves_one_commit() {
    for instead in [Instead::Reset, Instead::HangUp, Instead::Silence] {
        one_write(Fault::after(instead), 1).await;
    }
}

#[tokio::test]
async fn fault_02_a_connection_that_ends_before_the_commit_costs_one_more_put() {
    for instead in [Instead::Reset, Instead::HangUp, Instead::Silence] {
        one_write(Fault::before(instead), 2).await;
    }
}

#[tokio::test]
async fn fault_03_an_error_after_the_commit_is_resolved_and_not_repeated() {
    for instead in [Instead::InternalError, Instead::SlowDown, Instead::TooManyRequests { retry_after_s: 0 }] {
        one_write(Fault::after(instead), 1).await;
    }
}

#[tokio::test]
async fn fault_04_a_put_that_lands_after_its_retry_is_turned_away_by_its_condition() {
    let bucket = Bucket::new().await;
    let mut config = bucket.config();
    config.attempt_timeout_ms = 200;
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    bucket.next(Operation::PutObject, Fault::delay_before(Duration::from_millis(800)));
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    let commits = bucket.commits();
    until("the late PUT lands", || bucket.puts().len() == 3).await;
    assert_eq!(bucket.puts().last().unwrap().served, Some(412));
    assert_eq!((commits, bucket.commits()), (2, 2));
    bucket.has_whole_chains();
}

#[tokio::test]
async fn fault_20_retry_after_is_kept_to_over_the_wire() {
    for instead in [
        Instead::TooManyRequests { retry_after_s: 1 },
        Instead::Status { status: 503, code: "SlowDown".into(), retry_after_s: Some(1) },
    ] {
        let bucket = Bucket::new().await;
        let engine = start(bucket.config());
        health(&engine, HealthState::Ready).await;
        let handle = fresh(&engine, "sid");
        bucket.next(Operation::PutObject, Fault::before(instead.clone()));
        let began = Instant::now();
        stash(&handle, "count", 1);
        flush(&handle).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(990), "{instead:?}: {:?}", began.elapsed());
        assert_eq!((bucket.puts().len(), bucket.commits()), (2, 1));
    }
}

#[tokio::test]
async fn fault_22_a_proxys_page_is_no_commit_and_no_document() {
    let bucket = Bucket::new().await;
    let engine = start(bucket.config());
    health(&engine, HealthState::Ready).await;
    let handle = fresh(&engine, "sid");
    bucket.next(Operation::PutObject, Fault::before(Instead::Html));
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    assert_eq!((bucket.puts().len(), bucket.commits()), (2, 1), "the page was no commit");

    let next = start(bucket.config());
    health(&next, HealthState::Ready).await;
    bucket.documents(Operation::GetObject, Fault::before(Instead::Html));
    let reader = fresh(&next, "sid");
    assert!(matches!(recover(&reader).await.unwrap_err().kind, ErrorKind::Corrupt | ErrorKind::Unavailable));
    bucket.heal();
    assert_eq!(stored(&next, "sid", "count").await, Some(1));
}

#[tokio::test]
async fn fault_22_a_proxys_page_for_everything_does_not_pass_the_probe() {
    let bucket = Bucket::new().await;
    bucket.everything(Instead::Html);
    let engine = start(bucket.config());
    health(&engine, HealthState::Degraded).await;
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    assert_eq!(handle.status().saved, 0);
    bucket.heal();
    flush(&handle).await.unwrap();
    assert_eq!(bucket.commits(), 1);
}

#[tokio::test]
async fn fault_23_an_etag_that_is_missing_weak_or_bare_costs_a_read_at_most() {
    one_write(Fault::etag(ETagFault::Omitted), 1).await;
    for etag in [ETagFault::Weak, ETagFault::Bare] {
        let bucket = Bucket::new().await;
        bucket.rule(Rule::always(On::default(), Fault::etag(etag)));
        let engine = start(bucket.config());
        assert_eq!(health(&engine, HealthState::Ready).await.reason, None);
        let handle = fresh(&engine, "sid");
        for n in 1..=3 {
            stash(&handle, "count", n);
            flush(&handle).await.unwrap();
        }
        assert_eq!((bucket.puts().len(), bucket.commits()), (3, 3), "{etag:?}");
        bucket.has_whole_chains();
    }
}
