//! A server with one bucket, and two clients of it: `object_store` without retries, and bare TCP, which shows how a
//! connection ends.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use durable_stash_s3::{Fault, Operation, Options, Server};
use hyper::Method;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutResult, RetryConfig, UpdateVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) client: AmazonS3,
}

pub(crate) async fn world() -> World {
    world_with(Options::default()).await
}

pub(crate) async fn world_with(options: Options) -> World {
    let server = Server::start(options).await.unwrap();
    server.store().create_bucket(BUCKET);
    let client = client(&server).build().unwrap();
    World { server, client }
}

pub(crate) fn client(server: &Server) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_bucket_name(BUCKET)
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout(PATIENCE))
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
}

impl World {
    /// What goes wrong with the next such request.
    pub(crate) fn next(&self, operation: Operation, fault: Fault) {
        self.server.faults().next(operation, fault);
    }

    pub(crate) async fn create(&self, key: &str, body: &str) -> object_store::Result<PutResult> {
        self.client.put_opts(&Path::from(key), body.to_owned().into(), PutMode::Create.into()).await
    }

    pub(crate) async fn update(&self, key: &str, body: &str, etag: &str) -> object_store::Result<PutResult> {
        let mode = PutMode::Update(UpdateVersion { e_tag: Some(etag.to_owned()), version: None });
        self.client.put_opts(&Path::from(key), body.to_owned().into(), mode.into()).await
    }

    pub(crate) async fn body(&self, key: &str) -> object_store::Result<String> {
        let bytes = self.client.get(&Path::from(key)).await?.bytes().await?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The object as the store has it.
    pub(crate) fn stored(&self, key: &str) -> Option<String> {
        let history = self.server.store().history(BUCKET, key);
        Some(String::from_utf8(history.last()?.body()?.to_vec()).unwrap())
    }

    pub(crate) async fn raw(&self, method: Method, key: &str, headers: &str, body: &str) -> Raw {
        let url = self.client.signed_url(method.clone(), &Path::from(key), VALIDITY).await.unwrap();
        let target = format!("{}?{}", url.path(), url.query().unwrap());
        exchange(self.server.address(), &method, &target, headers, body).await
    }

    /// A request for a control path.
    pub(crate) async fn control(&self, method: Method, target: &str, body: &str) -> Raw {
        exchange(self.server.address(), &method, target, "", body).await
    }
}

/// What came back over a connection of its own.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) end: Ended,
    pub(crate) took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Fin,
    Rst,
    /// It did not: the client lost its patience.
    Open,
}

impl Raw {
    /// 0 if there was no answer.
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.split("\r\n").skip(1);
        lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The `<Code>` of an error.
    pub(crate) fn code(&self) -> String {
        let text = self.text();
        let from = text.find("<Code>").map_or(0, |at| at + 6);
        let to = text.find("</Code>").unwrap_or(from);
        text[from..to].to_owned()
    }
}

/// One request, and everything until the connection ends or [`PATIENCE`] does.
pub(crate) async fn exchange(address: SocketAddr, method: &Method, target: &str, headers: &str, body: &str) -> Raw {
    let start = std::time::Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = loop {
        match timeout(PATIENCE, stream.read_buf(&mut answer)).await {
            Ok(Ok(0)) => break Ended::Fin,
            Ok(Ok(_)) if start.elapsed() < PATIENCE => {}
            Ok(Ok(_)) | Err(_) => break Ended::Open,
            Ok(Err(error)) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                break Ended::Rst;
            }
        }
    };
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let body = split.map_or_else(Vec::new, |at| answer[at + 4..].to_vec());
    let head = String::from_utf8(answer[..split.unwrap_or(0)].to_vec()).unwrap();
    Raw { head, body, end, took: start.elapsed() }
}

pub(crate) const BUCKET: &str = "bucket";
/// Of a signature: it is looked at when the request reaches the store, after a planned delay.
const VALIDITY: Duration = Duration::from_secs(60);
/// How long a client waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
