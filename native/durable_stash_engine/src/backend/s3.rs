//! The store on S3, or on what speaks its protocol, through `object_store`.
//!
//! Two clients share one connection pool: a *reader* that tries again by itself (reads and credentials are safe to
//! repeat), and a *writer* that never does. A PUT that the client repeated after its first try was applied would be
//! reported as a conflict with itself (fault 3); here every try is the machine's.
//!
//! `object_store` hides the status of what it does not name. [`Reporting`] sits under it and leaves each exchange's
//! status, error code and `Retry-After` in a report that travels with the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome};
use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3ConfigKey};
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, GetOptions, GetResult, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use parking_lot::Mutex;

use super::credentials::Credentials;
use super::s3_settings;
use crate::config::{Config, S3Config};
use crate::error::{Error, Failure};
use crate::retry::{self, Answer};
use crate::store::{Cursor, DeleteOutcome, Listed, ObjectName, Page, Store, StoreError};

/// A bucket.
pub(crate) struct S3Store {
    reader: AmazonS3,
    writer: AmazonS3,
    credentials: Arc<Credentials>,
    prefix: String,
    largest_body: usize,
    /// The store refuses preconditions and the operator has said that nobody else writes.
    unconditional: AtomicBool,
    described: String,
    trouble: Mutex<Option<String>>,
}

impl S3Store {
    /// Builds the clients. Nothing is asked of the store yet.
    pub(crate) fn open(s3: &S3Config, config: &Config) -> Result<Self, Error> {
        let endpoint = s3_settings::endpoint(s3)?;
        let connector = SharedConnector::new(config)?;
        let endpoint_of_all = endpoint.clone();
        let (bucket, settings) = (s3.clone(), config.clone());
        let build = Arc::new(move |tries: usize| {
            let mut builder = s3_settings::credentials(&bucket)?
                .with_bucket_name(&bucket.bucket)
                .with_retry(retries(&settings, tries))
                .with_http_connector(connector.clone())
                .with_virtual_hosted_style_request(bucket.virtual_hosted)
                // One key is deleted with DELETE and not with a batch, which not every store has.
                .with_disable_bulk_delete(true);
            if let Some(region) = &bucket.region {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = &endpoint_of_all {
                builder = builder.with_endpoint(endpoint);
            }
            s3_settings::check(&builder)?;
            // Read by `object_store` itself only; the connections are the connector's.
            let allow_http = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
            Ok::<_, Error>(builder.with_config(allow_http, bucket.allow_http.to_string()))
        });
        let unusable = |error: object_store::Error| Failure::Config { option: "backend", problem: error.to_string() };
        // The setting for requests drives fetching credentials, too: hence a third one that only lends its provider.
        let lender = build.clone();
        let lend = move || Ok(lender(3)?.build().map_err(unusable)?.credentials().clone());
        let credentials = Arc::new(Credentials::new(Box::new(lend))?);
        let client = |tries| {
            let client = build(tries)?.with_credentials(credentials.clone()).build();
            client.map_err(|error| Error::from(unusable(error)))
        };
        // A read is repeated once, for a pooled connection that was closed meanwhile. Longer troubles are the machine's.
        let reader = client(1)?;
        let writer = client(0)?;
        let place = endpoint.map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
        Ok(Self {
            reader,
            writer,
            credentials: credentials.clone(),
            prefix: config.prefix.clone(),
            largest_body: config.largest_body(),
            unconditional: AtomicBool::new(false),
            described: format!("the S3 bucket `{}`{place}", s3.bucket),
            trouble: Mutex::default(),
        })
    }

    fn path(&self, name: &ObjectName) -> Path {
        Path::from(format!("{}{}", self.prefix, name.as_str()))
    }

    /// A request that was refused for its expired credentials was not looked at: it is made once more with fresh ones.
    async fn write(&self, name: &ObjectName, body: Bytes, mode: PutMode) -> (Option<Answer>, Option<String>) {
        let generation = self.credentials.generation();
        let written = self.write_once(name, body.clone(), mode.clone()).await;
        match &written.0 {
            Some(answer) if answer.is_expired() && self.credentials.renew(generation) => {
                self.write_once(name, body, mode).await
            }
            Some(_) | None => written,
        }
    }

    async fn write_once(&self, name: &ObjectName, body: Bytes, mode: PutMode) -> (Option<Answer>, Option<String>) {
        let report = Report::default();
        let mut options = PutOptions { mode, attributes: attributes(), ..PutOptions::default() };
        options.extensions.insert(report.clone());
        let result = self.writer.put_opts(&self.path(name), PutPayload::from(body), options).await;
        let answer = report.take();
        if let Err(error) = &result {
            self.note(answer.as_ref(), error);
        }
        (answer, result.ok().and_then(|put| put.e_tag))
    }

    async fn read_once(&self, name: &ObjectName, unless: Option<&ETag>) -> Result<GetResult, Option<Answer>> {
        let report = Report::default();
        let mut options =
            GetOptions { if_none_match: unless.map(|etag| etag.as_str().to_owned()), ..GetOptions::default() };
        options.extensions.insert(report.clone());
        self.reader.get_opts(&self.path(name), options).await.map_err(|error| {
            let answer = report.take();
            self.note(answer.as_ref(), &error);
            answer
        })
    }

    /// Keeps what an operator would want to know. Of a refusal only its status and code: its text may hold anything.
    fn note(&self, answer: Option<&Answer>, error: &object_store::Error) {
        let trouble = match answer {
            Some(answer) if answer.is_trouble() => answer.to_string(),
            Some(answer) if !answer.is_success() => return,
            Some(_) | None => with_sources(error).chars().take(LONGEST_TROUBLE).collect(),
        };
        *self.trouble.lock() = Some(trouble);
    }

    /// The body, bounded; none if it is too large.
    async fn body(&self, found: GetResult) -> Result<Option<Bytes>, object_store::Error> {
        let expected = usize::try_from(found.meta.size).unwrap_or(usize::MAX);
        if expected > self.largest_body {
            return Ok(None);
        }
        let mut body = BytesMut::with_capacity(expected);
        let mut chunks = found.into_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk?);
            if body.len() > self.largest_body {
                return Ok(None);
            }
        }
        Ok(Some(body.freeze()))
    }
}

