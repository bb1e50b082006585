//! How long a write takes until it is saved, and how many are saved in a second, against the raw client.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use durable_stash_engine::Handle;
use durable_stash_engine::store::{ObjectName, Store};
use durable_stash_machine::{ETag, Precondition, PutOutcome};

use crate::measure::{RUNS, cpu_seconds, micros, seconds};
use crate::row::{Figures, Row, quantile, sorted};
use crate::world::{Kind, World, flush, open, saved, stash};

/// One session, one small key at a time, each write by turns with a raw PUT of as many bytes.
pub(crate) fn a_small_change(server: &Path, figures: &mut Figures) -> Result<(), String> {
    for (latency_ms, writes) in [(0, 1_000), (5, 200), (20, 100), (200, 20)] {
        let world = World::new(&Kind::S3 { server, latency: Duration::from_millis(latency_ms) }, |_| ())?;
        let handle = open(&world.engine, "one session")?;
        stash(&handle, "count", "0")?;
        flush(&handle)?;
        let (mut ours, mut raw, mut ratios, mut curve) = (vec![], vec![], vec![], vec![]);
        for _run in 0..RUNS {
            let mut chain = Chain::new(world.raw.clone(), 1, document_bytes(&world)?);
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
            curve = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99].map(|q| (q, quantile(&a, q))).to_vec();
        }
        let what = |text: &str| format!("{text}, PUT of {latency_ms} ms");
        figures.add(Row::new("a small change", &what("stash to saved, p50"), "µs", ours).with_curve(curve))?;
        figures.add(Row::new("a small change", &what("raw PUT of as many bytes, p50"), "µs", raw))?;
        figures.add(Row::new("a small change", &what("saved / raw"), "x", ratios).at_most(1.15))?;
    }
    Ok(())
}

/// As many sessions as there may be requests in flight, each saving as fast as it can, against as many raw chains.
pub(crate) fn many_sessions(server: &Path, figures: &mut Figures) -> Result<(), String> {
    let time = Duration::from_secs(4);
    for latency_ms in [5, 20] {
        let world = World::new(&Kind::S3 { server, latency: Duration::from_millis(latency_ms) }, |_| ())?;
        let bytes = document_bytes(&world)?;
        let (mut ours, mut raw, mut ratios, mut cpu, mut raw_cpu) = (vec![], vec![], vec![], vec![], vec![]);
        for run in 0..RUNS {
            let handles: Vec<Handle> = (0..CONCURRENCY)
                .map(|n| open(&world.engine, &format!("run {run}, session {n}")))
                .collect::<Result<_, _>>()?;
            let spent = cpu_seconds()?;
            let began = Instant::now();
            let count = world.runtime.block_on(save_for(handles, time))?;
            ours.push(count as f64 / seconds(began));
            cpu.push((cpu_seconds()? - spent) * 1e6 / count as f64);

            let spent = cpu_seconds()?;
            let began = Instant::now();
            let chains = (0..CONCURRENCY).map(|n| Chain::new(world.raw.clone(), (run * CONCURRENCY + n) as u64, bytes));
            let count = world.runtime.block_on(put_for(chains.collect(), time))?;
            raw.push(count as f64 / seconds(began));
            raw_cpu.push((cpu_seconds()? - spent) * 1e6 / count as f64);
            ratios.push(ours[run] / raw[run]);
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

/// Raw compare-and-swap writes of one object, one after the other.
struct Chain {
    store: Arc<dyn Store>,
    name: ObjectName,
    bytes: usize,
    etag: Option<ETag>,
    written: u64,
}

impl Chain {
    fn new(store: Arc<dyn Store>, number: u64, bytes: usize) -> Self {
        let unique = u128::from(number) << 64 | u128::from(std::process::id());
        Self { store, name: ObjectName::scratch(unique ^ fresh()), bytes, etag: None, written: 0 }
    }

    /// How long it took.
    async fn put(&mut self) -> Result<Duration, String> {
        self.written += 1;
        let body = Bytes::from(format!("{:0width$}", self.written, width = self.bytes));
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

/// How large the documents of this world are: all have one small key.
fn document_bytes(world: &World) -> Result<usize, String> {
    let page = world.runtime.block_on(world.raw.list(None, 100)).map_err(|error| error.to_string())?;
    let document = page.objects.iter().find(|object| !object.name.is_scratch());
    document.map(|object| object.bytes as usize).ok_or_else(|| "nothing is stored".to_owned())
}

/// What the engine allows itself by default.
const CONCURRENCY: usize = 128;
