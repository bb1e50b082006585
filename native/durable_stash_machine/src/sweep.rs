//! What is to become of an object that nobody has written for long (I10). The sweeper lists and asks; this decides.

use bytes::Bytes;

use crate::document::{Document, succeed};
use crate::error::FormatError;
use crate::format;
use crate::limits::{Now, Policy};
use crate::write_id::WriteId;

/// The sweeper's next step for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is alive.
    Keep,
    /// It has expired: replace it by this tombstone, on condition that it is still the one that was read.
    Bury {
        /// The tombstone.
        body: Bytes,
    },
    /// A tombstone that has stood its time: remove it, on the same condition.
    Delete,
}

/// Judges the object. What cannot be read is left to its own error path: it is never swept.
pub fn verdict(object: &[u8], write: WriteId, now: Now, policy: &Policy) -> Result<Verdict, FormatError> {
    let (header, _) = format::decode(object)?;
    // This clock may be ahead of those that wrote and read the document: what has not been over for long is left alone.
    if header.expires_at.saturating_add(policy.tombstone_ms) > now.wall {
        return Ok(Verdict::Keep);
    }
    if header.buried {
        return Ok(Verdict::Delete);
    }
    let successor = succeed(Some(&header), write, now.wall, true, policy);
    Ok(Verdict::Bury { body: format::encode(&successor, &Document::default()) })
}
