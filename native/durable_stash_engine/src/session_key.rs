//! From a session id to the names of its object. The sid itself is never stored or logged (design §3).

use std::fmt;
use std::sync::Arc;

use durable_stash_machine::WriterId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::error::{Error, Failure};
use crate::store::ObjectName;

/// What session ids are hashed with: at least 32 bytes, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes the secret, or says that it is too short.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if bytes.len() < SHORTEST_SECRET {
            let problem = format!(
                "has {} bytes and must have at least {SHORTEST_SECRET}; `mix phx.gen.secret` makes a good one",
                bytes.len()
            );
            return Err(Failure::Config { option: "secret", problem }.into());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// One browser session, as the engine names it: its object's name under each secret, the current one first.
///
/// Two lists that differ are two keys, although they may share names: a view with secrets of its own is then a
/// writer of its own ([`SessionKey::writer`]), and compare-and-swap arbitrates as between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionKey(Arc<[ObjectName]>);

impl SessionKey {
    pub(crate) fn new(secrets: &[Secret], sid: &str) -> Self {
        Self(secrets.iter().map(|secret| object_name(secret, sid)).collect())
    }

    /// The object's names; what the machine's index means.
    pub(crate) fn names(&self) -> &Arc<[ObjectName]> {
        &self.0
    }

    /// What telemetry and messages call this session: the first 8 hex digits of its key.
    pub(crate) fn tag(&self) -> String {
        self.0.first().map_or_else(String::new, |name| name.tag().to_owned())
    }

    /// Who this session's machine writes as.
    ///
    /// Batches are recognised by (writer, seq), so that two machines must never write one object as the same writer
    /// at the same time. One key has at most one machine (the registry); two keys that share an object differ here.
    pub(crate) fn writer(&self, engine: WriterId, own_secrets: bool) -> WriterId {
        if !own_secrets {
            return engine;
        }
        let mut hash = Sha256::new();
        for name in self.0.iter() {
            hash.update(name.as_str());
        }
        WriterId(engine.0 ^ first_u128(&hash.finalize()))
    }
}

/// `HMAC-SHA256(secret, "durable_stash:v1:" <> sid)`, so that names have one length, tell nothing and cannot be made
/// to collide by moving bytes between the secret and the sid (fault 68).
fn object_name(secret: &Secret, sid: &str) -> ObjectName {
    // HMAC takes keys of every length (RFC 2104 §2), so that this cannot fail.
    #[expect(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes keys of every length");
    mac.update(DOMAIN);
    mac.update(sid.as_bytes());
    ObjectName::document(&mac.finalize().into_bytes().into())
}

fn first_u128(hash: &[u8]) -> u128 {
    hash.iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
}

const DOMAIN: &[u8] = b"durable_stash:v1:";
const SHORTEST_SECRET: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(fill: u8) -> Secret {
        Secret::new(vec![fill; 32]).unwrap()
    }

    #[test]
    fn the_name_is_the_documented_hmac() {
        // printf 'durable_stash:v1:abc' | openssl dgst -sha256 -mac HMAC -macopt hexkey:(32 × 07)
        let key = SessionKey::new(&[secret(7)], "abc");
        assert_eq!(key.names()[0].as_str(), EXPECTED);
        assert_eq!(key.tag(), &EXPECTED[3..11]);
    }

    #[test]
    fn fault_68_hostile_sids_become_names_of_one_shape() {
        let long = "x".repeat(1 << 20);
        let sids = ["", "../../x", "a\0b", "é", "e\u{301}", "abc", long.as_str()];
        let names: std::collections::HashSet<_> =
            sids.iter().map(|sid| SessionKey::new(&[secret(1)], sid).names()[0].as_str().to_owned()).collect();
        assert_eq!(names.len(), sids.len());
        assert!(names.iter().all(|name| ObjectName::parse(name).is_some()));
    }

    #[test]
    fn fault_68_bytes_cannot_move_between_secret_and_sid() {
        let left = Secret::new([&[b'k'; 32][..], b"ab"].concat()).unwrap();
        let right = Secret::new([&[b'k'; 32][..], b"a"].concat()).unwrap();
        assert_ne!(SessionKey::new(&[left], "c"), SessionKey::new(&[right], "bc"));
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_shown() {
        let error = Secret::new(*b"too short to hide anything").unwrap_err();
        assert!(error.message.contains("32") && !error.message.contains("hide"), "{error}");
        assert_eq!(format!("{:?}", secret(b's')), "Secret(redacted)");
    }

    #[test]
    fn two_keys_that_share_an_object_are_two_writers() {
        let one = SessionKey::new(&[secret(1), secret(2)], "sid");
        let other = SessionKey::new(&[secret(1)], "sid");
        assert_eq!(one.names()[0], other.names()[0]);
        let engine = WriterId(9);
        assert_eq!(one.writer(engine, false), engine);
        assert_ne!(other.writer(engine, true), engine);
        assert_ne!(other.writer(engine, true), one.writer(engine, true));
        assert_eq!(other.writer(engine, true), other.writer(engine, true));
    }

    const EXPECTED: &str = "5c/5c6d869c301a55b326ff038a161176e25acb7aceb8949d858ef2f139f2eb2246";
}
