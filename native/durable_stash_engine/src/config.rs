//! The engine's configuration, validated once at start.

use durable_stash_machine::Policy;

use crate::backend::MemoryStore;
use crate::error::{Error, Failure};
use crate::session_key::Secret;

/// Everything an engine needs to know. Times are milliseconds, sizes bytes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the documents are.
    pub backend: Backend,
    /// Put before every object name; empty or ending in `/`.
    pub prefix: String,
    /// What session ids are hashed with: the current secret, then older ones.
    pub secrets: Vec<Secret>,
    /// The numbers that sessions keep to.
    pub policy: Policy,
    /// A session that nothing has asked for this long, with nothing in flight, leaves memory.
    pub idle_after_ms: u64,
    /// The most requests to the store at one time.
    pub requests_in_flight: usize,
    /// The most bytes accepted and not yet saved, over all sessions; beyond it `overloaded`.
    pub max_unsaved_bytes: usize,
    /// The most bytes of documents that sessions at rest keep in memory. A session that comes to rest beyond it does not
    /// wait for `idle_after_ms`.
    pub max_cached_bytes: usize,
    /// How often the sweeper walks the prefix; 0 never.
    pub sweep_every_ms: u64,
    /// The most objects that the sweeper reads in a second.
    pub sweep_rate: u32,
    /// How long one request to the store may take, from connect to the last byte.
    pub attempt_timeout_ms: u64,
    /// How long connecting may take.
    pub connect_timeout_ms: u64,
}

/// The kinds of store.
#[derive(Clone, Debug)]
pub enum Backend {
    /// In memory, for tests and development. The store outlives the engine.
    Memory(MemoryStore),
    /// A directory of this machine.
    Disk {
        /// The directory; made at start if it is not there.
        path: std::path::PathBuf,
    },
    /// AWS S3, or a store that speaks its protocol.
    S3(S3Config),
}

/// How to reach a bucket. What is `None` comes from the `AWS_*` environment, or from web identity, ECS or IMDS.
#[derive(Clone, Default)]
pub struct S3Config {
    /// The bucket. It must be there.
    pub bucket: String,
    /// `auto` for Cloudflare R2 and Tigris; `us-east-1` if nothing says otherwise.
    pub region: Option<String>,
    /// For stores other than AWS, e.g. `https://fly.storage.tigris.dev`.
    pub endpoint: Option<String>,
    /// Given together with `secret_access_key`, or not at all.
    pub access_key_id: Option<String>,
    /// Given together with `access_key_id`, or not at all.
    pub secret_access_key: Option<String>,
    /// For temporary credentials.
    pub session_token: Option<String>,
    /// Plain `http` endpoints are refused without it.
    pub allow_http: bool,
    /// `https://<bucket>.<endpoint>/<name>` instead of `https://<endpoint>/<bucket>/<name>`.
    pub virtual_hosted: bool,
}

impl std::fmt::Debug for S3Config {
    /// Without the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("credentials_given", &self.access_key_id.is_some())
            .field("allow_http", &self.allow_http)
            .field("virtual_hosted", &self.virtual_hosted)
            .finish()
    }
}

impl Config {
    /// The defaults of design §5 to §11 for a backend and its secrets.
    pub fn new(backend: Backend, secrets: Vec<Secret>) -> Self {
        Self {
            backend,
            prefix: "durable_stash/".to_owned(),
            secrets,
            policy: Policy::default(),
            idle_after_ms: 60_000,
            requests_in_flight: 128,
            max_unsaved_bytes: 64 * 1024 * 1024,
            max_cached_bytes: 256 * 1024 * 1024,
            sweep_every_ms: 60 * 60 * 1000,
            sweep_rate: 50,
            attempt_timeout_ms: 5_000,
            connect_timeout_ms: 2_000,
        }
    }

    /// Refuses what cannot work, naming the option (fault 73).
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refuse = |option, problem: &str| Err(Failure::Config { option, problem: problem.to_owned() }.into());
        if self.secrets.is_empty() {
            return refuse("secret", "is missing: give at least one secret of 32 bytes or more");
        }
        if !is_usable_prefix(&self.prefix) {
            return refuse(
                "prefix",
                "must be empty or end in `/`, and consist of segments of letters, digits, `-`, `_`, `.` and `=`",
            );
        }
        if self.requests_in_flight == 0 {
            return refuse("requests_in_flight", "must be at least 1");
        }
        if self.attempt_timeout_ms == 0 || self.connect_timeout_ms == 0 {
            return refuse("attempt_timeout", "and `connect_timeout` must be at least 1 ms");
        }
        if self.policy.max_document_bytes == 0 {
            return refuse("max_document_bytes", "must be at least 1");
        }
        if self.policy.ttl_ms == 0 {
            return refuse("ttl", "must be at least 1 ms");
        }
        if self.sweep_rate == 0 {
            return refuse("sweep_rate", "must be at least 1");
        }
        Ok(())
    }

    /// No answer of the store is read further than this: twice the largest document, and room for its header.
    pub(crate) fn largest_body(&self) -> usize {
        self.policy.max_document_bytes.saturating_mul(2).saturating_add(64 * 1024)
    }
}

/// Only characters that no store encodes, and no segment that a file system takes for a place of its own.
fn is_usable_prefix(prefix: &str) -> bool {
    let Some(inner) = prefix.strip_suffix('/') else { return prefix.is_empty() };
    prefix.len() <= 512
        && inner.split('/').all(|segment| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'='))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let secret = Secret::new(vec![7; 32]).unwrap();
        Config::new(Backend::Memory(MemoryStore::new()), vec![secret])
    }

    #[test]
    fn fault_73_a_bad_option_is_named() {
        assert!(config().validate().is_ok());
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 6] = [
            ("`secret`", |c| c.secrets.clear()),
            ("`prefix`", |c| c.prefix = "../x/".into()),
            ("`prefix`", |c| c.prefix = "no_slash".into()),
            ("`requests_in_flight`", |c| c.requests_in_flight = 0),
            ("`ttl`", |c| c.policy.ttl_ms = 0),
            ("`attempt_timeout`", |c| c.attempt_timeout_ms = 0),
        ];
        for (option, spoil) in cases {
            let mut config = config();
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind, durable_stash_machine::ErrorKind::Refused);
            assert!(error.message.contains(option), "{error}");
        }
    }

    #[test]
    fn a_prefix_cannot_leave_its_place() {
        for bad in ["/", "a//", "./", "../", "a/../b/", "a b/", "a\0/", "ü/", "a"] {
            assert!(!is_usable_prefix(bad), "{bad:?}");
        }
        for good in ["", "durable_stash/", "a/b-c/v1.2/env=prod/"] {
            assert!(is_usable_prefix(good), "{good:?}");
        }
    }

    #[test]
    fn credentials_do_not_show() {
        let config = S3Config {
            access_key_id: Some("AKIDNAME".into()),
            secret_access_key: Some("hush".into()),
            session_token: Some("token".into()),
            ..S3Config::default()
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("AKIDNAME") && !shown.contains("hush") && !shown.contains("token\""), "{shown}");
    }
}
