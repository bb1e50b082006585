//! One entry of the version log: what one commit made of one key.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use s3s::dto::ETagCondition;
use serde::Serialize;

use crate::condition::Conditions;

/// What a write makes of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The bytes.
    pub body: Bytes,
    /// The MD5 of the bytes in hex, without quotes, as S3 has it for objects of one part.
    pub etag: String,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `x-amz-meta-…`.
    pub metadata: HashMap<String, String>,
}

impl Content {
    /// Copies the bytes: a slice of a connection's read buffer would keep the whole buffer for as long as the log lives.
    pub fn new(body: &[u8]) -> Self {
        let etag = Md5::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { body: Bytes::copy_from_slice(body), etag, ..Self::default() }
    }
}

/// A version of an object, or its deletion. None is ever forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which commit of the store made it: 1, 2, 3 … over all buckets and keys, without gaps, in the order of effect.
    pub commit: u64,
    /// Where.
    pub bucket: String,
    /// Of what.
    pub key: String,
    /// None if the object was deleted.
    pub content: Option<Content>,
    /// The etag of what was there before; none if nothing was.
    pub replaced: Option<String>,
    /// What the request asked for. Under a fault the commit may have happened in spite of it: compare with `replaced`.
    pub conditions: Conditions,
    /// The number of the request in the trace, which is its `x-amz-request-id`, too. None if a test wrote it by hand.
    pub request: Option<u64>,
    /// When, by the wall clock, never before an earlier commit.
    pub at: SystemTime,
    /// When, since the store was made, by the monotonic clock.
    pub uptime: Duration,
}

impl Version {
    /// The etag without quotes, or none if this is a deletion.
    pub fn etag(&self) -> Option<&str> {
        self.content.as_ref().map(|content| content.etag.as_str())
    }

    /// The bytes, or none if this is a deletion.
    pub fn body(&self) -> Option<&Bytes> {
        self.content.as_ref().map(|content| &content.body)
    }

    /// One line of JSON with a line feed, as `GET /_versions` gives it: `commit`, `bucket`, `key`, `deleted`, `etag`,
    /// `replaced`, `if_match`, `if_none_match` (as they were sent, or null), `request`, `at_us` (µs since the epoch),
    /// `uptime_us` (µs since the store was made) and `body` (in base64, null for a deletion).
    pub fn to_json_line(&self) -> Bytes {
        let line = Line {
            commit: self.commit,
            bucket: &self.bucket,
            key: &self.key,
            deleted: self.content.is_none(),
            etag: self.etag(),
            replaced: self.replaced.as_deref(),
            if_match: self.conditions.if_match.as_ref().map(as_sent),
            if_none_match: self.conditions.if_none_match.as_ref().map(as_sent),
            request: self.request,
            at_us: self.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros(),
            uptime_us: self.uptime.as_micros(),
            body: self.body().map(|body| BASE64.encode(body)),
        };
        json_line(&line)
    }
}

/// A value as one line of JSON with a line feed.
pub(crate) fn json_line(value: &impl Serialize) -> Bytes {
    // Only maps with keys that are no strings, and failing `Serialize`s, cannot be written: none is used here.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

#[derive(Serialize)]
struct Line<'a> {
    commit: u64,
    bucket: &'a str,
    key: &'a str,
    deleted: bool,
    etag: Option<&'a str>,
    replaced: Option<&'a str>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    request: Option<u64>,
    at_us: u128,
    uptime_us: u128,
    body: Option<String>,
}

fn as_sent(condition: &ETagCondition) -> String {
    let header = condition.to_http_header().ok();
    header.and_then(|value| value.to_str().map(str::to_owned).ok()).unwrap_or_default()
}
