//! Ten thousand sessions recover from an engine that was just restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use durable_stash_engine::Handle;
use durable_stash_engine::store::{ObjectName, Store};
use durable_stash_machine::GetOutcome;
use tokio::sync::Semaphore;

use crate::measure::{MIB, Watch, peak, seconds, thinned};
use crate::row::{Figures, Plotted, Row};
use crate::workloads::Scale;
use crate::world::{World, flush, open, stash};

pub(crate) fn herd(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let sessions = scale.of(10_000, 500);
    let mut world = World::new(&scale.s3(5), |config| {
        // A herd may wait longer than a mount does: what is measured is the rate.
        config.policy.recover_timeout_ms = 60_000;
    })?;
    for n in 0..sessions {
        let handle = open(&world.engine, &sid(n))?;
        stash(&handle, "draft", &format!("\"{n:0150}\""))?;
        if n % 100 == 99 {
            flush(&handle)?;
        }
    }
    let (mut ours, mut raw, mut ratios, mut memory, mut failed) = (vec![], vec![], vec![], vec![], vec![]);
    let mut curve = vec![];
    for run in 0..scale.runs() {
        world.restart()?;
        let names = world.runtime.block_on(names(&world.raw))?;
        if names.len() < sessions {
            return Err(format!("only {} of {sessions} documents are stored", names.len()));
        }
        // Each goes first by turns.
        if run % 2 == 1 {
            raw.push(rate_of_gets(&world, names.clone())?);
        }
        let watch = Watch::begin();
        let began = Instant::now();
        let handles: Vec<Handle> = (0..sessions).map(|n| open(&world.engine, &sid(n))).collect::<Result<_, _>>()?;
        failed.push(world.runtime.block_on(recover(&handles)) as f64);
        ours.push(sessions as f64 / seconds(began));
        let samples = watch.end()?;
        memory.push(peak(&samples) / MIB);
        curve = thinned(&samples);
        drop(handles);
        if run % 2 == 0 {
            raw.push(rate_of_gets(&world, names)?);
        }
        ratios.push(ours[run] / raw[run]);
    }
    let name = format!("herd of {sessions} sessions, GET of 5 ms");
    figures.add(Row::new(&name, "recoveries a second", "1/s", ours))?;
    figures.add(Row::new(&name, "raw GETs a second", "1/s", raw))?;
    figures.add(Row::new(&name, "recoveries / raw", "x", ratios).at_least(0.8))?;
    figures.add(Row::new(&name, "failed recoveries", "", failed).at_most(0.0))?;
    let row = Row::new(&name, "most memory above the start", "MiB", memory).at_most(64.0);
    figures.add(row.with_curve(Plotted::Memory, &format!("{sessions} sessions recover"), curve))
}

/// How many did not get back what was stored. Each answer is looked at where it arrives, so that none of them is in
/// memory longer than a LiveView would have it.
async fn recover(handles: &[Handle]) -> usize {
    let failed = Arc::new(AtomicUsize::new(0));
    let (all, mut answered) = tokio::sync::mpsc::channel::<()>(1);
    for (n, handle) in handles.iter().enumerate() {
        let (failed, open) = (failed.clone(), all.clone());
        handle.recover(Box::new(move |outcome| {
            let expected = format!("\"{n:0150}\"");
            let found = outcome.ok().and_then(|read| read.found).is_some_and(|found| {
                found.session.iter().any(|(key, json)| key.as_str() == "draft" && json.as_str() == expected)
            });
            failed.fetch_add(usize::from(!found), Relaxed);
            drop(open);
        }));
    }
    drop(all);
    // Nothing is ever sent: it ends with the last answer.
    answered.recv().await;
    failed.load(Relaxed)
}

fn rate_of_gets(world: &World, names: Vec<ObjectName>) -> Result<f64, String> {
    let count = names.len() as f64;
    let began = Instant::now();
    world.runtime.block_on(get_all(&world.raw, names))?;
    Ok(count / seconds(began))
}

async fn get_all(store: &Arc<dyn Store>, names: Vec<ObjectName>) -> Result<(), String> {
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut tasks = Vec::with_capacity(names.len());
    for name in names {
        let (store, permits) = (store.clone(), permits.clone());
        tasks.push(tokio::spawn(async move {
            let _permit = permits.acquire().await;
            store.get(&name, None).await
        }));
    }
    for task in tasks {
        match task.await.map_err(|error| error.to_string())? {
            GetOutcome::Found { .. } => (),
            other => return Err(format!("a raw GET ended as {other:?}")),
        }
    }
    Ok(())
}

/// Of all documents.
pub(super) async fn names(store: &Arc<dyn Store>) -> Result<Vec<ObjectName>, String> {
    let (mut names, mut cursor) = (vec![], None);
    loop {
        let page = store.list(cursor.as_ref(), 1_000).await.map_err(|error| error.to_string())?;
        names.extend(page.objects.into_iter().map(|object| object.name).filter(|name| !name.is_scratch()));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(names);
        }
    }
}

fn sid(n: usize) -> String {
    format!("visitor {n}")
}

/// As many as the engine allows itself by default.
const IN_FLIGHT: usize = 128;
