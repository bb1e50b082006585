//! The registry under contention, through the engine's entrance: sessions are looked up, woken and retired by several
//! threads at once, each at sessions of its own or all at the same few.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durable_stash_engine::backend::MemoryStore;
use durable_stash_engine::{
    Backend, Config, Engine, Handle, Json, Key, Mount, Open, Secret, Slot, TabId, Unobserved, View, Vsn,
};
use tokio::runtime::Runtime;

criterion_group!(benches, look_up, wake_and_retire);
criterion_main!(benches);

const THREADS: [usize; 3] = [1, 2, 4];
const SESSIONS: usize = 1_000;

/// A dead render opens a session that is in memory, and lets go of it: nobody is woken.
fn look_up(criterion: &mut Criterion) {
    let (engine, _runtime) = engine(60_000);
    let live: Vec<Handle> = (0..SESSIONS).map(|n| open(&engine, &sid(n), Mount::Fresh)).collect();
    live.iter().for_each(save);
    contended(criterion, "look_up_a_live_session", |thread, turn, spread| {
        drop(open(&engine, &sid(which(thread, turn, spread)), Mount::Dead));
    });
}

/// A session that is not in memory is mounted, saves a key and leaves memory at once.
fn wake_and_retire(criterion: &mut Criterion) {
    let (engine, _runtime) = engine(0);
    contended(criterion, "wake_save_and_retire_a_session", |thread, turn, spread| {
        save(&open(&engine, &sid(which(thread, turn, spread)), Mount::Fresh));
    });
    // Retired they are, or this was no measurement of it.
    let began = Instant::now();
    while engine.known_sessions() > 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "{} sessions stayed", engine.known_sessions());
        std::thread::yield_now();
    }
}

/// The time of one turn while `threads` of them take turns: `work(thread, turn, spread)`.
fn contended(criterion: &mut Criterion, name: &str, work: impl Fn(usize, u64, bool) + Sync) {
    let mut group = criterion.benchmark_group(name);
    for (kind, spread) in [("own_sessions", true), ("the_same_four", false)] {
        for threads in THREADS {
            group.throughput(Throughput::Elements(threads as u64));
            group.bench_function(BenchmarkId::new(kind, threads), |bencher| {
                bencher.iter_custom(|turns| {
                    let start = Barrier::new(threads);
                    let time = |thread: usize| {
                        start.wait();
                        let began = Instant::now();
                        (0..turns).for_each(|turn| work(thread, turn, spread));
                        began.elapsed()
                    };
                    std::thread::scope(|scope| {
                        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || time(thread))).collect();
                        running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
                    })
                });
            });
        }
    }
    group.finish();
}

fn which(thread: usize, turn: u64, spread: bool) -> usize {
    let turn = turn as usize;
    if spread { (thread * 250 + turn % 250) % SESSIONS } else { turn % 4 }
}

fn sid(n: usize) -> String {
    format!("session {n}")
}

fn engine(idle_after_ms: u64) -> (Engine, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut config = Config::new(Backend::Memory(MemoryStore::new()), vec![Secret::new([1; 32]).unwrap()]);
    config.idle_after_ms = idle_after_ms;
    config.sweep_every_ms = 0;
    let engine = Engine::start(config, runtime.handle().clone(), Arc::new(Unobserved)).unwrap();
    (engine, runtime)
}

fn open(engine: &Engine, sid: &str, mount: Mount) -> Handle {
    let slot = Slot { view: View::new("Elixir.CartLive"), vsn: Vsn(1), tab: TabId::new("tab") };
    engine.open(Open { sid, secrets: None, slot, mount, epoch: None, stores_tab: false, minted: false }).unwrap()
}

fn save(handle: &Handle) {
    // Another thread's mount of the same tab may have come first; then this one is done.
    let Ok(_) = handle.stash(vec![(Key::new("count"), Json::from_encoded("1"))], vec![]) else { return };
    let (sender, answer) = mpsc::channel();
    handle.flush(Box::new(move |result| drop(sender.send(result))));
    let _ = answer.recv().unwrap();
}
