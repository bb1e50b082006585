//! What a store refuses until somebody mends it: credentials, clocks, buckets, policies.

use std::time::{Duration, Instant};

use durable_stash_engine::{ErrorKind, HealthState, Mount};
use durable_stash_s3::{Fault, Instead, On, Operation, Rule, Terms};

use crate::bucket::{Bucket, NAME};
use crate::support::*;

#[tokio::test]
async fn fault_16_a_bucket_that_is_made_later_is_used_from_then_on() {
    let bucket = Bucket::missing().await;
    let mut config = bucket.config();
    config.policy.recover_timeout_ms = 300;
    let engine = start(config);
    let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
    assert!(reason.contains("the bucket does not exist"), "{reason}");
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    let began = Instant::now();
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(5));
    bucket.create();
    flush(&handle).await.unwrap();
    assert_eq!(engine.health().state, HealthState::Ready);
    assert_eq!(stored(&engine, "sid", "count").await, Some(1));
}

/// What is refused in mid-run is said, waited for without a storm, and saved once it is mended.
async fn is_waited_for(instead: Instead, said: &str) {
    let bucket = Bucket::new().await;
    let mut config = bucket.config();
    // The pauses of a release, so that what is counted is what a store would get.
    config.policy.backoff_base_ms = 50;
    config.policy.backoff_cap_ms = 5_000;
    config.policy.recover_timeout_ms = 300;
    let engine = start(config.clone());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    let before = bucket.server.trace().latest().len();
    bucket.everything(instead.clone());
    stash(&handle, "count", 2);
    let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
    assert!(reason.contains(said), "{instead:?}: {reason}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = bucket.server.trace().latest().len() - before;
    assert!(asked <= 20, "{instead:?}: {asked} requests are a storm");
    assert_eq!((handle.status().saved, handle.status().failures), (1, 0), "{instead:?}");
    assert!(recover(&mount(&engine, "another sid", "tab", Mount::Fresh)).await.is_err(), "in time");
    bucket.heal();
    flush(&handle).await.unwrap();
    assert_eq!(engine.health().state, HealthState::Ready);
    assert_eq!(stored(&start(config), "sid", "count").await, Some(2));
    bucket.has_whole_chains();
}

#[tokio::test]
async fn fault_17_credentials_that_expire_in_mid_run_are_said_and_waited_for() {
    is_waited_for(Instead::ExpiredToken, "the credentials have expired").await;
    is_waited_for(Instead::AccessDenied, "the credentials do not allow it").await;
}

#[tokio::test]
async fn fault_18_a_clock_that_is_wrong_is_said_without_a_storm_and_waited_for() {
    is_waited_for(Instead::RequestTimeTooSkewed, "this machine's clock is wrong").await;
}

#[tokio::test]
async fn fault_18_a_clock_that_is_wrong_at_the_start_is_said_by_the_probe() {
    let bucket = Bucket::new().await;
    bucket.everything(Instead::RequestTimeTooSkewed);
    let engine = start(bucket.config());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
    assert!(reason.contains("this machine's clock is wrong"), "{reason}");
    bucket.heal();
    flush(&handle).await.unwrap();
    assert_eq!(bucket.commits(), 1);
}

#[tokio::test]
async fn fault_17_reads_that_are_denied_alone_and_writes_that_are_denied_alone_are_waited_for() {
    for operation in [Operation::GetObject, Operation::PutObject] {
        let bucket = Bucket::new().await;
        let mut config = bucket.config();
        config.policy.recover_timeout_ms = 300;
        let engine = start(config);
        let handle = fresh(&engine, "sid");
        stash(&handle, "count", 1);
        flush(&handle).await.unwrap();
        bucket.documents(operation, Fault::before(Instead::AccessDenied));
        let other = mount(&engine, "another sid", "tab", Mount::Fresh);
        stash(&other, "count", 2);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!((other.status().saved, other.status().failures), (0, 0), "{operation:?}");
        bucket.heal();
        flush(&other).await.unwrap();
        assert_eq!(stored(&engine, "another sid", "count").await, Some(2));
    }
}

#[tokio::test]
async fn fault_30_a_policy_that_wants_a_header_or_an_object_lock_is_said_and_nothing_is_taken_for_saved() {
    // Both answer 403 to a PUT: the policy to each, and so to the probe's; the lock to what would replace an object.
    for spares_the_probe in [false, true] {
        let bucket = Bucket::new().await;
        let on = On { key_lacks: spares_the_probe.then(|| "/probe/".into()), ..On::operation(Operation::PutObject) };
        bucket.rule(Rule::always(on, Fault::before(Instead::AccessDenied)));
        let engine = start(bucket.config());
        let handle = fresh(&engine, "sid");
        stash(&handle, "count", 1);
        let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
        assert!(reason.contains("denies writing") || reason.contains("do not allow it"), "{reason}");
        assert_eq!((handle.status().saved, handle.status().failures, bucket.commits()), (0, 0, 0));
        bucket.heal();
        flush(&handle).await.unwrap();
        assert_eq!(bucket.commits(), 1);
    }
}

#[tokio::test]
async fn fault_30_what_a_lifecycle_rule_or_a_delete_marker_takes_from_a_live_session_is_made_anew() {
    let bucket = Bucket::new().await;
    let engine = start(bucket.config());
    let handle = fresh(&engine, "sid");
    stash(&handle, "one", 1);
    flush(&handle).await.unwrap();
    bucket.server.store().delete(NAME, &bucket.key(), Terms::default()).unwrap();
    stash(&handle, "two", 2);
    flush(&handle).await.unwrap();
    assert_eq!((stored(&engine, "sid", "one").await, stored(&engine, "sid", "two").await), (Some(1), Some(2)));
}
