//! Credentials that are fetched anew once the store calls them expired (fault 17).
//!
//! `object_store` keeps a token until shortly before the date on it, whatever the store says of it since: a session that
//! was revoked, or a clock that is behind, would have every request refused until then. A request that was refused so has
//! not been looked at, so that it may be made once more. How often tokens are fetched is bounded: where the fresh ones are
//! no better, thousands of sessions ask.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Error;

/// Makes a provider that has nothing cached.
type Make = Box<dyn Fn() -> Result<AwsCredentialProvider, Error> + Send + Sync>;

/// The credentials of a store's requests.
pub(super) struct Credentials {
    make: Make,
    present: Mutex<Present>,
}

struct Present {
    provider: AwsCredentialProvider,
    generation: Generation,
    renewed_at: Option<Instant>,
}

/// Which of the providers a request was signed by, at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl Credentials {
    pub(super) fn new(make: Make) -> Result<Self, Error> {
        let provider = make()?;
        let present = Present { provider, generation: Generation(0), renewed_at: None };
        Ok(Self { make, present: Mutex::new(present) })
    }

    pub(super) fn generation(&self) -> Generation {
        self.present.lock().generation
    }

    /// Requests of this generation are refused as expired. Whether there are others now, so that it is worth another try.
    pub(super) fn renew(&self, refused: Generation) -> bool {
        let mut present = self.present.lock();
        if present.generation != refused {
            return true;
        }
        if present.renewed_at.is_some_and(|at| at.elapsed() < RENEWAL_PAUSE) {
            return false;
        }
        present.renewed_at = Some(Instant::now());
        let Ok(provider) = (self.make)() else { return false };
        present.provider = provider;
        present.generation = Generation(refused.0 + 1);
        true
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let provider = self.present.lock().provider.clone();
        provider.get_credential().await
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}

const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use object_store::StaticCredentialProvider;

    use super::*;

    /// The n-th provider hands out the key `n`.
    fn numbered() -> Arc<Credentials> {
        let made = AtomicU64::new(0);
        let make = move || {
            let key_id = made.fetch_add(1, Relaxed).to_string();
            let credential = AwsCredential { key_id, secret_key: String::new(), token: None };
            Ok(Arc::new(StaticCredentialProvider::new(credential)) as AwsCredentialProvider)
        };
        Arc::new(Credentials::new(Box::new(make)).unwrap())
    }

    async fn key(credentials: &Credentials) -> String {
        credentials.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn fault_17_refused_credentials_are_replaced_once_for_all_requests_that_carried_them() {
        let credentials = numbered();
        let generation = credentials.generation();
        assert_eq!(key(&credentials).await, "0");
        assert!((0..100).all(|_| credentials.renew(generation)));
        assert_eq!(key(&credentials).await, "1");
    }

    #[tokio::test(start_paused = true)]
    async fn fault_17_where_fresh_credentials_are_no_better_they_are_not_fetched_without_a_pause() {
        let credentials = numbered();
        assert!(credentials.renew(credentials.generation()));
        assert!((0..100).all(|_| !credentials.renew(credentials.generation())));
        assert_eq!(key(&credentials).await, "1");
        tokio::time::advance(RENEWAL_PAUSE).await;
        assert!(credentials.renew(credentials.generation()));
        assert_eq!(key(&credentials).await, "2");
    }
}
