#[path = "../../native/durable_stash_nif/src/json/decode.rs"]
mod decode;
#[path = "../../native/durable_stash_nif/src/json/encode.rs"]
mod encode;
#[path = "../../native/durable_stash_nif/src/json/model.rs"]
mod model;
#[path = "../../native/durable_stash_nif/src/json/number.rs"]
mod number;
#[path = "../../native/durable_stash_nif/src/json/path.rs"]
mod path;
#[path = "../../native/durable_stash_nif/src/json/text.rs"]
mod text;

use std::collections::HashSet;

use libfuzzer_sys::arbitrary::{Result, Unstructured};

use decode::Corrupt;
use encode::{Budget, Limits, Refusal, Stop};
use model::{Arena, Cursor, Model, Read, expected, key_text};
use number::BigInteger;

/// As in the NIF's `json.rs`.
const MAX_DEPTH: usize = 128;

/// What is read is written and read again as the same; what another parser reads is read here, but for the same key twice.
pub fn json_text(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let elsewhere = serde_json::from_str::<serde_json::Value>(text);
    match read(text) {
        Ok(value) => {
            let model = as_model(&value);
            let written = write(&model, usize::MAX).unwrap_or_else(|refusal| panic!("{refusal:?} of {text:?}"));
            assert_eq!(read(&written).unwrap(), value, "{text:?}");
            match elsewhere {
                Ok(_) => {}
                // It stops one level before us, and has no integers that are larger than every float.
                Err(error) => {
                    let is_its_own =
                        ["recursion limit", "number out of range"].map(|what| error.to_string().contains(what));
                    assert!(is_its_own.contains(&true), "{error}: {text:?}");
                }
            }
        }
        Err(corrupt) => {
            let is_ours =
                ["the same key twice", "nested too deep"].iter().any(|what| corrupt.to_string().contains(what));
            assert!(elsewhere.is_err() || is_ours, "{corrupt}: {text:?}");
        }
    }
}

/// What can be stored comes back equal, and what cannot is refused: both as a second look at the term says. A limit on
/// bytes is kept to the byte, and a budget changes nothing but "too much".
pub fn json_term(bytes: &[u8]) {
    let mut source = Unstructured::new(bytes);
    let Ok(units) = source.arbitrary::<u16>() else { return };
    let Ok(model) = term(&mut source, 0) else { return };
    let result = write(&model, usize::MAX);
    assert_eq!(result.is_ok(), is_storable(&model, MAX_DEPTH), "{result:?} of {model:?}");
    match &result {
        Ok(text) => {
            assert_eq!(read(text).unwrap(), expected(&model), "{text}");
            assert_eq!(write(&model, text.len()).as_ref(), Ok(text));
            assert!(matches!(write(&model, text.len() - 1), Err(Refusal::TooLarge(_))), "{text}");
        }
        Err(Refusal::Invalid(sentence)) => {
            assert!(sentence.starts_with("root") && sentence.len() < 1_000, "{sentence}")
        }
        Err(Refusal::TooLarge(sentence)) => panic!("{sentence}"),
    }
    let mut budget = Budget::short();
    assert!(budget.charge(Budget::SHORT - usize::from(units)).is_ok(), "it holds more than two bytes can say");
    match write_within(&model, usize::MAX, &mut budget) {
        Ok(text) => assert_eq!(result, Ok(text)),
        Err(Stop::Refused(refusal)) => assert_eq!(result, Err(refusal)),
        Err(Stop::Large) => {}
    }
}

fn read(text: &str) -> std::result::Result<Read, Corrupt> {
    let mut arena = Arena::default();
    let root = decode::decode(text, MAX_DEPTH, &mut arena)?;
    Ok(arena.0.swap_remove(root))
}

fn write(model: &Model, bytes: usize) -> std::result::Result<String, Refusal> {
    match write_within(model, bytes, &mut Budget::unlimited()) {
        Ok(text) => Ok(text),
        Err(Stop::Refused(refusal)) => Err(refusal),
        Err(Stop::Large) => panic!("an unlimited budget was used up"),
    }
}

fn write_within(model: &Model, bytes: usize, budget: &mut Budget) -> std::result::Result<String, Stop> {
    let mut out = String::from("before");
    let result = encode::encode("root", Cursor::At(model), Limits { depth: MAX_DEPTH, bytes }, budget, &mut out);
    let text = out.split_off("before".len());
    match result {
        Ok(()) => Ok(text),
        Err(stop) => {
            assert_eq!(text, "", "what is refused leaves nothing behind");
            Err(stop)
        }
    }
}

