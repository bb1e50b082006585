//! Bodies that are cut short, drip, or never end.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, ETAG, HeaderValue};
use s3s::{Body, StdError};
use tokio::time::sleep;

use crate::fault::{BodyFault, ETagFault};
use crate::wire::{End, Ending};

/// Does this to an answer's body; one without a body stays as it is.
pub(crate) async fn spoil_body(response: Response<Body>, fault: BodyFault, end: &End) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    // The bodies are the store's own, in memory: they cannot break off.
    let whole = BodyExt::collect(body).await.map(|body| body.to_bytes()).unwrap_or_default();
    if whole.is_empty() {
        return Response::from_parts(parts, Body::from(whole));
    }
    let (length, body) = match fault {
        BodyFault::Truncated { percent } => (whole.len() as u64, truncated(whole, percent, end.clone())),
        BodyFault::Dripping { every_ms } => (whole.len() as u64, dripping(whole, Duration::from_millis(every_ms))),
        BodyFault::Endless { every_ms } => (TERABYTE, endless(whole, Duration::from_millis(every_ms))),
    };
    parts.headers.insert(CONTENT_LENGTH, length.into());
    Response::from_parts(parts, body)
}

/// Does this to an answer's `ETag`; one without an etag stays as it is.
pub(crate) fn spoil_etag(response: &mut Response<Body>, fault: ETagFault) {
    let Some(etag) = response.headers_mut().remove(ETAG) else { return };
    let Ok(quoted) = etag.to_str() else { return };
    let spoilt = match fault {
        ETagFault::Omitted => return,
        ETagFault::Weak => format!("W/{quoted}"),
        ETagFault::Bare => quoted.trim_matches('"').to_owned(),
    };
    if let Ok(value) = HeaderValue::try_from(spoilt) {
        response.headers_mut().insert(ETAG, value);
    }
}

fn truncated(whole: Bytes, percent: u8, end: End) -> Body {
    let part = (whole.len() * usize::from(percent) / 100).min(whole.len() - 1);
    let rest = stream::once(async move {
        // What was handed over before is on its way by then: the connection flushes whenever a body makes it wait.
        sleep(FLUSH).await;
        end.call(Ending::Close);
        future::pending::<Bytes>().await
    });
    body(stream::iter([whole.slice(..part)]).chain(rest))
}

fn dripping(whole: Bytes, every: Duration) -> Body {
    body(stream::iter(0..whole.len()).then(move |at| {
        let drop = whole.slice(at..=at);
        async move {
            sleep(every).await;
            drop
        }
    }))
}

fn endless(whole: Bytes, every: Duration) -> Body {
    let filler = stream::repeat(()).then(move |()| async move {
        sleep(every).await;
        Bytes::from_static(&FILLER)
    });
    body(stream::iter([whole]).chain(filler))
}

fn body(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    Body::http_body_unsync(StreamBody::new(chunks.map(|chunk| Ok::<_, StdError>(Frame::data(chunk)))))
}

/// Long enough for the loopback, and short for a test.
const FLUSH: Duration = Duration::from_millis(20);
const TERABYTE: u64 = 1 << 40;
static FILLER: [u8; 1024] = [b' '; 1024];
