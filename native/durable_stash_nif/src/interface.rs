//! Whether this library and the Elixir module that loads it were made for each other.

use rustler::{Encoder, Env, NifResult, Term};

use crate::{atoms, fault_hook};

/// Raised with every change of an entry point that the other side must know of. `DurableStash.Native` hands in the
/// one that it was written for when it loads the library.
const INTERFACE: u32 = 4;

/// Called as the library is loaded; `false` fails the load (fault 47).
pub(crate) fn fits(_env: Env<'_>, expected: Term<'_>) -> bool {
    expected.decode().is_ok_and(|expected: u32| expected == INTERFACE)
}

#[rustler::nif]
fn nif_info(env: Env<'_>) -> NifResult<Term<'_>> {
    fault_hook::pass("nif_info");
    let keys = [atoms::version(), atoms::fault_hooks()].map(|key| key.to_term(env));
    let values = [INTERFACE.encode(env), cfg!(feature = "fault-hooks").encode(env)];
    Term::map_from_term_arrays(env, &keys, &values)
}
