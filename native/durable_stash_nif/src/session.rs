//! The handle of one LiveView on its session.

use std::sync::Arc;

use durable_stash_engine::{
    Change, Error, Handle, Json, Key, Mount, Open, ReadAnswer, Reset, Slot, Status, TabId, Values, View, Vsn,
};
use parking_lot::Mutex;
use rustler::schedule::consume_timeslice;
use rustler::{Atom, Binary, Encoder, Env, LocalPid, NifResult, Resource, ResourceArc, Term};

use crate::engine::{EngineResource, done, option, optional_secrets};
use crate::json::{Budget, Stop};
use crate::list::items;
use crate::reply::Outbox;
use crate::{atoms, error, fault_hook, value};

/// When the LiveView dies and its references go, the tab is released; what it wrote lives on.
pub(crate) struct SessionResource {
    handle: Handle,
    max_value_bytes: usize,
    /// The keys that this LiveView has stashed, so that each is allocated once and not with every stash.
    keys: Mutex<Vec<Key>>,
    outbox: Outbox,
}

#[rustler::resource_impl]
impl Resource for SessionResource {}

#[rustler::nif]
fn session_open<'a>(env: Env<'a>, engine: ResourceArc<EngineResource>, claim: Term<'a>) -> NifResult<Term<'a>> {
    fault_hook::pass("session_open");
    let view: &str = option(claim, atoms::view())?;
    let tab: &str = option(claim, atoms::tab())?;
    let open = Open {
        sid: option(claim, atoms::sid())?,
        secrets: optional_secrets(claim.map_get(atoms::secrets())?)?,
        slot: Slot { view: View::new(view), vsn: Vsn(option(claim, atoms::vsn())?), tab: TabId::new(tab) },
        mount: mount(option(claim, atoms::mount())?)?,
        epoch: option(claim, atoms::epoch())?,
        stores_tab: option(claim, atoms::stores_tab())?,
        minted: option(claim, atoms::minted())?,
    };
    let max_value_bytes = option(claim, atoms::max_value_bytes())?;
    let handle = engine.engine.open(open).map_err(error::returned)?;
    let session = SessionResource { handle, max_value_bytes, keys: Mutex::default(), outbox: engine.outbox.clone() };
    Ok((atoms::ok(), ResourceArc::new(session)).encode(env))
}

/// `:large` when the values are too much for a normal scheduler; nothing is enqueued then.
#[rustler::nif]
fn session_stash<'a>(
    env: Env<'a>,
    session: ResourceArc<SessionResource>,
    session_pairs: Term<'a>,
    tab_pairs: Term<'a>,
    shared_pairs: Term<'a>,
) -> NifResult<Term<'a>> {
    fault_hook::pass("session_stash");
    let mut budget = Budget::short();
    let result = session.stash(env, [session_pairs, tab_pairs, shared_pairs], &mut budget);
    let spent = Budget::SHORT - budget.left();
    consume_timeslice(env, 1 + (spent * SHORT_BUDGET_PERCENT / Budget::SHORT) as i32);
    result
}

#[rustler::nif(schedule = "DirtyCpu")]
fn session_stash_dirty<'a>(
    env: Env<'a>,
    session: ResourceArc<SessionResource>,
    session_pairs: Term<'a>,
    tab_pairs: Term<'a>,
    shared_pairs: Term<'a>,
) -> NifResult<Term<'a>> {
    fault_hook::pass("session_stash_dirty");
    session.stash(env, [session_pairs, tab_pairs, shared_pairs], &mut Budget::unlimited())
}

/// Where the last write of this LiveView's that was accepted stands among all writes; and up to where its last recovery
/// shows them.
#[rustler::nif]
fn session_turn(session: ResourceArc<SessionResource>) -> (u64, u64) {
    fault_hook::pass("session_turn");
    (session.handle.turn(), session.handle.seen())
}

#[rustler::nif]
fn session_reset<'a>(env: Env<'a>, session: ResourceArc<SessionResource>) -> NifResult<Term<'a>> {
    fault_hook::pass("session_reset");
    let op = session.handle.reset().map_err(error::returned)?;
    Ok((atoms::ok(), op).encode(env))
}

