//! What every store has to do, as claims about a world that stores can be opened on. `conforms!` makes tests of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use durable_stash_engine::backend;
use durable_stash_engine::store::{Cursor, DeleteOutcome, ObjectName, Store};
use durable_stash_engine::{Backend, Config, Engine, HealthState};
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome};

use crate::support::{config, drain, flush, fresh, health, start, stash, stored};

/// A place that stores can be opened on, more than once.
pub(crate) trait World: Send + Sync {
    fn backend(&self) -> Backend;

    fn config(&self) -> Config {
        let mut config = config(self.backend());
        config.attempt_timeout_ms = 5_000;
        config
    }

    fn open(&self) -> Arc<dyn Store> {
        backend::open(&self.config()).unwrap()
    }
}

/// Every claim of the contract, each on a store of its own.
macro_rules! conforms {
    ($($backend:ident: $make:expr;)*) => {$(
        mod $backend {
            use super::*;

            conforms!(@claims $make;
                create_needs_absence
                update_needs_the_present_version
                update_of_a_missing_object_is_gone
                a_get_tells_the_version_that_the_put_was_given
                an_unchanged_object_is_not_sent_again
                of_many_concurrent_creates_one_wins
                no_increment_of_concurrent_writers_is_lost
                bytes_come_back_as_they_are
                an_object_beyond_the_bound_is_not_read
                a_listing_shows_each_document_once_page_by_page
                prefixes_do_not_meet
                a_conditional_delete_spares_a_newer_version
                a_copy_put_aside_stays_as_it_is
                a_scratch_object_can_be_removed
                the_probe_finds_the_store_sound
                a_session_survives_its_engine
            );
        }
    )*};
    (@claims $make:expr; $($claim:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $claim() {
            let make: fn(&str) -> Option<Box<dyn World>> = $make;
            if let Some(world) = make(concat!(module_path!(), "::", stringify!($claim))) {
                $crate::contract::$claim(&*world).await;
            }
        }
    )*};
}

pub(crate) use conforms;

pub(crate) async fn create_needs_absence(world: &dyn World) {
    let store = world.open();
    let name = name(1);
    assert_eq!(store.get(&name, None).await, GetOutcome::Missing);
    put(&*store, &name, "one", &Precondition::Absent).await.unwrap();
    assert_eq!(put(&*store, &name, "two", &Precondition::Absent).await, Err(PutOutcome::Moved));
    assert_eq!(body(&*store, &name).await, "one");
}

pub(crate) async fn update_needs_the_present_version(world: &dyn World) {
    let store = world.open();
    let name = name(1);
    let first = put(&*store, &name, "one", &Precondition::Absent).await.unwrap();
    let second = put(&*store, &name, "two", &Precondition::Matches(first.clone())).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(put(&*store, &name, "three", &Precondition::Matches(first)).await, Err(PutOutcome::Moved));
    assert_eq!(body(&*store, &name).await, "two");
    put(&*store, &name, "three", &Precondition::Matches(second)).await.unwrap();
}

pub(crate) async fn update_of_a_missing_object_is_gone(world: &dyn World) {
    let store = world.open();
    let etag = put(&*store, &name(1), "one", &Precondition::Absent).await.unwrap();
    let outcome = put(&*store, &name(2), "two", &Precondition::Matches(etag)).await.unwrap_err();
    // S3 itself says 404; stores that say 412 are as good.
    assert!(matches!(outcome, PutOutcome::Gone | PutOutcome::Moved), "{outcome:?}");
    assert_eq!(store.get(&name(2), None).await, GetOutcome::Missing);
}

pub(crate) async fn a_get_tells_the_version_that_the_put_was_given(world: &dyn World) {
    let store = world.open();
    let put_etag = put(&*store, &name(1), "one", &Precondition::Absent).await.unwrap();
    let GetOutcome::Found { etag, body } = store.get(&name(1), None).await else { panic!("not found") };
    assert_eq!((etag, &body[..]), (put_etag, &b"one"[..]));
}

