//! Who may ask: whoever signs with the one key pair, as S3 wants it (Signature Version 4).

use async_trait::async_trait;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

/// The one key pair.
#[derive(Clone)]
pub(crate) struct KeyPair {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

#[async_trait]
impl S3Auth for KeyPair {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            Ok(SecretKey::from(self.secret_key.as_str()))
        } else {
            Err(s3_error!(InvalidAccessKeyId, "The access key is not the one this server was started with."))
        }
    }
}

/// Everything must be signed, but for making a bucket: tests that have no client which can do so make it by hand.
pub(crate) struct SignedOrNewBucket;

#[async_trait]
impl S3Access for SignedOrNewBucket {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        match (context.credentials(), context.s3_op().name()) {
            (Some(_), _) | (None, "CreateBucket" | "HeadBucket") => Ok(()),
            (None, _) => Err(s3_error!(AccessDenied, "A signature is required.")),
        }
    }
}