#[rustler::nif]
fn session_recover<'a>(env: Env<'a>, session: ResourceArc<SessionResource>, id: u64) -> Term<'a> {
    fault_hook::pass("session_recover");
    let (request, answer) = session.outbox.request(env.pid(), id);
    session.handle.recover(Box::new(move |outcome| answer.give(move |env| recovered(env, outcome))));
    (atoms::ok(), request).encode(env)
}

/// `:saved` without a message when nothing is outstanding.
#[rustler::nif]
fn session_flush<'a>(env: Env<'a>, session: ResourceArc<SessionResource>, id: u64) -> Term<'a> {
    fault_hook::pass("session_flush");
    if session.handle.is_saved() {
        return atoms::saved().encode(env);
    }
    let (request, answer) = session.outbox.request(env.pid(), id);
    session.handle.flush(Box::new(move |outcome| answer.give(move |env| done(env, outcome))));
    (atoms::ok(), request).encode(env)
}

#[rustler::nif]
fn session_status<'a>(env: Env<'a>, session: ResourceArc<SessionResource>) -> Term<'a> {
    fault_hook::pass("session_status");
    let Status { accepted, saved, failures, reset, leans_for, superseded, down } = session.handle.status();
    let reset = match reset {
        Reset::Saved => atoms::saved(),
        Reset::Open => atoms::open(),
        Reset::Failed => atoms::failed(),
    };
    (accepted, saved, failures, reset, leans_for, superseded, down).encode(env)
}

/// Where the mount stands among those of its tab, for the session that is opened `:again`. Known a moment after the
/// first is opened, and beyond its engine's end.
#[rustler::nif]
fn session_epoch(session: ResourceArc<SessionResource>) -> Option<u64> {
    fault_hook::pass("session_epoch");
    session.handle.epoch()
}

/// From now on `to` gets `{:durable_stash_status, tag, change}`; with `nil` nobody does. `tag` is any term.
#[rustler::nif]
fn session_watch(session: ResourceArc<SessionResource>, to: Option<LocalPid>, tag: Term<'_>) -> Atom {
    fault_hook::pass("session_watch");
    let outbox = session.outbox.clone();
    let tag = Arc::new(tag.to_binary());
    session.handle.watch(to.map(|to| -> Arc<dyn Fn(Change) + Send + Sync> {
        Arc::new(move |change| {
            let tag = Arc::clone(&tag);
            outbox.notice(to, move |env| status_changed(env, &tag, change));
        })
    }));
    atoms::ok()
}

/// What of a stash can be stored, and what cannot.
#[derive(Default)]
struct Stash<'a> {
    text: String,
    values: Values,
    defaults: Values,
    refused: Vec<(Term<'a>, Error)>,
}

type Scope = fn(&mut Values) -> &mut Vec<(Key, Json)>;

