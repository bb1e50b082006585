//! What S3 says about conditions, listings and ranges, over HTTP.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use durable_stash_s3::ETag;
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use hyper::Method;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use support::*;
use tokio::sync::Barrier;

#[tokio::test]
async fn an_etag_is_the_md5_of_the_body() {
    let world = world().await;
    let put = world.create("k", "hello world").await.unwrap();
    assert_eq!(put.e_tag.unwrap(), "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"");
}

#[tokio::test]
async fn a_create_of_what_is_there_is_412() {
    let world = world().await;
    world.create("k", "one").await.unwrap();
    let answer = world.raw(Method::PUT, "k", "If-None-Match: *\r\n", "two").await;
    assert_eq!((answer.status(), answer.code().as_str()), (412, "PreconditionFailed"));
    assert!(matches!(world.create("k", "two").await, Err(Error::AlreadyExists { .. })));
    assert_eq!(world.stored("k").unwrap(), "one");
}

#[tokio::test]
async fn an_update_of_another_version_is_412_and_of_a_missing_object_404() {
    let world = world().await;
    let first = world.create("k", "one").await.unwrap().e_tag.unwrap();
    world.update("k", "two", &first).await.unwrap();
    let if_first = format!("If-Match: {first}\r\n");
    let answer = world.raw(Method::PUT, "k", &if_first, "three").await;
    assert_eq!((answer.status(), answer.code().as_str()), (412, "PreconditionFailed"));
    let answer = world.raw(Method::PUT, "missing", &if_first, "three").await;
    assert_eq!((answer.status(), answer.code().as_str()), (404, "NoSuchKey"));
    assert!(matches!(world.update("k", "three", &first).await, Err(Error::Precondition { .. })));
    assert_eq!(world.server.store().commits(), 2);
}

#[tokio::test]
async fn a_create_unless_a_certain_etag_is_not_implemented() {
    let world = world().await;
    let answer = world.raw(Method::PUT, "k", "If-None-Match: \"abc\"\r\n", "body").await;
    assert_eq!((answer.status(), answer.code().as_str()), (501, "NotImplemented"));
}

#[tokio::test]
async fn a_known_version_is_304_without_a_body() {
    let world = world().await;
    let etag = world.create("k", "body").await.unwrap().e_tag.unwrap();
    for method in [Method::GET, Method::HEAD] {
        let answer = world.raw(method, "k", &format!("If-None-Match: {etag}\r\n"), "").await;
        assert_eq!((answer.status(), answer.header("etag"), answer.body.len()), (304, Some(etag.as_str()), 0));
    }
    let answer = world.raw(Method::GET, "k", "If-None-Match: \"other\"\r\n", "").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "body"));
    let answer = world.raw(Method::GET, "k", "If-Match: \"other\"\r\n", "").await;
    assert_eq!(answer.status(), 412);
}

#[tokio::test]
async fn a_conditional_delete_takes_only_the_version_it_names() {
    let world = world().await;
    let first = world.create("k", "one").await.unwrap().e_tag.unwrap();
    let second = world.update("k", "two", &first).await.unwrap().e_tag.unwrap();
    let delete = async |etag: &str| {
        let answer = world.raw(Method::DELETE, "k", &format!("If-Match: {etag}\r\n"), "").await;
        (answer.status(), answer.code())
    };
    assert_eq!(delete(&first).await, (412, "PreconditionFailed".to_owned()));
    assert_eq!(world.stored("k").unwrap(), "two");
    assert_eq!(delete(&second).await, (204, String::new()));
    assert_eq!(delete(&second).await, (404, "NoSuchKey".to_owned()));
    assert_eq!(world.raw(Method::DELETE, "k", "", "").await.status(), 204, "without a condition absence is fine");
    assert_eq!(world.raw(Method::GET, "k", "", "").await.code(), "NoSuchKey");
    world.create("k", "three").await.unwrap();
}

