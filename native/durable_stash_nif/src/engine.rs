//! The engine as a resource: started, asked how it fares, drained.

use std::sync::Arc;
use std::time::Duration;

use durable_stash_engine::{
    Backend, Config, DrainReport, Engine, Error, ErrorKind, HealthState, Policy, S3Config, Secret,
};
use rustler::{Atom, Binary, Decoder, Encoder, Env, LocalPid, NifResult, Resource, ResourceArc, Term};

use crate::events::Events;
use crate::list::items;
use crate::reply::Outbox;
use crate::runtime::Threads;
use crate::test_store::StoreResource;
use crate::{atoms, error, fault_hook};

/// One engine. When the last reference to it goes it stops without a drain, so `DurableStash.Engine` keeps one.
pub(crate) struct EngineResource {
    pub(crate) engine: Engine,
    pub(crate) outbox: Outbox,
    events: Arc<Events>,
}

#[rustler::resource_impl]
impl Resource for EngineResource {}

/// Starts threads, builds an HTTP client, makes a directory.
#[rustler::nif(schedule = "DirtyIo")]
fn engine_start<'a>(env: Env<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    fault_hook::pass("engine_start");
    let config = config(options)?;
    let threads = Threads::get_or_start(option(options, atoms::worker_threads())?).map_err(no_threads)?;
    let events = Events::new(threads.runtime().clone(), threads.outbox().clone());
    let engine = Engine::start(config, threads.runtime().clone(), events.clone()).map_err(error::returned)?;
    let resource = ResourceArc::new(EngineResource { engine, events, outbox: threads.outbox().clone() });
    Ok((atoms::ok(), resource).encode(env))
}

#[rustler::nif]
fn engine_stats<'a>(env: Env<'a>, engine: ResourceArc<EngineResource>) -> NifResult<Term<'a>> {
    fault_hook::pass("engine_stats");
    let mut entries = engine.engine.stats().entries();
    entries.push(("events_dropped", engine.events.dropped()));
    let keys = entries.iter().map(|(name, _)| Atom::from_str(env, name)).collect::<NifResult<Vec<_>>>()?;
    let counts: Vec<u64> = entries.iter().map(|(_, count)| *count).collect();
    Term::map_from_arrays(env, &keys, &counts)
}

#[rustler::nif]
fn engine_health<'a>(env: Env<'a>, engine: ResourceArc<EngineResource>) -> Term<'a> {
    fault_hook::pass("engine_health");
    let health = engine.engine.health();
    (health_state(health.state), health.reason).encode(env)
}

/// From now on `to` gets `{:durable_stash_events, [event]}`; with `nil` nobody does.
#[rustler::nif]
fn engine_observe(engine: ResourceArc<EngineResource>, to: Option<LocalPid>) -> Atom {
    fault_hook::pass("engine_observe");
    engine.events.observe(to);
    atoms::ok()
}

/// Its reply arrives after all events of the drain.
#[rustler::nif]
fn engine_drain<'a>(env: Env<'a>, engine: ResourceArc<EngineResource>, timeout_ms: u64, id: u64) -> Term<'a> {
    fault_hook::pass("engine_drain");
    let (request, answer) = engine.outbox.request_after_notices(env.pid(), id);
    let events = Arc::clone(&engine.events);
    // An engine that nobody has stops at once, and whoever asks for the drain may be gone before its end.
    let kept = engine.engine.clone();
    engine.engine.drain(
        Duration::from_millis(timeout_ms),
        Box::new(move |report| {
            events.hand_in();
            answer.give(move |env| drained(env, &report));
            drop(kept);
        }),
    );
    (atoms::ok(), request).encode(env)
}

#[rustler::nif]
fn engine_forget<'a>(
    env: Env<'a>,
    engine: ResourceArc<EngineResource>,
    sid: &str,
    own_secrets: Term<'a>,
    id: u64,
) -> NifResult<Term<'a>> {
    fault_hook::pass("engine_forget");
    let own_secrets = optional_secrets(own_secrets)?;
    let (request, answer) = engine.outbox.request(env.pid(), id);
    engine.engine.forget(sid, own_secrets, Box::new(move |outcome| answer.give(move |env| done(env, outcome))));
    Ok((atoms::ok(), request).encode(env))
}

pub(crate) fn health_state(state: HealthState) -> Atom {
    match state {
        HealthState::Probing => atoms::probing(),
        HealthState::Ready => atoms::ready(),
        HealthState::Degraded => atoms::degraded(),
        HealthState::Refusing => atoms::refusing(),
    }
}

