//! A LiveView as the adapter runs it: it keeps what it has sent, sends what changed, and sends everything again once a
//! write has failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use durable_stash_engine::{Change, Engine, Handle, Json, Key, Mount, Open, Slot, TabId, Values, View, Vsn};
use parking_lot::Mutex;

use super::random::Random;
use super::recorder::{Recorder, quoted};

/// Which tab of which browser session, in which view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) session: usize,
    pub(crate) view: usize,
    pub(crate) tab: usize,
}

impl Place {
    pub(crate) fn sid(self) -> String {
        format!("session {}", self.session)
    }

    fn slot(self, vsn: u64) -> Slot {
        Slot {
            view: View::new(format!("Elixir.View{}", self.view)),
            vsn: Vsn(vsn),
            tab: TabId::new(format!("tab {}", self.tab)),
        }
    }
}

pub(crate) struct LiveView {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) vsn: u64,
    pub(crate) node: usize,
    pub(crate) handle: Handle,
    recorder: Recorder,
    kept: Arc<Mutex<Kept>>,
    writes: u64,
    reads: u64,
    /// The process of the node lives: what is told after its death nobody hears.
    is_alive: Arc<AtomicBool>,
    heard: Heard,
}

/// Whose a key is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Session,
    Tab,
    /// All views' of the session.
    Shared,
}

impl Scope {
    fn draw(random: &mut Random) -> Self {
        match random.below(1000) {
            0..500 => Self::Session,
            500..850 => Self::Tab,
            _ => Self::Shared,
        }
    }
}

/// What a LiveView knows of its own writes.
#[derive(Default)]
struct Kept {
    /// Per key, the value last sent; dirty if it is to be sent again.
    values: BTreeMap<(Scope, usize), Sent>,
    /// The number of each accepted write, by the handle's own count.
    accepted: BTreeMap<u64, u64>,
    /// The planted bug: a failure does not make anything dirty.
    forgets_failures: bool,
}

#[derive(Clone)]
struct Sent {
    value: String,
    dirty: bool,
}

/// What is needed to open one.
pub(crate) struct Opening<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) run: &'a str,
    pub(crate) node: usize,
    pub(crate) is_alive: &'a Arc<AtomicBool>,
    pub(crate) recorder: &'a Recorder,
    pub(crate) forgets_failures: bool,
    /// Clocks are apart: a mount that its session hears of late has no place among the others before.
    pub(crate) is_skewed: bool,
}

/// The session has heard of the mount: written down once.
#[derive(Clone)]
struct Heard {
    name: String,
    recorder: Recorder,
    told: Arc<AtomicBool>,
}

impl Heard {
    fn tell(&self) {
        if !self.told.swap(true, Relaxed) {
            self.recorder.line("opened", &format!("\"c\":\"{}\"", self.name));
        }
    }
}

impl LiveView {
    /// Mounts, or carries on the mount of `earlier` after its engine was restarted.
    pub(crate) fn open(
        with: &Opening<'_>,
        name: String,
        place: Place,
        vsn: u64,
        mount: Mount,
        earlier: Option<&Self>,
    ) -> Option<Self> {
        let slot = place.slot(vsn);
        let kind = match mount {
            Mount::Dead => "dead",
            Mount::Fresh => "fresh",
            Mount::Rejoin => "rejoin",
            Mount::Again => "again",
            Mount::Late { .. } => "late",
        };
        let epoch = earlier.and_then(|earlier| earlier.handle.epoch());
        // A mount that the session never heard of stands behind every other.
        let of = earlier.filter(|_| epoch.is_some());
        let of = of.map_or_else(String::new, |earlier| format!(",\"of\":\"{}\"", earlier.name));
        with.recorder.line(
            "open",
            &format!(
                "\"c\":\"{name}\",\"s\":{},\"node\":\"{}\",\"view\":\"{}\",\"vsn\":{vsn},\"tab\":\"{}\",\"mount\":\"{kind}\"{of}",
                quoted(&place.sid()),
                with.run,
                slot.view.as_str(),
                slot.tab.as_str(),
            ),
        );
        let open = Open { sid: &place.sid(), secrets: None, slot, mount, epoch, stores_tab: true, minted: false };
        let handle = with.engine.open(open).ok()?;
        let heard = Heard { name: name.clone(), recorder: with.recorder.clone(), told: Arc::default() };
        if !with.is_skewed {
            heard.tell();
        }
        let values = earlier.map(|earlier| earlier.kept.lock().values.clone()).unwrap_or_default();
        let kept = Kept { values, accepted: BTreeMap::new(), forgets_failures: with.forgets_failures };
        let view = Self {
            name,
            place,
            vsn,
            node: with.node,
            handle,
            recorder: with.recorder.clone(),
            kept: Arc::new(Mutex::new(kept)),
            writes: 0,
            reads: 0,
            is_alive: with.is_alive.clone(),
            heard,
        };
        if earlier.is_some() {
            view.kept.lock().all_dirty();
        }
        view.watch();
        Some(view)
    }

