//! The way to JSON that durable_stash_nif would take with libraries alone: rustler reads the term for serde, and
//! serde_json writes what it is told, with nothing in between (a transcode). For `bench/term_walk.exs`.

mod transcode;

use rustler::{Binary, Env, Error, NifResult, OwnedBinary, Term};

/// On the scheduler that durable_stash_nif's `json_encode` runs on, and as that one into a text that the VM copies.
#[rustler::nif(schedule = "DirtyCpu")]
fn encode<'a>(env: Env<'a>, value: Term<'a>) -> NifResult<Binary<'a>> {
    let text = transcode::to_json(value).ok_or(Error::BadArg)?;
    let mut copy = OwnedBinary::new(text.len());
    copy.as_mut_slice().copy_from_slice(&text);
    Ok(copy.release(env))
}

rustler::init!("Elixir.Bench.Transcode");
