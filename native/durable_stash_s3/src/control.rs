//! The control paths: what a test that is no Rust program asks of the server. They need no signature and meet no fault.
//!
//! | request | does |
//! |---|---|
//! | `GET /_plan` | the plan in force, in JSON, with what is left of its script |
//! | `PUT /_plan` | puts the plan in the body into force, from its beginning; 400 and a sentence if it is not valid |
//! | `DELETE /_plan` | no faults any more |
//! | `POST /_plan/reload` | reads the plan's file again and puts it into force |
//! | `GET /_versions` | every commit, in order, one JSON object a line (see [`Version::to_json_line`]) |
//! | `GET /_versions/<bucket>/<key>` | those of one key; `GET /_versions/<bucket>` those of one bucket |
//! | `GET /_versions?after=<commit>` | those after this commit; for each of the paths above |
//! | `GET /_requests` | the latest requests, ten thousand at most, one JSON object a line (see [`Passed`]) |
//! | `GET /_counts` | counts of all requests (see [`Counts`]) |
//!
//! [`Version::to_json_line`]: crate::Version::to_json_line
//! [`Passed`]: crate::Passed
//! [`Counts`]: crate::Counts

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::{Body, StdError};
use serde::Serialize;

use crate::answer::answer;
use crate::faults::Faults;
use crate::plan::Plan;
use crate::store::Store;
use crate::trace::Trace;
use crate::version::{Version, json_line};

pub(crate) struct Control {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) plan_file: Option<PathBuf>,
}

impl Control {
    /// No bucket's name begins with an underscore.
    pub(crate) fn is_for(&self, request: &Parts) -> bool {
        request.uri.path().starts_with("/_")
    }

    pub(crate) async fn answer(&self, request: &Parts, body: Bytes) -> Response<Body> {
        let path = percent_decode_str(request.uri.path()).decode_utf8_lossy();
        let mut path = path.splitn(4, '/').skip(1);
        match (&request.method, path.next().unwrap_or_default(), path.next(), path.next()) {
            (&Method::GET, "_plan", None, None) => json(&self.faults.plan()),
            (&Method::PUT, "_plan", None, None) => self.put_into_force(&body),
            (&Method::DELETE, "_plan", None, None) => self.put_into_force(b"{}"),
            (&Method::POST, "_plan", Some("reload"), None) => self.reload().await,
            (&Method::GET, "_versions", bucket, key) => match after(request.uri.query()) {
                Some(after) => self.versions(bucket, key, after),
                None => sentence(StatusCode::BAD_REQUEST, "`after` is the number of a commit".to_owned()),
            },
            (&Method::GET, "_requests", None, None) => lines(self.trace.latest(), |passed| json_line(&passed)),
            (&Method::GET, "_counts", None, None) => json(&self.trace.counts()),
            (_, _, _, _) => sentence(StatusCode::NOT_FOUND, "there is no such control path".to_owned()),
        }
    }

    fn put_into_force(&self, json: &[u8]) -> Response<Body> {
        match Plan::from_json(json) {
            Ok(plan) => {
                self.faults.set(plan);
                answer(StatusCode::NO_CONTENT, "text/plain", Bytes::new())
            }
            Err(problem) => sentence(StatusCode::BAD_REQUEST, problem),
        }
    }

    async fn reload(&self) -> Response<Body> {
        let Some(file) = &self.plan_file else {
            return sentence(StatusCode::NOT_FOUND, "the server was started without a plan's file".to_owned());
        };
        match tokio::fs::read(file).await {
            Ok(json) => self.put_into_force(&json),
            Err(error) => sentence(StatusCode::NOT_FOUND, format!("cannot read the plan's file: {error}")),
        }
    }

    fn versions(&self, bucket: Option<&str>, key: Option<&str>, after: u64) -> Response<Body> {
        let mut versions: Vec<Arc<Version>> = match (bucket, key) {
            (Some(bucket), Some(key)) => self.store.history(bucket, key),
            (_, _) => self.store.log(after),
        };
        versions.retain(|version| version.commit > after && bucket.is_none_or(|bucket| version.bucket == bucket));
        lines(versions, |version| version.to_json_line())
    }
}

fn after(query: Option<&str>) -> Option<u64> {
    match query.map(|query| query.strip_prefix("after=")) {
        None => Some(0),
        Some(after) => after?.parse().ok(),
    }
}

fn json(value: &impl Serialize) -> Response<Body> {
    answer(StatusCode::OK, "application/json", json_line(value))
}

fn sentence(status: StatusCode, text: String) -> Response<Body> {
    answer(status, "text/plain", format!("{text}\n"))
}

/// Line by line, so that a long log is never in memory twice.
fn lines<T: Send + Sync + 'static>(items: Vec<T>, line: impl Fn(T) -> Bytes + Send + Sync + 'static) -> Response<Body> {
    let frames = stream::iter(items).map(move |item| Ok::<_, StdError>(Frame::data(line(item))));
    answer(StatusCode::OK, "application/x-ndjson", Body::http_body_unsync(StreamBody::new(frames)))
}