#[tokio::test]
async fn many_objects_are_deleted_at_once() {
    let world = world().await;
    let keys: Vec<_> = (0..5).map(|n| Path::from(format!("{n}"))).collect();
    for key in &keys[..4] {
        world.create(key.as_ref(), "body").await.unwrap();
    }
    let all = futures_util::stream::iter(keys.clone()).map(Ok).boxed();
    let deleted: Vec<_> = world.client.delete_stream(all).try_collect().await.unwrap();
    assert_eq!(deleted.len(), 5, "a missing one is no error");
    assert_eq!(world.server.store().objects(BUCKET), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_32_writers_of_one_version_exactly_one_wins_each_round() {
    const WRITERS: usize = 32;
    const ROUNDS: usize = 50;
    let world = Arc::new(world().await);
    let mut etag = world.create("k", "start").await.unwrap().e_tag.unwrap();
    for round in 0..ROUNDS {
        let barrier = Arc::new(Barrier::new(WRITERS));
        let lost = Arc::new(AtomicUsize::new(0));
        let writers = (0..WRITERS).map(|writer| {
            let (world, barrier, lost, etag) = (world.clone(), barrier.clone(), lost.clone(), etag.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                match world.update("k", &format!("round {round} of {writer}"), &etag).await {
                    Ok(put) => put.e_tag,
                    Err(Error::Precondition { .. }) => {
                        lost.fetch_add(1, Relaxed);
                        None
                    }
                    Err(other) => panic!("{other:?}"),
                }
            })
        });
        let won: Vec<_> = join_all(writers).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!((won.len(), lost.load(Relaxed)), (1, WRITERS - 1), "round {round}");
        etag.clone_from(&won[0]);
        let ETag::Strong(present) = etag.parse().unwrap() else { panic!("weak") };
        assert_eq!(world.server.store().history(BUCKET, "k").last().unwrap().etag(), Some(present.as_str()));
    }
    assert_eq!(world.server.store().commits() as usize, ROUNDS + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_32_creators_exactly_one_wins_each_round() {
    let world = Arc::new(world().await);
    for round in 0..50 {
        let key = format!("{round}");
        let creators = (0..32).map(|creator| {
            let (world, key) = (world.clone(), key.clone());
            tokio::spawn(async move { world.create(&key, &format!("{creator}")).await.is_ok() })
        });
        let won = join_all(creators).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
        assert_eq!((won, world.server.store().history(BUCKET, &key).len()), (1, 1), "round {round}");
    }
}

#[tokio::test]
async fn a_listing_is_in_order_by_pages_and_tells_size_and_time() {
    let world = world().await;
    let keys: BTreeSet<_> = (0..25).map(|n| format!("p/{n:02}")).collect();
    for key in &keys {
        world.create(key, key).await.unwrap();
    }
    world.create("q", "not in it").await.unwrap();
    let (mut seen, mut token, mut pages) = (Vec::new(), None, 0);
    loop {
        let options =
            PaginatedListOptions { max_keys: Some(10), page_token: token.take(), ..PaginatedListOptions::default() };
        let page = world.client.list_paginated(Some("p/"), options).await.unwrap();
        pages += 1;
        for object in page.result.objects {
            let age = std::time::SystemTime::now().duration_since(object.last_modified.into()).unwrap();
            assert!(age.as_secs() < 60 && object.size == 4 && object.e_tag.is_some(), "{object:?}");
            seen.push(object.location.to_string());
        }
        token = page.page_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(seen, keys.into_iter().collect::<Vec<_>>());
    let after: Vec<_> = world.client.list_with_offset(None, &"p/22".into()).try_collect().await.unwrap();
    assert_eq!(after.iter().map(|object| object.location.as_ref()).collect::<Vec<_>>(), ["p/23", "p/24", "q"]);
    let top = world.client.list_with_delimiter(None).await.unwrap();
    assert_eq!((top.common_prefixes, top.objects.len()), (vec![Path::from("p")], 1));
}

#[tokio::test]
async fn a_range_is_a_part() {
    let world = world().await;
    world.create("k", "0123456789").await.unwrap();
    assert_eq!(&world.client.get_range(&"k".into(), 2..5).await.unwrap()[..], b"234");
}

#[tokio::test]
async fn what_was_written_comes_back_byte_for_byte_with_its_headers() {
    let world = world().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let mut attributes = object_store::Attributes::new();
    attributes.insert(object_store::Attribute::ContentType, "application/x-ndjson".into());
    attributes.insert(object_store::Attribute::CacheControl, "no-store".into());
    attributes.insert(object_store::Attribute::Metadata("who".into()), "me".into());
    let options = object_store::PutOptions { attributes: attributes.clone(), ..Default::default() };
    world.client.put_opts(&"k".into(), bytes.clone().into(), options).await.unwrap();
    let read = world.client.get(&"k".into()).await.unwrap();
    assert_eq!(read.attributes, attributes);
    assert!(read.bytes().await.unwrap() == bytes);
    assert_eq!(world.client.head(&"k".into()).await.unwrap().size, 3 << 20);
}

#[tokio::test]
async fn a_missing_bucket_is_404_until_it_is_made() {
    let world = world().await;
    let client = client(&world.server).with_bucket_name("other").build().unwrap();
    let error = client.put(&"k".into(), "body".into()).await.unwrap_err();
    assert!(matches!(&error, Error::NotFound { .. }) && error.to_string().contains("NoSuchBucket"), "{error}");
    assert_eq!(exchange(world.server.address(), &Method::HEAD, "/other", "", "").await.status(), 404);
    assert_eq!(exchange(world.server.address(), &Method::PUT, "/other", "", "").await.status(), 200);
    assert_eq!(exchange(world.server.address(), &Method::HEAD, "/other", "", "").await.status(), 200);
    client.put(&"k".into(), "body".into()).await.unwrap();
}
