//! What must hold of any term and of any text.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::{Arena, Cursor, Model, Read, expected, has_collision};
use super::number::BigInteger;
use super::strategies::{model, storable};
use super::*;

const NEARLY_JSON: &str = "([\\[\\]{},: \\n]|\"[a\\\\\\\\u0dDc8\"/]{0,8}\"|-?[0-9.eE+]{1,6}|null|true|fals){0,12}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_comes_back(model in model()) {
        match write(&model) {
            Ok(text) => {
                prop_assert!(!has_collision(&model));
                prop_assert_eq!(read(&text).unwrap(), expected(&model));
                serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
            Err(Refusal::Invalid(sentence)) => {
                prop_assert!(has_collision(&model));
                prop_assert!(sentence.contains("one and the same in JSON"), "{}", sentence);
            }
            Err(Refusal::TooLarge(sentence)) => prop_assert!(false, "{}", sentence),
        }
    }

    #[test]
    fn a_short_budget_gives_the_same_text_or_says_large(model in storable(), units in 0usize..3000) {
        let mut out = String::from("before");
        let mut budget = Budget::of(units);
        match encode("root", Cursor::At(&model), LIMITS, &mut budget, &mut out) {
            Ok(()) => prop_assert_eq!(out, format!("before{}", write(&model).unwrap())),
            Err(Stop::Large) => prop_assert_eq!(out, "before"),
            Err(Stop::Refused(refusal)) => prop_assert!(false, "{:?}", refusal),
        }
    }

    #[test]
    fn a_value_is_too_large_exactly_past_the_limit(model in storable(), less in 1usize..50) {
        let text = write(&model).unwrap();
        prop_assert_eq!(write_within(&model, Limits { bytes: text.len(), ..LIMITS }), Ok(text.clone()));
        if less <= text.len() {
            let refusal = write_within(&model, Limits { bytes: text.len() - less, ..LIMITS });
            prop_assert!(matches!(refusal, Err(Refusal::TooLarge(_))), "{:?}", refusal);
        }
    }

    #[test]
    fn text_of_any_kind_is_read_or_refused_and_never_a_panic(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn text_that_is_nearly_json_is_judged_as_another_parser_judges_it(text in NEARLY_JSON) {
        match (read(&text), serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
            (Err(corrupt), Ok(_)) => prop_assert_eq!(corrupt.what(), "an object has the same key twice"),
            (Ok(read), Err(error)) => prop_assert!(false, "{:?} {}", read, error),
        }
    }

    #[test]
    fn a_cut_document_is_corrupt(model in storable(), cut in any::<prop::sample::Index>()) {
        let text = Model::List(vec![model]);
        let text = write(&text).unwrap();
        let cut = text.floor_char_boundary(cut.index(text.len()));
        prop_assert!(read(&text[..cut]).is_err());
    }
}

#[test]
fn a_refusal_names_the_path_to_the_culprit() {
    let at = Model::Map(vec![(atom("at"), Model::Struct("DateTime"))]);
    let items = Model::List(vec![Model::Nil, Model::Nil, Model::Nil, at]);
    let settings = Model::Map(vec![(bytes("items"), items)]);
    assert_eq!(write(&settings), invalid("root.items[3].at: a DateTime is not JSON-safe"));
}

#[test]
fn a_path_quotes_keys_that_are_no_identifiers() {
    for (key, path) in [
        (bytes("a b"), "root[\"a b\"]"),
        (bytes(""), "root[\"\"]"),
        (atom("Elixir.Foo"), "root[:\"Elixir.Foo\"]"),
        (atom("ok?"), "root.ok?"),
        (Model::Int(7), "root[7]"),
        (Model::Natural(u64::MAX), "root[18446744073709551615]"),
        (Model::Nil, "root.nil"),
        (bytes(&"x".repeat(60)), "root[\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\"]"),
    ] {
        assert_eq!(
            write(&Model::Map(vec![(key, Model::Tuple)])),
            invalid(&format!("{path}: a tuple is not JSON-safe"))
        );
    }
}

#[test]
fn a_bad_key_is_the_fault_of_its_map() {
    let map = |key| Model::List(vec![Model::Map(vec![(key, Model::Nil)])]);
    let sentence = |what: &str| {
        invalid(&format!("root[0]: {what} as a map's key is not JSON-safe; atoms, binaries and integers are"))
    };
    assert_eq!(write(&map(Model::Float(1.0))), sentence("a float"));
    assert_eq!(write(&map(Model::Tuple)), sentence("a tuple"));
    assert_eq!(write(&map(Model::List(vec![]))), sentence("a list"));
    assert_eq!(write(&map(Model::Map(vec![]))), sentence("a map"));
    assert_eq!(write(&map(Model::Struct("Date"))), sentence("a Date"));
    assert_eq!(write(&map(Model::Bytes(vec![0xff]))), sentence("a binary that is not valid UTF-8"));
}

#[test]
fn keys_that_meet_as_text_are_refused() {
    let map = |one, other| Model::Map(vec![(atom("m"), Model::Map(vec![(one, Model::Nil), (other, Model::Nil)]))]);
    let sentence = |keys: &str| invalid(&format!("root.m: the keys {keys} are one and the same in JSON"));
    assert_eq!(write(&map(atom("a"), bytes("a"))), sentence(":a and \"a\""));
    assert_eq!(write(&map(Model::Int(1), bytes("1"))), sentence("1 and \"1\""));
    assert_eq!(write(&map(atom("1"), Model::Int(1))), sentence(":\"1\" and 1"));
    assert_eq!(write(&map(Model::Nil, bytes("nil"))), sentence("nil and \"nil\""));
    assert!(write(&map(atom("a"), bytes("b"))).is_ok());
}

