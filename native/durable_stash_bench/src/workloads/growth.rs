//! How the time of a saved write grows with sessions, keys and sizes: flat, or linear in the bytes.

use std::time::{Duration, Instant};

use durable_stash_engine::{Handle, Json, Key};

use crate::fit::{exponent, last_exponent};
use crate::measure::{bytes_since, micros, region};
use crate::row::{Figures, Plotted, Row, quantile, sorted};
use crate::workloads::Scale;
use crate::world::{Kind, World, flush, open, stash};

/// What a curve may be.
#[derive(Clone, Copy)]
enum Shape {
    Flat,
    Linear,
}

/// One curve: the runs of each size.
struct Growth<'a> {
    workload: &'a str,
    what: &'a str,
    unit: &'a str,
    plot: Plotted,
    shape: Shape,
}

pub(crate) fn sessions(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let sizes: &[usize] = scale.of(&[1, 10, 100, 1_000, 10_000, 100_000], &[1, 10, 100, 1_000]);
    let (mut times, mut bytes) = (vec![], vec![]);
    for &size in sizes {
        // Another world each, so that nothing of the sizes before is in memory.
        let world = world()?;
        let weighed = region();
        let others: Vec<Handle> =
            (0..size).map(|n| open(&world.engine, &format!("other {n}"))).collect::<Result<_, _>>()?;
        others.iter().try_for_each(|handle| stash(handle, "count", "1"))?;
        others.iter().try_for_each(flush)?;
        bytes.push((size, vec![bytes_since(&weighed)]));
        let measured = |run| time(&open(&world.engine, &format!("measured {run}"))?, "1");
        times.push((size, (0..scale.runs()).map(measured).collect::<Result<_, _>>()?));
        drop(others);
    }
    let workload = "growth with sessions in memory";
    let time =
        Growth { workload, what: "stash to saved at best", unit: "µs", plot: Plotted::Sessions, shape: Shape::Flat };
    time.report(figures, times)?;
    let what = "memory of all, engine and store";
    Growth { workload, what, unit: "bytes", plot: Plotted::SessionBytes, shape: Shape::Linear }.report(figures, bytes)
}

pub(crate) fn keys(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let world = world()?;
    let mut times = vec![];
    for keys in [1, 10, 100, 1_000] {
        let mut runs = vec![];
        for run in 0..scale.runs() {
            let handle = open(&world.engine, &format!("keys {keys} {run}"))?;
            let pairs =
                (0..keys).map(|n| (Key::new(format!("key {n}")), Json::from_encoded("\"a value of 20 b\""))).collect();
            handle.stash(pairs, vec![]).map_err(|error| error.to_string())?;
            flush(&handle)?;
            runs.push(time(&handle, "1")?);
        }
        times.push((keys, runs));
    }
    let (workload, what) = ("growth with keys in the document", "stash of one to saved at best");
    Growth { workload, what, unit: "µs", plot: Plotted::Keys, shape: Shape::Linear }.report(figures, times)
}

pub(crate) fn bytes(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let world = world()?;
    let mut times = vec![];
    for bytes in [100, 1_000, 10_000, 100_000, 1_000_000] {
        let mut runs = vec![];
        for run in 0..scale.runs() {
            let handle = open(&world.engine, &format!("bytes {bytes} {run}"))?;
            runs.push(time(&handle, &format!("\"{}\"", "x".repeat(bytes - 2)))?);
        }
        times.push((bytes, runs));
    }
    let (workload, what) = ("growth with the bytes of the value", "stash to saved at best");
    Growth { workload, what, unit: "µs", plot: Plotted::Bytes, shape: Shape::Linear }.report(figures, times)
}

impl Growth<'_> {
    fn report(&self, figures: &mut Figures, sizes: Vec<(usize, Vec<f64>)>) -> Result<(), String> {
        let runs = sizes.iter().map(|(_, runs)| runs.len()).min().unwrap_or(0);
        let points = |run: usize| -> Vec<_> { sizes.iter().map(|(size, runs)| (*size as f64, runs[run])).collect() };
        let over_all = (0..runs).map(|run| exponent(&points(run))).collect();
        let at_the_end = (0..runs).map(|run| last_exponent(&points(run))).collect();
        let rows: Vec<Row> = sizes
            .iter()
            .map(|(size, runs)| Row::new(self.workload, &format!("{}, {size}", self.what), self.unit, runs.clone()))
            .collect();
        let curve = sizes.iter().zip(&rows).map(|((size, _), row)| (*size as f64, row.median())).collect();
        rows.into_iter().try_for_each(|row| figures.add(row))?;
        // Flat means that what one pays does not follow the number: the bound is 3 times over five decades. The last
        // step is one pair of points, and so a less certain figure.
        let (word, bound, last_bound) = match self.shape {
            Shape::Flat => ("flat", 0.1, 0.3),
            Shape::Linear => ("linear", 1.1, 1.25),
        };
        let what = |of: &str| format!("{}: exponent {of}, {word} if within", self.what);
        let row = Row::new(self.workload, &what("fitted"), "", over_all).at_most(bound);
        figures.add(row.with_curve(self.plot, self.what, curve))?;
        figures.add(Row::new(self.workload, &what("of the last step"), "", at_the_end).at_most(last_bound))
    }
}

fn world() -> Result<World, String> {
    World::new(&Kind::Memory, |config| config.max_unsaved_bytes = 1 << 30)
}

/// The lowest of ten medians of a few dozen writes. A write wakes another thread, which costs 5 µs or 30 as the kernel
/// places the two, for a batch at a time; what grows with the size is in every batch.
fn time(handle: &Handle, json: &str) -> Result<f64, String> {
    let mut lowest = f64::INFINITY;
    for _batch in 0..10 {
        let mut times = vec![];
        for n in 0..40 {
            let began = Instant::now();
            // Two keys by turns, so that each write changes something.
            stash(handle, if n % 2 == 0 { "even" } else { "odd" }, json)?;
            flush(handle)?;
            times.push(micros(began.elapsed()));
        }
        lowest = lowest.min(quantile(&sorted(&times), 0.5));
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(lowest)
}
