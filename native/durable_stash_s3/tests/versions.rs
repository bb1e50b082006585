//! The version log: complete, in order, and the same over the control paths.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use durable_stash_s3::{Fault, Instead, On, Operation, Options, Plan, Rule, Terms};
use hyper::Method;
use serde_json::Value;
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_acknowledged_write_is_in_the_log_once_and_the_log_is_a_chain() {
    const WRITERS: usize = 16;
    const WRITES: usize = 40;
    let world = Arc::new(world().await);
    // Answers get lost, too: the log must have more than what was acknowledged, and nothing less.
    let lost = Rule::with_chance(0.1, On::operation(Operation::PutObject), Fault::after(Instead::Reset));
    world.server.faults().set(Plan { seed: 5, rules: vec![lost], ..Plan::default() });
    let writers = (0..WRITERS).map(|writer| {
        let world = world.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0..WRITES {
                let key = format!("{}", (writer + n) % 4);
                let body = format!("{writer} {n}");
                let present = world.raw(Method::GET, &key, "", "").await;
                let put = match present.header("etag") {
                    Some(etag) => world.update(&key, &body, etag).await,
                    None => world.create(&key, &body).await,
                };
                if put.is_ok() {
                    acknowledged.push((key, body));
                }
            }
            acknowledged
        })
    });
    let mut acknowledged = HashSet::new();
    for writer in writers.collect::<Vec<_>>() {
        acknowledged.extend(writer.await.unwrap());
    }

    let log = world.server.store().log(0);
    let text = |n: usize| String::from_utf8(log[n].body().unwrap().to_vec()).unwrap();
    let logged: Vec<_> = (0..log.len()).map(|n| (log[n].key.clone(), text(n))).collect();
    let distinct: HashSet<_> = logged.iter().cloned().collect();
    assert_eq!(distinct.len(), logged.len(), "nothing twice");
    assert!(acknowledged.is_subset(&distinct), "nothing lost");
    assert!(acknowledged.len() > WRITERS && distinct.len() > acknowledged.len(), "the test saw both");
    assert!(log.iter().map(|version| version.commit).eq(1..=log.len() as u64), "without gaps");
    assert!(log.is_sorted_by_key(|version| version.at) && log.is_sorted_by_key(|version| version.uptime));
    for key in ["0", "1", "2", "3"] {
        let history = world.server.store().history(BUCKET, key);
        assert_eq!(history[0].replaced, None);
        for pair in history.windows(2) {
            assert_eq!(pair[1].replaced.as_deref(), pair[0].etag(), "each names the one it replaced");
            let asked = pair[1].conditions.if_match.as_ref().unwrap().to_http_header().unwrap();
            assert_eq!(asked.to_str().unwrap().trim_matches('"'), pair[0].etag().unwrap());
        }
    }
}

#[tokio::test]
async fn deletions_and_writes_by_hand_are_in_the_log() {
    let world = world().await;
    world.create("k", "one").await.unwrap();
    assert_eq!(world.raw(Method::DELETE, "k", "", "").await.status(), 204);
    assert_eq!(world.raw(Method::DELETE, "k", "", "").await.status(), 204, "deletes nothing, and is no commit");
    world.server.store().overwrite(BUCKET, "k", b"by hand").unwrap();
    world.server.store().delete(BUCKET, "k", Terms::default()).unwrap();
    let log = world.server.store().log(0);
    let seen: Vec<_> = log.iter().map(|version| (version.body().is_some(), version.request.is_some())).collect();
    assert_eq!(seen, [(true, true), (false, true), (true, false), (false, false)]);
    assert_eq!(world.server.store().log(3), log[3..]);
    assert_eq!(world.server.store().log(99), []);
}

#[tokio::test]
async fn the_control_path_gives_the_log_line_by_line() {
    let world = world().await;
    world.server.store().create_bucket("another");
    let etag = world.create("some/key", "one").await.unwrap().e_tag.unwrap();
    world.update("some/key", "two", &etag).await.unwrap();
    world.create("k", "three").await.unwrap();
    world.server.store().overwrite("another", "k", b"\xff").unwrap();
    let lines = async |target: &str| -> Vec<Value> {
        let answer = world.control(Method::GET, target, "").await;
        assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/x-ndjson")));
        dechunked(&answer).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(lines("/_versions").await.len(), 4);
    assert_eq!(lines("/_versions?after=3").await.len(), 1);
    assert_eq!(lines("/_versions/bucket").await.len(), 3);
    assert_eq!(lines("/_versions/bucket/missing").await.len(), 0);
    let history = lines("/_versions/bucket/some/key").await;
    assert_eq!(history.len(), 2);
    let second = &history[1];
    assert_eq!(second["commit"], 2);
    assert_eq!(second["if_match"], etag);
    assert_eq!(second["replaced"], etag.trim_matches('"'));
    assert_eq!(second["deleted"], false);
    assert_eq!(BASE64.decode(second["body"].as_str().unwrap()).unwrap(), b"two");
    assert!(second["at_us"].as_u64() > history[0]["at_us"].as_u64());
    assert_eq!(lines("/_requests").await.len(), 3, "control paths and writes by hand are not among them");
    assert_eq!(world.control(Method::GET, "/_versions?before=3", "").await.status(), 400);
}

#[tokio::test]
async fn a_store_outlives_its_server_on_the_same_port() {
    let first = world().await;
    first.create("k", "body").await.unwrap();
    let (store, port) = (first.server.store().clone(), first.server.address().port());
    let client = first.client;
    first.server.stop().await;
    let error = object_store::ObjectStoreExt::get(&client, &"k".into()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::Generic { .. }), "{error}");
    let second = world_with(Options { store, port, ..Options::default() }).await;
    assert_eq!(second.body("k").await.unwrap(), "body");
}

/// The text of an answer in chunks.
fn dechunked(answer: &Raw) -> String {
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let (mut rest, mut text) = (&answer.body[..], Vec::new());
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return String::from_utf8(text).unwrap();
        }
        text.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
}