#[test]
fn an_improper_list_is_refused_as_a_list() {
    let list = Model::List(vec![Model::Improper(vec![Model::Int(1)])]);
    assert_eq!(write(&list), invalid("root[0]: an improper list is not JSON-safe"));
}

#[test]
fn depth_128_is_the_last_one_both_ways() {
    let text = write(&nested(128, Model::Int(1))).unwrap();
    assert!(read(&text).is_ok());
    let Err(Refusal::Invalid(sentence)) = write(&nested(129, Model::Int(1))) else { panic!("depth 129 was accepted") };
    assert!(sentence.ends_with(": nested more than 128 levels deep"), "{sentence}");
    assert!(sentence.len() < 300, "{sentence}");
    assert_eq!(read(&format!("[{text}]")).unwrap_err().what(), "it is nested too deep");
    assert!(write(&nested(128, Model::List(vec![]))).is_err());
}

#[test]
fn a_million_levels_in_the_store_are_corrupt_and_no_overflow() {
    assert!(read(&"[".repeat(1_000_000)).is_err());
    assert!(read(&"{\"a\":".repeat(1_000_000)).is_err());
}

#[test]
fn integers_beyond_64_bits_stay_exact() {
    for power in [64, 65, 128, 4000, 40_000] {
        let two_to_the_power = num_bigint::BigUint::from(2u8).pow(power);
        for negative in [false, true] {
            let big = BigInteger { negative, magnitude: two_to_the_power.to_bytes_le() };
            let expected = format!("{}{two_to_the_power}", if negative { "-" } else { "" });
            assert_eq!(write(&Model::Big(big)).unwrap(), expected);
            assert_eq!(read(&expected).unwrap(), Read::Integer(expected));
        }
    }
}

#[test]
fn a_huge_integer_or_binary_is_refused_by_its_size_alone() {
    let huge = Model::Big(BigInteger { negative: false, magnitude: vec![1; 1 << 20] });
    assert!(matches!(write(&huge), Err(Refusal::TooLarge(_))));
    let not_even_utf8 = Model::Bytes(vec![0xff; (1 << 20) + 1]);
    assert_eq!(
        write(&not_even_utf8),
        Err(Refusal::TooLarge("root: larger than the 1048576 bytes of JSON that max_value_bytes allows".into()))
    );
}

#[test]
fn what_json_does_not_have_is_corrupt() {
    for text in [
        "",
        " ",
        "nul",
        "nulll",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\nb\"",
        "1 2",
        "[1]]",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "\u{feff}1",
    ] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

#[test]
fn what_others_write_is_read() {
    for (text, expected) in [
        (" \t\r\n1 ", Read::Integer("1".into())),
        ("-0", Read::Integer("0".into())),
        ("1E2", Read::FloatBits(100f64.to_bits())),
        ("-0.0", Read::FloatBits((-0f64).to_bits())),
        ("9007199254740991.0", Read::FloatBits(9007199254740991f64.to_bits())),
        ("18446744073709551616", Read::Integer("18446744073709551616".into())),
        ("\"\\ud83d\\ude00\\/\\b\\f\"", Read::Text("😀/\u{8}\u{c}".into())),
        ("[ ]", Read::List(vec![])),
        ("{ }", Read::Object(BTreeMap::new())),
        (
            "{ \"a\" : [ 1 , { } ] }",
            Read::Object(BTreeMap::from([(
                "a".into(),
                Read::List(vec![Read::Integer("1".into()), Read::Object(BTreeMap::new())]),
            )])),
        ),
    ] {
        assert_eq!(read(text).unwrap(), expected, "{text:?}");
    }
}

fn read(text: &str) -> Result<Read, Corrupt> {
    let mut arena = Arena::default();
    let root = decode(text, MAX_DEPTH, &mut arena)?;
    Ok(arena.0[root].clone())
}

const LIMITS: Limits = Limits { depth: MAX_DEPTH, bytes: 1 << 20 };

fn write(model: &Model) -> Result<String, Refusal> {
    write_within(model, LIMITS)
}

fn write_within(model: &Model, limits: Limits) -> Result<String, Refusal> {
    let mut out = String::new();
    match encode("root", Cursor::At(model), limits, &mut Budget::unlimited(), &mut out) {
        Ok(()) => Ok(out),
        Err(Stop::Refused(refusal)) => {
            assert_eq!(out, "", "a refused value leaves nothing behind");
            Err(refusal)
        }
        Err(Stop::Large) => panic!("an unlimited budget was used up"),
    }
}

fn invalid(sentence: &str) -> Result<String, Refusal> {
    Err(Refusal::Invalid(sentence.into()))
}

fn atom(name: &str) -> Model {
    Model::Atom(name.into())
}

fn bytes(text: &str) -> Model {
    Model::Bytes(text.into())
}

fn nested(depth: usize, leaf: Model) -> Model {
    (0..depth).fold(
        leaf,
        |inner, level| {
            if level % 2 == 0 { Model::List(vec![inner]) } else { Model::Map(vec![(atom("k"), inner)]) }
        },
    )
}
