//! What must hold of the parser's word on any bytes.

use std::collections::BTreeMap;

use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::format::{decode, decode_header, encode};
use durable_stash_machine::{ErrorKind, FormatError, Json, Key};
use serde_json::Value;

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
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    // What another parser cannot read at all (deep nesting, a float beyond every float) is a value, and passed on.
    if let Ok(body) = serde_json::from_slice::<Value>(&bytes[line + 1..]) {
        assert_says(document, &body);
    }
}

/// That the document has the same content as another parser finds in the body: nothing lost, nothing added.
fn assert_says(document: &Document, body: &Value) {
    let views = of(body, "views");
    assert_eq!((len(body), document.views.len()), (1, len(views)));
    for (view, slices) in &document.views {
        let other = of(views, view.as_str());
        assert_eq!(slices.len(), len(other));
        for (vsn, slice) in slices {
            let other = of(other, &vsn.0.to_string());
            assert_eq!((len(other), slice.tabs.len()), (3, len(of(other, "tabs"))));
            assert_eq!(of(other, "touched_at"), slice.touched_at);
            assert_values(&slice.data, of(other, "data"));
            for (tab, content) in &slice.tabs {
                let other = of(of(other, "tabs"), tab.as_str());
                assert_eq!(len(other), 3);
                assert_eq!(of(other, "epoch"), content.epoch.0);
                assert_eq!(of(other, "touched_at"), content.touched_at);
                assert_values(&content.data, of(other, "data"));
            }
        }
    }
}

fn assert_values(data: &BTreeMap<Key, Json>, other: &Value) {
    assert_eq!(data.len(), len(other));
    for (key, json) in data {
        assert_eq!(&serde_json::from_str::<Value>(json.as_str()).unwrap(), of(other, key.as_str()));
    }
}

fn of<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or_else(|| panic!("{name} is not there"))
}

fn len(value: &Value) -> usize {
    value.as_object().unwrap().len()
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