pub(crate) async fn an_unchanged_object_is_not_sent_again(world: &dyn World) {
    let store = world.open();
    let first = put(&*store, &name(1), "one", &Precondition::Absent).await.unwrap();
    assert_eq!(store.get(&name(1), Some(&first)).await, GetOutcome::NotModified);
    put(&*store, &name(1), "two", &Precondition::Matches(first.clone())).await.unwrap();
    assert!(matches!(store.get(&name(1), Some(&first)).await, GetOutcome::Found { .. }));
    assert_eq!(store.get(&name(2), Some(&first)).await, GetOutcome::Missing);
}

pub(crate) async fn of_many_concurrent_creates_one_wins(world: &dyn World) {
    // Clients of their own, as on several nodes.
    let stores: Vec<_> = (0..8).map(|_| world.open()).collect();
    let races = stores.iter().enumerate().map(|(n, store)| {
        let store = store.clone();
        tokio::spawn(async move { put(&*store, &name(1), &format!("racer {n}"), &Precondition::Absent).await })
    });
    let mut winners = 0;
    for race in races.collect::<Vec<_>>() {
        match race.await.unwrap() {
            Ok(_) => winners += 1,
            Err(PutOutcome::Moved | PutOutcome::Busy) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(winners, 1);
}

pub(crate) async fn no_increment_of_concurrent_writers_is_lost(world: &dyn World) {
    const WRITERS: u64 = 4;
    const INCREMENTS: u64 = 15;
    put(&*world.open(), &name(1), "0 by nobody", &Precondition::Absent).await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = world.open();
            tokio::spawn(async move {
                let mut done = 0;
                while done < INCREMENTS {
                    let GetOutcome::Found { etag, body } = store.get(&name(1), None).await else { panic!("gone") };
                    let text = String::from_utf8(body.to_vec()).unwrap();
                    let count: u64 = text.split(' ').next().unwrap().parse().unwrap();
                    let next = format!("{} by {writer}, its {done}", count + 1);
                    match put(&*store, &name(1), &next, &Precondition::Matches(etag)).await {
                        Ok(_) => done += 1,
                        Err(PutOutcome::Moved | PutOutcome::Busy) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let last = body(&*world.open(), &name(1)).await;
    assert!(last.starts_with(&format!("{} by ", WRITERS * INCREMENTS)), "{last}");
}

pub(crate) async fn bytes_come_back_as_they_are(world: &dyn World) {
    let store = world.open();
    let every_byte: Vec<u8> = (0..=255).collect();
    let large = vec![b'x'; 1 << 20];
    for (n, bytes) in [every_byte, large, b"\r\n\0\xff".to_vec()].into_iter().enumerate() {
        let name = name(n as u8);
        let body = Bytes::from(bytes);
        assert!(matches!(store.put(&name, body.clone(), &Precondition::Absent).await, PutOutcome::Written(_)));
        let GetOutcome::Found { body: read, .. } = store.get(&name, None).await else { panic!("not found") };
        assert_eq!(read, body);
    }
}

pub(crate) async fn an_object_beyond_the_bound_is_not_read(world: &dyn World) {
    let mut config = world.config();
    config.policy.max_document_bytes = 1_000;
    let bounded = backend::open(&config).unwrap();
    let body = Bytes::from(vec![b'x'; 100 * 1024]);
    assert!(matches!(world.open().put(&name(1), body, &Precondition::Absent).await, PutOutcome::Written(_)));
    assert_eq!(bounded.get(&name(1), None).await, GetOutcome::TooLarge);
}

pub(crate) async fn a_listing_shows_each_document_once_page_by_page(world: &dyn World) {
    let store = world.open();
    let names: BTreeSet<_> = (0..25).map(|n| ObjectName::document(&[n * 10; 32])).collect();
    for name in &names {
        put(&*store, name, &format!("document {}", name.as_str()), &Precondition::Absent).await.unwrap();
    }
    assert!(store.put_aside(&name(1).aside(b"x"), Bytes::from_static(b"x")).await);
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<Cursor>, 0);
    loop {
        let page = store.list(cursor.as_ref(), 7).await.unwrap();
        pages += 1;
        for listed in page.objects {
            assert_eq!(listed.bytes, format!("document {}", listed.name.as_str()).len() as u64);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
            assert!(now.abs_diff(listed.last_modified_ms) < 60_000, "{listed:?} at {now}");
            seen.push(listed.name);
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert!(pages >= 4, "{pages}");
    assert_eq!(seen, names.into_iter().collect::<Vec<_>>(), "in order, once each, and nothing else");
}

pub(crate) async fn prefixes_do_not_meet(world: &dyn World) {
    let with = |prefix: &str| {
        let mut config = world.config();
        config.prefix = prefix.to_owned();
        backend::open(&config).unwrap()
    };
    let (one, two, none) = (with("one/"), with("one/two/"), with(""));
    put(&*one, &name(1), "one's", &Precondition::Absent).await.unwrap();
    put(&*two, &name(1), "two's", &Precondition::Absent).await.unwrap();
    assert_eq!(none.get(&name(1), None).await, GetOutcome::Missing);
    assert_eq!(body(&*one, &name(1)).await, "one's");
    assert_eq!(one.list(None, 100).await.unwrap().objects.len(), 1);
    assert_eq!(two.list(None, 100).await.unwrap().objects.len(), 1);
}

pub(crate) async fn a_conditional_delete_spares_a_newer_version(world: &dyn World) {
    let store = world.open();
    let first = put(&*store, &name(1), "one", &Precondition::Absent).await.unwrap();
    let second = put(&*store, &name(1), "two", &Precondition::Matches(first.clone())).await.unwrap();
    match store.delete_if(&name(1), &first).await {
        // Then nothing may be deleted at all.
        DeleteOutcome::Unsupported => {
            assert_eq!(store.delete_if(&name(1), &second).await, DeleteOutcome::Unsupported);
            assert_eq!(body(&*store, &name(1)).await, "two");
        }
        outcome => {
            assert_eq!(outcome, DeleteOutcome::Changed);
            assert_eq!(store.delete_if(&name(1), &second).await, DeleteOutcome::Deleted);
            assert_eq!(store.delete_if(&name(1), &second).await, DeleteOutcome::Missing);
            assert_eq!(store.get(&name(1), None).await, GetOutcome::Missing);
        }
    }
}

pub(crate) async fn a_copy_put_aside_stays_as_it_is(world: &dyn World) {
    let store = world.open();
    let aside = name(1).aside(b"damaged");
    for _ in 0..2 {
        assert!(store.put_aside(&aside, Bytes::from_static(b"damaged")).await);
    }
    assert_eq!(body(&*store, &aside).await, "damaged");
}

pub(crate) async fn a_scratch_object_can_be_removed(world: &dyn World) {
    let store = world.open();
    let scratch = ObjectName::scratch(7);
    put(&*store, &scratch, "scratch", &Precondition::Absent).await.unwrap();
    store.remove_scratch(&scratch).await;
    store.remove_scratch(&scratch).await;
    assert_eq!(store.get(&scratch, None).await, GetOutcome::Missing);
}

pub(crate) async fn the_probe_finds_the_store_sound(world: &dyn World) {
    let engine: Engine = start(world.config());
    assert_eq!(health(&engine, HealthState::Ready).await.reason, None);
    // And leaves nothing behind.
    let listed = world.open().list(None, 100).await.unwrap();
    assert_eq!(listed.objects, []);
}

pub(crate) async fn a_session_survives_its_engine(world: &dyn World) {
    let engine = start(world.config());
    let handle = fresh(&engine, "sid");
    for n in 1..=20 {
        stash(&handle, "count", n);
        if n % 7 == 0 {
            flush(&handle).await.unwrap();
        }
    }
    flush(&handle).await.unwrap();
    let report = drain(&engine, Duration::from_secs(5)).await;
    assert_eq!(report.unsaved_ops, 0);
    let next = start(world.config());
    assert_eq!(stored(&next, "sid", "count").await, Some(20));
}

fn name(n: u8) -> ObjectName {
    ObjectName::document(&[n; 32])
}

async fn put(store: &dyn Store, name: &ObjectName, body: &str, when: &Precondition) -> Result<ETag, PutOutcome> {
    match store.put(name, Bytes::from(body.to_owned()), when).await {
        PutOutcome::Written(etag) => Ok(etag),
        other => Err(other),
    }
}

async fn body(store: &dyn Store, name: &ObjectName) -> String {
    match store.get(name, None).await {
        GetOutcome::Found { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}
