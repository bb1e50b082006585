//! How long a write takes until it is saved, and how many are saved in a second, against the raw client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use durable_stash_engine::Handle;
use durable_stash_engine::store::{ObjectName, Store};
use durable_stash_machine::{ETag, Precondition, PutOutcome};
use tokio::sync::Semaphore;

use crate::measure::{cpu_seconds, micros, seconds};
use crate::row::{Figures, Plotted, Row, distribution, quantile, sorted};
use crate::workloads::Scale;
use crate::world::{World, flush, open, saved, stash};

/// One session, one small key at a time, each write by turns with a raw PUT of as many bytes.
pub(crate) fn a_small_change(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    for (latency_ms, writes) in [(0, 1_000), (5, 200), (20, 100), (200, 20)] {
        let writes = scale.of(writes, 10);
        one_session(scale, figures, "a small change", latency_ms, writes, None)?;
    }
    Ok(())
}

/// The same where a value of 1 MB lies beside the small key, and so in each PUT.
pub(crate) fn big_neighbour(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    for (latency_ms, writes) in [(0, 100), (20, 50)] {
        let big = format!("\"{}\"", "x".repeat(1_000_000));
        let writes = scale.of(writes, 5);
        one_session(scale, figures, "big neighbour: a small change beside 1 MB", latency_ms, writes, Some(&big))?;
    }
    Ok(())
}

fn one_session(
    scale: &Scale,
    figures: &mut Figures,
    name: &str,
    latency_ms: u64,
    writes: usize,
    neighbour: Option<&str>,
) -> Result<(), String> {
    let world = World::new(&scale.s3(latency_ms), |_| ())?;
    let handle = open(&world.engine, "one session")?;
    neighbour.map_or(Ok(()), |json| stash(&handle, "big", json))?;
    stash(&handle, "count", "0")?;
    flush(&handle)?;
    let bytes = document_bytes(&world)?;
    let (mut ours, mut raw, mut ratios, mut curve) = (vec![], vec![], vec![], vec![]);
    for _run in 0..scale.runs() {
        let mut chain = Chain::new(world.raw.clone(), 1, bytes);
        let (mut a, mut b) = (vec![], vec![]);
        for write in 0..writes {
            let began = Instant::now();
            stash(&handle, "count", &format!("{write}"))?;
            flush(&handle)?;
            a.push(micros(began.elapsed()));
            b.push(micros(world.runtime.block_on(chain.put())?));
        }
        let (a, b) = (sorted(&a), sorted(&b));
        ratios.push(quantile(&a, 0.5) / quantile(&b, 0.5));
        ours.push(quantile(&a, 0.5));
        raw.push(quantile(&b, 0.5));
        curve = distribution(&a);
    }
    let what = |text: &str| format!("{text}, PUT of {latency_ms} ms");
    let beside = if neighbour.is_some() { ", beside 1 MB" } else { "" };
    let row = Row::new(name, &what("stash to saved, p50"), "µs", ours);
    figures.add(row.with_curve(Plotted::Saved, &format!("PUT of {latency_ms} ms{beside}"), curve))?;
    figures.add(Row::new(name, &what("raw PUT of as many bytes, p50"), "µs", raw))?;
    figures.add(Row::new(name, &what("saved / raw"), "x", ratios).at_most(1.15))
}

/// As many sessions as there may be requests in flight, each saving as fast as it can, against as many raw chains.
pub(crate) fn many_sessions(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let time = scale.of(Duration::from_secs(3), Duration::from_millis(500));
    for latency_ms in [5, 20, 200] {
        let world = World::new(&scale.s3(latency_ms), |_| ())?;
        let bytes = document_bytes(&world)?;
        let (mut ours, mut raw, mut ratios, mut cpu, mut raw_cpu) = (vec![], vec![], vec![], vec![], vec![]);
        for run in 0..scale.runs() {
            let handles: Vec<Handle> = (0..CONCURRENCY)
                .map(|n| open(&world.engine, &format!("run {run}, session {n}")))
                .collect::<Result<_, _>>()?;
            let chains: Vec<Chain> = (0..CONCURRENCY)
                .map(|n| Chain::new(world.raw.clone(), (run * CONCURRENCY + n) as u64, bytes))
                .collect();
            // What is measured is the pace of sessions that are known: their first read and the connections are there.
            handles.iter().try_for_each(|handle| stash(handle, "count", "0"))?;
            handles.iter().try_for_each(flush)?;
            let chains = world.runtime.block_on(put_once(chains))?;
            // Each goes first by turns.
            let (us, them) = if run % 2 == 0 {
                let us = pace(&world, save_for(handles, time))?;
                (us, pace(&world, put_for(chains, time))?)
            } else {
                let them = pace(&world, put_for(chains, time))?;
                (pace(&world, save_for(handles, time))?, them)
            };
            ours.push(us.a_second);
            raw.push(them.a_second);
            ratios.push(us.a_second / them.a_second);
            cpu.push(us.cpu);
            raw_cpu.push(them.cpu);
        }
        let what = |text: &str| format!("{text}, PUT of {latency_ms} ms");
        figures.add(Row::new("many sessions", &what("saved writes a second"), "1/s", ours))?;
        figures.add(Row::new("many sessions", &what("raw PUTs a second"), "1/s", raw))?;
        figures.add(Row::new("many sessions", &what("saved / raw"), "x", ratios).at_least(0.85))?;
        figures.add(Row::new("many sessions", &what("CPU of a saved write"), "µs", cpu).at_most(120.0))?;
        figures.add(Row::new("many sessions", &what("CPU of a raw PUT"), "µs", raw_cpu))?;
    }
    Ok(())
}

