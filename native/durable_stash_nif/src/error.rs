//! Errors on their way out: a kind as an atom, and a sentence that nobody matches on.

use durable_stash_engine::{Error, ErrorKind};
use rustler::{Atom, Encoder, Env, Term};

use crate::atoms;

/// `{kind, message}`.
pub(crate) fn pair<'a>(env: Env<'a>, error: &Error) -> Term<'a> {
    (kind(error.kind), error.message.as_str()).encode(env)
}

/// `{:error, {kind, message}}`.
pub(crate) fn tuple<'a>(env: Env<'a>, error: &Error) -> Term<'a> {
    (atoms::error(), pair(env, error)).encode(env)
}

/// What an entry point returns in place of its result: `{:error, {kind, message}}`.
pub(crate) fn returned(error: Error) -> rustler::Error {
    rustler::Error::Term(Box::new((kind(error.kind), error.message)))
}

pub(crate) fn kind(kind: ErrorKind) -> Atom {
    match kind {
        ErrorKind::InvalidValue => atoms::invalid_value(),
        ErrorKind::TooLarge => atoms::too_large(),
        ErrorKind::Superseded => atoms::superseded(),
        ErrorKind::Overloaded => atoms::overloaded(),
        ErrorKind::Unavailable => atoms::unavailable(),
        ErrorKind::Timeout => atoms::timeout(),
        ErrorKind::Refused => atoms::refused(),
        ErrorKind::Corrupt => atoms::corrupt(),
        ErrorKind::NewerFormat => atoms::newer_format(),
        ErrorKind::EngineDown => atoms::engine_down(),
    }
}
