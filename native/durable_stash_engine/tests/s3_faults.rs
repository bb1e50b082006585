//! The S3 backend against servers that break their word, or HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use durable_stash_engine::{
    Backend, Config, EngineEvent, ErrorKind, HealthState, Incident, Mount, S3Config, Secret, backend,
};
use durable_stash_machine::{GetOutcome, Precondition, PutOutcome};
use support::http::{Act, Request, Server};
use support::*;

/// Serves well, but for the PUT of this index.
fn first_put(act: Act) -> impl Fn(&Request) -> Act + Send + Sync {
    move |request| if request.is_put() && !request.is_scratch() && request.index == 0 { act } else { Act::Serve }
}

/// Serves the probe well, and everything else like this.
fn documents(act: Act) -> impl Fn(&Request) -> Act + Send + Sync {
    move |request| if request.is_scratch() { Act::Serve } else { act }
}

async fn one_write(act: Act) -> (Server, Arc<Seen>) {
    let server = Server::start(first_put(act)).await;
    let (engine, seen) = start_seen(server.config());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 7);
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(7));
    (server, seen)
}

fn conflicts(seen: &Seen) -> bool {
    seen.any(|event| matches!(event, EngineEvent::Session { incident: Incident::Conflict(_), .. }))
}

#[tokio::test]
async fn fault_01_a_commit_whose_answer_is_lost_is_saved_once() {
    let (server, seen) = one_write(Act::ServeThenHangUp).await;
    assert_eq!((server.puts(), server.commits()), (1, 1));
    assert!(!conflicts(&seen));
}

#[tokio::test]
async fn fault_02_a_put_that_was_never_applied_is_sent_again() {
    let (server, seen) = one_write(Act::HangUp).await;
    assert_eq!((server.puts(), server.commits()), (2, 1));
    assert!(!conflicts(&seen));
}

#[tokio::test]
async fn fault_03_an_error_after_the_commit_is_no_conflict_with_ourselves() {
    for status in [500, 502, 503, 504, 408] {
        let (server, seen) = one_write(Act::ServeThenSay(status)).await;
        // The HTTP client did not repeat it: the one PUT is what the machine asked for.
        assert_eq!((server.puts(), server.commits()), (1, 1), "after {status}");
        assert!(!conflicts(&seen), "after {status}: {:?}", seen.events());
    }
}

#[tokio::test]
async fn fault_09_a_409_is_asked_again_on_create_and_on_update() {
    let server = Server::start(|request: &Request| match request.index {
        0 | 2 if request.is_put() && !request.is_scratch() => Act::SayCode(409, "ConditionalRequestConflict"),
        _ => Act::Serve,
    })
    .await;
    let engine = start(server.config());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    stash(&handle, "count", 2);
    flush(&handle).await.unwrap();
    assert_eq!((server.puts(), server.commits()), (4, 2));
    assert_eq!(stored(&engine, "sid", "count").await, Some(2));
}

#[tokio::test]
async fn fault_13_a_store_that_ignores_conditions_is_refused_in_plain_words() {
    for (act, word) in [(Act::IgnoreConditions, "If-None-Match"), (Act::LetRacersWin, "concurrent")] {
        let server = Server::start(move |_: &Request| act).await;
        let engine = start(server.config());
        let handle = fresh(&engine, "sid");
        let health = health(&engine, HealthState::Refusing).await;
        let sentence = health.reason.unwrap();
        let error = try_stash(&handle, "count", 1).unwrap_err();
        assert_eq!((error.kind, &error.message), (ErrorKind::Refused, &sentence));
        for part in ["the S3 bucket `bucket` at http://127.0.0.1", word, "single_writer: true"] {
            assert!(sentence.contains(part), "{sentence}");
        }
        assert_eq!(server.commits(), 0, "nothing is written rather than risked");
        // Reads go on.
        assert!(recover(&handle).await.unwrap().found.is_none());
    }
}

