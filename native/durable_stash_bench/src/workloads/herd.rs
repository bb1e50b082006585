//! Ten thousand sessions recover from an engine that was just restarted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use durable_stash_engine::Handle;
use durable_stash_engine::store::{ObjectName, Store};
use durable_stash_machine::GetOutcome;
use tokio::sync::Semaphore;

use crate::measure::{RUNS, bytes_since, region, seconds};
use crate::row::{Figures, Row};
use crate::world::{Kind, World, flush, open, stash};

pub(crate) fn herd(server: &Path, figures: &mut Figures) -> Result<(), String> {
    let mut world = World::new(&Kind::S3 { server, latency: Duration::from_millis(5) }, |config| {
        // A herd may wait longer than a mount does: what is measured is the rate.
        config.policy.recover_timeout_ms = 60_000;
    })?;
    for n in 0..SESSIONS {
        let handle = open(&world.engine, &sid(n))?;
        stash(&handle, "draft", &format!("\"{n:0150}\""))?;
        if n % 1_000 == 999 {
            flush(&handle)?;
        }
    }
    let (mut ours, mut raw, mut ratios, mut memory, mut failed) = (vec![], vec![], vec![], vec![], vec![]);
    for _run in 0..RUNS {
        world.restart()?;
        let names = world.runtime.block_on(names(&world.raw))?;
        let region = region();
        let began = Instant::now();
        let handles: Vec<Handle> = (0..SESSIONS).map(|n| open(&world.engine, &sid(n))).collect::<Result<_, _>>()?;
        failed.push(world.runtime.block_on(recover(&handles)) as f64);
        ours.push(SESSIONS as f64 / seconds(began));
        memory.push(bytes_since(&region) / (1024.0 * 1024.0));
        drop(handles);

        let count = names.len();
        let began = Instant::now();
        world.runtime.block_on(get_all(&world.raw, names))?;
        raw.push(count as f64 / seconds(began));
        ratios.push(ours[ours.len() - 1] / raw[raw.len() - 1]);
    }
    let name = "herd of 10,000 sessions, GET of 5 ms";
    figures.add(Row::new(name, "recoveries a second", "1/s", ours))?;
    figures.add(Row::new(name, "raw GETs a second", "1/s", raw))?;
    figures.add(Row::new(name, "recoveries / raw", "x", ratios).at_least(0.8))?;
    figures.add(Row::new(name, "failed recoveries", "", failed).at_most(0.0))?;
    figures.add(Row::new(name, "memory above the start", "MiB", memory).at_most(64.0))
}

/// How many did not get back what was stored.
async fn recover(handles: &[Handle]) -> usize {
    let answers: Vec<_> = handles
        .iter()
        .map(|handle| {
            let (sender, answer) = tokio::sync::oneshot::channel();
            handle.recover(Box::new(move |outcome| drop(sender.send(outcome))));
            answer
        })
        .collect();
    let mut failed = 0;
    for answer in answers {
        let found = matches!(answer.await, Ok(Ok(read)) if read.found.is_some());
        failed += usize::from(!found);
    }
    failed
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

async fn names(store: &Arc<dyn Store>) -> Result<Vec<ObjectName>, String> {
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

const SESSIONS: usize = 10_000;
const IN_FLIGHT: usize = 128;
