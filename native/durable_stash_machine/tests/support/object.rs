//! Bytes of objects: those that releases have written, and those that a test makes up.

#![allow(dead_code, reason = "each test target uses its part of it")]

use std::fs;
use std::path::PathBuf;

/// Every golden file with its name.
pub fn golden_files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for format in fs::read_dir(golden_dir()).unwrap() {
        for file in fs::read_dir(format.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            files.push((path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

pub fn golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// An object of this head and body whose length and checksum are right.
pub fn seal(head: &[u8], body: &[u8]) -> Vec<u8> {
    let head = head.strip_suffix(b"}").unwrap_or(head);
    let mut object = [head, format!(",\"len\":{},\"crc32c\":\"", body.len()).as_bytes()].concat();
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&object), body);
    object.extend(format!("{checksum:08x}\"}}\n").as_bytes());
    object.extend(body);
    object
}

/// What [`seal`] was given, of an object that is whole.
pub fn unseal(object: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let line = object.iter().position(|byte| *byte == b'\n').unwrap();
    let (head, body) = (&object[..line], &object[line + 1..]);
    let cut = head.windows(7).rposition(|bytes| bytes == b",\"len\":").unwrap();
    ([&head[..cut], b"}"].concat(), body.to_vec())
}

pub const HEAD: &str = concat!(
    r#"{"format":1,"rev":1,"write":{"writer":"00000000000000000000000000000001","seq":1},"#,
    r#""applied":{"0000000000000000000000000000000a":{"seq":1,"at":2}},"touched_at":3,"expires_at":9}"#
);
pub const BODY: &str =
    r#"{"views":{"a":{"1":{"touched_at":3,"data":{"k":1},"tabs":{"t":{"epoch":4,"touched_at":3,"data":{"d":2}}}}}}}"#;