#[tokio::test]
async fn fault_13_a_write_that_waited_for_the_verdict_is_refused_with_it() {
    let server = Server::start(|_: &Request| Act::IgnoreConditions).await;
    let engine = start(server.config());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1); // the probe is under way
    assert_eq!(flush(&handle).await.unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(server.commits(), 0);
}

#[tokio::test]
async fn fault_13_a_single_writer_may_accept_such_a_store() {
    let server = Server::start(|_: &Request| Act::IgnoreConditions).await;
    let mut config = server.config();
    config.policy.single_writer = true;
    let engine = start(config);
    let health = health(&engine, HealthState::Ready).await;
    assert!(health.reason.unwrap().contains("single_writer"));
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
}

#[tokio::test]
async fn fault_14_a_store_that_refuses_conditions_is_named_with_the_option() {
    let server = Server::start(|_: &Request| Act::RefuseConditions).await;
    let engine = start(server.config());
    let sentence = health(&engine, HealthState::Refusing).await.reason.unwrap();
    assert!(sentence.contains("refuses conditional writes") && sentence.contains("single_writer: true"), "{sentence}");

    let mut config = server.config();
    config.policy.single_writer = true;
    let engine = start(config);
    health(&engine, HealthState::Ready).await;
    let before = server.conditional();
    let handle = fresh(&engine, "sid");
    for n in 1..=3 {
        stash(&handle, "count", n);
        flush(&handle).await.unwrap();
    }
    assert_eq!(server.conditional(), before, "no condition is sent any more");
    assert_eq!(stored(&engine, "sid", "count").await, Some(3));
}

#[tokio::test]
async fn fault_16_a_missing_bucket_is_said_and_writes_wait_for_it() {
    let there = Arc::new(AtomicBool::new(false));
    let now_there = there.clone();
    let server = Server::start(
        move |_: &Request| {
            if now_there.load(Relaxed) { Act::Serve } else { Act::SayCode(404, "NoSuchBucket") }
        },
    )
    .await;
    let mut config = server.config();
    config.policy.recover_timeout_ms = 300;
    let engine = start(config);
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
    assert!(reason.contains("NoSuchBucket") && reason.contains("does not exist"), "{reason}");
    let began = Instant::now();
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(handle.status().failures, 0);
    there.store(true, Relaxed);
    flush(&handle).await.unwrap();
    assert_eq!(engine.health().state, HealthState::Ready);
}

#[tokio::test]
async fn fault_16_a_bucket_in_another_region_is_said_and_no_redirect_is_followed() {
    for status in [301, 303, 307] {
        let server = Server::start(move |_: &Request| Act::Redirect(status)).await;
        let engine = start(server.config());
        let handle = fresh(&engine, "sid");
        stash(&handle, "count", 1);
        let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
        assert!(reason.contains("region"), "{reason}");
        assert_eq!((handle.status().saved, server.commits()), (0, 0));
    }
}

#[tokio::test]
async fn fault_17_denied_credentials_are_said_and_waited_for() {
    let denied = Arc::new(AtomicBool::new(true));
    let is_denied = denied.clone();
    let server = Server::start(
        move |_: &Request| {
            if is_denied.load(Relaxed) { Act::SayCode(403, "AccessDenied") } else { Act::Serve }
        },
    )
    .await;
    let engine = start(server.config());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
    assert!(reason.contains("denies reading") && reason.contains("s3:ListBucket"), "{reason}");
    denied.store(false, Relaxed);
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(1));
}

