//! What the engine says happened, on its way to telemetry.

use std::sync::{Arc, Weak};
use std::time::Duration;

use durable_stash_engine::{Conflict, EngineEvent, Health, Incident, Observer};
use parking_lot::Mutex;
use rustler::{Atom, Encoder, Env, LocalPid, Term};
use tokio::runtime::Handle;

use crate::atoms;
use crate::backlog::{BATCH_MS, Backlog, Batch, Next};
use crate::engine::health_state;
use crate::reply::Outbox;

/// Gathers an engine's events and hands them in for the process that observes it.
pub(crate) struct Events {
    myself: Weak<Events>,
    state: Mutex<State>,
    runtime: Handle,
    outbox: Outbox,
}

struct State {
    observer: Option<LocalPid>,
    backlog: Backlog<EngineEvent>,
}

impl Events {
    pub(crate) fn new(runtime: Handle, outbox: Outbox) -> Arc<Events> {
        let state = Mutex::new(State { observer: None, backlog: Backlog::default() });
        Arc::new_cyclic(|myself| Events { myself: myself.clone(), state, runtime, outbox })
    }

    pub(crate) fn observe(&self, observer: Option<LocalPid>) {
        let mut state = self.state.lock();
        state.observer = observer;
        state.backlog.clear();
    }

    /// Does not wait for the batch to fill.
    pub(crate) fn hand_in(&self) {
        let (observer, batch) = {
            let mut state = self.state.lock();
            let Some(observer) = state.observer else { return };
            let Some(batch) = state.backlog.take() else { return };
            (observer, batch)
        };
        let myself = self.myself.clone();
        self.outbox.notice(observer, move |env| {
            if let Some(events) = myself.upgrade() {
                events.state.lock().backlog.sent(batch.events.len());
            }
            message(env, &batch)
        });
    }

    /// In all, because they came faster than they could be sent.
    pub(crate) fn dropped(&self) -> u64 {
        self.state.lock().backlog.dropped()
    }

    fn hand_in_later(&self) {
        let myself = self.myself.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(BATCH_MS)).await;
            if let Some(events) = myself.upgrade() {
                events.state.lock().backlog.wake();
                events.hand_in();
            }
        });
    }
}

impl Observer for Events {
    fn happened(&self, event: EngineEvent) {
        let next = {
            let mut state = self.state.lock();
            if state.observer.is_none() {
                return;
            }
            state.backlog.add(event)
        };
        match next {
            Next::Nothing => {}
            Next::Wait => self.hand_in_later(),
            Next::HandIn => self.hand_in(),
        }
    }
}

/// `{:durable_stash_events, [%{event: atom, measurements: map, metadata: map}]}`.
fn message<'a>(env: Env<'a>, batch: &Batch<EngineEvent>) -> Term<'a> {
    let mut events: Vec<_> = batch.events.iter().filter_map(|event| event_map(env, event)).collect();
    if batch.dropped > 0 {
        let dropped = Event::new(atoms::events_dropped()).measure(atoms::count(), batch.dropped);
        events.extend(dropped.into_map(env));
    }
    (atoms::durable_stash_events(), events).encode(env)
}

fn event_map<'a>(env: Env<'a>, event: &EngineEvent) -> Option<Term<'a>> {
    let event = match event {
        EngineEvent::Session { session, incident } => {
            incident_event(env, incident).mention(env, atoms::session(), session)
        }
        EngineEvent::Superseded { session } => Event::once(atoms::superseded()).mention(env, atoms::session(), session),
        EngineEvent::Crashed { session, message } => Event::once(atoms::crashed())
            .mention(env, atoms::session(), session)
            .mention(env, atoms::message(), message),
        EngineEvent::Health(Health { state, reason }) => Event::once(atoms::health())
            .mention(env, atoms::state(), health_state(*state))
            .mention(env, atoms::reason(), reason),
        EngineEvent::Swept { read, buried, deleted, failed } => Event::new(atoms::swept())
            .measure(atoms::read(), *read)
            .measure(atoms::buried(), *buried)
            .measure(atoms::deleted(), *deleted)
            .measure(atoms::failed(), *failed),
        // Whoever drains gets the report as the reply.
        EngineEvent::Drained(_) => return None,
    };
    event.into_map(env)
}

fn incident_event<'a>(env: Env<'a>, incident: &Incident) -> Event<'a> {
    match incident {
        Incident::Committed { rev, bytes, ops, attempts, age_ms } => Event::new(atoms::commit())
            .measure(atoms::bytes(), *bytes as u64)
            .measure(atoms::ops(), *ops)
            .measure(atoms::attempts(), u64::from(*attempts))
            .measure(atoms::age_ms(), *age_ms)
            .mention(env, atoms::rev(), rev),
        Incident::Conflict(conflict) => {
            let with = match conflict {
                Conflict::Moved => atoms::moved(),
                Conflict::Gone => atoms::gone(),
                Conflict::Busy => atoms::busy(),
            };
            Event::once(atoms::conflict()).mention(env, atoms::with(), with)
        }
        Incident::Resolved { saved } => Event::once(atoms::resolved()).mention(env, atoms::saved(), saved),
        Incident::Retry { delay_ms } => Event::once(atoms::retry()).measure(atoms::delay_ms(), *delay_ms),
        Incident::StaleServed => Event::once(atoms::stale_served()),
        Incident::StaleRead => Event::once(atoms::stale_read()),
        Incident::Quarantined => Event::once(atoms::quarantined()),
        Incident::Corrupt => Event::once(atoms::corrupt()),
        Incident::NewerFormat => Event::once(atoms::newer_format()),
        Incident::Rekeyed => Event::once(atoms::rekeyed()),
        Incident::Expired => Event::once(atoms::expired()),
        Incident::TabsEvicted { count } => Event::new(atoms::tabs_evicted()).measure(atoms::count(), *count as u64),
        Incident::ComponentsEvicted { count } => {
            Event::new(atoms::components_evicted()).measure(atoms::count(), *count as u64)
        }
    }
}

/// One event as telemetry has them.
struct Event<'a> {
    name: Atom,
    measurements: Vec<(Atom, u64)>,
    metadata: Vec<(Atom, Term<'a>)>,
}

impl<'a> Event<'a> {
    fn new(name: Atom) -> Event<'a> {
        Event { name, measurements: Vec::new(), metadata: Vec::new() }
    }

    fn once(name: Atom) -> Event<'a> {
        Event::new(name).measure(atoms::count(), 1)
    }

    fn measure(mut self, what: Atom, measured: u64) -> Event<'a> {
        self.measurements.push((what, measured));
        self
    }

    fn mention(mut self, env: Env<'a>, what: Atom, value: impl Encoder) -> Event<'a> {
        self.metadata.push((what, value.encode(env)));
        self
    }

    fn into_map(self, env: Env<'a>) -> Option<Term<'a>> {
        let measurements = Term::map_from_pairs(env, &self.measurements).ok()?;
        let metadata = Term::map_from_pairs(env, &self.metadata).ok()?;
        let keys = [atoms::event(), atoms::measurements(), atoms::metadata()].map(|key| key.to_term(env));
        Term::map_from_term_arrays(env, &keys, &[self.name.to_term(env), measurements, metadata]).ok()
    }
}
