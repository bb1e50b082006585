//! The bytes of an object. The files under `golden/` were written by releases of this library and stay readable for
//! ever; anything else that is not exactly what we write is rejected, and never a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "support/object.rs"]
mod object;

use std::collections::BTreeMap;
use std::fs;

use durable_stash_machine::document::{Applied, Document, Header};
use durable_stash_machine::format::{decode, decode_header, encode};
use durable_stash_machine::slice::{Epoch, Slice, Tab};
use durable_stash_machine::{DocumentName, ErrorKind, FormatError, Json, Key, TabId, View, Vsn, WriteId, WriterId};
use proptest::prelude::*;

use object::{BODY, HEAD, golden_dir, golden_files};

#[test]
fn fault_29_every_object_ever_written_can_be_read() {
    let files = golden_files();
    assert!(files.len() >= 5, "the golden files are gone");
    for (name, bytes) in files {
        let (header, document) = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decode_header(&bytes).unwrap(), header, "{name}");
        let again = encode(&header, &document);
        assert_eq!(again, bytes, "{name}: written again it is another object");
    }
}

#[test]
fn fault_29_the_golden_objects_say_what_they_said_when_they_were_written() {
    for (name, header, document) in golden() {
        let path = golden_dir().join("format-1").join(format!("{name}.object"));
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(decode(&bytes).unwrap(), (header.clone(), document.clone()), "{name}");
        assert_eq!(encode(&header, &document), bytes, "{name}");
    }
}

#[test]
fn fault_62_63_numbers_pass_through_as_they_were_written() {
    let (_, _, document) = golden().into_iter().find(|(name, ..)| *name == "odd-values").unwrap();
    let data = &document.views[&View::new("Elixir.Odd")][&Vsn(1)].data;
    for text in ["18446744073709551616", "9007199254740991.0", "-0.0", "5.0e-324", "1.7976931348623157e308"] {
        assert!(data.values().any(|json| json.as_str() == text), "{text}");
    }
}

#[test]
fn fault_26_any_flipped_bit_is_rejected() {
    for (name, bytes) in golden_files() {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "{name}: bit {bit} does not matter");
        }
    }
}

#[test]
fn fault_26_any_truncation_and_any_appended_byte_is_rejected() {
    for (name, bytes) in golden_files() {
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{name}: the first {len} bytes pass for an object");
        }
        for byte in 0..=255 {
            assert!(decode(&[&bytes[..], &[byte]].concat()).is_err(), "{name}: with {byte} at its end");
            assert!(decode(&[&[byte], &bytes[..]].concat()).is_err(), "{name}: with {byte} at its head");
        }
    }
}

#[test]
fn fault_26_pieces_of_two_objects_are_no_object() {
    let files = golden_files();
    for (one, left) in &files {
        for (other, right) in files.iter().filter(|(other, _)| other != one) {
            let halves = |bytes: &[u8]| {
                let end = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
                (bytes[..end].to_vec(), bytes[end..].to_vec())
            };
            let ((head, own), (_, foreign)) = (halves(left), halves(right));
            // Two tombstones have the same, empty body.
            if own != foreign {
                assert!(decode(&[head, foreign].concat()).is_err(), "the head of {one} with the body of {other}");
            }
        }
    }
}

