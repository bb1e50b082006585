//! What a stash costs its caller, and a save the engine, over a store that takes no time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, mpsc};

use criterion::{Criterion, criterion_group, criterion_main};
use durable_stash_engine::backend::MemoryStore;
use durable_stash_engine::{
    Backend, Config, Engine, Handle, Json, Key, Mount, Open, Secret, Slot, TabId, Unobserved, View, Vsn,
};

fn open(engine: &Engine, sid: &str) -> Handle {
    let slot = Slot { view: View::new("Elixir.CartLive"), vsn: Vsn(1), tab: TabId::new("tab") };
    engine
        .open(Open { sid, secrets: None, slot, mount: Mount::Fresh, epoch: None, stores_tab: false, minted: false })
        .unwrap()
}

fn entries(round: u64) -> Vec<(Key, Json)> {
    (0..10).map(|n| (Key::new(format!("key {n}")), Json::from_encoded(format!("\"value {round}\"")))).collect()
}

fn flush(handle: &Handle) {
    let (sender, answer) = mpsc::channel();
    handle.flush(Box::new(move |result| drop(sender.send(result))));
    answer.recv().unwrap().unwrap();
}

fn stash_workloads(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut config = Config::new(Backend::Memory(MemoryStore::new()), vec![Secret::new([1; 32]).unwrap()]);
    config.max_unsaved_bytes = 1 << 30;
    let engine = Engine::start(config, runtime.handle().clone(), Arc::new(Unobserved)).unwrap();

    let handle = open(&engine, "one session");
    let mut round = 0;
    c.bench_function("ten keys are accepted", |b| {
        b.iter(|| {
            round += 1;
            handle.stash(entries(round), vec![]).unwrap()
        });
    });
    flush(&handle);
    c.bench_function("ten keys are saved", |b| {
        b.iter(|| {
            round += 1;
            handle.stash(entries(round), vec![]).unwrap();
            flush(&handle);
        });
    });
    let handles: Vec<_> = (0..1_000).map(|n| open(&engine, &format!("session {n}"))).collect();
    c.bench_function("a thousand sessions save ten keys each", |b| {
        b.iter(|| {
            round += 1;
            handles.iter().for_each(|handle| {
                handle.stash(entries(round), vec![]).unwrap();
            });
            handles.iter().for_each(flush);
        });
    });
    c.bench_function("a mount comes and goes", |b| {
        b.iter(|| {
            round += 1;
            drop(open(&engine, "a visitor"));
        });
    });
}

criterion_group!(benches, stash_workloads);
criterion_main!(benches);
