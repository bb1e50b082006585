//! Engines of two nodes over one store that misbehaves by a seed, in simulated time.
//!
//! Each seed is a run of its own. A failing one names itself; `DURABLE_STASH_SEED=<n>` runs it alone, `DURABLE_STASH_SEEDS=<n>` runs more.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use durable_stash_engine::backend::{self, MemoryStore};
use durable_stash_engine::fault_store::{FaultStore, Rates};
use durable_stash_engine::store::Store;
use durable_stash_engine::{Backend, Clock, Config, Engine, ErrorKind, Handle, Mount, Overrides, Unobserved};
use support::*;

const SEEDS: u64 = 300;
const SESSIONS: usize = 3;
const TABS: usize = 3;
const STEPS: usize = 120;
const WALL: u64 = 1_750_000_000_000;
/// Written by superseded LiveViews only.
const POISON: u64 = 666_666;

#[test]
fn whatever_the_store_does_saved_writes_stay_and_superseded_ones_never_show() {
    let from_env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match from_env("DURABLE_STASH_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=from_env("DURABLE_STASH_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { World::new(seed).run().await })))
        {
            eprintln!("\nfailed with seed {seed}: DURABLE_STASH_SEED={seed} runs it alone\n");
            resume_unwind(panic);
        }
    }
}

struct World {
    random: Random,
    memory: MemoryStore,
    config: Config,
    began: tokio::time::Instant,
    engines: Vec<Engine>,
    /// The owner of each tab and key.
    owners: BTreeMap<(usize, usize), Owner>,
    /// LiveViews whose tab was taken over. They go on writing.
    zombies: Vec<Handle>,
}

struct Owner {
    engine: usize,
    handle: Handle,
    accepted: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let memory = MemoryStore::new();
        memory.keep_versions();
        let mut config = config(Backend::Memory(memory.clone()));
        config.idle_after_ms = [50, 500, 60_000][random.below(3)];
        config.policy.flush_after_ms = [0, 0, 100][random.below(3)];
        config.requests_in_flight = [1, 4, 128][random.below(3)];
        let rates = Rates {
            put_lost: 100,
            answer_lost: 100,
            put_late: 60,
            busy: 50,
            get_lost: 100,
            latency: Duration::from_millis([5, 50, 400][random.below(3)]),
        };
        let engines = (0..2)
            .map(|node| {
                let inner = backend::open(&config).unwrap();
                let store: Arc<dyn Store> = Arc::new(FaultStore::new(inner, seed * 2 + node, rates));
                let overrides = Overrides {
                    store: Some(store),
                    clock: Some(Clock::simulated(WALL + node * 1_500)),
                    seed: Some(u128::from(seed) << 8 | u128::from(node)),
                    ..Overrides::default()
                };
                let runtime = tokio::runtime::Handle::current();
                Engine::start_with(config.clone(), runtime, Arc::new(Unobserved), overrides).unwrap()
            })
            .collect();
        Self {
            random,
            memory,
            config,
            began: tokio::time::Instant::now(),
            engines,
            owners: BTreeMap::new(),
            zombies: Vec::new(),
        }
    }

    async fn run(mut self) {
        for session in 0..SESSIONS {
            for tab in 0..TABS {
                let engine = self.random.below(2);
                let handle = mount(&self.engines[engine], &sid(session), &tab_id(tab), Mount::Fresh);
                self.owners.insert((session, tab), Owner { engine, handle, accepted: 0 });
            }
        }
        for _ in 0..STEPS {
            self.step().await;
        }
        for owner in self.owners.values() {
            flush(&owner.handle).await.unwrap();
        }
        self.check_end().await;
    }

    async fn step(&mut self) {
        let at = (self.random.below(SESSIONS), self.random.below(TABS));
        match self.random.below(10) {
            0..=4 => {
                let owner = self.owners.get_mut(&at).unwrap();
                stash(&owner.handle, &key(at.1), owner.accepted + 1);
                owner.accepted += 1;
            }
            5 => self.check_read(at).await,
            6 => self.take_over(at).await,
            7 if !self.zombies.is_empty() => {
                let zombie = self.random.below(self.zombies.len());
                match try_stash(&self.zombies[zombie], &key(at.1), POISON) {
                    // It may not know yet; then its session does.
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind, ErrorKind::Superseded),
                }
            }
            _ => {
                let pause = [1, 10, 100, 1_000][self.random.below(4)];
                tokio::time::sleep(Duration::from_millis(self.random.below(pause) as u64)).await;
            }
        }
    }

    /// A rejoin on the same node: from now on the tab is the newcomer's.
    async fn take_over(&mut self, at: (usize, usize)) {
        let owner = self.owners.get_mut(&at).unwrap();
        let newcomer = mount(&self.engines[owner.engine], &sid(at.0), &tab_id(at.1), Mount::Rejoin);
        let zombie = std::mem::replace(&mut owner.handle, newcomer);
        // A real LiveView sends its whole state after a rejoin: what the zombie had open is open again.
        stash(&owner.handle, &key(at.1), owner.accepted + 1);
        owner.accepted += 1;
        self.zombies.push(zombie);
    }

    /// What is recovered is never older than what was told to be saved, and never what was not written yet.
    async fn check_read(&mut self, at: (usize, usize)) {
        let owner = &self.owners[&at];
        let status = owner.handle.status();
        let saved_values = status.accepted - status.saved;
        if let Ok(answer) = recover(&owner.handle).await {
            let seen = value(&answer, &key(at.1)).unwrap_or(0);
            assert!(seen <= owner.accepted, "{seen} of {}", owner.accepted);
            assert!(answer.stale || seen == owner.accepted, "a LiveView reads its own writes: {seen}");
            assert!(seen + saved_values >= owner.accepted || answer.stale);
        }
    }

    async fn check_end(&self) {
        let clock = Some(Clock::simulated(WALL + self.began.elapsed().as_millis() as u64));
        let (next, _) = start_with(self.config.clone(), Overrides { clock, ..Overrides::default() });
        for ((session, tab), owner) in &self.owners {
            let stored = stored(&next, &sid(*session), &key(*tab)).await.unwrap_or(0);
            assert_eq!(stored, owner.accepted, "session {session}, tab {tab}");
        }
        for zombie in &self.zombies {
            let _ = flush(zombie).await; // answered, whatever the answer
        }
        for engine in &self.engines {
            let stats = engine.stats();
            assert_eq!((stats.unsaved_ops, stats.crashed), (0, 0), "{stats:?}");
        }
        // I5: one by one, and never the same bytes.
        let mut revisions: BTreeMap<String, u64> = BTreeMap::new();
        for (name, body) in self.memory.versions() {
            assert!(!String::from_utf8_lossy(&body).contains(&POISON.to_string()), "a superseded write was stored");
            let before = revisions.insert(name, rev(&body)).unwrap_or(0);
            assert_eq!(rev(&body), before + 1);
        }
    }
}

fn sid(session: usize) -> String {
    format!("session {session}")
}

fn tab_id(tab: usize) -> String {
    format!("tab {tab}")
}

fn key(tab: usize) -> String {
    format!("key {tab}")
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) as usize % bound.max(1)
    }
}