#[test]
fn fault_27_what_is_not_ours_is_rejected() {
    let long_line = [vec![b' '; 100_000], b"{}\n{}".to_vec()].concat();
    let not_ours: [&[u8]; 13] = [
        b"",
        b"\n",
        b"\n\n",
        b"{}",
        b"{}\n{}",
        b"null\nnull",
        b"[]\n[]",
        b"<!doctype html>\n<html><body>404</body></html>",
        b"{\"views\":{}}\n{\"views\":{}}",
        b"\xff\xfe\x00\n",
        b"\x1f\x8b\x08\x00\n",
        b"\x83m\x00\x00\n",
        &long_line,
    ];
    for bytes in not_ours {
        let error = decode(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(decode_header(bytes).is_err());
    }
}

#[test]
fn fault_28_a_newer_format_is_told_from_damage_whatever_else_it_says() {
    for (head, format) in [
        (r#"{"format":2}"#, 2),
        (r#"{"anything":{"deep":[[[]]]},"format":3,"len":"x"}"#, 3),
        (r#"{"format":18446744073709551615}"#, u64::MAX),
    ] {
        let bytes = format!("{head}\nbytes of another kind");
        assert_eq!(decode(bytes.as_bytes()), Err(FormatError::Newer(format)));
        assert_eq!(decode(bytes.as_bytes()).unwrap_err().kind(), ErrorKind::NewerFormat);
    }
    for head in
        [r#"{"format":0}"#, r#"{"format":-1}"#, r#"{"format":1.0}"#, r#"{"format":"2"}"#, r#"{"format":null}"#, "{}"]
    {
        assert!(matches!(decode(format!("{head}\n{{}}").as_bytes()), Err(FormatError::Header(_))), "{head}");
    }
}

#[test]
fn a_seal_that_leads_to_no_name_is_damage() {
    let name = format!("5c/5c{}", "0".repeat(62));
    let head = |to: &str| HEAD.replace("\"expires_at\":9", &format!("\"expires_at\":9,\"moved_to\":\"{to}\""));
    assert!(decode(&seal(&head(&name), BODY)).is_ok(), "what the others differ from");
    for to in ["", "..", "../../x", "probe/5c", &name[3..], &name.replace("5c/", "5d/"), &name.to_uppercase()] {
        assert!(matches!(decode(&seal(&head(to), BODY)), Err(FormatError::Header(_))), "{to}");
    }
}

#[test]
fn unknown_fields_are_an_error_and_never_dropped() {
    assert!(decode(&seal(HEAD, BODY)).is_ok(), "what the others differ from");
    for head in [
        HEAD.replace("\"rev\":1", "\"rev\":1,\"more\":1"),
        HEAD.replace("\"seq\":1}", "\"seq\":1,\"more\":1}"),
        HEAD.replace("\"at\":2", "\"at\":2,\"more\":1"),
    ] {
        assert!(matches!(decode(&seal(&head, BODY)), Err(FormatError::Header(_))), "{head}");
    }
    for body in [
        BODY.replace("{\"views\"", "{\"more\":1,\"views\""),
        BODY.replace("\"touched_at\":3", "\"touched_at\":3,\"more\":1"),
        BODY.replace("\"epoch\":4", "\"epoch\":4,\"more\":1"),
    ] {
        assert!(matches!(decode(&seal(HEAD, &body)), Err(FormatError::Body(_))), "{body}");
    }
}

#[test]
fn fault_65_a_key_that_stands_twice_is_rejected() {
    for head in [
        HEAD.replace("\"rev\":1", "\"rev\":1,\"rev\":1"),
        HEAD.replace("{\"format\":1", "{\"format\":1,\"format\":1"),
        HEAD.replace(&format!("{APPLIED}}}"), &format!("{APPLIED},{APPLIED}}}")),
    ] {
        assert!(matches!(decode(&seal(&head, BODY)), Err(FormatError::Header(_))), "{head}");
    }
    for body in [
        BODY.replace("{\"views\":", "{\"views\":{},\"views\":"),
        BODY.replace("\"k\":1", "\"k\":1,\"k\":1"),
        // The same key in another spelling.
        BODY.replace("\"k\":1", "\"k\":1,\"\\u006b\":2"),
        BODY.replace("\"d\":2", "\"d\":2,\"d\":3"),
        BODY.replace(TAB, &format!("{TAB},{TAB}")),
        BODY.replace("\"1\":{", "\"1\":{\"touched_at\":0,\"data\":{},\"tabs\":{}},\"1\":{"),
    ] {
        assert!(matches!(decode(&seal(HEAD, &body)), Err(FormatError::Body(_))), "{body}");
    }
}

#[test]
fn a_header_that_lies_about_its_body_is_rejected() {
    let sealed = String::from_utf8(seal(HEAD, BODY)).unwrap();
    let len = format!("\"len\":{}", BODY.len());
    for claim in ["\"len\":0", "\"len\":1000000000000", "\"len\":18446744073709551615"] {
        let lie = sealed.replace(&len, claim);
        assert!(matches!(decode(lie.as_bytes()), Err(FormatError::Length { .. })), "{claim}");
    }
    let digits = sealed.find("\"crc32c\":\"").unwrap() + "\"crc32c\":\"".len();
    let checksum = &sealed[digits..digits + 8];
    for other in ["00000000".to_owned(), checksum.to_uppercase(), format!("{checksum}0"), String::new()] {
        let lie = sealed.replace(&format!("\"{checksum}\""), &format!("\"{other}\""));
        if lie != sealed {
            assert!(decode(lie.as_bytes()).is_err(), "{other}");
        }
    }
    for (field, lie) in [
        ("\"rev\":1", "\"rev\":-1"),
        ("\"rev\":1", "\"rev\":1.0"),
        ("\"rev\":1", "\"rev\":18446744073709551616"),
        ("\"expires_at\":9", "\"expires_at\":null"),
        ("00000000000000000000000000000001", "1"),
        ("00000000000000000000000000000001", "0000000000000000000000000000000G"),
        ("0000000000000000000000000000000a", "0000000000000000000000000000000A"),
    ] {
        assert!(decode(&seal(&HEAD.replace(field, lie), BODY)).is_err(), "{lie}");
    }
    for (name, lie) in [("\"1\":{", "\"01\":{"), ("\"1\":{", "\"-1\":{"), ("\"1\":{", "\"18446744073709551616\":{")] {
        assert!(decode(&seal(HEAD, &BODY.replace(name, lie))).is_err(), "{lie}");
    }
}

#[test]
fn fault_64_nesting_without_end_overflows_no_stack() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let body = BODY.replace("\"k\":1", &format!("\"k\":{deep}"));
    let bytes = seal(HEAD, &body);
    let (header, document) = decode(&bytes).expect("values are not looked into");
    assert_eq!(encode(&header, &document), bytes);
    for head in [HEAD.replace("\"rev\":1", &format!("\"rev\":{deep}")), format!("{{\"more\":{deep}}}")] {
        assert!(decode(&seal(&head, BODY)).is_err());
    }
    assert!(decode(&seal(HEAD, &deep)).is_err());
    assert!(decode(&seal(HEAD, &format!("{{\"views\":{deep}}}"))).is_err());
    assert!(decode(format!("{deep}\n{deep}").as_bytes()).is_err());
}

#[test]
fn values_are_not_shown_in_errors() {
    let body = BODY.replace("\"data\":{\"k\":1}", "\"data\":{\"k\":\"hunter2\" \"hunter2\"}");
    let error = decode(&seal(HEAD, &body)).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

proptest! {
    #[test]
    fn random_bytes_are_rejected(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(decode(&bytes).is_err());
        prop_assert!(decode_header(&bytes).is_err());
    }

    #[test]
    fn any_damage_to_several_places_is_rejected(
        file in 0..golden().len(),
        places in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (_, header, document) = golden().swap_remove(file);
        let bytes = encode(&header, &document).to_vec();
        let mut damaged = bytes.clone();
        for (index, byte) in places {
            let index = index.index(damaged.len());
            damaged[index] = byte;
        }
        prop_assert!(damaged == bytes || decode(&damaged).is_err());
    }

    #[test]
    fn what_is_written_is_read_as_it_was(
        rev in any::<u64>(),
        seq in any::<u64>(),
        times in any::<(u64, u64)>(),
        buried in any::<bool>(),
        moved_to in proptest::option::of("[0-9a-f]{64}"),
        writers in proptest::collection::btree_map(any::<u128>(), any::<(u64, u64)>(), 0..4),
        views in proptest::collection::btree_map(".{0,8}", slices(), 0..3),
    ) {
        let applied = writers.into_iter().map(|(writer, (seq, at))| (WriterId(writer), Applied { seq, at })).collect();
        let write = WriteId { writer: WriterId(7), seq };
        let moved_to = moved_to.map(|hash| DocumentName::parse(&format!("{}/{hash}", &hash[..2])).unwrap());
        let header = Header { rev, write, applied, touched_at: times.0, expires_at: times.1, buried, moved_to };
        let document = Document { views: views.into_iter().map(|(view, slices)| (View::new(view), slices)).collect() };
        let bytes = encode(&header, &document);
        prop_assert_eq!(decode(&bytes).unwrap(), (header, document));
    }
}

fn slices() -> impl Strategy<Value = BTreeMap<Vsn, Slice>> {
    let json = prop_oneof![
        any::<i128>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:?}")),
        ".{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("{\"a\": [1 ,2.50,\"\\ud83d\\ude00\"]}".to_owned()),
    ];
    let data = || {
        let entries = proptest::collection::btree_map(".{0,8}", json.clone(), 0..4);
        entries.prop_map(|entries| {
            entries.into_iter().map(|(key, text)| (Key::new(key), Json::from_encoded(text))).collect::<BTreeMap<_, _>>()
        })
    };
    let tab = (any::<u64>(), any::<u64>(), data()).prop_map(|(epoch, touched_at, data)| Tab {
        epoch: Epoch(epoch),
        touched_at,
        data,
    });
    let tabs = proptest::collection::btree_map(".{0,8}", tab, 0..3)
        .prop_map(|tabs| tabs.into_iter().map(|(tab, state)| (TabId::new(tab), state)).collect());
    let slice = (any::<u64>(), data(), tabs).prop_map(|(touched_at, data, tabs)| Slice { touched_at, data, tabs });
    proptest::collection::btree_map(any::<u64>().prop_map(Vsn), slice, 0..3)
}

/// What the golden files say, by name.
fn golden() -> Vec<(&'static str, Header, Document)> {
    let writer = WriterId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    let header = |rev: u64, seq: u64| Header {
        rev,
        write: WriteId { writer, seq },
        applied: BTreeMap::from([(writer, Applied { seq, at: 1_750_000_000_000 })]),
        touched_at: 1_750_000_000_000,
        expires_at: 1_752_592_000_000,
        buried: false,
        moved_to: None,
    };
    let mut first = Document::default();
    set(&mut first, "Elixir.MyAppWeb.CounterLive", 1, None, &[("count", "1")]);

    let mut odd = Document::default();
    set(&mut odd, "Elixir.Odd", 1, None, ODD_VALUES);
    set(&mut odd, "", 0, Some(""), &[("", "\"\""), ("\u{0}\n\"\\/\u{1F600}\u{2028}é", "null")]);

    let mut many = Document::default();
    for (view, vsn) in [("Elixir.A", 1), ("Elixir.A", 2), ("Elixir.A", 18_446_744_073_709_551_615), ("Elixir.B", 1)] {
        set(&mut many, view, vsn, None, &[("theme", "\"dark\""), ("count", "3")]);
        for tab in ["phx-GB1XaDbGN1-8Qg0C", "8d1f3f8e"] {
            set(&mut many, view, vsn, Some(tab), &[("draft", "\"…\""), ("step", "2")]);
        }
    }
    set(&mut many, "Elixir.A", 1, Some("emptied"), &[]);
    set(&mut many, "Elixir.Reset", 1, None, &[]);
    let mut many_header = header(42, 17);
    many_header.applied.extend(
        (1..=31).map(|writer| {
            (WriterId(writer), Applied { seq: writer as u64 * 3, at: 1_749_999_000_000 + writer as u64 })
        }),
    );

    let mut ends = header(u64::MAX, u64::MAX);
    ends.write.writer = WriterId(u128::MAX);
    ends.applied = BTreeMap::from([(WriterId(0), Applied { seq: u64::MAX, at: 0 })]);
    (ends.touched_at, ends.expires_at) = (u64::MAX, 0);

    let tombstone = Header { buried: true, expires_at: 1_750_003_600_000, ..header(9, 8) };
    let moved_to = DocumentName::parse("5c/5c6d869c301a55b326ff038a161176e25acb7aceb8949d858ef2f139f2eb2246");
    let seal = Header { moved_to, ..header(2, 3) };
    let empty_seal = Header { buried: true, ..seal.clone() };
    vec![
        ("seal", seal, first.clone()),
        ("empty-seal", empty_seal, Document::default()),
        ("first-write", header(1, 1), first),
        ("odd-values", header(2, 2), odd),
        ("many-slices", many_header, many),
        ("tombstone", tombstone, Document::default()),
        ("ends-of-numbers", ends, Document::default()),
    ]
}

/// Everything that a JSON library is free to change and must not.
const ODD_VALUES: &[(&str, &str)] = &[
    ("beyond_u64", "18446744073709551616"),
    ("beyond_i64", "-9223372036854775809"),
    ("bignum", "123456789012345678901234567890123456789012345678901234567890"),
    ("float_that_looks_whole", "9007199254740991.0"),
    ("negative_zero", "-0.0"),
    ("smallest", "5.0e-324"),
    ("largest", "1.7976931348623157e308"),
    ("tenth", "0.1"),
    ("escapes", r#""\u0000\b\f\n\r\t\"\\\/\u001f\u007f\u2028""#),
    ("surrogates", r#""\ud83d\ude00""#),
    ("emoji", "\"\u{1F600}\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}\""),
    ("nested", r#"{"a":[{"b":[[],{},null,true,false]}],"":{"":""}}"#),
    ("spaced", "{ \"a\" : [ 1 , 2 ] }"),
    ("same_key_twice", r#"{"a":1,"a":2}"#),
    ("html", r#""<script>&amp;</script>""#),
    ("empty", "\"\""),
];

fn set(document: &mut Document, view: &str, vsn: u64, tab: Option<&str>, entries: &[(&str, &str)]) {
    let slice = document.views.entry(View::new(view)).or_default().entry(Vsn(vsn)).or_default();
    slice.touched_at = 1_749_999_999_000;
    let data = match tab {
        None => &mut slice.data,
        Some(tab) => {
            let state = slice.tabs.entry(TabId::new(tab)).or_default();
            (state.epoch, state.touched_at) = (Epoch(1_749_999_998_000), 1_749_999_998_500);
            &mut state.data
        }
    };
    data.extend(entries.iter().map(|(key, json)| (Key::new(*key), Json::from_encoded(*json))));
}

fn seal(head: &str, body: &str) -> Vec<u8> {
    object::seal(head.as_bytes(), body.as_bytes())
}

const APPLIED: &str = r#""0000000000000000000000000000000a":{"seq":1,"at":2}"#;
const TAB: &str = r#""t":{"epoch":4,"touched_at":3,"data":{"d":2}}"#;
