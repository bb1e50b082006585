//! One object in a store with faithful conditional writes, which remembers every version it ever had.

use bytes::Bytes;
use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::{ETag, Precondition, PutOutcome, format};

#[derive(Clone, Debug)]
pub struct Version {
    pub etag: ETag,
    pub body: Bytes,
    pub header: Header,
    pub document: Document,
    /// When it became the current one, in the history's ticks.
    pub tick: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Store {
    pub versions: Vec<Version>,
}

impl Store {
    pub fn current(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The etag is a hash of the content, as S3's is: if two bodies could be equal, so could two etags (fault 6).
    pub fn put(&mut self, tick: u64, body: &Bytes, precondition: &Precondition) -> PutOutcome {
        let holds = match (precondition, self.current()) {
            (Precondition::Absent, None) => true,
            (Precondition::Matches(etag), Some(current)) => *etag == current.etag,
            (Precondition::Absent, Some(_)) => false,
            (Precondition::Matches(_), None) => return PutOutcome::Gone,
        };
        if !holds {
            return PutOutcome::Moved;
        }
        let (header, document) = format::decode(body).expect("a machine writes what it can read");
        let etag = ETag::new(content_hash(body));
        self.versions.push(Version { etag: etag.clone(), body: body.clone(), header, document, tick });
        PutOutcome::Written(etag)
    }
}

fn content_hash(body: &[u8]) -> String {
    let fnv = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{fnv:016x}{:08x}", crc32c::crc32c(body))
}