fn as_model(read: &Read) -> Model {
    match read {
        Read::Nil => Model::Nil,
        Read::Bool(bool) => Model::Bool(*bool),
        Read::Integer(digits) => integer(digits),
        Read::FloatBits(bits) => Model::Float(f64::from_bits(*bits)),
        Read::Text(text) => Model::Bytes(text.clone().into()),
        Read::List(items) => Model::List(items.iter().map(as_model).collect()),
        Read::Object(entries) => {
            Model::Map(entries.iter().map(|(key, value)| (Model::Bytes(key.clone().into()), as_model(value))).collect())
        }
    }
}

fn integer(digits: &str) -> Model {
    if let Ok(int) = digits.parse() {
        return Model::Int(int);
    }
    if let Ok(natural) = digits.parse() {
        return Model::Natural(natural);
    }
    let magnitude = digits.strip_prefix('-').unwrap_or(digits);
    Model::Big(BigInteger::from_digits(digits.starts_with('-'), magnitude).unwrap())
}

fn term(source: &mut Unstructured<'_>, depth: usize) -> Result<Model> {
    let kinds = if depth > MAX_DEPTH + 2 || source.is_empty() { 9 } else { 14 };
    Ok(match source.int_in_range(0..=kinds - 1)? {
        0 => Model::Nil,
        1 => Model::Bool(source.arbitrary()?),
        2 => Model::Int(source.arbitrary()?),
        3 => Model::Natural(source.int_in_range(1 << 63..=u64::MAX)?),
        4 => Model::Big(big(source)?),
        5 => match f64::from_bits(source.arbitrary()?) {
            float if float.is_finite() => Model::Float(float),
            // The VM has no others.
            _ => Model::Float(0.5),
        },
        6 => Model::Bytes(source.arbitrary::<&[u8]>()?.to_vec()),
        7 => match source.arbitrary::<&str>()? {
            // Those three are not atoms to the walk.
            "nil" | "true" | "false" => Model::Nil,
            name => Model::Atom(name.into()),
        },
        8 => {
            if source.arbitrary()? {
                Model::Tuple
            } else {
                Model::Struct("DateTime")
            }
        }
        9 | 10 => Model::List(terms(source, depth)?),
        11 => Model::Improper(terms(source, depth)?),
        _ => {
            let (mut entries, mut seen) = (Vec::new(), HashSet::new());
            while source.arbitrary()? {
                let (key, value) = (term(source, MAX_DEPTH + 3)?, term(source, depth + 1)?);
                // The VM has no map with the same key twice.
                if seen.insert(format!("{key:?}")) {
                    entries.push((key, value));
                }
            }
            Model::Map(entries)
        }
    })
}

fn terms(source: &mut Unstructured<'_>, depth: usize) -> Result<Vec<Model>> {
    let mut terms = Vec::new();
    while source.arbitrary()? {
        terms.push(term(source, depth + 1)?);
    }
    Ok(terms)
}

/// Past 64 bits, as the VM shows them: without leading zeros.
fn big(source: &mut Unstructured<'_>) -> Result<BigInteger> {
    let negative = source.arbitrary()?;
    let mut magnitude = source.arbitrary::<&[u8]>()?.to_vec();
    magnitude.resize(magnitude.len().max(9), 1);
    if let Some(last) = magnitude.last_mut() {
        *last = (*last).max(1);
    }
    Ok(BigInteger { negative, magnitude })
}

/// What design.md §8 says, said once more.
fn is_storable(model: &Model, levels: usize) -> bool {
    match model {
        Model::Nil
        | Model::Bool(_)
        | Model::Atom(_)
        | Model::Int(_)
        | Model::Natural(_)
        | Model::Big(_)
        | Model::Float(_) => true,
        Model::Bytes(bytes) => str::from_utf8(bytes).is_ok(),
        Model::Improper(_) | Model::Struct(_) | Model::Tuple => false,
        Model::List(items) => levels > 0 && items.iter().all(|item| is_storable(item, levels - 1)),
        Model::Map(entries) => {
            levels > 0
                && entries.iter().all(|(key, value)| is_key(key) && is_storable(value, levels - 1))
                && entries.iter().map(|(key, _)| key_text(key)).collect::<HashSet<_>>().len() == entries.len()
        }
    }
}

fn is_key(key: &Model) -> bool {
    match key {
        Model::Nil | Model::Bool(_) | Model::Atom(_) | Model::Int(_) | Model::Natural(_) | Model::Big(_) => true,
        Model::Bytes(bytes) => str::from_utf8(bytes).is_ok(),
        Model::Float(_) | Model::List(_) | Model::Improper(_) | Model::Map(_) | Model::Struct(_) | Model::Tuple => {
            false
        }
    }
}
