//! Which operation a request is, on what: as much as a fault plan goes by, read off the request's head.

use hyper::http::request::Parts;
use hyper::{Method, header};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// An S3 operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `GET /bucket/key`
    GetObject,
    /// `HEAD /bucket/key`
    HeadObject,
    /// `PUT /bucket/key`
    PutObject,
    /// `DELETE /bucket/key`
    DeleteObject,
    /// `POST /bucket?delete`
    DeleteObjects,
    /// `GET /bucket`
    ListObjects,
    /// `PUT /bucket`
    CreateBucket,
    /// `HEAD /bucket`
    HeadBucket,
    /// Anything else. The server knows none of it.
    Other,
}

/// The head of a request, as a fault plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What.
    pub operation: Operation,
    /// In which bucket; empty if in none.
    pub bucket: String,
    /// On which object; empty if on none.
    pub key: String,
    /// Whether it has `If-Match` or `If-None-Match`.
    pub conditional: bool,
    /// `x-amz-security-token`.
    pub session_token: Option<String>,
}

impl Head {
    pub(crate) fn of(request: &Parts) -> Self {
        let path = percent_decode_str(request.uri.path()).decode_utf8_lossy();
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = request.uri.query().unwrap_or_default();
        let deletes = query.split('&').any(|part| part == "delete" || part == "delete=");
        let operation = match (&request.method, bucket.is_empty(), key.is_empty()) {
            (&Method::GET, false, false) => Operation::GetObject,
            (&Method::HEAD, false, false) => Operation::HeadObject,
            (&Method::PUT, false, false) => Operation::PutObject,
            (&Method::DELETE, false, false) => Operation::DeleteObject,
            (&Method::POST, false, true) if deletes => Operation::DeleteObjects,
            (&Method::GET, false, true) => Operation::ListObjects,
            (&Method::PUT, false, true) => Operation::CreateBucket,
            (&Method::HEAD, false, true) => Operation::HeadBucket,
            (_, _, _) => Operation::Other,
        };
        let headers = &request.headers;
        Self {
            operation,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            conditional: headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH),
            session_token: headers.get("x-amz-security-token").and_then(|value| value.to_str().ok()).map(str::to_owned),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str) -> Head {
        let request = hyper::Request::builder().method(method).uri(target).body(()).unwrap();
        Head::of(&request.into_parts().0)
    }

    #[test]
    fn every_operation_is_told_from_method_and_target() {
        for (method, target, operation) in [
            ("GET", "/b/k/l?x-id=GetObject", Operation::GetObject),
            ("HEAD", "/b/k", Operation::HeadObject),
            ("PUT", "/b/k", Operation::PutObject),
            ("DELETE", "/b/k", Operation::DeleteObject),
            ("POST", "/b?delete", Operation::DeleteObjects),
            ("POST", "/b/?delete=", Operation::DeleteObjects),
            ("GET", "/b?list-type=2", Operation::ListObjects),
            ("PUT", "/b/", Operation::CreateBucket),
            ("HEAD", "/b", Operation::HeadBucket),
            ("GET", "/", Operation::Other),
            ("POST", "/b/k?uploads", Operation::Other),
        ] {
            assert_eq!(head(method, target).operation, operation, "{method} {target}");
        }
    }

    #[test]
    fn bucket_and_key_are_decoded() {
        let head = head("GET", "/b/a%20b/c");
        assert_eq!((head.bucket.as_str(), head.key.as_str()), ("b", "a b/c"));
    }
}