#[tokio::test]
async fn fault_17_a_request_with_expired_credentials_is_made_once_more_with_fresh_ones() {
    for (status, code) in [(400, "ExpiredToken"), (403, "ExpiredToken"), (400, "InvalidToken")] {
        let server = Server::start(move |request: &Request| match request.index {
            _ if request.is_scratch() => Act::Serve,
            0 => Act::SayCode(status, code),
            _ => Act::Serve,
        })
        .await;
        let store = backend::open(&server.config()).unwrap();
        let name = durable_stash_engine::store::ObjectName::document(&[7; 32]);
        let body = bytes::Bytes::from_static(b"body");
        let outcome = store.put(&name, body, &Precondition::Absent).await;
        assert!(matches!(outcome, PutOutcome::Written(_)), "{code}: {outcome:?}");
        assert_eq!((server.puts(), server.commits()), (2, 1));
    }
}

#[tokio::test]
async fn fault_17_where_fresh_credentials_have_expired_too_no_storm_of_requests_follows() {
    let server = Server::start(documents(Act::SayCode(403, "ExpiredToken"))).await;
    let store = backend::open(&server.config()).unwrap();
    let name = durable_stash_engine::store::ObjectName::document(&[7; 32]);
    for _ in 0..10 {
        let outcome = store.put(&name, bytes::Bytes::from_static(b"body"), &Precondition::Absent).await;
        assert_eq!(outcome, PutOutcome::Unknown { retry_after: None });
    }
    assert_eq!(server.puts(), 11, "the first of them was made twice");
    server.script(|_| Act::Serve);
    let outcome = store.put(&name, bytes::Bytes::from_static(b"body"), &Precondition::Absent).await;
    assert!(matches!(outcome, PutOutcome::Written(_)), "{outcome:?}");
}

