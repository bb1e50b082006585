//! The S3 operations on the store. HTTP, XML and signatures are `s3s`'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::http::Extensions;
use hyper::{HeaderMap, StatusCode, header};
use md5::{Digest as _, Md5};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::condition::{Conditions, Rejection};
use crate::fault::ConditionFault;
use crate::listing::Wanted;
use crate::store::{Store, Terms};
use crate::version::{Content, Version};

/// What the connection's side tells the store's side about a request, and is told: an extension of the request.
#[derive(Clone, Default)]
pub(crate) struct Passage {
    pub(crate) request: u64,
    pub(crate) conditions: Option<ConditionFault>,
    pub(crate) stale: usize,
    commit: Arc<AtomicU64>,
}

impl Passage {
    pub(crate) fn new(request: u64, conditions: Option<ConditionFault>, stale: Option<usize>) -> Self {
        Self { request, conditions, stale: stale.unwrap_or(0), commit: Arc::default() }
    }

    /// The last commit that the request made.
    pub(crate) fn commit(&self) -> Option<u64> {
        Some(self.commit.load(Relaxed)).filter(|commit| *commit > 0)
    }
}

pub(crate) struct Service(pub(crate) Store);

impl Service {
    /// Settles on what terms a write goes to the store, after what a racy store does in between.
    async fn terms(&self, passage: &Passage, bucket: &str, key: &str, asked: Conditions) -> S3Result<Terms> {
        let ignored = match &passage.conditions {
            None => false,
            Some(_) if asked.is_empty() => false,
            Some(ConditionFault::Ignored) => true,
            Some(ConditionFault::Refused) => return Err(not_implemented()),
            Some(ConditionFault::Racy { window_ms }) => {
                self.0.check(bucket, key, &asked).map_err(refusal)?;
                tokio::time::sleep(Duration::from_millis(*window_ms)).await;
                true
            }
        };
        Ok(Terms { conditions: asked, ignored, request: Some(passage.request) })
    }

    async fn delete(&self, passage: &Passage, bucket: &str, key: &str, if_match: Option<ETagCondition>) -> S3Result {
        let terms = self.terms(passage, bucket, key, Conditions { if_match, if_none_match: None }).await?;
        if let Some(version) = self.0.delete(bucket, key, terms).map_err(refusal)? {
            passage.commit.store(version.commit, Relaxed);
        }
        Ok(())
    }

    fn read(
        &self,
        extensions: &Extensions,
        bucket: &str,
        key: &str,
        asked: Conditions,
    ) -> S3Result<(Arc<Version>, Content)> {
        let read = self.0.get(bucket, key, &asked, passage(extensions).stale);
        read.map_err(|rejection| match rejection {
            Rejection::NotModified => not_modified(asked.if_none_match.as_ref()),
            other => refusal(other),
        })
    }
}

