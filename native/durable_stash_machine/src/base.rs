//! What this node knows of the object: the revision that the next commit builds on.

use std::borrow::Cow;

use crate::document::{Document, Header};
use crate::effect::ETag;
use crate::error::ErrorKind;
use crate::limits::{Now, Policy};
use crate::slice::{Epoch, TabId, View};

/// The last known state of the object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Base {
    /// Not asked yet, or what was known cannot be relied on.
    Unknown,
    /// There is no object under any of the session's names.
    Absent,
    /// A revision of the object.
    Stored(Stored),
    /// Bytes that are no document. Nothing may replace them before a copy is made.
    Damaged {
        /// Their version.
        etag: ETag,
        /// Which of the session's names.
        name: usize,
        /// The copy is made: the next commit may replace them.
        copied: bool,
        /// The last revision that this node saw before: what is written next is built on it.
        last: Option<Box<Stored>>,
    },
}

/// One revision, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    /// Its version.
    pub(crate) etag: ETag,
    /// Which of the session's names it stands under.
    pub(crate) name: usize,
    /// What it says of itself.
    pub(crate) header: Header,
    /// Its content. Ask `content` instead: what is over has none.
    pub(crate) document: Document,
    /// The size of the object.
    pub(crate) bytes: usize,
    /// When it was last known to be the current one: when the request left, not when its answer came,
    /// since the node may have stood still in between (fault 42).
    pub(crate) validated: Now,
    /// The store has lost the object although it was alive: it is to be created again as it was.
    pub(crate) vanished: bool,
}

impl Stored {
    /// What can be read of it: nothing once it is buried or expired.
    pub(crate) fn content(&self, wall: u64) -> Option<&Document> {
        (!self.header.is_over(wall)).then_some(&self.document)
    }

    /// What the next commit is built on: the content; of a tombstone, who is superseded.
    pub(crate) fn ground(&self, wall: u64) -> Cow<'_, Document> {
        match self.content(wall) {
            Some(content) => Cow::Borrowed(content),
            None if self.header.buried => Cow::Owned(self.document.forgotten(wall)),
            None => Cow::Owned(Document::default()),
        }
    }

    /// Whether so much time has passed that the document may have been forgotten, and its tombstone swept, since.
    pub(crate) fn may_be_forgotten(&self, now: Now, policy: &Policy) -> bool {
        // The monotonic clock may stand still while the machine is suspended.
        let Now { mono, wall } = self.validated;
        let passed = now.mono.saturating_sub(mono).max(now.wall.saturating_sub(wall));
        passed >= policy.tombstone_ms / 2
    }
}

impl Base {
    /// The stored revision, if there is one.
    pub(crate) fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Stored(stored) => Some(stored),
            Self::Unknown | Self::Absent | Self::Damaged { .. } => None,
        }
    }

    /// Whether a commit can be built on it.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::Absent | Self::Stored(_) | Self::Damaged { copied: true, .. } => true,
            Self::Unknown | Self::Damaged { copied: false, .. } => false,
        }
    }

    /// The version to ask about, so that an unchanged object costs no body.
    pub(crate) fn etag(&self) -> Option<&ETag> {
        match self {
            Self::Damaged { copied: false, .. } => None,
            Self::Damaged { copied: true, .. } | Self::Unknown | Self::Absent | Self::Stored(_) => self.version(),
        }
    }

    /// The version of the object, if there is one.
    pub(crate) fn version(&self) -> Option<&ETag> {
        match self {
            Self::Stored(stored) => Some(&stored.etag).filter(|_| !stored.vanished),
            Self::Damaged { etag, .. } => Some(etag),
            Self::Unknown | Self::Absent => None,
        }
    }

    /// The name that it stands under.
    pub(crate) fn name(&self) -> usize {
        match self {
            Self::Stored(stored) => stored.name,
            Self::Damaged { name, .. } => *name,
            Self::Unknown | Self::Absent => 0,
        }
    }

    /// The highest epoch stored for the tab.
    pub(crate) fn epoch(&self, view: &View, tab: &TabId) -> Option<Epoch> {
        self.stored()?.document.epoch(view, tab)
    }

    /// What the copy at hand takes up, roughly.
    pub(crate) fn cached_bytes(&self) -> usize {
        match self {
            Self::Stored(stored) => stored.bytes,
            Self::Damaged { last, .. } => last.as_ref().map_or(0, |last| last.bytes),
            Self::Unknown | Self::Absent => 0,
        }
    }

    /// What a read must answer instead of content.
    pub(crate) fn error(&self) -> Option<ErrorKind> {
        match self {
            Self::Damaged { .. } => Some(ErrorKind::Corrupt),
            Self::Unknown | Self::Absent | Self::Stored(_) => None,
        }
    }
}