    fn watch(&self) {
        let (kept, recorder, name) = (self.kept.clone(), self.recorder.clone(), self.name.clone());
        let (is_alive, heard) = (self.is_alive.clone(), self.heard.clone());
        self.handle.watch(Some(Arc::new(move |change| {
            if is_alive.load(Relaxed) {
                if matches!(change, Change::Saved { .. }) {
                    heard.tell();
                }
                kept.lock().hear(change, &recorder, &name);
            }
        })));
    }

    /// Changes some keys, and sends them with all that is dirty.
    pub(crate) fn stash(&mut self, random: &mut Random) {
        let mut keys: Vec<(Scope, usize)> =
            (0..=random.below(2)).map(|_| (Scope::draw(random), random.index(KEYS))).collect();
        keys.extend(self.kept.lock().values.iter().filter(|(_, sent)| sent.dirty).map(|(key, _)| *key));
        keys.sort_unstable();
        keys.dedup();
        self.writes += 1;
        let value = format!("\"{}:{}\"", self.name, self.writes);
        let of = |scope: Scope| keys.iter().filter(move |key| key.0 == scope).map(|key| key_name(*key));
        self.invoke("stash", &format!(",{}", by_scope(|scope| of(scope).map(|key| format!("\"{key}\":{value}")))));
        let pairs = |scope| of(scope).map(|key| (Key::new(key), Json::from_encoded(value.as_str()))).collect();
        let (session, tab, shared) = (pairs(Scope::Session), pairs(Scope::Tab), pairs(Scope::Shared));
        let sent = self.handle.stash_all(Values { session, tab, shared }, Values::default());
        let dirty = sent.is_err();
        self.after(sent.map_err(|error| error.kind.as_str()));
        let mut kept = self.kept.lock();
        for key in keys {
            kept.values.insert(key, Sent { value: value.clone(), dirty });
        }
    }

    /// Nobody removes what others share.
    pub(crate) fn remove(&mut self, random: &mut Random) {
        let scope = if random.happens(400) { Scope::Tab } else { Scope::Session };
        let key = (scope, random.index(KEYS));
        self.writes += 1;
        let name = key_name(key);
        let of = |scope: Scope| if key.0 == scope { format!("[\"{name}\"]") } else { "[]".to_owned() };
        self.invoke("remove", &format!(",\"session\":{},\"tab\":{}", of(Scope::Session), of(Scope::Tab)));
        let keys = |scope: Scope| if key.0 == scope { vec![Key::new(name.as_str())] } else { vec![] };
        let sent = self.handle.remove(keys(Scope::Session), keys(Scope::Tab));
        self.after(sent.map_err(|error| error.kind.as_str()));
        self.kept.lock().values.remove(&key);
    }

    pub(crate) fn reset(&mut self) {
        self.writes += 1;
        self.invoke("reset", "");
        let sent = self.handle.reset();
        self.after(sent.map_err(|error| error.kind.as_str()));
        self.kept.lock().values.retain(|(scope, _), _| *scope == Scope::Shared);
    }

    fn invoke(&self, op: &str, what: &str) {
        let (name, number) = (&self.name, self.writes);
        self.recorder.line("invoke", &format!("\"c\":\"{name}\",\"w\":{number},\"op\":\"{op}\"{what}"));
        self.recorder.count("writes");
    }

    fn after(&self, sent: Result<u64, &str>) {
        match sent {
            Ok(op) => drop(self.kept.lock().accepted.insert(op, self.writes)),
            Err(kind) => {
                let (name, number) = (&self.name, self.writes);
                self.recorder.line("failed", &format!("\"c\":\"{name}\",\"w\":{number},\"kind\":\"{kind}\""));
            }
        }
    }