struct Pace {
    a_second: f64,
    /// Microseconds of this process for each.
    cpu: f64,
}

fn pace(world: &World, work: impl Future<Output = Result<u64, String>>) -> Result<Pace, String> {
    let spent = cpu_seconds()?;
    let began = Instant::now();
    let count = world.runtime.block_on(work)? as f64;
    Ok(Pace { a_second: count / seconds(began), cpu: (cpu_seconds()? - spent) * 1e6 / count })
}

async fn save_for(handles: Vec<Handle>, time: Duration) -> Result<u64, String> {
    let until = Instant::now() + time;
    let tasks: Vec<_> = handles
        .into_iter()
        .map(|handle| {
            tokio::spawn(async move {
                let mut count = 0;
                while Instant::now() < until {
                    count += 1;
                    stash(&handle, "count", &count.to_string())?;
                    saved(&handle).await?;
                }
                Ok(count)
            })
        })
        .collect();
    total(tasks).await
}

async fn put_for(chains: Vec<Chain>, time: Duration) -> Result<u64, String> {
    let until = Instant::now() + time;
    let tasks: Vec<_> = chains
        .into_iter()
        .map(|mut chain| {
            tokio::spawn(async move {
                let mut count = 0;
                while Instant::now() < until {
                    count += 1;
                    chain.put().await?;
                }
                Ok(count)
            })
        })
        .collect();
    total(tasks).await
}

async fn total(tasks: Vec<tokio::task::JoinHandle<Result<u64, String>>>) -> Result<u64, String> {
    let mut sum = 0;
    for task in tasks {
        sum += task.await.map_err(|error| error.to_string())??;
    }
    Ok(sum)
}

/// One write of each, as many at a time as the engine would have.
pub(super) async fn put_once(chains: Vec<Chain>) -> Result<Vec<Chain>, String> {
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let put = |mut chain: Chain| {
        let permits = permits.clone();
        tokio::spawn(async move {
            let _permit = permits.acquire().await;
            chain.put().await.map(|_| chain)
        })
    };
    let tasks: Vec<_> = chains.into_iter().map(put).collect();
    let mut written = Vec::with_capacity(tasks.len());
    for task in tasks {
        written.push(task.await.map_err(|error| error.to_string())??);
    }
    Ok(written)
}

/// Raw compare-and-swap writes of one object, one after the other.
pub(super) struct Chain {
    store: Arc<dyn Store>,
    name: ObjectName,
    bytes: usize,
    etag: Option<ETag>,
    written: u64,
}

impl Chain {
    pub(super) fn new(store: Arc<dyn Store>, number: u64, bytes: usize) -> Self {
        let unique = u128::from(number) << 64 | u128::from(std::process::id());
        Self { store, name: ObjectName::scratch(unique ^ fresh()), bytes, etag: None, written: 0 }
    }

    /// How long it took.
    async fn put(&mut self) -> Result<Duration, String> {
        self.written += 1;
        let mut body = self.written.to_string().into_bytes();
        body.resize(self.bytes.max(body.len()), b' ');
        let body = Bytes::from(body);
        let condition = self.etag.clone().map_or(Precondition::Absent, Precondition::Matches);
        let began = Instant::now();
        match self.store.put(&self.name, body, &condition).await {
            PutOutcome::Written(etag) => self.etag = Some(etag),
            other => return Err(format!("a raw PUT ended as {other:?}")),
        }
        Ok(began.elapsed())
    }
}

/// A number that differs from call to call.
fn fresh() -> u128 {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    u128::from(CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) << 96
}

/// The size of the largest document of this world.
pub(super) fn document_bytes(world: &World) -> Result<usize, String> {
    let page = world.runtime.block_on(world.raw.list(None, 100)).map_err(|error| error.to_string())?;
    let documents = page.objects.iter().filter(|object| !object.name.is_scratch());
    documents.map(|object| object.bytes as usize).max().ok_or_else(|| "nothing is stored".to_owned())
}

/// What the engine allows itself by default.
const CONCURRENCY: usize = 128;
