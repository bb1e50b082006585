//! The bytes of an object: two lines of JSON, a header and the body that it vouches for.
//!
//! ```text
//! {"format":1,"rev":42,"write":{"writer":"<32 hex>","seq":17},"applied":{…},"touched_at":…,"expires_at":…,"len":123,"crc32c":"0a1b2c3d"}
//! {"views":{"Elixir.MyAppWeb.SomeLive":{"1":{"touched_at":…,"data":{"count":3},"tabs":{"<tab>":{"epoch":2,"touched_at":…,"data":{…}}}}}}}
//! ```
//!
//! `len` counts the body's bytes. `crc32c` is computed over the header up to and including `"crc32c":"` and then the
//! body, so that a flipped bit anywhere in the object shows (fault 26). A tombstone's header also has `"buried":true`,
//! a seal's `"moved_to":"<name>"`. The epochs that a tombstone keeps stand in tabs without data, of a version that no code has
//! (`Vsn::FENCES`), as a release that knows nothing of them would keep them too.
//!
//! Only the header and the names in the body are parsed. Values pass through as the text they were written as, since
//! a JSON parser may read 18446744073709551616 as a float. Unknown fields are an error and never dropped: what
//! a later release adds comes with a new format number.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::document::{Applied, Document, Header};
use crate::error::FormatError;
use crate::name::DocumentName;
use crate::slice::{Epoch, Json, Key, Slice, Tab, TabId, View, Vsn};
use crate::write_id::{WriteId, WriterId};

/// The format this release writes.
pub const FORMAT: u64 = 1;

/// The object's bytes.
pub fn encode(header: &Header, document: &Document) -> Bytes {
    let body = encode_body(document);
    let mut out = Vec::with_capacity(body.len() + 512);
    let text = HeaderText {
        format: FORMAT,
        rev: header.rev,
        write: header.write,
        applied: Unique(header.applied.clone()),
        touched_at: header.touched_at,
        expires_at: header.expires_at,
        buried: header.buried,
        moved_to: header.moved_to.as_ref().map(|name| name.as_str().to_owned()),
        len: body.len() as u64,
        crc32c: String::new(),
    };
    write_json(&mut out, &text);
    // The checksum is the last field and empty so far: `…"crc32c":""}`.
    out.truncate(out.len() - CLOSING.len());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&out), &body);
    out.extend_from_slice(format!("{checksum:08x}").as_bytes());
    out.extend_from_slice(CLOSING);
    out.push(b'\n');
    out.extend_from_slice(&body);
    Bytes::from(out)
}

/// What the bytes say, or why they are not a document of ours.
pub fn decode(bytes: &[u8]) -> Result<(Header, Document), FormatError> {
    let (line, body) = split(bytes)?;
    let text = read_header(line)?;
    if text.len != body.len() as u64 {
        return Err(FormatError::Length { expected: text.len, found: body.len() as u64 });
    }
    let covered = line.len().checked_sub(CHECKSUM_DIGITS + CLOSING.len()).ok_or(FormatError::NoHeader)?;
    let checksum = format!("{:08x}", crc32c::crc32c_append(crc32c::crc32c(&line[..covered]), body));
    if line[covered..line.len() - CLOSING.len()] != *checksum.as_bytes() || text.crc32c != checksum {
        return Err(FormatError::Checksum);
    }
    Ok((text.try_into()?, decode_body(body)?))
}

/// What the header says, without a look at the body.
pub fn decode_header(bytes: &[u8]) -> Result<Header, FormatError> {
    let (line, _) = split(bytes)?;
    read_header(line)?.try_into()
}

/// The body alone, as it would be written.
pub fn encode_body(document: &Document) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"{\"views\":");
    object(
        &mut out,
        &document.views,
        |view| view.as_str(),
        |out, slices| {
            out.push(b'{');
            for (index, (vsn, slice)) in slices.iter().enumerate() {
                separate(out, index);
                out.extend_from_slice(format!("\"{}\":", vsn.0).as_bytes());
                encode_slice(out, slice);
            }
            out.push(b'}');
        },
    );
    out.push(b'}');
    out
}

fn encode_slice(out: &mut Vec<u8>, slice: &Slice) {
    out.extend_from_slice(format!("{{\"touched_at\":{},\"data\":", slice.touched_at).as_bytes());
    encode_values(out, &slice.data);
    out.extend_from_slice(b",\"tabs\":");
    object(
        out,
        &slice.tabs,
        |tab| tab.as_str(),
        |out, tab| {
            out.extend_from_slice(
                format!("{{\"epoch\":{},\"touched_at\":{},\"data\":", tab.epoch.0, tab.touched_at).as_bytes(),
            );
            encode_values(out, &tab.data);
            out.push(b'}');
        },
    );
    out.push(b'}');
}

fn encode_values(out: &mut Vec<u8>, data: &BTreeMap<Key, Json>) {
    object(out, data, |key| key.as_str(), |out, json| out.extend_from_slice(json.as_str().as_bytes()));
}