#[tokio::test]
async fn fault_19_after_an_outage_every_accepted_write_is_saved() {
    let server = Server::start(|_: &Request| Act::Serve).await;
    let mut config = server.config();
    config.requests_in_flight = 16;
    let engine = start(config.clone());
    health(&engine, HealthState::Ready).await;
    let handles: Vec<_> = (0..40).map(|n| fresh(&engine, &format!("sid {n}"))).collect();
    for (n, handle) in handles.iter().enumerate() {
        stash(handle, "count", n as u64);
        flush(handle).await.unwrap();
    }
    server.script(|_| Act::Say(503));
    for round in 0..10 {
        for (n, handle) in handles.iter().enumerate() {
            stash(handle, "count", 1_000 * (round + 1) + n as u64);
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(engine.health().state, HealthState::Degraded);
    assert!(handles.iter().all(|handle| handle.status().saved < handle.status().accepted));
    server.script(|_| Act::Serve);
    let next = start(config);
    for (n, handle) in handles.iter().enumerate() {
        flush(handle).await.unwrap();
        assert_eq!(stored(&next, &format!("sid {n}"), "count").await, Some(10_000 + n as u64));
    }
}

#[tokio::test]
async fn fault_20_a_browned_out_store_loses_and_doubles_nothing() {
    let server = Server::start(|request: &Request| match request.index * 7 % 20 {
        _ if request.is_scratch() => Act::Serve,
        0 | 1 => Act::Say(503),
        2 => Act::HangUp,
        3 => Act::ServeThenHangUp,
        4 => Act::ServeThenSay(500),
        _ => Act::Serve,
    })
    .await;
    let engines = [start(server.config()), start(server.config())];
    let handles: Vec<_> = (0..6).map(|n| mount(&engines[n % 2], "sid", &format!("tab {n}"), Mount::Fresh)).collect();
    for round in 1..=15 {
        for (n, handle) in handles.iter().enumerate() {
            stash(handle, &format!("key {n}"), round);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for handle in &handles {
        flush(handle).await.unwrap();
    }
    server.script(|_| Act::Serve);
    let next = start(server.config());
    for n in 0..6 {
        assert_eq!(stored(&next, "sid", &format!("key {n}")).await, Some(15));
    }
    // I5: one revision per applied PUT, whoever sent it.
    assert_eq!(rev(&server.documents()[0]), server.commits());
}

#[tokio::test]
async fn fault_20_retry_after_is_honoured() {
    let server = Server::start(first_put(Act::Throttle)).await;
    let engine = start(server.config());
    health(&engine, HealthState::Ready).await;
    let handle = fresh(&engine, "sid");
    let began = Instant::now();
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn fault_22_silence_is_bounded_for_reads_and_survived_by_writes() {
    let server = Server::start(documents(Act::Silence)).await;
    let mut config = server.config();
    config.policy.recover_timeout_ms = 300;
    config.attempt_timeout_ms = 400;
    let engine = start(config);
    health(&engine, HealthState::Ready).await;
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    let began = Instant::now();
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(5));
    server.script(|_| Act::Serve);
    flush(&handle).await.unwrap();
    assert_eq!(stored(&engine, "sid", "count").await, Some(1));
}

#[tokio::test]
async fn fault_22_nobody_there_and_no_such_host_degrade_the_engine_and_no_more() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for endpoint in [format!("http://{closed}"), "http://store.invalid:9000".to_owned()] {
        let s3 = S3Config {
            bucket: "bucket".into(),
            endpoint: Some(endpoint.clone()),
            access_key_id: Some("test".into()),
            secret_access_key: Some("hush hush".into()),
            allow_http: true,
            ..S3Config::default()
        };
        let mut config = config(Backend::S3(s3));
        config.policy.recover_timeout_ms = 300;
        let engine = start(config);
        let handle = fresh(&engine, "sid");
        let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
        assert!(reason.contains(&endpoint) && !reason.contains("hush"), "{reason}");
        assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Unavailable);
        stash(&handle, "count", 1);
        let report = drain(&engine, Duration::from_millis(300)).await;
        assert_eq!((report.unsaved_sessions, report.unsaved_ops), (1, 1));
    }
}

#[tokio::test]
async fn fault_22_a_server_that_cannot_speak_tls_degrades_the_engine() {
    let server = Server::start(|_: &Request| Act::Serve).await;
    let mut s3 = server.s3();
    s3.endpoint = Some(format!("https://{}", server.address));
    let engine = start(config(Backend::S3(s3)));
    health(&engine, HealthState::Degraded).await;
}

#[tokio::test]
async fn fault_22_a_page_of_html_is_no_document_and_no_commit() {
    let server = Server::start(|_: &Request| Act::Serve).await;
    let engine = start(server.config());
    health(&engine, HealthState::Ready).await;
    server.script(documents(Act::Html));
    let handle = fresh(&engine, "sid");
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Corrupt);
    server.script(|_| Act::Serve);
    let other = fresh(&engine, "other sid");
    stash(&other, "count", 1);
    flush(&other).await.unwrap();
    assert_eq!(stored(&engine, "other sid", "count").await, Some(1));
}

#[tokio::test]
async fn fault_22_a_page_of_html_for_every_request_does_not_pass_the_probe() {
    let server = Server::start(|_: &Request| Act::Html).await;
    let engine = start(server.config());
    health(&engine, HealthState::Degraded).await;
}

#[tokio::test]
async fn fault_23_a_commit_without_an_etag_is_read_back() {
    let (server, _) = one_write(Act::OmitETag).await;
    assert_eq!((server.puts(), server.commits()), (1, 1));
}

#[tokio::test]
async fn fault_23_weak_and_bare_etags_are_taken_for_what_they_are() {
    for act in [Act::WeakETag, Act::BareETag] {
        let server = Server::start(move |_: &Request| act).await;
        let engine = start(server.config());
        assert_eq!(health(&engine, HealthState::Ready).await.reason, None);
        let handle = fresh(&engine, "sid");
        for n in 1..=5 {
            stash(&handle, "count", n);
            flush(&handle).await.unwrap();
        }
        assert_eq!(server.commits(), 5);
        assert_eq!(stored(&engine, "sid", "count").await, Some(5));
    }
}

#[tokio::test]
async fn fault_23_a_store_without_etags_is_said_to_be_one() {
    let server = Server::start(|_: &Request| Act::OmitETag).await;
    let engine = start(server.config());
    let reason = health(&engine, HealthState::Degraded).await.reason.unwrap();
    assert!(reason.to_lowercase().contains("etag"), "{reason}");
}

#[tokio::test]
async fn fault_26_a_body_that_breaks_off_is_read_again() {
    let server = Server::start(|_: &Request| Act::Serve).await;
    let engine = start(server.config());
    let handle = fresh(&engine, "sid");
    stash(&handle, "count", 1);
    flush(&handle).await.unwrap();
    let next = start(server.config());
    server.script(|request| if request.is_get() && request.index % 3 != 2 { Act::Truncate } else { Act::Serve });
    assert_eq!(stored(&next, "sid", "count").await, Some(1));
    assert!(!server.has("/quarantine/"), "what broke off on the way is not damaged");
}

#[tokio::test]
async fn fault_27_what_is_not_ours_is_copied_aside_and_never_served() {
    for junk in [&b""[..], b"\0", b"<html></html>", b"{\"other\":\"json\"}", b"\x1f\x8b\x08\0\0\0"] {
        let server = Server::start(|_: &Request| Act::Serve).await;
        let engine = start(server.config());
        let handle = fresh(&engine, "sid");
        stash(&handle, "count", 1);
        flush(&handle).await.unwrap();
        server.spoil(junk);
        let next = start(server.config());
        let handle = mount(&next, "sid", "tab", Mount::Rejoin);
        assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Corrupt, "{junk:?}");
        stash(&handle, "count", 2);
        flush(&handle).await.unwrap();
        assert!(server.has("/quarantine/"));
        assert_eq!(stored(&next, "sid", "count").await, Some(2));
    }
}

