//! Bodies that are slow, cut off, without an end, or not ours.

use std::time::{Duration, Instant};

use durable_stash_engine::{ErrorKind, HealthState, Mount};
use durable_stash_s3::{BodyFault, Fault, Operation, Rule};

use crate::bucket::{Bucket, NAME, documents};
use crate::support::*;

/// A saved session, and a second engine that has not read it yet.
async fn saved() -> (Bucket, durable_stash_engine::Engine) {
    let bucket = Bucket::new().await;
    let engine = start(bucket.config());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    let mut config = bucket.config();
    config.attempt_timeout_ms = 300;
    config.policy.recover_timeout_ms = 600;
    let next = start(config);
    health(&next, HealthState::Ready).await;
    (bucket, next)
}

#[tokio::test]
async fn fault_21_a_trickle_of_bytes_ends_at_the_deadline_and_fails_no_write() {
    let (bucket, engine) = saved().await;
    bucket.documents(Operation::GetObject, Fault::body(BodyFault::Dripping { every_ms: 50 }));
    let handle = mount(&engine, "sid", "tab", Mount::Rejoin);
    let began = Instant::now();
    stash(&handle, "count", 2);
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(handle.status().failures, 0);
    bucket.heal();
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test]
async fn fault_21_puts_slower_than_their_deadline_are_saved_once() {
    let (bucket, engine) = saved().await;
    let handle = mount(&engine, "sid", "tab", Mount::Rejoin);
    // The answer is late, the write is not.
    for n in 2..=4 {
        bucket.next(Operation::PutObject, Fault::delay_after(Duration::from_secs(1)));
        stash(&handle, "count", n);
        flush(&handle).await.unwrap();
    }
    assert_eq!((bucket.commits(), stored(&engine, "sid", "count").await), (4, Some(4)));
    bucket.has_whole_chains();
}

#[tokio::test]
async fn fault_21_a_body_without_an_end_is_given_up_and_read_again() {
    let (bucket, engine) = saved().await;
    bucket.documents(Operation::GetObject, Fault::body(BodyFault::Endless { every_ms: 1 }));
    let handle = mount(&engine, "sid", "tab", Mount::Rejoin);
    let began = Instant::now();
    let kind = recover(&handle).await.unwrap_err().kind;
    assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::Corrupt), "{kind:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    bucket.heal();
    assert_eq!(stored(&engine, "sid", "count").await, Some(1), "and nothing of it is kept");
    assert!(!bucket.has("/quarantine/"));
}

#[tokio::test]
async fn fault_26_a_body_that_is_cut_off_is_read_again_and_not_taken_for_damage() {
    for percent in [0, 50, 99] {
        let (bucket, engine) = saved().await;
        let cut = Fault::body(BodyFault::Truncated { percent });
        bucket.rule(Rule { times: Some(3), ..Rule::always(documents(Operation::GetObject), cut) });
        assert_eq!(stored(&engine, "sid", "count").await, Some(1), "{percent} %");
        assert!(!bucket.has("/quarantine/"), "what broke off on the way is not damaged");
    }
}

#[tokio::test]
async fn fault_26_a_damaged_object_is_copied_aside_before_it_is_replaced() {
    let (bucket, engine) = saved().await;
    let store = bucket.server.store();
    let key = bucket.key();
    let mut damaged = store.history(NAME, &key).last().unwrap().body().unwrap().to_vec();
    let last = damaged.len() - 3;
    damaged[last] ^= 1;
    store.overwrite(NAME, &key, &damaged).unwrap();
    let handle = mount(&engine, "sid", "tab", Mount::Rejoin);
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Corrupt);
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    let aside = store.objects(NAME).into_iter().find(|object| object.key.contains("/quarantine/")).unwrap();
    assert_eq!(aside.body().unwrap()[..], damaged[..]);
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test]
async fn fault_27_what_is_not_ours_is_never_served() {
    let bomb = [b"\x1f\x8b\x08\0".as_slice(), &[0; 1 << 20]].concat();
    for junk in [&b""[..], b"<html></html>", b"{\"other\":\"json\"}", &bomb] {
        let (bucket, engine) = saved().await;
        bucket.server.store().overwrite(NAME, &bucket.key(), junk).unwrap();
        let handle = mount(&engine, "sid", "tab", Mount::Rejoin);
        assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Corrupt, "{} bytes", junk.len());
        stash(&handle, "count", 2);
        flush(&handle).await.unwrap();
        assert!(bucket.has("/quarantine/"));
        assert_eq!(stored(&engine, "sid", "count").await, Some(2));
    }
}
