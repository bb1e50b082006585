//! The one object in the store, which keeps every condition, and what is known of its past.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::{ETag, GetOutcome, Precondition, format};

use crate::bits::Bits;
use crate::content::Content;
use crate::fingerprint::fingerprint;
use crate::plant;
use crate::scenario::Scenario;

/// What stands in the store, and as much of what stood there as the promises speak of.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// The present revision; none if there is no object.
    pub(crate) stored: Option<Arc<Stored>>,
    /// The same one commit earlier, where the scenario has stale answers.
    pub(crate) previous: Option<Arc<Object>>,
    /// The operations that were in the object at any time.
    pub(crate) applied: Bits,
    /// Per run, the highest number of a batch that was ever committed.
    pub(crate) seqs: Vec<(u8, u64)>,
    hash: u64,
}

/// One revision.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Its version: a hash of its bytes, as S3's is. If two bodies could be equal, so could two etags (fault 6).
    pub(crate) etag: ETag,
    /// Its bytes.
    pub(crate) body: Bytes,
    /// What it says of itself.
    pub(crate) header: Header,
    /// What is in it.
    pub(crate) document: Document,
    /// The same in the scenario's terms. None if there is something in it that nobody wrote.
    pub(crate) content: Option<Content>,
    hash: u64,
}

impl Object {
    /// No object, and there never was one.
    pub(crate) fn none() -> Self {
        Self { stored: None, previous: None, applied: Bits::default(), seqs: Vec::new(), hash: 0 }
    }

    /// What stands there, expired or not.
    pub(crate) fn content(&self) -> Content {
        self.stored.as_ref().and_then(|stored| stored.content).unwrap_or_default()
    }

    /// What can be read there.
    pub(crate) fn readable(&self, wall: u64) -> Content {
        match &self.stored {
            Some(stored) if !stored.header.is_over(wall) => self.content(),
            Some(_) | None => Content::default(),
        }
    }

    /// Its version.
    pub(crate) fn etag(&self) -> Option<&ETag> {
        self.stored.as_ref().map(|stored| &stored.etag)
    }

    /// The highest batch of this run that was ever committed.
    pub(crate) fn seq(&self, run: u8) -> Option<u64> {
        self.seqs.iter().find(|(of, _)| *of == run).map(|(_, seq)| *seq)
    }

    /// The run has committed its batch of this number.
    pub(crate) fn committed(&mut self, run: u8, seq: u64) {
        let seq = self.seq(run).map_or(seq, |highest| highest.max(seq));
        self.seqs.retain(|(of, _)| *of != run);
        self.seqs.push((run, seq));
        self.seqs.sort_unstable();
    }

    /// Answers a GET.
    pub(crate) fn get(&self, unless: Option<&ETag>) -> GetOutcome {
        answer(self.stored.as_deref(), unless)
    }

    /// Answers a GET with what stood there before.
    pub(crate) fn get_stale(&self, unless: Option<&ETag>) -> GetOutcome {
        self.previous.as_ref().map_or(GetOutcome::Missing, |previous| previous.get(unless))
    }

    /// Whether a PUT may be applied.
    pub(crate) fn admits(&self, precondition: &Precondition) -> bool {
        plant::is_unconditional(precondition)
            || match precondition {
                Precondition::Absent => self.stored.is_none(),
                Precondition::Matches(etag) => self.etag() == Some(etag),
            }
    }

    /// With its fingerprint.
    pub(crate) fn sealed(mut self) -> Arc<Self> {
        self.hash = fingerprint(&(&self.stored, &self.previous, self.applied, &self.seqs));
        Arc::new(self)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.stored == other.stored
            && self.previous == other.previous
            && (self.applied, &self.seqs) == (other.applied, &other.seqs)
    }
}

impl Eq for Object {}

impl Hash for Object {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl Stored {
    /// Reads the bytes. The machine never writes any that cannot be read.
    pub(crate) fn of(body: &Bytes, scenario: &Scenario) -> Option<Arc<Self>> {
        let (header, document) = format::decode(body).ok()?;
        let etag = ETag::new(format!("{:016x}", fingerprint(&plant::hashed(body, scenario.plant))));
        let content = Content::of(&document, &scenario.places);
        Some(Arc::new(Self { etag, body: body.clone(), header, document, content, hash: fingerprint(body) }))
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.body == other.body
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

fn answer(stored: Option<&Stored>, unless: Option<&ETag>) -> GetOutcome {
    match stored {
        None => GetOutcome::Missing,
        Some(stored) if Some(&stored.etag) == unless => GetOutcome::NotModified,
        Some(stored) => GetOutcome::Found { etag: stored.etag.clone(), body: stored.body.clone() },
    }
}
