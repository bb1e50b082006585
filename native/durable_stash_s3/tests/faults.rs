//! Each fault, as a client sees it that knows nothing of the plan.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use durable_stash_s3::{BodyFault, ConditionFault, ETagFault, Fault, Instead, Millis, On, Operation, Plan, Rule};
use hyper::Method;
use support::*;

/// Every planned error: its status, its code, its `Retry-After`.
fn errors() -> Vec<(Instead, u16, &'static str, Option<&'static str>)> {
    let teapot = Instead::Status { status: 418, code: "Teapot".into(), retry_after_s: Some(9) };
    vec![
        (Instead::SlowDown, 503, "SlowDown", None),
        (Instead::TooManyRequests { retry_after_s: 3 }, 429, "TooManyRequests", Some("3")),
        (Instead::Conflict, 409, "ConditionalRequestConflict", None),
        (Instead::InternalError, 500, "InternalError", None),
        (Instead::NotImplemented, 501, "NotImplemented", None),
        (Instead::ExpiredToken, 403, "ExpiredToken", None),
        (Instead::AccessDenied, 403, "AccessDenied", None),
        (Instead::RequestTimeTooSkewed, 403, "RequestTimeTooSkewed", None),
        (teapot, 418, "Teapot", Some("9")),
    ]
}

#[tokio::test]
async fn an_error_before_the_commit_keeps_the_write_from_the_store() {
    let world = world().await;
    for (instead, status, code, retry_after) in errors() {
        world.next(Operation::PutObject, Fault::before(instead));
        let answer = world.raw(Method::PUT, "k", "", "body").await;
        assert_eq!(
            (answer.status(), answer.code().as_str(), answer.header("retry-after")),
            (status, code, retry_after)
        );
    }
    assert_eq!(world.server.store().commits(), 0);
}

#[tokio::test]
async fn an_error_after_the_commit_tells_the_same_lie_about_a_write_that_is_in() {
    let world = world().await;
    for (n, (instead, status, code, retry_after)) in errors().into_iter().enumerate() {
        world.next(Operation::PutObject, Fault::after(instead));
        let answer = world.raw(Method::PUT, "k", "", &format!("body {n}")).await;
        assert_eq!(
            (answer.status(), answer.code().as_str(), answer.header("retry-after")),
            (status, code, retry_after)
        );
        assert_eq!(answer.header("etag"), None);
        assert_eq!(world.stored("k"), Some(format!("body {n}")));
    }
}

#[tokio::test]
async fn a_reset_is_an_rst_before_the_commit_and_after_it() {
    let world = world().await;
    world.next(Operation::PutObject, Fault::before(Instead::Reset));
    let answer = world.raw(Method::PUT, "k", "", "one").await;
    assert_eq!((answer.end, answer.head.as_str()), (Ended::Rst, ""));
    assert_eq!(world.stored("k"), None);

    world.next(Operation::PutObject, Fault::after(Instead::Reset));
    let answer = world.raw(Method::PUT, "k", "", "two").await;
    assert_eq!((answer.end, answer.head.as_str()), (Ended::Rst, ""));
    assert_eq!(world.stored("k").unwrap(), "two");
}

#[tokio::test]
async fn a_hang_up_is_a_fin_before_the_commit_and_after_it() {
    let world = world().await;
    world.next(Operation::PutObject, Fault::before(Instead::HangUp));
    let answer = world.raw(Method::PUT, "k", "", "one").await;
    assert_eq!((answer.end, answer.head.as_str()), (Ended::Fin, ""));
    assert_eq!(world.stored("k"), None);

    world.next(Operation::PutObject, Fault::after(Instead::HangUp));
    let answer = world.raw(Method::PUT, "k", "", "two").await;
    assert_eq!((answer.end, answer.head.as_str()), (Ended::Fin, ""));
    assert_eq!(world.stored("k").unwrap(), "two");
}

#[tokio::test]
async fn a_broken_connection_is_an_error_to_a_client_that_does_not_retry() {
    let world = world().await;
    for instead in [Instead::Reset, Instead::HangUp] {
        world.next(Operation::PutObject, Fault::after(instead));
        let error = world.create(&format!("{:?}", world.server.store().commits()), "body").await.unwrap_err();
        assert!(matches!(error, object_store::Error::Generic { .. }), "{error:?}");
    }
    assert_eq!(world.server.store().commits(), 2, "both are in, once each");
}