#[async_trait]
impl S3 for Service {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        self.0.create_bucket(&request.input.bucket);
        let location = Some(format!("/{}", request.input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        if self.0.has_bucket(&request.input.bucket) {
            Ok(S3Response::new(HeadBucketOutput::default()))
        } else {
            Err(refusal(Rejection::NoSuchBucket))
        }
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let passage = passage(&request.extensions);
        let input = request.input;
        if matches!(input.if_none_match, Some(ETagCondition::ETag(_))) {
            return Err(not_implemented()); // S3 knows `*` only (API reference, PutObject)
        }
        let body = match input.body {
            // Reading it to its end is what checks its hash against the signed one.
            Some(body) => Body::from(body).store_all_limited(LARGEST_BODY).await.map_err(unreadable)?,
            None => bytes::Bytes::new(),
        };
        if input.content_md5.is_some_and(|claimed| claimed != STANDARD.encode(Md5::digest(&body))) {
            return Err(s3_error!(BadDigest));
        }
        let content = Content {
            content_type: input.content_type,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default(),
            ..Content::new(&body)
        };
        let asked = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let terms = self.terms(&passage, &input.bucket, &input.key, asked).await?;
        let version = self.0.put(&input.bucket, &input.key, content, terms).map_err(refusal)?;
        passage.commit.store(version.commit, Relaxed);
        Ok(S3Response::new(PutObjectOutput { e_tag: strong(version.etag()), ..PutObjectOutput::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let asked = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let (version, content) = self.read(&request.extensions, &input.bucket, &input.key, asked)?;
        let full = content.body.len() as u64;
        let (body, content_range) = match input.range {
            None => (content.body, None),
            Some(range) => {
                let part = range.check(full)?;
                let told = format!("bytes {}-{}/{full}", part.start, part.end.saturating_sub(1));
                (content.body.slice(part.start as usize..part.end as usize), Some(told))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(body.len() as i64),
            body: Some(Body::from(body).into()),
            content_range,
            e_tag: Some(ETag::Strong(content.etag)),
            last_modified: Some(version.at.into()),
            content_type: content.content_type,
            cache_control: content.cache_control,
            metadata: Some(content.metadata),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let asked = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let (version, content) = self.read(&request.extensions, &input.bucket, &input.key, asked)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(content.body.len() as i64),
            e_tag: Some(ETag::Strong(content.etag)),
            last_modified: Some(version.at.into()),
            content_type: content.content_type,
            cache_control: content.cache_control,
            metadata: Some(content.metadata),
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.delete(&passage(&request.extensions), &input.bucket, &input.key, input.if_match).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let passage = passage(&request.extensions);
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in delete.objects {
            let key = Some(object.key.clone());
            match self.delete(&passage, &bucket, &object.key, object.e_tag.map(ETagCondition::ETag)).await {
                Ok(()) => deleted.push(DeletedObject { key, ..DeletedObject::default() }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key,
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        let deleted = (!delete.quiet.unwrap_or(false)).then_some(deleted);
        let errors = Some(errors).filter(|errors| !errors.is_empty());
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, ..DeleteObjectsOutput::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let max_keys = input.max_keys.unwrap_or(LARGEST_PAGE).clamp(0, LARGEST_PAGE);
        let after = match &input.continuation_token {
            Some(token) => read_token(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let wanted = Wanted {
            prefix: input.prefix.clone().unwrap_or_default(),
            after,
            delimiter: input.delimiter.clone().filter(|delimiter| !delimiter.is_empty()),
            max_keys: max_keys as usize,
        };
        let page = self.0.list(&input.bucket, &wanted).map_err(refusal)?;
        let encoded = input.encoding_type.as_ref().is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
        let name = |name: &str| {
            if encoded { utf8_percent_encode(name, NON_ALPHANUMERIC).to_string() } else { name.to_owned() }
        };
        let contents: Vec<_> = page.objects.iter().map(|version| listed(version, name(&version.key))).collect();
        let prefixes: Vec<_> = page.prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(name(prefix)) }).collect();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            key_count: Some((contents.len() + prefixes.len()) as i32),
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.map(|last| URL_SAFE_NO_PAD.encode(last)),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            encoding_type: input.encoding_type,
            max_keys: Some(max_keys),
            ..ListObjectsV2Output::default()
        }))
    }
}

fn passage(extensions: &Extensions) -> Passage {
    extensions.get::<Passage>().cloned().unwrap_or_default()
}

fn listed(version: &Version, key: String) -> Object {
    Object {
        key: Some(key),
        e_tag: strong(version.etag()),
        size: version.body().map(|body| body.len() as i64),
        last_modified: Some(version.at.into()),
        ..Object::default()
    }
}

fn strong(etag: Option<&str>) -> Option<ETag> {
    etag.map(|etag| ETag::Strong(etag.to_owned()))
}

/// An error to `s3s`, which can give a 304 in no other way. It tells the reader the etag that it knows.
fn not_modified(known: Option<&ETagCondition>) -> S3Error {
    let mut error = s3_error!(NotModified);
    if let Some(etag) = known.and_then(|known| known.to_http_header().ok()) {
        error.set_headers(HeaderMap::from_iter([(header::ETAG, etag)]));
    }
    error
}

fn read_token(token: &str) -> S3Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token is not one of this server's."))
}

fn refusal(rejection: Rejection) -> S3Error {
    match rejection {
        Rejection::NoSuchBucket => s3_error!(NoSuchBucket),
        Rejection::NoSuchKey => s3_error!(NoSuchKey),
        Rejection::NotModified => not_modified(None),
        Rejection::PreconditionFailed => s3_error!(PreconditionFailed),
    }
}

fn not_implemented() -> S3Error {
    s3_error!(NotImplemented, "A header you provided implies functionality that is not implemented.")
}

/// A body whose hash is not the signed one, or whose chunks are not signed: the request is not its sender's.
fn unreadable(error: s3s::StdError) -> S3Error {
    let mut mismatch = S3Error::with_source(S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()), error);
    mismatch.set_status_code(StatusCode::BAD_REQUEST);
    mismatch
}

/// As the connection has let it through.
pub(crate) const LARGEST_BODY: usize = 64 << 20;
/// S3 lists no more at a time, whatever is asked for (API reference, ListObjectsV2).
const LARGEST_PAGE: i32 = 1000;