#[tokio::test]
async fn fault_27_a_body_without_an_end_is_not_read_to_its_end() {
    let server = Server::start(documents(Act::Endless)).await;
    let engine = start(server.config());
    let handle = fresh(&engine, "sid");
    let began = Instant::now();
    assert_eq!(recover(&handle).await.unwrap_err().kind, ErrorKind::Corrupt);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn fault_72_a_huge_error_is_not_read_to_its_end() {
    let server = Server::start(documents(Act::HugeError(256))).await;
    let store = backend::open(&server.config()).unwrap();
    let name = durable_stash_engine::store::ObjectName::document(&[1; 32]);
    let put = store.put(&name, "body".into(), &Precondition::Absent).await;
    assert!(matches!(put, PutOutcome::Refused(_)), "{put:?}");
    assert!(matches!(store.get(&name, None).await, GetOutcome::Unavailable { .. }));
    // What the sockets on the way hold, and no more.
    assert!(server.error_mebibytes() < 64, "{} MiB", server.error_mebibytes());
    assert!(store.trouble().unwrap().len() < 200);
}

#[tokio::test]
async fn fault_72_of_an_error_body_nothing_but_its_code_is_shown() {
    const BODIES: [&str; 3] = [
        "AccessDenied</Code><Message>hunter2</Message><StringToSign>hunter2</StringToSign><Code>",
        "AccessDenied</Code><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///hunter2'>]><Code>&a;",
        "&a;hunter2",
    ];
    for body in BODIES {
        let server = Server::start(documents(Act::SayCode(403, body))).await;
        let store = backend::open(&server.config()).unwrap();
        let name = durable_stash_engine::store::ObjectName::document(&[1; 32]);
        let put = store.put(&name, "body".into(), &Precondition::Absent).await;
        assert!(matches!(put, PutOutcome::Refused(_)), "{put:?}");
        let trouble = store.trouble().unwrap();
        assert!(trouble.contains("403") && !trouble.contains("hunter2") && !trouble.contains('&'), "{trouble}");
        assert_eq!(trouble.contains("AccessDenied"), body.starts_with("AccessDenied"), "{trouble}");
    }
}

#[tokio::test]
async fn fault_73_a_bad_s3_configuration_is_named_at_start() {
    let good = S3Config {
        bucket: "bucket".into(),
        endpoint: Some("https://s3.example".into()),
        access_key_id: Some("key".into()),
        secret_access_key: Some("secret".into()),
        ..S3Config::default()
    };
    type Spoil = fn(&mut S3Config);
    let cases: [(&str, Spoil); 20] = [
        ("bucket", |s3| s3.bucket.clear()),
        ("bucket", |s3| s3.bucket = "a/b".into()),
        ("bucket", |s3| s3.bucket = "my bucket".into()),
        ("bucket", |s3| s3.bucket = "eimér".into()),
        ("bucket", |s3| s3.bucket = "b\0".into()),
        ("region", |s3| s3.region = Some("eu central 1".into())),
        ("region", |s3| s3.region = Some(String::new())),
        ("access_key_id", |s3| s3.access_key_id = Some("key\n".into())),
        ("access_key_id", |s3| s3.access_key_id = Some(String::new())),
        ("secret_access_key", |s3| s3.secret_access_key = Some("password@\n".into())),
        ("session_token", |s3| s3.session_token = Some("password@ token".into())),
        ("endpoint", |s3| s3.endpoint = Some("https://s3 example".into())),
        ("endpoint", |s3| s3.endpoint = Some("https://[::1".into())),
        ("endpoint", |s3| s3.endpoint = Some("https://s3.example:99999".into())),
        ("endpoint", |s3| s3.endpoint = Some("https://s3.example/?a=b".into())),
        ("endpoint", |s3| s3.endpoint = Some("https://".into())),
        ("secret_access_key", |s3| s3.secret_access_key = None),
        ("allow_http", |s3| s3.endpoint = Some("http://s3.example".into())),
        ("https://", |s3| s3.endpoint = Some("s3.example".into())),
        ("without credentials", |s3| s3.endpoint = Some("https://user:password@s3.example".into())),
    ];
    assert!(backend::open(&config(Backend::S3(good.clone()))).is_ok());
    for (part, spoil) in cases {
        let mut s3 = good.clone();
        spoil(&mut s3);
        let error = backend::open(&config(Backend::S3(s3))).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains(part) && !error.message.contains("password@"), "{error}");
    }
}