#[tokio::test]
async fn silence_lasts_longer_than_the_client_waits() {
    let world = world().await;
    world.next(Operation::PutObject, Fault::after(Instead::Silence));
    let answer = world.raw(Method::PUT, "k", "", "body").await;
    assert_eq!((answer.end, answer.head.as_str()), (Ended::Open, ""));
    assert_eq!(world.stored("k").unwrap(), "body");
}

#[tokio::test]
async fn a_delay_holds_back_the_write_or_only_its_answer() {
    let world = world().await;
    let time = Duration::from_secs(1);
    for (fault, is_in_early) in [(Fault::delay_before(time), false), (Fault::delay_after(time), true)] {
        let key = format!("{is_in_early}");
        world.next(Operation::PutObject, fault);
        let early = async {
            tokio::time::sleep(time / 2).await;
            world.stored(&key).is_some()
        };
        let (answer, early) = tokio::join!(world.raw(Method::PUT, &key, "", "body"), early);
        assert_eq!(answer.status(), 200);
        assert!(answer.took >= time, "{:?}", answer.took);
        assert_eq!(early, is_in_early);
    }
}

#[tokio::test]
async fn a_delayed_put_lands_although_its_client_has_gone() {
    let world = world().await;
    let late = PATIENCE + Duration::from_millis(500);
    world.next(Operation::PutObject, Fault::delay_before(late));
    assert_eq!(world.raw(Method::PUT, "k", "", "zombie").await.end, Ended::Open);
    assert_eq!(world.stored("k"), None);
    eventually(|| world.stored("k").as_deref() == Some("zombie")).await;
}

#[tokio::test]
async fn a_delayed_put_still_asks_for_its_condition_when_it_lands() {
    let world = world().await;
    let etag = world.create("k", "one").await.unwrap().e_tag.unwrap();
    world.next(Operation::PutObject, Fault::delay_before(Duration::from_secs(1)));
    let (zombie, winner) = tokio::join!(world.update("k", "zombie", &etag), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.update("k", "winner", &etag).await
    });
    assert!(matches!(zombie.unwrap_err(), object_store::Error::Precondition { .. }));
    winner.unwrap();
    assert_eq!(world.stored("k").unwrap(), "winner");
}

#[tokio::test]
async fn a_truncated_body_is_shorter_than_its_content_length() {
    let world = world().await;
    world.create("k", &"x".repeat(1000)).await.unwrap();
    for (percent, sent) in [(0, 0), (50, 500), (100, 999)] {
        world.next(Operation::GetObject, Fault::body(BodyFault::Truncated { percent }));
        let answer = world.raw(Method::GET, "k", "", "").await;
        assert_eq!((answer.status(), answer.header("content-length"), answer.end), (200, Some("1000"), Ended::Fin));
        assert_eq!(answer.body.len(), sent);
    }
    world.next(Operation::GetObject, Fault::body(BodyFault::Truncated { percent: 50 }));
    world.body("k").await.unwrap_err();
}

#[tokio::test]
async fn a_dripping_body_arrives_whole_and_late() {
    let world = world().await;
    world.create("k", &"x".repeat(20)).await.unwrap();
    world.next(Operation::GetObject, Fault::body(BodyFault::Dripping { every_ms: 10 }));
    let answer = world.raw(Method::GET, "k", "", "").await;
    assert_eq!((answer.text(), answer.end), ("x".repeat(20), Ended::Fin));
    assert!(answer.took >= Duration::from_millis(200), "{:?}", answer.took);
}

#[tokio::test]
async fn an_endless_body_does_not_end() {
    let world = world().await;
    world.create("k", "x").await.unwrap();
    world.next(Operation::GetObject, Fault::body(BodyFault::Endless { every_ms: 1 }));
    let answer = world.raw(Method::GET, "k", "", "").await;
    assert_eq!((answer.header("content-length"), answer.end), (Some("1099511627776"), Ended::Open));
    assert!(answer.body.len() > 10 * 1024 && answer.body.starts_with(b"x "), "{}", answer.body.len());
}

