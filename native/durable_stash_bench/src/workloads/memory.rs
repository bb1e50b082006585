//! What sessions weigh while they live, and that they weigh nothing afterwards.

use std::path::Path;
use std::time::Instant;

use durable_stash_engine::Handle;

use crate::measure::{RUNS, bytes_since, region, seconds};
use crate::row::{Figures, Row};
use crate::world::{Kind, World, flush, open, stash, wait_until};

/// Live idle sessions with 200 bytes of state each, then their eviction. The sessions are the same in every run, so that
/// what the store in memory holds of them is there before the first run that counts.
pub(crate) fn memory(_server: &Path, figures: &mut Figures) -> Result<(), String> {
    let (mut live, mut evicted) = (vec![], vec![]);
    let world = World::new(&Kind::Memory, |config| {
        config.idle_after_ms = 4_000;
        config.max_unsaved_bytes = 1 << 30;
    })?;
    for run in 0..=RUNS {
        let region = region();
        let mut handles: Vec<Handle> = Vec::with_capacity(SESSIONS);
        for n in 0..SESSIONS {
            let handle = open(&world.engine, &format!("session {n}"))?;
            stash(&handle, "draft", &format!("\"{run}{}\"", "x".repeat(190)))?;
            handles.push(handle);
        }
        handles.iter().try_for_each(flush)?;
        let weight = bytes_since(&region) / SESSIONS as f64;
        drop(handles);
        wait_until("are idle sessions gone", || world.engine.known_sessions() == 0)?;
        if run > 0 {
            live.push(weight);
            evicted.push(bytes_since(&region) / SESSIONS as f64);
        }
    }
    let name = "memory of a session with 200 bytes";
    figures.add(Row::new(name, "live and idle, its handle included", "bytes", live).at_most(1_536.0))?;
    figures.add(Row::new(name, "after eviction", "bytes", evicted).at_most(0.5))
}

/// A hundred thousand sessions that stash once and go, then a thousand that stay active.
pub(crate) fn crawlers(_server: &Path, figures: &mut Figures) -> Result<(), String> {
    let world = World::new(&Kind::Memory, |config| {
        config.idle_after_ms = 500;
        config.max_unsaved_bytes = 1 << 30;
    })?;
    let (mut curve, mut unsaved) = (vec![], 0);
    let began = Instant::now();
    let stored = region();
    for chunk in 0..100 {
        for n in 0..1_000 {
            stash(&open(&world.engine, &format!("crawler {chunk} {n}"))?, "seen", "1")?;
        }
        curve.push((seconds(began), world.engine.stats().live_sessions as f64));
    }
    wait_until("are the crawlers' sessions gone", || world.engine.known_sessions() == 0)?;
    // What the store itself keeps of them is not the engine's.
    let after = bytes_since(&stored);
    let active: Vec<Handle> =
        (0..1_000).map(|n| open(&world.engine, &format!("active {n}"))).collect::<Result<_, _>>()?;
    let mut grown = vec![];
    for round in 0..=RUNS {
        let region = region();
        for n in 0..20 {
            for handle in &active {
                stash(handle, "count", &(round * 20 + n).to_string())?;
            }
            active.iter().try_for_each(flush)?;
        }
        // The first round fills caches.
        if round > 0 {
            grown.push(bytes_since(&region) / 1024.0);
        }
        curve.push((seconds(began), world.engine.stats().live_sessions as f64));
        unsaved += active.iter().filter(|handle| !handle.is_saved()).count();
    }
    let name = "100,000 crawlers, then 1,000 active sessions";
    let failed = world.engine.stats().failed_ops + world.engine.stats().unknown_ops;
    figures.add(Row::new(name, "writes not saved", "", vec![unsaved as f64 + failed as f64]).at_most(0.0))?;
    figures.add(Row::new(
        name,
        "engine and store after the crawlers, per crawler",
        "bytes",
        vec![after / 100_000.0],
    ))?;
    let row = Row::new(name, "growth over 20,000 writes of the active", "KiB", grown).at_most(256.0);
    figures.add(row.with_curve(curve))
}

const SESSIONS: usize = 20_000;
