//! Who wrote, and which of its writes: what makes every body unique (I5) and every batch recognisable (I3).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One run of one engine: 128 random bits, drawn by the engine at its start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriterId(pub u128);

impl WriterId {
    /// So many of its random bits, fewer than 64.
    pub(crate) fn low_bits(self, count: u32) -> u64 {
        let WriterId(bits) = self;
        (bits as u64) & !(u64::MAX << count)
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterId({self})")
    }
}

impl Serialize for WriterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WriterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let canonical = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(serde::de::Error::custom("a writer is 32 hex digits"));
        }
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The identity of one batch: the writer and its own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteId {
    /// The engine run that wrote.
    pub writer: WriterId,
    /// Its batches of this object are numbered upwards; a number is never used twice.
    pub seq: u64,
}
