//! What the engine's tests share: engines over a store, answers to wait for, events to look at.
#![allow(dead_code)] // each test binary uses a part of it

pub(crate) mod bucket;
pub(crate) mod http;

use std::sync::Arc;
use std::time::Duration;

use durable_stash_engine::backend::MemoryStore;
use durable_stash_engine::{
    Backend, Config, DrainReport, Engine, EngineEvent, Error, Handle, Health, HealthState, Json, Key, Mount, Observer,
    Open, Overrides, ReadAnswer, Secret, Slot, TabId, View, Vsn,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub(crate) const VIEW: &str = "Elixir.MyAppWeb.CartLive";

pub(crate) fn secret() -> Secret {
    Secret::new(*b"0123456789abcdef0123456789abcdef").unwrap()
}

/// A configuration whose waits are short enough for tests in real time.
pub(crate) fn config(backend: Backend) -> Config {
    let mut config = Config::new(backend, vec![secret()]);
    config.sweep_every_ms = 0;
    config.policy.backoff_base_ms = 5;
    config.policy.backoff_cap_ms = 100;
    config.attempt_timeout_ms = 1_000;
    config.connect_timeout_ms = 500;
    config
}

pub(crate) fn memory() -> (MemoryStore, Config) {
    let store = MemoryStore::new();
    (store.clone(), config(Backend::Memory(store)))
}

/// Remembers every event.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<EngineEvent>>);

impl Observer for Seen {
    fn happened(&self, event: EngineEvent) {
        self.0.lock().push(event);
    }
}

impl Seen {
    pub(crate) fn events(&self) -> Vec<EngineEvent> {
        self.0.lock().clone()
    }

    pub(crate) fn any(&self, wanted: impl Fn(&EngineEvent) -> bool) -> bool {
        self.0.lock().iter().any(wanted)
    }
}

pub(crate) fn start(config: Config) -> Engine {
    start_seen(config).0
}

pub(crate) fn start_seen(config: Config) -> (Engine, Arc<Seen>) {
    start_with(config, Overrides::default())
}

pub(crate) fn start_with(config: Config, overrides: Overrides) -> (Engine, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let engine = Engine::start_with(config, tokio::runtime::Handle::current(), seen.clone(), overrides).unwrap();
    (engine, seen)
}

pub(crate) fn slot(tab: &str) -> Slot {
    Slot { view: View::new(VIEW), vsn: Vsn(1), tab: TabId::new(tab) }
}

pub(crate) fn mount(engine: &Engine, sid: &str, tab: &str, mount: Mount) -> Handle {
    try_mount(engine, sid, tab, mount).unwrap()
}

pub(crate) fn try_mount(engine: &Engine, sid: &str, tab: &str, mount: Mount) -> Result<Handle, Error> {
    engine.open(Open { sid, secrets: None, slot: slot(tab), mount, epoch: None, stores_tab: true, minted: false })
}

pub(crate) fn fresh(engine: &Engine, sid: &str) -> Handle {
    mount(engine, sid, "tab", Mount::Fresh)
}

/// Sets one `:session` key to a number.
pub(crate) fn stash(handle: &Handle, key: &str, value: u64) -> u64 {
    try_stash(handle, key, value).unwrap()
}

pub(crate) fn try_stash(handle: &Handle, key: &str, value: u64) -> Result<u64, Error> {
    handle.stash(vec![(Key::new(key), Json::from_encoded(value.to_string()))], vec![])
}

pub(crate) fn stash_text(handle: &Handle, key: &str, bytes: usize) -> Result<u64, Error> {
    let json = Json::from_encoded(format!("\"{}\"", "x".repeat(bytes)));
    handle.stash(vec![(Key::new(key), json)], vec![])
}

pub(crate) async fn flush(handle: &Handle) -> Result<(), Error> {
    let (sender, answer) = oneshot::channel();
    handle.flush(Box::new(|result| drop(sender.send(result))));
    answer.await.expect("every reply is called")
}

pub(crate) async fn recover(handle: &Handle) -> Result<ReadAnswer, Error> {
    let (sender, answer) = oneshot::channel();
    handle.recover(Box::new(|result| drop(sender.send(result))));
    answer.await.expect("every reply is called")
}

pub(crate) async fn forget(engine: &Engine, sid: &str) -> Result<(), Error> {
    let (sender, answer) = oneshot::channel();
    engine.forget(sid, None, Box::new(|result| drop(sender.send(result))));
    answer.await.expect("every reply is called")
}

pub(crate) async fn drain(engine: &Engine, timeout: Duration) -> DrainReport {
    let (sender, answer) = oneshot::channel();
    engine.drain(timeout, Box::new(|report| sender.send(report).expect("somebody waits")));
    answer.await.expect("every reply is called")
}

/// A `:session` key as a number, as a new LiveView of another tab would recover it.
pub(crate) async fn stored(engine: &Engine, sid: &str, key: &str) -> Option<u64> {
    let reader = mount(engine, sid, "reader", Mount::Dead);
    value(&recover(&reader).await.unwrap(), key)
}

pub(crate) fn value(answer: &ReadAnswer, key: &str) -> Option<u64> {
    let found = answer.found.as_ref()?;
    let (_, json) = found.session.iter().find(|(present, _)| present.as_str() == key)?;
    json.as_str().parse().ok()
}

/// Waits until the engine's health is this, and returns it.
pub(crate) async fn health(engine: &Engine, state: HealthState) -> Health {
    let wanted = async {
        while engine.health().state != state {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), wanted).await;
    assert!(seen.is_ok(), "health is {:?}, not {state:?}", engine.health());
    engine.health()
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wanted = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wanted).await.is_ok(), "never: {what}");
}

/// The revision in a document's header, found as text: these tests know the format from outside only.
pub(crate) fn rev(body: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("\"rev\":").expect("a header");
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// A new directory, removed at the end of its test.
pub(crate) struct Directory(std::path::PathBuf);

pub(crate) fn directory() -> Directory {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("durable_stash_test_{}_{count}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    Directory(path)
}

impl Directory {
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