/// `:ok | {:error, {kind, message}}`.
pub(crate) fn done(env: Env<'_>, outcome: Result<(), Error>) -> Term<'_> {
    match outcome {
        Ok(()) => atoms::ok().encode(env),
        Err(error) => error::tuple(env, &error),
    }
}

fn drained<'a>(env: Env<'a>, report: &DrainReport) -> Term<'a> {
    let keys = [atoms::saved_sessions(), atoms::unsaved_sessions(), atoms::unsaved_ops()];
    let counts = [report.saved_sessions, report.unsaved_sessions, report.unsaved_ops];
    match Term::map_from_arrays(env, &keys, &counts) {
        Ok(counts) => (atoms::ok(), counts).encode(env),
        Err(_) => atoms::error().encode(env),
    }
}

/// The options are those that `DurableStash.Config` has validated and completed. They hold secrets: nothing here may
/// show one.
fn config(options: Term<'_>) -> NifResult<Config> {
    let default = Policy::default();
    let policy = Policy {
        ttl_ms: option(options, atoms::ttl_ms())?,
        flush_after_ms: option(options, atoms::flush_after_ms())?,
        recover_timeout_ms: option(options, atoms::recover_timeout_ms())?,
        fresh_for_ms: option(options, atoms::fresh_for_ms())?,
        single_writer: option(options, atoms::single_writer())?,
        serve_stale: option(options, atoms::serve_stale())?,
        max_unsaved_age_ms: option(options, atoms::max_unsaved_age_ms())?,
        backoff_base_ms: option(options, atoms::backoff_base_ms())?,
        backoff_cap_ms: option(options, atoms::backoff_cap_ms())?,
        max_document_bytes: option(options, atoms::max_document_bytes())?,
        components_per_module: option(options, atoms::components_per_module())?,
        ..default
    };
    let mut config =
        Config::new(backend(options.map_get(atoms::backend())?)?, secrets(options.map_get(atoms::secrets())?)?);
    config.policy = policy;
    config.prefix = option(options, atoms::prefix())?;
    config.idle_after_ms = option(options, atoms::idle_after_ms())?;
    config.requests_in_flight = option(options, atoms::requests_in_flight())?;
    config.max_unsaved_bytes = option(options, atoms::max_unsaved_bytes())?;
    config.sweep_every_ms = option(options, atoms::sweep_every_ms())?;
    config.attempt_timeout_ms = option(options, atoms::attempt_timeout_ms())?;
    config.connect_timeout_ms = option(options, atoms::connect_timeout_ms())?;
    Ok(config)
}

fn backend(backend: Term<'_>) -> NifResult<Backend> {
    let (kind, of): (Atom, Term<'_>) = backend.decode()?;
    if kind == atoms::memory() {
        let store: ResourceArc<StoreResource> = of.decode()?;
        Ok(Backend::Memory(store.store.clone()))
    } else if kind == atoms::disk() {
        let path: String = of.decode()?;
        Ok(Backend::Disk { path: path.into() })
    } else if kind == atoms::s3() {
        Ok(Backend::S3(S3Config {
            bucket: option(of, atoms::bucket())?,
            region: option(of, atoms::region())?,
            endpoint: option(of, atoms::endpoint())?,
            access_key_id: option(of, atoms::access_key_id())?,
            secret_access_key: option(of, atoms::secret_access_key())?,
            session_token: option(of, atoms::session_token())?,
            allow_http: option(of, atoms::allow_http())?,
            virtual_hosted: option(of, atoms::virtual_hosted())?,
        }))
    } else {
        Err(rustler::Error::BadArg)
    }
}

/// `[binary] | nil`: a view's own secrets, in place of the engine's.
pub(crate) fn optional_secrets(list: Term<'_>) -> NifResult<Option<Vec<Secret>>> {
    if rustler::types::atom::nil() == list { Ok(None) } else { secrets(list).map(Some) }
}

fn secrets(list: Term<'_>) -> NifResult<Vec<Secret>> {
    items(list)
        .map(|item| {
            let secret: Binary<'_> = item?.decode()?;
            Secret::new(secret.as_slice()).map_err(error::returned)
        })
        .collect()
}

pub(crate) fn option<'a, T: Decoder<'a>>(options: Term<'a>, name: Atom) -> NifResult<T> {
    options.map_get(name)?.decode()
}

fn no_threads(reason: std::io::Error) -> rustler::Error {
    let message = format!("The operating system does not let the engine start its threads: {reason}.");
    error::returned(Error { kind: ErrorKind::EngineDown, message })
}