#[async_trait]
impl Store for S3Store {
    async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        let generation = self.credentials.generation();
        let mut found = self.read_once(name, unless).await;
        if let Err(Some(answer)) = &found
            && answer.is_expired()
            && self.credentials.renew(generation)
        {
            found = self.read_once(name, unless).await;
        }
        let found = match found {
            Ok(found) => found,
            Err(answer) => return retry::get_failure(answer.as_ref()),
        };
        let Some(etag) = found.meta.e_tag.as_deref().and_then(retry::normalised_etag) else {
            *self.trouble.lock() = Some("it sends no usable ETag, and without one no write can be conditional".into());
            return GetOutcome::Unavailable { retry_after: None };
        };
        let expected = found.meta.size;
        match self.body(found).await {
            Ok(Some(body)) if body.len() as u64 == expected => GetOutcome::Found { etag, body },
            Ok(Some(_)) | Err(_) => GetOutcome::Unavailable { retry_after: None },
            Ok(None) => GetOutcome::TooLarge,
        }
    }

    async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        let unconditional = self.unconditional.load(Relaxed);
        let mode = match precondition {
            _ if unconditional => PutMode::Overwrite,
            Precondition::Absent => PutMode::Create,
            Precondition::Matches(etag) => {
                PutMode::Update(UpdateVersion { e_tag: Some(etag.as_str().to_owned()), version: None })
            }
        };
        let (answer, etag) = self.write(name, body, mode).await;
        retry::put_outcome(answer.as_ref(), etag.as_deref(), (!unconditional).then_some(precondition))
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let options = PaginatedListOptions {
            offset: cursor.map(|Cursor(after)| after.clone()),
            max_keys: Some(limit.min(LARGEST_PAGE)),
            ..PaginatedListOptions::default()
        };
        let prefix = (!self.prefix.is_empty()).then_some(self.prefix.as_str());
        let page = self.reader.list_paginated(prefix, options).await.map_err(|error| StoreError(error.to_string()))?;
        let last = page.result.objects.iter().map(|object| object.location.as_ref()).max();
        let next = last.filter(|_| page.page_token.is_some()).map(|last| Cursor(last.to_owned()));
        let objects = page
            .result
            .objects
            .iter()
            .filter_map(|object| {
                Some(Listed {
                    name: ObjectName::parse(object.location.as_ref().strip_prefix(&self.prefix)?)?,
                    last_modified_ms: u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0),
                    bytes: object.size,
                })
            })
            .collect();
        Ok(Page { objects, next })
    }

    fn can_delete(&self) -> bool {
        false
    }

    /// S3 has no conditional delete that every store keeps to, and an unconditional one could take a newer write with
    /// it: tombstones are left to a lifecycle rule on the bucket.
    async fn delete_if(&self, _name: &ObjectName, _etag: &ETag) -> DeleteOutcome {
        DeleteOutcome::Unsupported
    }

    async fn put_aside(&self, name: &ObjectName, body: Bytes) -> bool {
        let mode = if self.unconditional.load(Relaxed) { PutMode::Overwrite } else { PutMode::Create };
        let (answer, etag) = self.write(name, body, mode).await;
        // Under this name only this content is ever written, so that "it was there already" is as good.
        match retry::put_outcome(answer.as_ref(), etag.as_deref(), Some(&Precondition::Absent)) {
            PutOutcome::Written(_) | PutOutcome::Moved => true,
            PutOutcome::Gone | PutOutcome::Busy | PutOutcome::Refused(_) | PutOutcome::Unknown { .. } => false,
        }
    }

    async fn remove_scratch(&self, name: &ObjectName) {
        // Best effort: the sweeper comes by again.
        let _ = self.writer.delete(&self.path(name)).await;
    }

    fn drop_conditions(&self) {
        self.unconditional.store(true, Relaxed);
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    fn describe(&self) -> String {
        self.described.clone()
    }
}

