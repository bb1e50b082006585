//! A stored object as an outsider reads it: two lines of JSON (design §3). It shares no code with what wrote it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One revision of a session's document.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) header: Header,
    pub(crate) views: BTreeMap<String, BTreeMap<String, Slice<'a>>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Header {
    pub(crate) rev: u64,
    pub(crate) write: WriteId,
    pub(crate) applied: BTreeMap<String, Applied>,
    pub(crate) touched_at: u64,
    pub(crate) expires_at: u64,
    #[serde(default)]
    pub(crate) buried: bool,
    #[serde(default)]
    pub(crate) moved_to: Option<String>,
    len: u64,
    crc32c: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct WriteId {
    pub(crate) writer: String,
    pub(crate) seq: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Applied {
    pub(crate) seq: u64,
    pub(crate) at: u64,
}

#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    views: BTreeMap<String, BTreeMap<String, Slice<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Slice<'a> {
    pub(crate) touched_at: u64,
    #[serde(borrow)]
    pub(crate) data: BTreeMap<String, &'a RawValue>,
    #[serde(borrow)]
    pub(crate) tabs: BTreeMap<String, Tab<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tab<'a> {
    pub(crate) epoch: u64,
    #[serde(borrow)]
    pub(crate) data: BTreeMap<String, &'a RawValue>,
}

/// None if the bytes are no sound document.
pub(crate) fn read(text: &str) -> Option<Object<'_>> {
    let (line, body) = text.split_once('\n')?;
    let header: Header = serde_json::from_str(line).ok()?;
    let covered = line.strip_suffix("\"}")?.strip_suffix(&header.crc32c)?;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(covered.as_bytes()), body.as_bytes());
    if header.len != body.len() as u64 || header.crc32c != format!("{checksum:08x}") {
        return None;
    }
    let Body { views } = serde_json::from_str(body).ok()?;
    Some(Object { header, views })
}
