//! The in-memory store of `DurableStash.TestBackend`, and the faults that a test asks it for.

use std::time::Duration;

use durable_stash_engine::backend::{Contention, EtagMode, Fault, MemoryStore};
use rustler::{Atom, Binary, Encoder, Env, NewBinary, NifResult, Resource, ResourceArc, Term};

use crate::{atoms, fault_hook};

/// A store by its name; it outlives every engine, as a bucket does.
pub(crate) struct StoreResource {
    pub(crate) store: MemoryStore,
}

#[rustler::resource_impl]
impl Resource for StoreResource {}

#[rustler::nif]
fn test_store<'a>(env: Env<'a>, name: &str) -> Term<'a> {
    fault_hook::pass("test_store");
    (atoms::ok(), ResourceArc::new(StoreResource { store: MemoryStore::named(name) })).encode(env)
}

/// Every object: `[{name, body}]`.
#[rustler::nif(schedule = "DirtyCpu")]
fn test_store_dump<'a>(env: Env<'a>, store: ResourceArc<StoreResource>) -> Term<'a> {
    fault_hook::pass("test_store_dump");
    let objects: Vec<(String, Term<'a>)> =
        store.store.dump().iter().map(|(name, body)| (name.clone(), NewBinary::from_slice(env, body).into())).collect();
    objects.encode(env)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn test_store_reset(store: ResourceArc<StoreResource>) -> Atom {
    fault_hook::pass("test_store_reset");
    store.store.reset();
    atoms::ok()
}

/// How long every request takes from now on.
#[rustler::nif]
fn test_store_latency(store: ResourceArc<StoreResource>, latency_ms: u64) -> Atom {
    fault_hook::pass("test_store_latency");
    store.store.set_latency(Duration::from_millis(latency_ms));
    atoms::ok()
}

/// What was asked of the store since its last reset.
#[rustler::nif]
fn test_store_counts<'a>(env: Env<'a>, store: ResourceArc<StoreResource>) -> NifResult<Term<'a>> {
    fault_hook::pass("test_store_counts");
    let counts = store.store.counts();
    let keys = [atoms::gets(), atoms::puts(), atoms::commits(), atoms::most_in_flight()];
    Term::map_from_arrays(env, &keys, &[counts.gets, counts.puts, counts.commits, counts.most_in_flight])
}

/// One step of a script, see [`step`].
#[rustler::nif]
fn test_store_script(store: ResourceArc<StoreResource>, term: Term<'_>) -> NifResult<Atom> {
    fault_hook::pass("test_store_script");
    step(&store.store, term)?;
    Ok(atoms::ok())
}

/// | step | what happens |
/// |---|---|
/// | `{:fail_puts, n, retry_after_ms \| nil}` | the next n PUTs fail and are not applied |
/// | `{:drop_answers, n}` | the next n PUTs are applied, their answers are lost |
/// | `{:stall_puts, n}`, `{:stall_gets, n}` | the next n wait for `:release` |
/// | `{:conflict, n, :moved \| :busy}` | the next n PUTs lose |
/// | `{:deny_puts, n}`, `{:deny_gets, n}` | the next n are refused for want of rights |
/// | `{:omit_etags, n}` | the next n PUTs are applied and answered without an etag |
/// | `{:fail_gets, n, retry_after_ms \| nil}` | the next n GETs fail |
/// | `:release` | what is stalled goes on |
/// | `{:etags, :counter \| :content}` | from now on etags are a counter, or a hash of the content as on S3 |
/// | `{:plant, name, body}` | the object is there as an operator would put it |
/// | `{:uproot, name}` | the object is gone as by a lifecycle rule |
/// | `{:touch, name, ms}` | the object's last modification is said to be then |
fn step(store: &MemoryStore, term: Term<'_>) -> NifResult<()> {
    if atoms::release() == term {
        store.release();
    } else if let Ok((what, count)) = term.decode::<(Atom, u32)>() {
        store.script(counted(what, count)?);
    } else if let Ok((what, mode)) = term.decode::<(Atom, Atom)>()
        && what == atoms::etags()
    {
        store.use_etags(etag_mode(mode)?);
    } else if let Ok((what, name)) = term.decode::<(Atom, &str)>()
        && what == atoms::uproot()
    {
        store.uproot(name);
    } else if let Ok((what, count, with)) = term.decode::<(Atom, u32, Term<'_>)>() {
        store.script(counted_with(what, count, with)?);
    } else if let Ok((what, name, body)) = term.decode::<(Atom, &str, Binary<'_>)>()
        && what == atoms::plant()
    {
        store.plant(name, body.to_vec());
    } else if let Ok((what, name, ms)) = term.decode::<(Atom, &str, u64)>()
        && what == atoms::touch()
    {
        store.touch(name, ms);
    } else {
        return Err(rustler::Error::BadArg);
    }
    Ok(())
}

fn counted(what: Atom, count: u32) -> NifResult<Fault> {
    if what == atoms::drop_answers() {
        Ok(Fault::DropAnswers { count })
    } else if what == atoms::stall_puts() {
        Ok(Fault::StallPuts { count })
    } else if what == atoms::deny_puts() {
        Ok(Fault::DenyPuts { count })
    } else if what == atoms::omit_etags() {
        Ok(Fault::OmitEtags { count })
    } else if what == atoms::stall_gets() {
        Ok(Fault::StallGets { count })
    } else if what == atoms::deny_gets() {
        Ok(Fault::DenyGets { count })
    } else {
        Err(rustler::Error::BadArg)
    }
}

fn counted_with(what: Atom, count: u32, with: Term<'_>) -> NifResult<Fault> {
    if what == atoms::fail_puts() {
        Ok(Fault::FailPuts { count, retry_after_ms: with.decode()? })
    } else if what == atoms::fail_gets() {
        Ok(Fault::FailGets { count, retry_after_ms: with.decode()? })
    } else if what == atoms::conflict() {
        Ok(Fault::Conflict { count, with: contention(with.decode()?)? })
    } else {
        Err(rustler::Error::BadArg)
    }
}

fn contention(with: Atom) -> NifResult<Contention> {
    if with == atoms::moved() {
        Ok(Contention::Moved)
    } else if with == atoms::busy() {
        Ok(Contention::Busy)
    } else {
        Err(rustler::Error::BadArg)
    }
}

fn etag_mode(mode: Atom) -> NifResult<EtagMode> {
    if mode == atoms::counter() {
        Ok(EtagMode::Counter)
    } else if mode == atoms::content() {
        Ok(EtagMode::Content)
    } else {
        Err(rustler::Error::BadArg)
    }
}
