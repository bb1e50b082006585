//! Stores that take conditions for something else, and reads that lag behind.

use durable_stash_engine::{EngineEvent, ErrorKind, HealthState, Incident, Mount};
use durable_stash_s3::{ConditionFault, Fault, Instead, On, Operation, Rule};

use crate::bucket::{Bucket, NAME, documents};
use crate::support::*;

#[tokio::test]
async fn fault_09_a_409_before_and_after_the_commit_costs_a_read_and_nothing_else() {
    let bucket = Bucket::new().await;
    let (engine, seen) = start_seen(bucket.config());
    let handle = fresh(&engine, "sid");
    for (n, fault) in [Fault::before(Instead::Conflict), Fault::after(Instead::Conflict)].into_iter().enumerate() {
        for round in 0..2 {
            bucket.next(Operation::PutObject, fault.clone());
            stash(&handle, "count", n as u64 * 2 + round);
            flush(&handle).await.unwrap();
        }
    }
    assert_eq!(bucket.server.faults().steps_left(), 0);
    assert_eq!((bucket.puts().len(), bucket.commits()), (6, 4), "what was in is not written again");
    assert_eq!(stored(&engine, "sid", "count").await, Some(3));
    bucket.has_whole_chains();
    assert!(!seen.any(|event| matches!(event, EngineEvent::Crashed { .. })));
}

#[tokio::test]
async fn fault_13_a_server_that_ignores_conditions_or_checks_too_early_is_refused() {
    let faults = [(ConditionFault::Ignored, "If-None-Match"), (ConditionFault::Racy { window_ms: 200 }, "concurrent")];
    for (fault, word) in faults {
        let bucket = Bucket::new().await;
        bucket.rule(Rule::always(On::default(), Fault::conditions(fault)));
        let engine = start(bucket.config());
        let handle = fresh(&engine, "sid");
        let sentence = health(&engine, HealthState::Refusing).await.reason.unwrap();
        assert!(sentence.contains(word) && sentence.contains("single_writer: true"), "{sentence}");
        assert_eq!(try_stash(&handle, "count", 1).unwrap_err().kind, ErrorKind::Refused);
        assert_eq!(bucket.commits(), 0, "nothing is written rather than risked");
        assert!(recover(&handle).await.unwrap().found.is_none(), "reads go on");
    }
}

#[tokio::test]
async fn fault_14_a_server_without_conditions_is_named_and_serves_a_single_writer() {
    let bucket = Bucket::new().await;
    bucket.rule(Rule::always(On::default(), Fault::conditions(ConditionFault::Refused)));
    let engine = start(bucket.config());
    let sentence = health(&engine, HealthState::Refusing).await.reason.unwrap();
    assert!(sentence.contains("refuses conditional writes") && sentence.contains("single_writer: true"), "{sentence}");
    assert_eq!(bucket.commits(), 0);

    let mut config = bucket.config();
    config.policy.single_writer = true;
    let engine = start(config);
    health(&engine, HealthState::Ready).await;
    let handle = fresh(&engine, "sid");
    for n in 1..=3 {
        stash(&handle, "count", n);
        flush(&handle).await.unwrap();
    }
    assert!(bucket.puts().iter().all(|put| !put.conditional), "no condition is sent any more");
    assert_eq!((stored(&engine, "sid", "count").await, bucket.commits()), (Some(3), 3));
}

#[tokio::test]
async fn fault_15_reads_that_lag_are_asked_again_and_never_shown_to_who_knows_better() {
    let bucket = Bucket::new().await;
    let engine = start(bucket.config());
    let handle = fresh(&engine, "sid");
    for n in 1..=5 {
        stash(&handle, "count", n);
        flush(&handle).await.unwrap();
    }
    for versions in 1..=4 {
        // Two in a row, so that asking once more is not enough.
        bucket.rule(Rule { times: Some(2), ..Rule::always(documents(Operation::GetObject), Fault::stale(versions)) });
        assert_eq!(stored(&engine, "sid", "count").await, Some(5), "{versions} versions behind");
    }
    assert!(engine.stats().stale_reads >= 4, "{:?}", engine.stats());
}

#[tokio::test]
async fn fault_15_a_node_that_reads_what_is_old_meets_412_and_loses_nothing() {
    let bucket = Bucket::new().await;
    let (one, (two, seen)) = (start(bucket.config()), start_seen(bucket.config()));
    let handle = fresh(&one, "sid");
    for n in 1..=3 {
        stash(&handle, "one", n);
        flush(&handle).await.unwrap();
    }
    // The other node has seen nothing yet: it cannot know that this is old.
    bucket.rule(Rule { times: Some(1), ..Rule::always(documents(Operation::GetObject), Fault::stale(2)) });
    let handle = mount(&two, "sid", "another tab", Mount::Fresh);
    stash(&handle, "two", 9);
    flush(&handle).await.unwrap();
    assert!(seen.any(|event| matches!(event, EngineEvent::Session { incident: Incident::Conflict(_), .. })));
    assert_eq!((stored(&two, "sid", "one").await, stored(&two, "sid", "two").await), (Some(3), Some(9)));
    assert!(bucket.puts().len() <= 3 + 3, "and does not meet it without end: {:?}", bucket.puts());
    bucket.has_whole_chains();
}

#[tokio::test]
async fn fault_71_an_older_object_that_an_operator_put_back_is_noticed_by_whoever_remembers_a_newer_one() {
    let bucket = Bucket::new().await;
    let (engine, seen) = start_seen(bucket.config());
    let handle = fresh(&engine, "sid");
    for n in 1..=3 {
        stash(&handle, "count", n);
        flush(&handle).await.unwrap();
    }
    let (store, key) = (bucket.server.store(), bucket.key());
    let old = store.history(NAME, &key)[0].body().unwrap().clone();
    store.overwrite(NAME, &key, &old).unwrap();
    assert_eq!(
        stored(&engine, "sid", "count").await,
        Some(3),
        "it is not shown what is older than what it was told is saved"
    );
    assert!(seen.any(|event| matches!(event, EngineEvent::Session { incident: Incident::StaleRead, .. })));
    // Whoever remembers nothing cannot know.
    assert_eq!(stored(&start(bucket.config()), "sid", "count").await, Some(1));
    // And the session goes on.
    stash(&handle, "count", 4);
    flush(&handle).await.unwrap();
    assert_eq!(stored(&start(bucket.config()), "sid", "count").await, Some(4));
}
