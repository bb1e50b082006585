//! What an S3 configuration says, and whether requests can be made of it.
//!
//! `object_store` panics over a name or a credential that cannot stand in a request, and it does so in each request and
//! not when it is built. So all of them are looked at here, the environment's included (fault 73).

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use reqwest::Url;

use crate::config::S3Config;
use crate::error::{Error, Failure};

/// Where the credentials come from: given, or the environment's `AWS_*` and what `object_store` makes of it.
///
/// Given ones are never mixed with the environment's: a key of one and a session token of the other sign nothing.
pub(super) fn credentials(s3: &S3Config) -> Result<AmazonS3Builder, Error> {
    match (&s3.access_key_id, &s3.secret_access_key) {
        (Some(key), Some(secret)) => {
            let mut builder = AmazonS3Builder::new().with_access_key_id(key).with_secret_access_key(secret);
            if let Some(token) = &s3.session_token {
                builder = builder.with_token(token);
            }
            let region = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
            if let Some(region) = region {
                builder = builder.with_region(region);
            }
            Ok(builder)
        }
        (None, None) => Ok(AmazonS3Builder::from_env()),
        (Some(_), None) | (None, Some(_)) => {
            Err(refusal("needs `access_key_id` and `secret_access_key` together, or neither".to_owned()))
        }
    }
}

/// The endpoint as `object_store` wants it: with the bucket in it where requests are virtual-hosted.
pub(super) fn endpoint(s3: &S3Config) -> Result<Option<String>, Error> {
    let refuse = |problem: String| Err(refusal(problem));
    let Some(endpoint) = s3.endpoint.as_deref().map(|endpoint| endpoint.trim_end_matches('/')) else {
        return Ok(None);
    };
    let Some((scheme, host)) = endpoint.split_once("://") else {
        return refuse("needs an `endpoint` that begins with `https://` (or `http://`)".to_owned());
    };
    match scheme {
        "https" => {}
        "http" if s3.allow_http => {}
        "http" => return refuse("has a plain http `endpoint`, which `allow_http: true` must allow".to_owned()),
        other => return refuse(format!("has an `endpoint` of the unknown scheme `{other}`")),
    }
    if host.is_empty() || host.contains('@') {
        return refuse("needs an `endpoint` with a host and without credentials in it".to_owned());
    }
    let hosts_bucket = host.starts_with(&format!("{}.", s3.bucket));
    if s3.virtual_hosted && !hosts_bucket {
        return as_sent(&format!("{scheme}://{}.{host}", s3.bucket)).map(Some);
    }
    as_sent(endpoint).map(Some)
}

/// Refuses what cannot stand in a request, wherever it comes from. What is wrong with a credential is said without it.
pub(super) fn check(builder: &AmazonS3Builder) -> Result<(), Error> {
    let has = |key, sound: fn(&str) -> bool| builder.get_config_value(&key).is_none_or(|text| sound(&text));
    if !has(AmazonS3ConfigKey::Bucket, is_bucket) {
        return Err(refusal("needs `bucket`, the bucket's plain name: letters, digits, `-`, `_` and `.`".to_owned()));
    }
    if !has(AmazonS3ConfigKey::Region, is_region) {
        return Err(refusal("needs a `region` of letters, digits, `-` and `_`".to_owned()));
    }
    let broken = |name| refusal(format!("has a `{name}` that is empty, or that holds a line's end or the like"));
    if !has(AmazonS3ConfigKey::AccessKeyId, is_token) {
        return Err(broken("access_key_id"));
    }
    if !has(AmazonS3ConfigKey::SecretAccessKey, is_line) {
        return Err(broken("secret_access_key"));
    }
    // An empty one in the environment is none.
    if !has(AmazonS3ConfigKey::Token, |text| text.is_empty() || is_token(text)) {
        return Err(broken("session_token"));
    }
    Ok(())
}

/// The endpoint as a request's URL can begin with it: a host beyond ASCII is encoded, a path too.
fn as_sent(endpoint: &str) -> Result<String, Error> {
    let wrong = || refusal("needs an `endpoint` that is a URL, such as `https://s3.example.com`".to_owned());
    let url = Url::parse(endpoint).map_err(|_| wrong())?;
    if !url.has_host() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn is_bucket(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_region(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// What can stand in a header as it is.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// It is hashed and never sent, but one from a file has the file's end on it.
fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn refusal(problem: String) -> Error {
    Failure::Config { option: "backend", problem }.into()
}
