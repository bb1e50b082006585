//! What the engine asks of a store. The answers are the machine's own inputs, so that nothing is decided twice.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use durable_stash_machine::{DocumentName, ETag, GetOutcome, Precondition, PutOutcome};
use sha2::{Digest, Sha256};

/// A place for documents with compare-and-swap.
///
/// Names are relative to the prefix that the store was made with. A future may be dropped at any time: what it
/// had begun may then still be applied, as with a request whose answer is lost.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads the object, unless it still is `unless`.
    async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome;

    /// Writes the object if the precondition holds. One attempt: the store never tries again by itself.
    async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome;

    /// Up to about `limit` objects under the prefix, continuing at `cursor`, in name order where the store can.
    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;

    /// Whether [`Store::delete_if`] does anything. Without it tombstones are left to a lifecycle rule.
    fn can_delete(&self) -> bool {
        true
    }

    /// Deletes the object if it still is `etag`.
    async fn delete_if(&self, name: &ObjectName, etag: &ETag) -> DeleteOutcome;

    /// Keeps a copy under a name of its own; true once it is there.
    async fn put_aside(&self, name: &ObjectName, body: Bytes) -> bool;

    /// Deletes a scratch object of the probe, best effort and whatever it holds. Never called for documents.
    async fn remove_scratch(&self, name: &ObjectName);

    /// From now on writes carry no precondition: only for a store that refuses them, under `single_writer`.
    fn drop_conditions(&self) {}

    /// False where compare-and-swap is known to be right, so that the boot probe has nothing to find out.
    fn wants_probe(&self) -> bool {
        true
    }

    /// What the store last said, or did, instead of a usable answer; never with credentials.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Names the store in messages ("the S3 bucket `my-app` at http://…"); never with credentials.
    fn describe(&self) -> String;
}

/// An object's name below the prefix: two or more segments of hex digits and a few plain words, so that no store
/// encodes it and no file system reads a path of its own into it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(Arc<str>);

impl ObjectName {
    /// A session's document: `<first 2 hex>/<64 hex>`. The hash comes first, so that keys spread (fault 25).
    pub fn document(hash: &[u8; 32]) -> Self {
        let hex = hex(hash);
        Self(format!("{}/{hex}", &hex[..2]).into())
    }

    /// What the machine calls it, if it is a document's.
    pub fn to_document(&self) -> Option<DocumentName> {
        DocumentName::parse(&self.0)
    }

    /// A scratch object of the boot probe.
    pub fn scratch(random: u128) -> Self {
        Self(format!("{PROBE}/{random:032x}").into())
    }

    /// Where a copy of this object's present content goes. The same content gets the same name, so that an object
    /// found damaged by many is copied once.
    pub fn aside(&self, body: &[u8]) -> Self {
        let content = hex(&Sha256::digest(body));
        let base = self.0.rsplit('/').next().unwrap_or(&self.0);
        Self(format!("{QUARANTINE}/{base}-{}", &content[..16]).into())
    }

    /// The name, if it is a document's or a scratch object's.
    pub fn parse(text: &str) -> Option<Self> {
        let (folder, file) = text.split_once('/')?;
        let document = file.len() == 64 && file.starts_with(folder) && folder.len() == 2;
        let scratch = file.len() == 32 && folder == PROBE;
        ((document || scratch) && is_hex(file)).then(|| Self(text.into()))
    }

    /// Whether it is the probe's.
    pub fn is_scratch(&self) -> bool {
        self.folder() == PROBE
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    pub fn folder(&self) -> &str {
        self.0.split_once('/').map_or("", |(folder, _)| folder)
    }

    /// The part after the slash.
    pub fn file(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, file)| file)
    }

    /// What telemetry and messages call it: the first 8 hex digits.
    pub fn tag(&self) -> &str {
        self.file().get(..8).unwrap_or("")
    }
}

impl From<&DocumentName> for ObjectName {
    fn from(name: &DocumentName) -> Self {
        Self(name.as_str().into())
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({}…)", self.tag())
    }
}

/// One object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: ObjectName,
    /// When the store says it was last written, in ms since the epoch.
    pub last_modified_ms: u64,
    /// Its size.
    pub bytes: u64,
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The documents and scratch objects; whatever else lies under the prefix is left out.
    pub objects: Vec<Listed>,
    /// Where the next page starts; none at the end.
    pub next: Option<Cursor>,
}

/// A place in a listing; means something to the store that gave it only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Why a listing failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store could not be listed: {0}")]
pub struct StoreError(pub String);

/// How a conditional delete ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// It is gone.
    Deleted,
    /// It is another version by now, and stays.
    Changed,
    /// It was gone already.
    Missing,
    /// The store has no conditional delete: tombstones are left to a lifecycle rule.
    Unsupported,
    /// No usable answer.
    Failed,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The version of content as such: equal for equal bytes, which no two revisions have (I5).
pub(crate) fn content_etag(body: &[u8]) -> ETag {
    ETag::new(hex(&Sha256::digest(body)))
}

const PROBE: &str = "probe";
const QUARANTINE: &str = "quarantine";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_engine_makes_are_parsed() {
        let document = ObjectName::document(&[0xab; 32]);
        assert_eq!(ObjectName::parse(document.as_str()), Some(document.clone()));
        assert_eq!(document.folder(), "ab");
        assert!(ObjectName::scratch(1).is_scratch());
        assert_eq!(ObjectName::parse(ObjectName::scratch(1).as_str()), Some(ObjectName::scratch(1)));
        for foreign in ["", "ab", "ab/cd", "ab/.lock", "probe/x", "quarantine/ab", "../../etc/passwd"] {
            assert_eq!(ObjectName::parse(foreign), None, "{foreign}");
        }
        assert_eq!(ObjectName::parse(&document.as_str().replace("ab/", "cd/")), None);
    }

    #[test]
    fn equal_damage_is_copied_to_one_place() {
        let name = ObjectName::document(&[1; 32]);
        assert_eq!(name.aside(b"x"), name.aside(b"x"));
        assert_ne!(name.aside(b"x"), name.aside(b"y"));
        assert!(name.aside(b"x").as_str().starts_with("quarantine/0101"));
    }
}