fn retries(config: &Config, max_retries: usize) -> RetryConfig {
    RetryConfig {
        max_retries,
        retry_timeout: Duration::from_millis(config.attempt_timeout_ms),
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            ..BackoffConfig::default()
        },
    }
}

/// Two lines of JSON that no cache on the way may keep (fault 15).
fn attributes() -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, "application/x-ndjson".into());
    attributes.insert(Attribute::CacheControl, "no-store".into());
    attributes
}

/// Hands the same client to reader, writer and credentials, so that all share one pool of warm connections.
#[derive(Clone, Debug)]
struct SharedConnector(HttpClient);

impl SharedConnector {
    fn new(config: &Config) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .user_agent("durable_stash")
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .timeout(Duration::from_millis(config.attempt_timeout_ms))
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(config.requests_in_flight)
            // A PUT that was redirected could be answered as a GET, and an etag of it taken for a commit.
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .build()
            .map_err(|error| Failure::HttpClient { reason: with_sources(&error) })?;
        Ok(Self(HttpClient::new(Reporting(HttpClient::new(client)))))
    }
}

impl HttpConnector for SharedConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// What became of a request, left by [`Reporting`] where the asker finds it.
#[derive(Clone, Debug, Default)]
struct Report(Arc<Mutex<Option<Answer>>>);

impl Report {
    fn take(&self) -> Option<Answer> {
        self.0.lock().take()
    }
}

/// The client, with each exchange's status reported and no error body read beyond a bound (fault 72).
#[derive(Debug)]
struct Reporting(HttpClient);

#[async_trait]
impl HttpService for Reporting {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let report = request.extensions().get::<Report>().cloned();
        if let Some(report) = &report {
            // Of several tries the last one counts, also if it has no answer.
            *report.0.lock() = None;
        }
        let response = self.0.execute(request).await?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            code: None,
            retry_after_ms: response
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok())
                .and_then(retry::retry_after_ms),
        };
        let response = if response.status().is_success() {
            response
        } else {
            let (parts, body) = response.into_parts();
            let body = beginning(body.bytes_stream()).await;
            answer.code = retry::error_code(&body);
            HttpResponse::from_parts(parts, body.into())
        };
        if let Some(report) = &report {
            *report.0.lock() = Some(answer);
        }
        Ok(response)
    }
}

/// As much of an error body as is ever looked at. One that breaks off tells what it told.
async fn beginning(mut chunks: futures_util::stream::BoxStream<'static, Result<Bytes, HttpError>>) -> Bytes {
    let mut body = BytesMut::new();
    while body.len() < LARGEST_ERROR_BODY {
        let Some(Ok(chunk)) = chunks.next().await else { break };
        let room = LARGEST_ERROR_BODY - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    body.freeze()
}

/// An error and what it stems from: the cause is what an operator can act upon.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Connections are kept warm for as long as load balancers commonly keep theirs.
const POOL_IDLE: Duration = Duration::from_secs(25);
const LARGEST_ERROR_BODY: usize = 16 * 1024;
const LONGEST_TROUBLE: usize = 400;
/// S3 lists no more at a time (ListObjectsV2, `max-keys`).
const LARGEST_PAGE: usize = 1000;
