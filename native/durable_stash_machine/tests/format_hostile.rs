//! The document parser under bytes that nobody meant for it: nearly sound objects by the thousand, and bombs. Whatever
//! they are, the answer is a document that reads back equal or one of the typed refusals, and the memory it takes is
//! bounded by the bytes that were given.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "support/heap.rs"]
mod heap;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/mutation.rs"]
mod mutation;
#[path = "support/object.rs"]
mod object;
#[path = "support/rng.rs"]
mod rng;
#[path = "support/seeds.rs"]
mod seeds;

use std::collections::BTreeMap;

use durable_stash_machine::format::decode;

use mutation::Corpus;
use object::{BODY, HEAD, seal};

const MUTANTS: u64 = 20_000;

#[test]
fn fault_26_27_28_65_a_nearly_sound_object_reads_back_equal_or_is_refused_by_its_kind() {
    let corpus = Corpus::golden();
    let mut verdicts = BTreeMap::new();
    let count = seeds::each(MUTANTS, |rng| {
        let object = corpus.mutant(rng);
        *verdicts.entry(judge(&object)).or_insert(0u64) += 1;
    });
    println!("{verdicts:?}");
    println!("hostile: objects={count}");
    // Mutants that all fail at the first gate would show nothing of what is behind it.
    if count >= MUTANTS {
        for verdict in ["read", "Header", "Body", "Checksum", "Length", "NoHeader"] {
            assert!(verdicts.get(verdict).is_some_and(|times| *times > count / 1_000), "{verdict}: {verdicts:?}");
        }
    }
}

#[test]
fn fault_27_64_bombs_cost_no_more_than_their_bytes() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
    let values = [
        "9".repeat(1_000_000),
        format!("-0.{}", "0".repeat(1_000_000)),
        format!("1e{}", "9".repeat(1_000_000)),
        format!("\"{}\"", "\\u0000".repeat(200_000)),
        format!("\"{}\"", "😀".repeat(200_000)),
        format!("[{}]", vec!["[]"; 300_000].join(",")),
        format!("[{}]", vec!["{\"a\":1}"; 100_000].join(",")),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        deep("[{\"a\":[", "]}]"),
        format!("{}1", " ".repeat(1_000_000)),
    ];
    let bomb = |part: &str, other: String| judge(&seal(HEAD.as_bytes(), BODY.replace(part, &other).as_bytes()));
    for value in &values {
        assert_eq!(bomb("\"k\":1", format!("\"k\":{value}")), "read", "values are passed on as they are: {value:.20}");
        assert_eq!(bomb("\"touched_at\":3", format!("\"touched_at\":1{value}")), "Body", "{value:.20}");
        assert_eq!(bomb("\"epoch\":4", format!("\"epoch\":1{value}")), "Body", "{value:.20}");
        assert_eq!(bomb("{\"views\"", format!("{{\"more\":{value},\"views\"")), "Body", "{value:.20}");
        let head = |value: &str| HEAD.replace("\"rev\":1", &format!("\"rev\":1{value}"));
        assert_eq!(judge(&seal(head(value).as_bytes(), BODY.as_bytes())), "NoHeader", "no header is so long");
        let short = &value[..value.floor_char_boundary(20_000)];
        assert_eq!(
            judge(&seal(head(short).as_bytes(), b"{}")),
            if short.trim().is_empty() { "Body" } else { "Header" }
        );
    }
    assert_eq!(judge(&vec![b' '; 20_000_000]), "NoHeader");
    assert_eq!(judge(&[HEAD.as_bytes(), b"\n", &vec![b'{'; 20_000_000]].concat()), "Header");
}

#[test]
fn fault_27_a_million_keys_in_any_place_are_read_or_refused_within_their_bytes() {
    let many = |count: usize, entry: fn(usize) -> String| (0..count).map(entry).collect::<Vec<_>>().join(",");
    let keys = many(1_000_000, |n| format!("\"{n}\":0"));
    let drafts = many(100_000, |n| format!("\"{n}\":0"));
    let slices = many(100_000, |n| format!("\"{n}\":{{\"touched_at\":0,\"data\":{{}},\"tabs\":{{}}}}"));
    let tabs = many(100_000, |n| format!("\"{n}\":{{\"epoch\":0,\"touched_at\":0,\"data\":{{}}}}"));
    let views = many(100_000, |n| format!("\"{n}\":{{}}"));
    for body in [
        BODY.replace("\"k\":1", &keys),
        BODY.replace("\"d\":2", &drafts),
        format!("{{\"views\":{{\"a\":{{{slices}}}}}}}"),
        format!("{{\"views\":{{\"a\":{{\"1\":{{\"touched_at\":0,\"data\":{{}},\"tabs\":{{{tabs}}}}}}}}}}}"),
        format!("{{\"views\":{{{views}}}}}"),
    ] {
        assert_eq!(judge(&seal(HEAD.as_bytes(), body.as_bytes())), "read", "{:.60}", body);
        // Its last but one key is the last one again.
        let (first, last) =
            if body.contains("\"999999\":") { ("\"999998\":", "\"999999\":") } else { ("\"99998\":", "\"99999\":") };
        let again = body.replacen(first, last, 1);
        assert_eq!(judge(&seal(HEAD.as_bytes(), again.as_bytes())), "Body", "{:.60}", again);
    }
    let writers = (0..700).map(|n| format!("\"{n:032x}\":{{\"seq\":1,\"at\":2}}")).collect::<Vec<_>>().join(",");
    let head = HEAD.replace("\"0000000000000000000000000000000a\":{\"seq\":1,\"at\":2}", &writers);
    assert_eq!(judge(&seal(head.as_bytes(), BODY.as_bytes())), "read");
}

/// What the parser says of the bytes, after everything was checked that must hold of it.
fn judge(bytes: &[u8]) -> &'static str {
    let (decoded, used) = heap::measured(|| decode(bytes));
    // The smallest key has six bytes (`"a":0,`), and costs a place in a map's node, a name and a value.
    let allowed = 64 * 1024 + 48 * bytes.len();
    assert!(used.peak <= allowed, "{} bytes of memory for {} bytes", used.peak, bytes.len());
    assert!(used.allocations <= 1_000 + bytes.len(), "{} allocations for {} bytes", used.allocations, bytes.len());
    judge::verdict(bytes, &decoded)
}