fn object<K, V>(
    out: &mut Vec<u8>,
    entries: &BTreeMap<K, V>,
    name: impl Fn(&K) -> &str,
    mut value: impl FnMut(&mut Vec<u8>, &V),
) {
    out.push(b'{');
    for (index, (key, entry)) in entries.iter().enumerate() {
        separate(out, index);
        write_json(out, name(key));
        out.push(b':');
        value(out, entry);
    }
    out.push(b'}');
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

#[expect(clippy::expect_used, reason = "writing to a Vec cannot fail, and no type here has a failing Serialize")]
fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("JSON into memory");
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), FormatError> {
    let end = bytes.iter().take(MAX_HEADER_BYTES).position(|byte| *byte == b'\n').ok_or(FormatError::NoHeader)?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

fn read_header(line: &[u8]) -> Result<HeaderText, FormatError> {
    let probe: FormatProbe = serde_json::from_slice(line).map_err(|error| FormatError::Header(reason(&error)))?;
    match probe.format {
        FORMAT => serde_json::from_slice(line).map_err(|error| FormatError::Header(reason(&error))),
        0 => Err(FormatError::Header("format 0 was never released".into())),
        newer => Err(FormatError::Newer(newer)),
    }
}

/// The body alone, as `encode_body` has written it.
pub(crate) fn decode_body(body: &[u8]) -> Result<Document, FormatError> {
    let text: BodyText<'_> = serde_json::from_slice(body).map_err(|error| FormatError::Body(reason(&error)))?;
    let mut views = BTreeMap::new();
    for (view, slices) in text.views.0 {
        let mut kept = BTreeMap::new();
        for (vsn, slice) in slices.0 {
            kept.insert(canonical_vsn(&vsn)?, slice.into_slice());
        }
        views.insert(View::new(view), kept);
    }
    Ok(Document { views })
}

fn canonical_vsn(text: &str) -> Result<Vsn, FormatError> {
    match text.parse::<u64>() {
        Ok(vsn) if vsn.to_string() == text => Ok(Vsn(vsn)),
        _ => Err(FormatError::Body("a vsn is a whole number".into())),
    }
}

/// Where the JSON is wrong, without its text: values are never logged.
fn reason(error: &serde_json::Error) -> String {
    format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column())
}

#[derive(Deserialize)]
struct FormatProbe {
    format: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderText {
    format: u64,
    rev: u64,
    write: WriteId,
    applied: Unique<WriterId, Applied>,
    touched_at: u64,
    expires_at: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    buried: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_to: Option<String>,
    len: u64,
    crc32c: String,
}

impl TryFrom<HeaderText> for Header {
    type Error = FormatError;

    fn try_from(text: HeaderText) -> Result<Self, FormatError> {
        let name = |text: String| {
            DocumentName::parse(&text).ok_or_else(|| FormatError::Header("it leads to what is no name".into()))
        };
        Ok(Self {
            rev: text.rev,
            write: text.write,
            applied: text.applied.0,
            touched_at: text.touched_at,
            expires_at: text.expires_at,
            buried: text.buried,
            moved_to: text.moved_to.map(name).transpose()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyText<'a> {
    #[serde(borrow)]
    views: Unique<String, Unique<String, SliceText<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SliceText<'a> {
    touched_at: u64,
    #[serde(borrow)]
    data: Unique<String, &'a RawValue>,
    #[serde(borrow)]
    tabs: Unique<String, TabText<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TabText<'a> {
    epoch: u64,
    touched_at: u64,
    #[serde(borrow)]
    data: Unique<String, &'a RawValue>,
}

impl SliceText<'_> {
    fn into_slice(self) -> Slice {
        let tabs = self.tabs.0.into_iter().map(|(tab, text)| {
            let kept = Tab { epoch: Epoch(text.epoch), touched_at: text.touched_at, data: values(text.data) };
            (TabId::new(tab), kept)
        });
        Slice { touched_at: self.touched_at, tabs: tabs.collect(), data: values(self.data) }
    }
}

fn values(data: Unique<String, &RawValue>) -> BTreeMap<Key, Json> {
    data.0.into_iter().map(|(key, value)| (Key::new(key), Json::from_encoded(value.get()))).collect()
}

/// A JSON object in which a repeated key is an error: two readers could disagree on which one counts (fault 65).
#[derive(Serialize)]
#[serde(transparent)]
struct Unique<K, V>(BTreeMap<K, V>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for Unique<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<K, V> {
    type Value = Unique<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without repeated keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<K, V>()? {
            if entries.insert(key, value).is_some() {
                return Err(de::Error::custom("a key stands twice"));
            }
        }
        Ok(Unique(entries))
    }
}

const CLOSING: &[u8] = b"\"}";
const CHECKSUM_DIGITS: usize = 8;
/// A header has at most `applied_max` writers in it and stays far below this.
const MAX_HEADER_BYTES: usize = 64 * 1024;
