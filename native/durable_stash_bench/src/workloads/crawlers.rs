//! Visitors who come once: some stash, most only look.

use std::time::Instant;

use durable_stash_engine::Handle;

use crate::measure::{MIB, Watch, bytes_since, peak, region, seconds, thinned};
use crate::row::{Figures, Plotted, Row};
use crate::workloads::Scale;
use crate::workloads::herd::names;
use crate::world::{World, flush, open, open_tab, stash, wait_until};

/// A hundred thousand sessions that stash once and go, then a thousand of them that come back and stay active. The store
/// is another process: what is allocated here is the engine's.
pub(crate) fn crawlers(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let (crawlers, active) = (scale.of(100_000, 3_000), scale.of(1_000, 100));
    // So short that those in memory are few, however fast they come.
    let world = World::new(&scale.s3(0), |config| config.idle_after_ms = 50)?;
    let (mut most, mut later, mut left, mut grown, mut unsaved) = (vec![], vec![], vec![], vec![], vec![]);
    let mut curve = vec![];
    // The first run fills pools and the store, and does not count.
    for run in 0..=scale.runs() {
        let (watch, region) = (Watch::begin(), region());
        let began = Instant::now();
        for chunk in 0..crawlers / CHUNK {
            let handles: Vec<Handle> =
                (0..CHUNK).map(|n| open(&world.engine, &sid(chunk * CHUNK + n))).collect::<Result<_, _>>()?;
            handles.iter().try_for_each(|handle| stash(handle, "seen", &run.to_string()))?;
            handles.iter().try_for_each(flush)?;
        }
        let came = seconds(began);
        wait_until("are the crawlers' sessions gone", || world.engine.known_sessions() == 0)?;
        let after = bytes_since(&region);
        let growth = activity(&world, active, run)?;
        let samples = watch.end()?;
        if run > 0 {
            let (first, second): (Vec<_>, Vec<_>) =
                samples.iter().filter(|sample| sample.0 < came).partition(|sample| sample.0 < came / 2.0);
            most.push(peak(&samples) / MIB);
            later.push(peak(&second) / peak(&first));
            left.push(after / crawlers as f64);
            grown.push(growth / 1024.0);
            curve = thinned(&samples);
        }
        let stored = world.runtime.block_on(names(&world.raw))?.len();
        let stats = world.engine.stats();
        unsaved.push(crawlers.saturating_sub(stored) as f64 + (stats.failed_ops + stats.unknown_ops) as f64);
    }
    let name = format!("{crawlers} crawlers that stash once, then {active} of them active");
    figures.add(Row::new(&name, "writes not saved", "", unsaved).at_most(0.0))?;
    let row = Row::new(&name, "most memory at any time", "MiB", most);
    figures.add(row.with_curve(Plotted::Memory, &format!("{crawlers} crawlers, then {active} active"), curve))?;
    figures.add(Row::new(&name, "most memory while they come, second half / first", "x", later).at_most(1.1))?;
    figures.add(Row::new(&name, "left in memory by a crawler that has gone", "bytes", left).at_most(0.5))?;
    figures.add(Row::new(&name, "growth over the last three quarters of the activity", "KiB", grown).at_most(64.0))
}

/// The bytes that were added while the active ones wrote, after the first quarter of it.
fn activity(world: &World, active: usize, run: usize) -> Result<f64, String> {
    let handles: Vec<Handle> = (0..active).map(|n| open(&world.engine, &sid(n))).collect::<Result<_, _>>()?;
    let mut region = region();
    for round in 0..ROUNDS {
        if round == ROUNDS / 4 {
            region = crate::measure::region();
        }
        // As long as each other: a count that gains a digit would be growth.
        handles.iter().try_for_each(|handle| stash(handle, "seen", &(1_000 + run * ROUNDS + round).to_string()))?;
        handles.iter().try_for_each(flush)?;
    }
    let grown = bytes_since(&region);
    drop(handles);
    wait_until("are the active sessions gone", || world.engine.known_sessions() == 0)?;
    Ok(grown)
}

/// They load the page, with a cookie that was made for them, and go.
pub(crate) fn only_looking(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let crawlers = scale.of(100_000, 3_000);
    let world = World::new(&scale.s3(5), |config| config.idle_after_ms = 500)?;
    let (mut requests, mut left, mut rate) = (vec![], vec![], vec![]);
    for run in 0..=scale.runs() {
        let before = world.engine.stats();
        let region = region();
        let began = Instant::now();
        for n in 0..crawlers {
            drop(open_tab(&world.engine, &format!("looker {run} {n}"), "a tab", true)?);
        }
        let took = began.elapsed();
        wait_until("are the crawlers' sessions gone", || world.engine.known_sessions() == 0)?;
        let after = world.engine.stats();
        if run > 0 {
            requests.push((after.puts + after.gets - before.puts - before.gets) as f64);
            left.push(bytes_since(&region) / crawlers as f64);
            rate.push(took.as_secs_f64() * 1e6 / crawlers as f64);
        }
    }
    let name = format!("{crawlers} crawlers that only look");
    figures.add(Row::new(&name, "requests to the store", "", requests).at_most(0.0))?;
    figures.add(Row::new(&name, "left in memory by one that has gone", "bytes", left).at_most(0.5))?;
    figures.add(Row::new(&name, "a mount that comes and goes", "µs", rate))
}

fn sid(n: usize) -> String {
    format!("crawler {n}")
}

/// So many are there at one time.
const CHUNK: usize = 500;
const ROUNDS: usize = 20;
