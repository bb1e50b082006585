//! The real S3-compatible server that `scripts/test` starts, and a bucket of its own for each test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use durable_stash_engine::S3Config;

/// A new bucket, or none if there is no server to make it on.
///
/// The server's address comes from `DURABLE_STASH_S3_ENDPOINT` (`http://host:port`). Without it the test says loudly
/// that it was left out; where `CI` is true it fails, so that the suite cannot go missing unseen.
pub(crate) fn make(test: &str) -> Option<S3Config> {
    let Ok(endpoint) = std::env::var("DURABLE_STASH_S3_ENDPOINT") else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI must run the S3 suite: DURABLE_STASH_S3_ENDPOINT is not set"
        );
        eprintln!("\n*** LEFT OUT: {test}: DURABLE_STASH_S3_ENDPOINT is not set (scripts/test sets it) ***\n");
        return None;
    };
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let bucket = format!("durable-stash-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
    create(endpoint.trim_end_matches('/'), &bucket);
    Some(S3Config {
        bucket,
        region: Some("us-east-1".into()),
        endpoint: Some(endpoint),
        access_key_id: Some("test".into()),
        secret_access_key: Some("test".into()),
        allow_http: true,
        ..S3Config::default()
    })
}

/// `PUT /bucket`, by hand: `object_store` makes no buckets, and the test server wants no signature for it.
fn create(endpoint: &str, bucket: &str) {
    let host = endpoint.strip_prefix("http://").expect("the test server speaks plain http");
    let mut stream = TcpStream::connect(host).expect("the test server is there");
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("PUT /{bucket} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "the bucket was not made: {answer}");
}