#[tokio::test]
async fn an_endless_error_is_one_too() {
    let world = world().await;
    let fault = Fault::before(Instead::AccessDenied).and(Fault::body(BodyFault::Endless { every_ms: 1 }));
    world.next(Operation::PutObject, fault);
    let answer = world.raw(Method::PUT, "k", "", "body").await;
    assert_eq!((answer.status(), answer.end), (403, Ended::Open));
}

#[tokio::test]
async fn ignored_conditions_are_answered_as_if_they_held() {
    let world = world().await;
    let first = world.create("k", "one").await.unwrap().e_tag.unwrap();
    world.update("k", "two", &first).await.unwrap();
    for _ in 0..2 {
        world.next(Operation::PutObject, Fault::conditions(ConditionFault::Ignored));
    }
    world.update("k", "three", &first).await.unwrap();
    world.create("k", "four").await.unwrap();
    assert_eq!(world.stored("k").unwrap(), "four");
    let log = world.server.store().history(BUCKET, "k");
    let asked = |n: usize| log[n].conditions.if_match.as_ref().unwrap().to_http_header().unwrap();
    assert_eq!(asked(2), first.as_str(), "the log shows what was asked for");
    assert_eq!(log[2].replaced.as_deref(), log[1].etag(), "and what was replaced");
}

#[tokio::test]
async fn refused_conditions_are_501_and_unconditional_writes_are_not() {
    let world = world().await;
    let rule = Rule::always(On::default(), Fault::conditions(ConditionFault::Refused));
    world.server.faults().add(rule);
    for headers in ["If-None-Match: *\r\n", "If-Match: \"0123\"\r\n"] {
        let answer = world.raw(Method::PUT, "k", headers, "body").await;
        assert_eq!((answer.status(), answer.code().as_str()), (501, "NotImplemented"));
    }
    assert_eq!(world.raw(Method::PUT, "k", "", "body").await.status(), 200);
}

#[tokio::test]
async fn of_two_writers_on_a_racy_store_both_win() {
    let world = world().await;
    world.server.faults().add(Rule::always(On::default(), Fault::conditions(ConditionFault::Racy { window_ms: 200 })));
    let (one, other) = tokio::join!(world.create("k", "one"), world.create("k", "other"));
    one.unwrap();
    other.unwrap();
    assert!(world.create("k", "third").await.is_err(), "with time between them, it sees the condition");
}

#[tokio::test]
async fn a_stale_read_is_of_the_version_before_and_its_conditions_are_too() {
    let world = world().await;
    let first = world.create("k", "one").await.unwrap().e_tag.unwrap();
    let second = world.update("k", "two", &first).await.unwrap().e_tag.unwrap();
    let stale = || world.next(Operation::GetObject, Fault::stale(1));
    stale();
    assert_eq!(world.body("k").await.unwrap(), "one");
    stale();
    let answer = world.raw(Method::GET, "k", &format!("If-None-Match: {second}\r\n"), "").await;
    assert_eq!((answer.status(), answer.header("etag")), (200, Some(first.as_str())));
    stale();
    assert_eq!(world.raw(Method::GET, "k", &format!("If-None-Match: {first}\r\n"), "").await.status(), 304);
    world.next(Operation::GetObject, Fault::stale(2));
    assert_eq!(world.raw(Method::GET, "k", "", "").await.code(), "NoSuchKey");
}

#[tokio::test]
async fn expired_credentials_are_those_of_one_session_token() {
    let world = world().await;
    let old = On { session_token: Some("old".into()), ..On::default() };
    world.server.faults().add(Rule::always(old, Fault::before(Instead::ExpiredToken)));
    let put = async |token: &str| {
        let client = client(&world.server).with_token(token).build().unwrap();
        object_store::ObjectStoreExt::put(&client, &"k".into(), "body".into()).await
    };
    let error = put("old").await.unwrap_err();
    assert!(
        matches!(error, object_store::Error::PermissionDenied { .. }) && error.to_string().contains("ExpiredToken")
    );
    put("new").await.unwrap();
}