impl SessionResource {
    fn stash<'a>(&self, env: Env<'a>, lists: [Term<'a>; 3], budget: &mut Budget) -> NifResult<Term<'a>> {
        let mut stash = Stash::default();
        let scopes: [Scope; 3] = [|values| &mut values.session, |values| &mut values.tab, |values| &mut values.shared];
        for (scope, list) in scopes.into_iter().zip(lists) {
            if !self.take(scope, list, &mut stash, budget)? {
                return Ok(atoms::large().encode(env));
            }
        }
        let Stash { values, defaults, refused, .. } = stash;
        let op = if values.iter().chain(defaults.iter()).next().is_none() {
            0
        } else {
            self.handle.stash_all(values, defaults).map_err(error::returned)?
        };
        let refused: Vec<_> =
            refused.into_iter().map(|(key, refusal)| (key, error::kind(refusal.kind), refusal.message)).collect();
        Ok((atoms::ok(), op, refused).encode(env))
    }

    /// Takes the pairs of one scope into the stash. False when the budget is used up.
    fn take<'a>(&self, scope: Scope, list: Term<'a>, stash: &mut Stash<'a>, budget: &mut Budget) -> NifResult<bool> {
        for pair in items(list) {
            let (key, term, is_default) = decode_pair(pair?)?;
            if budget.charge(PAIR_COST + key.len()).is_err() {
                return Ok(false);
            }
            let name = str::from_utf8(key.as_slice()).map_err(|_| rustler::Error::BadArg)?;
            stash.text.clear();
            match value::write(name, term, self.max_value_bytes, budget, &mut stash.text) {
                Ok(()) => {
                    let values = if is_default { &mut stash.defaults } else { &mut stash.values };
                    scope(values).push((self.key(name), Json::take_encoded(&mut stash.text)));
                }
                Err(Stop::Refused(refusal)) => {
                    stash.refused.push((key.to_term(list.get_env()), value::refused(refusal)))
                }
                Err(Stop::Large) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn key(&self, name: &str) -> Key {
        let mut keys = self.keys.lock();
        if let Some(key) = keys.iter().find(|key| key.as_str() == name) {
            return key.clone();
        }
        let key = Key::new(name);
        if keys.len() < MAX_KEPT_KEYS {
            keys.push(key.clone());
        }
        key
    }
}

/// `{key, value}`, or `{key, value, :default}` for one that is set only where nothing stands.
fn decode_pair(pair: Term<'_>) -> NifResult<(Binary<'_>, Term<'_>, bool)> {
    if let Ok((key, value)) = pair.decode() {
        return Ok((key, value, false));
    }
    let (key, value, mark): (_, _, Atom) = pair.decode()?;
    if mark == atoms::default() { Ok((key, value, true)) } else { Err(rustler::Error::BadArg) }
}

fn mount(mount: Atom) -> NifResult<Mount> {
    if mount == atoms::dead() {
        Ok(Mount::Dead)
    } else if mount == atoms::fresh() {
        Ok(Mount::Fresh)
    } else if mount == atoms::rejoin() {
        Ok(Mount::Rejoin)
    } else if mount == atoms::again() {
        Ok(Mount::Again)
    } else if mount == atoms::late() {
        Ok(Mount::Late { fresh: false })
    } else if mount == atoms::late_fresh() {
        Ok(Mount::Late { fresh: true })
    } else {
        Err(rustler::Error::BadArg)
    }
}

/// `{:ok, %{vsn:, session:, tab_vsn:, tab:, shared:, stale:}} | :not_found | {:error, {kind, message}}`.
fn recovered(env: Env<'_>, outcome: Result<ReadAnswer, Error>) -> Term<'_> {
    match outcome.and_then(|answer| found(env, &answer)) {
        Ok(Some(found)) => (atoms::ok(), found).encode(env),
        Ok(None) => atoms::not_found().encode(env),
        Err(error) => error::tuple(env, &error),
    }
}

fn found<'a>(env: Env<'a>, answer: &ReadAnswer) -> Result<Option<Term<'a>>, Error> {
    let Some(found) = &answer.found else { return Ok(None) };
    let keys = [atoms::vsn(), atoms::session(), atoms::tab_vsn(), atoms::tab(), atoms::shared(), atoms::stale()];
    let values = [
        found.vsn.0.encode(env),
        values(env, &found.session)?,
        found.tab_vsn.0.encode(env),
        values(env, &found.tab)?,
        values(env, &found.shared)?,
        answer.stale.encode(env),
    ];
    Ok(Term::map_from_term_arrays(env, &keys.map(|key| key.to_term(env)), &values).ok())
}

fn values<'a>(env: Env<'a>, pairs: &[(Key, Json)]) -> Result<Term<'a>, Error> {
    let mut values = Vec::with_capacity(pairs.len());
    for (key, json) in pairs {
        let value = value::read(env, json).map_err(|reason| value::corrupt(key.as_str(), &reason))?;
        values.push((key.as_str(), value));
    }
    Ok(values.encode(env))
}

/// `{:durable_stash_status, tag, {:saved, op} | {:failed, kind} | :superseded}`.
fn status_changed<'a>(env: Env<'a>, tag: &[u8], change: Change) -> Term<'a> {
    let tag = env.binary_to_term(tag).map(|(tag, _)| tag);
    let change = match change {
        Change::Saved { op } => (atoms::saved(), op).encode(env),
        Change::Superseded => atoms::superseded().encode(env),
        Change::Failed { kind, .. } | Change::RecoveredLost { kind } => {
            (atoms::failed(), error::kind(kind)).encode(env)
        }
    };
    (atoms::durable_stash_status(), tag, change).encode(env)
}

/// What a full [`Budget::short`] takes at most, in percent of the millisecond that the VM grants a call.
const SHORT_BUDGET_PERCENT: usize = 15;

/// Of a key with its value, beside what the value costs, in the units of [`Budget`].
const PAIR_COST: usize = 64;

/// Keys are declared by a view, so there are few. Past this many they are not kept.
const MAX_KEPT_KEYS: usize = 256;