#[tokio::test]
async fn a_virtual_hosted_bucket_is_put_into_the_endpoint_once() {
    let s3 = |endpoint: &str| S3Config {
        bucket: "bucket".into(),
        endpoint: Some(endpoint.into()),
        access_key_id: Some("key".into()),
        secret_access_key: Some("secret".into()),
        virtual_hosted: true,
        ..S3Config::default()
    };
    for endpoint in ["https://s3.example/", "https://bucket.s3.example"] {
        let store = backend::open(&config(Backend::S3(s3(endpoint)))).unwrap();
        assert_eq!(store.describe(), "the S3 bucket `bucket` at https://bucket.s3.example");
    }
}

/// Not a test of its own: [`missing_ca_certificates_are_said_in_plain_words`] runs it in a process without any.
#[test]
#[ignore = "run by missing_ca_certificates_are_said_in_plain_words"]
fn opens_a_store_without_ca_certificates() {
    let s3 = S3Config {
        bucket: "bucket".into(),
        access_key_id: Some("key".into()),
        secret_access_key: Some("secret".into()),
        ..S3Config::default()
    };
    let config = Config::new(Backend::S3(s3), vec![Secret::new([1; 32]).unwrap()]);
    let error = backend::open(&config).err().expect("no certificates, no client");
    assert!(error.message.contains("CA certificates") && error.message.contains("ca-certificates"), "{error}");
}

#[test]
fn missing_ca_certificates_are_said_in_plain_words() {
    let empty = directory();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "opens_a_store_without_ca_certificates"])
        .env("SSL_CERT_FILE", empty.path().join("none.pem"))
        .env("SSL_CERT_DIR", empty.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
