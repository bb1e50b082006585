//! What must hold of the parser's word on any bytes.

use std::collections::BTreeMap;
use std::fmt;

use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::format::{decode, decode_header, encode};
use durable_stash_machine::{ErrorKind, FormatError, Json, Key, TabId, View, Vsn};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Checks what was decoded of the bytes, and says in one word what it was.
pub fn verdict(bytes: &[u8], decoded: &Result<(Header, Document), FormatError>) -> &'static str {
    match decoded {
        Ok((header, document)) => {
            assert_reads_back(bytes, header, document);
            "read"
        }
        Err(error) => {
            let is_newer = matches!(error, FormatError::Newer(_));
            assert_eq!(error.kind(), if is_newer { ErrorKind::NewerFormat } else { ErrorKind::Corrupt });
            // It is logged, and so holds nothing of what the object holds.
            assert!(error.to_string().len() < 200, "{error}");
            name(error)
        }
    }
}

fn assert_reads_back(bytes: &[u8], header: &Header, document: &Document) {
    let again = encode(header, document);
    assert_eq!(decode(&again).as_ref(), Ok(&(header.clone(), document.clone())), "written again it says another thing");
    assert_eq!(decode_header(bytes).as_ref(), Ok(header), "the header alone says another thing");
    let (line, body) = str::from_utf8(bytes).unwrap().split_once('\n').unwrap();
    assert_head(header, &pairs(line));
    let [(views, text)] = &pairs(body)[..] else { panic!("more than views") };
    assert_eq!(views, "views");
    assert_views(document, &pairs(text));
}

/// That the object says this and no more: nothing lost, nothing added, no name twice. Values are the same to the byte.
fn assert_views(document: &Document, views: &[(String, &str)]) {
    assert_same_names(views, document.views.keys().map(View::as_str));
    for (view, slices) in views {
        let (known, slices) = (&document.views[&View::new(view.as_str())], pairs(slices));
        assert_same_names(&slices, known.keys().map(|vsn| vsn.0.to_string()));
        for (vsn, slice) in slices {
            let (known, slice) = (&known[&Vsn(vsn.parse().unwrap())], pairs(slice));
            assert_same_names(&slice, ["touched_at", "data", "tabs"]);
            assert_number(&slice, "touched_at", known.touched_at);
            assert_values(&known.data, of(&slice, "data"));
            let tabs = pairs(of(&slice, "tabs"));
            assert_same_names(&tabs, known.tabs.keys().map(TabId::as_str));
            for (tab, content) in tabs {
                let (known, content) = (&known.tabs[&TabId::new(tab)], pairs(content));
                assert_same_names(&content, ["epoch", "touched_at", "data"]);
                assert_number(&content, "epoch", known.epoch.0);
                assert_number(&content, "touched_at", known.touched_at);
                assert_values(&known.data, of(&content, "data"));
            }
        }
    }
}

fn assert_head(header: &Header, line: &[(String, &str)]) {
    let is_there = |name: &&str| line.iter().any(|(other, _)| other == name);
    let names = ["format", "rev", "write", "applied", "touched_at", "expires_at", "len", "crc32c"];
    assert_same_names(line, names.into_iter().chain(["buried", "moved_to"].into_iter().filter(is_there)));
    assert_number(line, "rev", header.rev);
    assert_number(line, "touched_at", header.touched_at);
    assert_number(line, "expires_at", header.expires_at);
    assert_eq!(line.iter().any(|(name, text)| name == "buried" && *text == "true"), header.buried);
    let write = pairs(of(line, "write"));
    assert_same_names(&write, ["writer", "seq"]);
    assert_number(&write, "seq", header.write.seq);
    let applied = pairs(of(line, "applied"));
    assert_eq!(applied.len(), header.applied.len(), "a writer stands twice");
    for (writer, text) in applied {
        let known = header.applied.iter().find(|(known, _)| format!("{:032x}", known.0) == writer).unwrap().1;
        assert_number(&pairs(text), "seq", known.seq);
        assert_number(&pairs(text), "at", known.at);
    }
}

fn assert_values(data: &BTreeMap<Key, Json>, text: &str) {
    let other = pairs(text);
    assert_same_names(&other, data.keys().map(Key::as_str));
    for (key, value) in other {
        assert_eq!(data[&Key::new(key)].as_str(), value);
    }
}

fn assert_same_names<N: Into<String>>(pairs: &[(String, &str)], names: impl IntoIterator<Item = N>) {
    let mut known: Vec<String> = names.into_iter().map(Into::into).collect();
    let mut there: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
    known.sort();
    there.sort();
    assert_eq!(there, known);
}

fn assert_number(pairs: &[(String, &str)], name: &str, number: u64) {
    assert_eq!(of(pairs, name), number.to_string(), "{name}");
}

fn of<'t>(pairs: &[(String, &'t str)], name: &str) -> &'t str {
    pairs.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("{name} is not there")).1
}

/// An object's names with the text of their values, as they stand there: the same name twice is there twice.
fn pairs(object: &str) -> Vec<(String, &str)> {
    let Pairs(pairs) = serde_json::from_str(object).unwrap();
    pairs.into_iter().map(|(name, value)| (name, value.get())).collect()
}

struct Pairs<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for Pairs<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'t> Visitor<'t> for PairsVisitor {
    type Value = Pairs<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

fn name(error: &FormatError) -> &'static str {
    match error {
        FormatError::NoHeader => "NoHeader",
        FormatError::Header(_) => "Header",
        FormatError::Newer(_) => "Newer",
        FormatError::Length { .. } => "Length",
        FormatError::Checksum => "Checksum",
        FormatError::Body(_) => "Body",
        FormatError::TooLarge => "TooLarge",
    }
}