    /// Asks what is stored.
    pub(crate) fn recover(&mut self) {
        self.reads += 1;
        let (name, number) = (self.name.clone(), self.reads);
        self.recorder.line("read", &format!("\"c\":\"{name}\",\"r\":{number}"));
        self.recorder.count("reads");
        let (recorder, is_alive, heard) = (self.recorder.clone(), self.is_alive.clone(), self.heard.clone());
        self.handle.recover(Box::new(move |answer| {
            if !is_alive.load(Relaxed) {
                return;
            }
            if answer.is_ok() {
                heard.tell();
            }
            let answer = match answer {
                Err(error) => format!("\"error\":\"{}\"", error.kind.as_str()),
                Ok(answer) => {
                    let map = |pairs: &[(Key, Json)]| {
                        let pairs = pairs.iter().map(|(key, json)| format!("\"{}\":{}", key.as_str(), json.as_str()));
                        pairs.collect::<Vec<_>>().join(",")
                    };
                    let found = answer.found.as_ref().map_or_else(
                        || "null".to_owned(),
                        |found| {
                            let (vsn, tab_vsn) = (found.vsn.0, found.tab_vsn.0);
                            let (session, tab, shared) = (map(&found.session), map(&found.tab), map(&found.shared));
                            format!(
                                "{{\"vsn\":{vsn},\"tab_vsn\":{tab_vsn},\"session\":{{{session}}},\"tab\":{{{tab}}},\"shared\":{{{shared}}}}}"
                            )
                        },
                    );
                    let rev = answer.rev.map_or_else(String::new, |rev| format!(",\"rev\":{rev}"));
                    format!("\"found\":{found},\"stale\":{}{rev}", answer.stale)
                }
            };
            recorder.line("answer", &format!("\"c\":\"{name}\",\"r\":{number},{answer}"));
        }));
    }

    /// Waits until all that it holds is saved, and says so if it is. `answered` is set at the answer, whatever it is.
    pub(crate) fn flush(&self, answered: Option<Arc<AtomicBool>>) {
        let kept = self.kept.lock();
        let is_clean = !kept.values.values().any(|sent| sent.dirty);
        let of = |scope: Scope| kept.values.iter().filter(move |(key, _)| key.0 == scope);
        let sent = by_scope(|scope| of(scope).map(|(key, sent)| format!("\"{}\":{}", key_name(*key), sent.value)));
        let claim = format!("\"c\":\"{}\",{sent}", self.name);
        drop(kept);
        let (recorder, is_alive) = (self.recorder.clone(), self.is_alive.clone());
        self.handle.flush(Box::new(move |result| {
            if let Some(answered) = answered {
                answered.store(true, Relaxed);
            }
            if result.is_ok() && is_clean && is_alive.load(Relaxed) {
                recorder.line("flushed", &claim);
                recorder.count("flushed");
            }
        }));
    }

    pub(crate) fn close(self) {
        self.recorder.line("close", &format!("\"c\":\"{}\"", self.name));
    }
}

impl Kept {
    fn hear(&mut self, change: Change, recorder: &Recorder, name: &str) {
        match change {
            Change::Saved { op } => {
                if let Some((_, number)) = self.accepted.range(..=op).next_back() {
                    recorder.line("saved", &format!("\"c\":\"{name}\",\"upto\":{number}"));
                }
                self.accepted = self.accepted.split_off(&(op + 1));
            }
            Change::Failed { kind, first, last, certain } => {
                let outcome = if certain { "failed" } else { "unknown" };
                let numbers: Vec<u64> = self.accepted.range(first..=last).map(|(op, _)| *op).collect();
                for op in numbers {
                    let number = self.accepted.remove(&op).expect("it was there");
                    let kind = kind.as_str();
                    recorder.line(outcome, &format!("\"c\":\"{name}\",\"w\":{number},\"kind\":\"{kind}\""));
                }
                if !self.forgets_failures {
                    self.all_dirty();
                }
            }
            Change::RecoveredLost { .. } => self.all_dirty(),
            Change::Superseded => {}
        }
    }

    fn all_dirty(&mut self) {
        for sent in self.values.values_mut() {
            sent.dirty = true;
        }
    }
}

/// `"session":{…},"tab":{…},"shared":{…}` of each scope's entries.
fn by_scope<E: Iterator<Item = String>>(entries: impl Fn(Scope) -> E) -> String {
    let scopes = [("session", Scope::Session), ("tab", Scope::Tab), ("shared", Scope::Shared)];
    let maps = scopes.map(|(name, scope)| format!("\"{name}\":{{{}}}", entries(scope).collect::<Vec<_>>().join(",")));
    maps.join(",")
}

fn key_name((scope, key): (Scope, usize)) -> String {
    let name = match scope {
        Scope::Session => "key",
        Scope::Tab => "draft",
        Scope::Shared => "shared",
    };
    format!("{name}{key}")
}

const KEYS: usize = 3;
