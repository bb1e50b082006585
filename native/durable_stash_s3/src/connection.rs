//! A connection, and each request's way through it: the one place where faults happen, in the order of their slots.
//!
//! A request is taken in whole, then handed to a task of its own: what it does to the store does not depend on whether
//! its client still waits. That is how a delayed PUT lands after its sender gave up (faults 4 and 5).

use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::service::S3Service;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::answer::{Outcome, error};
use crate::body::{spoil_body, spoil_etag};
use crate::control::Control;
use crate::fault::{Fault, Millis};
use crate::faults::Faults;
use crate::operation::Head;
use crate::service::{LARGEST_BODY, Passage};
use crate::trace::{Answers, Trace};
use crate::wire::{End, Ending, Wire};

/// What all connections of a server share.
pub(crate) struct Peer {
    pub(crate) s3: S3Service,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) control: Control,
}

/// Serves one connection to its end.
pub(crate) async fn serve(peer: Arc<Peer>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let end = End::default();
    let wire = TokioIo::new(Wire::new(stream, end.clone()));
    let answering = end.clone();
    let service = service_fn(move |request| {
        let (peer, end) = (peer.clone(), answering.clone());
        async move { Ok::<_, Infallible>(answer(peer, end, request).await) }
    });
    // When the end is called, the connection is dropped with what it has not sent.
    tokio::select! {
        _ = http1::Builder::new().serve_connection(wire, service) => {}
        () = end.called() => {}
    }
}

async fn answer(peer: Arc<Peer>, end: End, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await.map(|body| body.to_bytes()) else {
        return error(StatusCode::BAD_REQUEST, "EntityTooLarge");
    };
    if peer.control.is_for(&parts) {
        return peer.control.answer(&parts, body).await;
    }
    let passing = tokio::spawn(pass(peer, end.clone(), parts, body));
    match passing.await.unwrap_or(Outcome::End(Ending::Close)) {
        Outcome::Answer(response) => response,
        Outcome::End(ending) => {
            end.call(ending);
            future::pending().await
        }
        Outcome::Silence => future::pending().await,
    }
}

/// A request's way, from when it is whole to when its outcome is certain.
async fn pass(peer: Arc<Peer>, end: End, parts: Parts, body: Bytes) -> Outcome {
    let head = Head::of(&parts);
    let number = peer.trace.number();
    let fault = peer.faults.decide(&head, Instant::now());
    let mut answers = Answers::default();

    wait(fault.delay_before_ms).await;
    let is_head = parts.method == Method::HEAD;
    let mut outcome = match &fault.before {
        Some(instead) => instead.outcome(),
        None => {
            let passage = Passage::new(number, fault.conditions.clone(), fault.stale);
            let served = ask(&peer.s3, passage.clone(), parts, body).await;
            answers.commit = passage.commit();
            if let Outcome::Answer(response) = &served {
                answers.served = Some(response.status().as_u16());
            }
            served
        }
    };

    wait(fault.delay_after_ms).await;
    if let (None, Some(instead)) = (&fault.before, &fault.after) {
        outcome = instead.outcome();
    }

    if let Outcome::Answer(response) = outcome {
        answers.sent = Some(response.status().as_u16());
        outcome = Outcome::Answer(finish(response, &fault, number, is_head, &end).await);
    }
    peer.trace.done(number, head, fault, answers);
    outcome
}

async fn ask(s3: &S3Service, passage: Passage, parts: Parts, body: Bytes) -> Outcome {
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(passage);
    match s3.call(request).await {
        // To s3s this is an error, and errors have a body.
        Ok(response) if response.status() == StatusCode::NOT_MODIFIED => {
            Outcome::Answer(response.map(|_| Body::empty()))
        }
        Ok(response) => Outcome::Answer(response),
        // s3s asks for the connection to be aborted.
        Err(_) => Outcome::End(Ending::Close),
    }
}

/// What goes wrong with the answer itself.
async fn finish(mut response: Response<Body>, fault: &Fault, number: u64, is_head: bool, end: &End) -> Response<Body> {
    response.headers_mut().insert("x-amz-request-id", HeaderValue::from(number));
    if let Some(fault) = fault.etag {
        spoil_etag(&mut response, fault);
    }
    match fault.body {
        Some(fault) if !is_head => spoil_body(response, fault, end).await,
        Some(_) | None => response,
    }
}

async fn wait(time: Option<Millis>) {
    if let Some(time) = time {
        sleep(time.duration()).await;
    }
}
