//! One value across the boundary.

use durable_stash_engine::{Error, ErrorKind, Json};
use rustler::{Binary, Encoder, Env, NifResult, Term};

use crate::json::{Budget, Corrupt, DOCUMENT_DEPTH, Limits, MAX_DEPTH, Refusal, Stop, Terms, decode, encode};
use crate::{atoms, error, fault_hook};

/// What a stored value is as a term of `env`.
pub(crate) fn read<'a>(env: Env<'a>, json: &Json) -> Result<Term<'a>, Corrupt> {
    decode(json.as_str(), MAX_DEPTH, &mut Terms::new(env))
}

/// Appends a value of at most `max_bytes` to `text`. `name` is its key, where a refusal's path begins.
pub(crate) fn write(
    name: &str,
    value: Term<'_>,
    max_bytes: usize,
    budget: &mut Budget,
    text: &mut String,
) -> Result<(), Stop> {
    encode(name, value, Limits { depth: MAX_DEPTH, bytes: max_bytes }, budget, text)
}

pub(crate) fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Invalid(message) => Error { kind: ErrorKind::InvalidValue, message },
        Refusal::TooLarge(message) => Error { kind: ErrorKind::TooLarge, message },
    }
}

pub(crate) fn corrupt(name: &str, corrupt: &Corrupt) -> Error {
    Error { kind: ErrorKind::Corrupt, message: format!("{name}: {corrupt}") }
}

/// The text that a stash of this value would store: half of the way there and back that a value takes which one LiveView
/// hands to another. Tests look at it too.
#[rustler::nif(schedule = "DirtyCpu")]
fn json_encode<'a>(env: Env<'a>, value: Term<'a>, max_bytes: usize) -> NifResult<Term<'a>> {
    fault_hook::pass("json_encode");
    let mut text = String::new();
    match write("value", value, max_bytes, &mut Budget::unlimited(), &mut text) {
        Ok(()) => Ok((atoms::ok(), text).encode(env)),
        Err(Stop::Refused(refusal)) => Err(error::returned(refused(refusal))),
        Err(Stop::Large) => Ok(atoms::large().encode(env)),
    }
}

/// The term that recovery would bring back from this text: the other half of that way. Takes whole documents, for dumps of
/// the test backend, so it goes a little deeper than values may be.
#[rustler::nif(schedule = "DirtyCpu")]
fn json_decode<'a>(env: Env<'a>, bytes: Binary<'a>) -> NifResult<Term<'a>> {
    fault_hook::pass("json_decode");
    let Ok(text) = str::from_utf8(bytes.as_slice()) else {
        let message = "value: the stored JSON is not valid UTF-8".into();
        return Err(error::returned(Error { kind: ErrorKind::Corrupt, message }));
    };
    match decode(text, DOCUMENT_DEPTH, &mut Terms::new(env)) {
        Ok(value) => Ok((atoms::ok(), value).encode(env)),
        Err(reason) => Err(error::returned(corrupt("value", &reason))),
    }
}
