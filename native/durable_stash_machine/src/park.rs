//! A session at rest, in as few bytes as it takes to go on as if it had never rested.
//!
//! Most sessions rest most of the time: a page is open, and nobody types. Parked, one takes little more than its
//! document's bytes, and what it knows is as good as before: it goes on without asking the store.
//!
//! Only a session that has nothing to do and nothing to wait for can be parked, so that no deadline passes meanwhile.
//! What is out of the ordinary, as an object that is damaged or a store that has failed, is not parked either.

use std::sync::Arc;

use crate::backoff::Jitter;
use crate::base::{Base, Stored};
use crate::batch::Batch;
use crate::document::{Applied, Header};
use crate::effect::ETag;
use crate::fence::PackedFence;
use crate::format;
use crate::limits::{Now, Policy};
use crate::name::{DocumentName, Names};
use crate::reading::Reads;
use crate::session::{Session, Start};
use crate::write_id::{WriteId, WriterId};

/// A session at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    fence: PackedFence,
    base: ParkedBase,
    /// Only if it has followed a seal: else they are those that it started with.
    names: Option<Box<Names>>,
    jitter: Jitter,
    last_seq: u64,
    commits: u64,
    next_attempt: u64,
    next_stamp: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ParkedBase {
    Unknown,
    Absent,
    Small(Box<Small>),
    /// Beside its values the rest weighs little, and to encode it takes its time.
    Large(Box<Stored>),
}

/// A small document: its maps would weigh more than what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Small {
    etag: ETag,
    name: usize,
    rev: u64,
    write: WriteId,
    applied: Box<[(WriterId, Applied)]>,
    touched_at: u64,
    expires_at: u64,
    buried: bool,
    moved_to: Option<DocumentName>,
    body: Box<[u8]>,
    bytes: usize,
    validated: Now,
}

impl Session {
    /// What it takes to go on later, if this session is at rest.
    pub fn park(&self) -> Option<Parked> {
        let is_at_rest = self.is_idle()
            && self.poll_timeout().is_none()
            && !self.draining
            && self.pending == Batch::default()
            && self.reads == Reads::default();
        let base = ParkedBase::of(&self.base).filter(|_| is_at_rest)?;
        Some(Parked { base, names: self.names.learned().map(Box::new), ..self.leave() })
    }

    /// What must outlive the session while its LiveViews live, or a superseded one could come back; and its numbers, none
    /// of which may be used twice.
    pub fn leave(&self) -> Parked {
        Parked {
            fence: self.fence.pack(),
            base: ParkedBase::Unknown,
            names: None,
            jitter: self.jitter.clone(),
            last_seq: self.last_seq,
            commits: self.commits,
            next_attempt: self.next_attempt,
            next_stamp: self.next_stamp,
        }
    }
}

impl Parked {
    /// The session goes on. `names` are those that it started with.
    pub fn unpark(self, writer: WriterId, policy: Arc<Policy>, names: Vec<DocumentName>) -> Session {
        let fence = self.fence.unpack();
        let start = Start { seed: 0, seq_floor: self.last_seq, names, minted: false, fence };
        let mut session = Session::new(writer, policy, start);
        if let Some(names) = self.names {
            session.names = *names;
        }
        session.jitter = self.jitter;
        session.base = self.base.into_base();
        session.commits = self.commits;
        session.next_attempt = self.next_attempt;
        session.next_stamp = self.next_stamp;
        session
    }

    /// What it holds of the document as the store has it, in bytes.
    pub fn cached_bytes(&self) -> usize {
        match &self.base {
            ParkedBase::Unknown | ParkedBase::Absent => 0,
            ParkedBase::Small(small) => small.bytes,
            ParkedBase::Large(stored) => stored.bytes,
        }
    }

    /// Forgets what it knows of the document, as [`Session::leave`] does. Returns what that was, to be dropped where it may
    /// take a moment.
    pub fn forget_document(&mut self) -> impl Sized + use<> {
        (std::mem::replace(&mut self.base, ParkedBase::Unknown), self.names.take())
    }
}

impl ParkedBase {
    fn of(base: &Base) -> Option<Self> {
        match base {
            Base::Unknown => Some(Self::Unknown),
            Base::Absent => Some(Self::Absent),
            Base::Stored(stored) if stored.vanished => None,
            Base::Stored(stored) if stored.bytes > LARGE => Some(Self::Large(Box::new(stored.clone()))),
            Base::Stored(stored) => Some(Self::Small(Box::new(Small::of(stored)))),
            Base::Damaged { .. } => None,
        }
    }

    fn into_base(self) -> Base {
        match self {
            Self::Unknown => Base::Unknown,
            Self::Absent => Base::Absent,
            // It reads as it was written. If ever it does not, the store is asked.
            Self::Small(small) => small.into_stored().map_or(Base::Unknown, Base::Stored),
            Self::Large(stored) => Base::Stored(*stored),
        }
    }
}

impl Small {
    fn of(stored: &Stored) -> Self {
        let Stored { etag, name, header, document, bytes, validated, vanished: _ } = stored;
        let Header { rev, write, applied, touched_at, expires_at, buried, moved_to } = header;
        Self {
            etag: etag.clone(),
            name: *name,
            rev: *rev,
            write: *write,
            applied: applied.iter().map(|(writer, applied)| (*writer, *applied)).collect(),
            touched_at: *touched_at,
            expires_at: *expires_at,
            buried: *buried,
            moved_to: moved_to.clone(),
            body: format::encode_body(document).into(),
            bytes: *bytes,
            validated: *validated,
        }
    }

    fn into_stored(self) -> Option<Stored> {
        let Self { etag, name, rev, write, applied, touched_at, expires_at, buried, moved_to, body, bytes, validated } =
            self;
        let applied = applied.into_iter().collect();
        let header = Header { rev, write, applied, touched_at, expires_at, buried, moved_to };
        let document = format::decode_body(&body).ok()?;
        Some(Stored { etag, name, header, document, bytes, validated, vanished: false })
    }
}

/// Of a document, in bytes.
const LARGE: usize = 4 * 1024;