#[tokio::test]
async fn reads_and_writes_are_denied_separately() {
    let world = world().await;
    let deny = |operation| {
        let rules = vec![Rule::always(On::operation(operation), Fault::before(Instead::AccessDenied))];
        world.server.faults().set(Plan { rules, ..Plan::default() });
    };
    deny(Operation::GetObject);
    world.create("k", "body").await.unwrap();
    assert!(matches!(world.body("k").await, Err(object_store::Error::PermissionDenied { .. })));
    deny(Operation::PutObject);
    assert!(matches!(world.create("l", "body").await, Err(object_store::Error::PermissionDenied { .. })));
    assert_eq!(world.body("k").await.unwrap(), "body");
}

#[tokio::test]
async fn a_throttled_key_takes_one_write_an_interval_and_other_keys_theirs() {
    let world = world().await;
    world.server.faults().add(Rule {
        min_interval_ms: Some(3_600_000),
        ..Rule::always(
            On::operation(Operation::PutObject),
            Fault::before(Instead::TooManyRequests { retry_after_s: 1 }),
        )
    });
    let put = async |key: &str| world.raw(Method::PUT, key, "", "body").await.status();
    assert_eq!((put("k").await, put("k").await, put("other").await, put("k").await), (200, 429, 200, 429));
}

#[tokio::test]
async fn an_etag_is_missing_weak_or_bare_of_quotes() {
    let world = world().await;
    let etag = world.create("k", "body").await.unwrap().e_tag.unwrap();
    let hex = etag.trim_matches('"').to_owned();
    for (fault, expected) in
        [(ETagFault::Omitted, None), (ETagFault::Weak, Some(format!("W/{etag}"))), (ETagFault::Bare, Some(hex))]
    {
        for (operation, method, body) in
            [(Operation::PutObject, Method::PUT, "body"), (Operation::GetObject, Method::GET, "")]
        {
            world.next(operation, Fault::etag(fault));
            let answer = world.raw(method, "k", "", body).await;
            assert_eq!((answer.status(), answer.header("etag")), (200, expected.as_deref()), "{operation:?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_html_is_a_success_without_an_etag() {
    let world = world().await;
    world.next(Operation::PutObject, Fault::before(Instead::Html));
    let answer = world.raw(Method::PUT, "k", "", "body").await;
    assert_eq!((answer.status(), answer.header("content-type"), answer.header("etag")), (200, Some("text/html"), None));
    assert!(answer.text().contains("<html>"));
    assert_eq!(world.stored("k"), None);
}

#[tokio::test]
async fn every_answer_of_the_store_carries_the_number_of_its_request_in_the_trace() {
    let world = world().await;
    world.next(Operation::PutObject, Fault::after(Instead::InternalError));
    let answer = world.raw(Method::PUT, "k", "", "body").await;
    let trace = world.server.trace().of(Operation::PutObject, "k");
    assert_eq!(trace.len(), 1);
    let passed = &trace[0];
    assert_eq!(answer.header("x-amz-request-id").unwrap(), passed.request.to_string());
    assert_eq!((passed.served, passed.sent, passed.commit), (Some(200), Some(500), Some(1)));
    assert_eq!(passed.fault, Fault::after(Instead::InternalError));
    assert_eq!(world.server.store().log(0)[0].request, Some(passed.request));
}

#[tokio::test]
async fn a_seed_gives_a_serial_client_the_same_faults_again() {
    let run = async || {
        let world = world().await;
        let rules = vec![
            Rule::with_chance(0.3, On::default(), Fault::before(Instead::SlowDown)),
            Rule::with_chance(
                0.3,
                On::default(),
                Fault { delay_before_ms: Some(Millis::Between(0, 3)), ..Fault::default() },
            ),
            Rule::with_chance(0.3, On::default(), Fault::after(Instead::Reset)),
        ];
        world.server.faults().set(Plan { seed: 11, rules, ..Plan::default() });
        for n in 0..40 {
            let _ = world.create(&format!("{}", n % 3), "body").await;
        }
        world.server.trace().latest().into_iter().map(|passed| (passed.key, passed.sent, passed.fault)).collect()
    };
    let (first, second): (Vec<_>, Vec<_>) = (run().await, run().await);
    assert_eq!(first, second);
    assert!(first.iter().any(|(_, sent, _)| sent.is_none()) && first.iter().any(|(_, sent, _)| *sent == Some(503)));
}

async fn eventually(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(5), "it did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
