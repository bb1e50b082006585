//! A small S3 on a loopback port that misbehaves as told. Hand-written, so that it can break HTTP, too.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use durable_stash_engine::{Backend, Config, S3Config};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// What S3 does.
    Serve,
    /// Applies it as S3 does, then closes the connection without a word.
    ServeThenHangUp,
    /// Applies it as S3 does, then answers this status.
    ServeThenSay(u16),
    /// Answers this status and does nothing.
    Say(u16),
    /// Answers this status with this `<Code>`.
    SayCode(u16, &'static str),
    /// 429 with `Retry-After: 1`.
    Throttle,
    /// Closes the connection before it does anything.
    HangUp,
    /// Never answers.
    Silence,
    /// A redirect to the same place.
    Redirect(u16),
    /// Applies PUTs whatever their conditions say.
    IgnoreConditions,
    /// Checks the condition, waits, applies: two can win a race.
    LetRacersWin,
    /// 501 if there is a condition.
    RefuseConditions,
    /// Applies it and answers without an ETag.
    OmitETag,
    /// Answers with `W/"…"`.
    WeakETag,
    /// Answers with the etag bare of quotes.
    BareETag,
    /// 200 and an HTML page, as a captive portal or a proxy does.
    Html,
    /// 200, a length of a terabyte, and a body without an end.
    Endless,
    /// 200 and half of the body.
    Truncate,
    /// An error whose body is of this many MiB, sent for as long as somebody reads it.
    HugeError(u64),
}

/// A request as far as tests care.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Which request of this method it is, from 0, scratch objects not counted.
    pub(crate) index: u64,
}

impl Request {
    pub(crate) fn is_put(&self) -> bool {
        self.method == "PUT"
    }

    pub(crate) fn is_get(&self) -> bool {
        self.method == "GET"
    }

    /// Of the boot probe.
    pub(crate) fn is_scratch(&self) -> bool {
        self.path.contains("/probe/")
    }
}

type Script = Box<dyn Fn(&Request) -> Act + Send + Sync>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    objects: Mutex<HashMap<String, (u64, Vec<u8>)>>,
    script: Mutex<Script>,
    next_etag: AtomicU64,
    gets: AtomicU64,
    puts: AtomicU64,
    commits: AtomicU64,
    conditional: AtomicU64,
    error_chunks: AtomicU64,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// A server that does with every request what `script` says.
    pub(crate) async fn start(script: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            objects: Mutex::default(),
            script: Mutex::new(Box::new(script)),
            next_etag: AtomicU64::new(1),
            gets: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            conditional: AtomicU64::new(0),
            error_chunks: AtomicU64::new(0),
        });
        let serving = state.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, serving.clone()));
            }
        });
        Self { address, state, task }
    }

    /// From now on it does this.
    pub(crate) fn script(&self, script: impl Fn(&Request) -> Act + Send + Sync + 'static) {
        *self.state.script.lock() = Box::new(script);
    }

    pub(crate) fn config(&self) -> Config {
        super::config(Backend::S3(self.s3()))
    }

    pub(crate) fn s3(&self) -> S3Config {
        S3Config {
            bucket: "bucket".into(),
            region: Some("us-east-1".into()),
            endpoint: Some(format!("http://{}", self.address)),
            access_key_id: Some("test".into()),
            secret_access_key: Some("test".into()),
            allow_http: true,
            ..S3Config::default()
        }
    }

    /// The documents, without scratch objects and copies put aside.
    pub(crate) fn documents(&self) -> Vec<Vec<u8>> {
        let objects = self.state.objects.lock();
        let document = |path: &str| !path.contains("/probe/") && !path.contains("/quarantine/");
        objects.iter().filter(|(path, _)| document(path)).map(|(_, (_, body))| body.clone()).collect()
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.state.objects.lock().keys().any(|path| path.contains(part))
    }

    /// Replaces every document's content.
    pub(crate) fn spoil(&self, body: &[u8]) {
        for (path, object) in self.state.objects.lock().iter_mut() {
            if !path.contains("/probe/") {
                *object = (self.state.next_etag.fetch_add(1, Relaxed), body.to_vec());
            }
        }
    }

    /// PUTs of documents that arrived.
    pub(crate) fn puts(&self) -> u64 {
        self.state.puts.load(Relaxed)
    }

    /// PUTs of documents that were applied.
    pub(crate) fn commits(&self) -> u64 {
        self.state.commits.load(Relaxed)
    }

    pub(crate) fn gets(&self) -> u64 {
        self.state.gets.load(Relaxed)
    }

    /// MiB of huge errors that the other side took.
    pub(crate) fn error_mebibytes(&self) -> u64 {
        self.state.error_chunks.load(Relaxed) / 16
    }

    /// Requests that came with a condition.
    pub(crate) fn conditional(&self) -> u64 {
        self.state.conditional.load(Relaxed)
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer, &state).await {
        let act = (state.script.lock())(&request);
        let keep = respond(&mut stream, &request, act, &state).await;
        if !keep {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, state: &State) -> Option<Request> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        read_more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    while buffer.len() < head_end + 4 + length {
        read_more(stream, buffer).await?;
    }
    let body = buffer[head_end + 4..head_end + 4 + length].to_vec();
    buffer.drain(..head_end + 4 + length);
    let mut request = Request { method, path, headers, body, index: 0 };
    if !request.is_scratch() {
        match request.method.as_str() {
            "PUT" => request.index = state.puts.fetch_add(1, Relaxed),
            "GET" => request.index = state.gets.fetch_add(1, Relaxed),
            _ => {}
        }
    }
    if request.headers.contains_key("if-match") || (request.is_put() && request.headers.contains_key("if-none-match")) {
        state.conditional.fetch_add(1, Relaxed);
    }
    Some(request)
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 16 * 1024];
    match stream.read(&mut chunk).await {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            buffer.extend_from_slice(&chunk[..read]);
            Some(())
        }
    }
}

struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Response {
    fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    fn error(status: u16, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No.</Message></Error>");
        Self { status, headers: Vec::new(), body: body.into_bytes() }
    }
}

/// Returns whether the connection goes on.
async fn respond(stream: &mut TcpStream, request: &Request, act: Act, state: &State) -> bool {
    let response = match act {
        Act::HangUp => return false,
        Act::Silence => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return false;
        }
        Act::ServeThenHangUp => {
            apply(request, act, state);
            return false;
        }
        Act::ServeThenSay(status) => {
            apply(request, act, state);
            Response::error(status, "InternalError")
        }
        Act::Say(status) => Response::status(status),
        Act::SayCode(status, code) => Response::error(status, code),
        Act::Throttle => Response { headers: vec![("retry-after", "1".into())], ..Response::error(429, "SlowDown") },
        Act::Redirect(status) => {
            Response { headers: vec![("location", request.path.clone())], ..Response::status(status) }
        }
        Act::Html => Response {
            headers: vec![("etag", "\"page\"".into()), ("content-type", "text/html".into())],
            body: b"<html><body>Please log in to the network.</body></html>".to_vec(),
            status: 200,
        },
        Act::HugeError(mebibytes) => {
            let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n", mebibytes << 20);
            let mut sent = stream.write_all(head.as_bytes()).await.is_ok();
            for _ in 0..mebibytes * 16 {
                sent = sent && stream.write_all(&[b'e'; 64 * 1024]).await.is_ok();
                state.error_chunks.fetch_add(u64::from(sent), Relaxed);
            }
            return false;
        }
        Act::RefuseConditions if request.headers.contains_key("if-match") => Response::error(501, "NotImplemented"),
        Act::RefuseConditions if request.is_put() && request.headers.contains_key("if-none-match") => {
            Response::error(501, "NotImplemented")
        }
        Act::Endless => {
            let head = "HTTP/1.1 200 OK\r\netag: \"big\"\r\nlast-modified: Tue, 01 Jul 2025 00:00:00 GMT\r\n\
                        content-length: 1099511627776\r\n\r\n";
            let mut sent = stream.write_all(head.as_bytes()).await.is_ok();
            while sent {
                sent = stream.write_all(&[b'x'; 64 * 1024]).await.is_ok();
            }
            return false;
        }
        Act::LetRacersWin if request.is_put() => {
            let checked = check(request, state);
            tokio::time::sleep(Duration::from_millis(20)).await;
            match checked {
                Ok(()) => write(request, state),
                Err(response) => response,
            }
        }
        _ => apply(request, act, state),
    };
    let reason = if response.status < 400 { "OK" } else { "Error" };
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", response.status);
    for (name, value) in &response.headers {
        let value = match (act, *name) {
            (Act::OmitETag, "etag") => continue,
            (Act::WeakETag, "etag") => format!("W/{value}"),
            (Act::BareETag, "etag") => value.trim_matches('"').to_owned(),
            _ => value.clone(),
        };
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if response.status != 304 && response.status != 204 {
        text.push_str(&format!("content-length: {}\r\n", response.body.len()));
    }
    text.push_str("last-modified: Tue, 01 Jul 2025 00:00:00 GMT\r\n\r\n");
    if stream.write_all(text.as_bytes()).await.is_err() {
        return false;
    }
    if act == Act::Truncate && request.is_get() {
        let _ = stream.write_all(&response.body[..response.body.len() / 2]).await;
        return false;
    }
    stream.write_all(&response.body).await.is_ok()
}

fn apply(request: &Request, act: Act, state: &State) -> Response {
    match request.method.as_str() {
        "GET" => {
            let objects = state.objects.lock();
            let Some((etag, body)) = objects.get(&request.path) else { return Response::error(404, "NoSuchKey") };
            let etag = format!("\"{etag}\"");
            if request.headers.get("if-none-match") == Some(&etag) {
                return Response { headers: vec![("etag", etag)], ..Response::status(304) };
            }
            Response { status: 200, headers: vec![("etag", etag)], body: body.clone() }
        }
        "PUT" if act == Act::IgnoreConditions => write(request, state),
        "PUT" => match check(request, state) {
            Ok(()) => write(request, state),
            Err(response) => response,
        },
        "DELETE" => {
            state.objects.lock().remove(&request.path);
            Response::status(204)
        }
        _ => Response::error(405, "MethodNotAllowed"),
    }
}

fn check(request: &Request, state: &State) -> Result<(), Response> {
    let objects = state.objects.lock();
    let present = objects.get(&request.path).map(|(etag, _)| format!("\"{etag}\""));
    if request.headers.contains_key("if-none-match") && present.is_some() {
        return Err(Response::error(412, "PreconditionFailed"));
    }
    match (request.headers.get("if-match"), present) {
        (Some(_), None) => Err(Response::error(404, "NoSuchKey")),
        (Some(wanted), Some(present)) if *wanted != present => Err(Response::error(412, "PreconditionFailed")),
        _ => Ok(()),
    }
}

fn write(request: &Request, state: &State) -> Response {
    let etag = state.next_etag.fetch_add(1, Relaxed);
    state.objects.lock().insert(request.path.clone(), (etag, request.body.clone()));
    if !request.is_scratch() {
        state.commits.fetch_add(1, Relaxed);
    }
    Response { headers: vec![("etag", format!("\"{etag}\""))], ..Response::status(200) }
}
