//! How the time of a saved write grows with sessions, keys and sizes: flat, or linear in the bytes.

use std::path::Path;
use std::time::Instant;

use durable_stash_engine::{Handle, Json, Key};

use crate::measure::{RUNS, micros};
use crate::row::{Figures, Row, quantile, sorted};
use crate::world::{Kind, World, flush, open, stash};

pub(crate) fn growth(_server: &Path, figures: &mut Figures) -> Result<(), String> {
    let sizes = [1, 10, 100, 1_000, 10_000, 100_000];
    along(figures, "sessions in memory", &sizes, |world, sessions| {
        let others: Vec<Handle> =
            (1..sessions).map(|n| open(&world.engine, &format!("other {sessions} {n}"))).collect::<Result<_, _>>()?;
        others.iter().try_for_each(|handle| stash(handle, "count", "1"))?;
        others.iter().try_for_each(flush)?;
        let handle = open(&world.engine, &format!("measured {sessions}"))?;
        let time = time(&handle, "1")?;
        drop(others);
        Ok(time)
    })?;
    along(figures, "keys in the document", &[1, 10, 100, 1_000], |world, keys| {
        let handle = open(&world.engine, &format!("keys {keys}"))?;
        let pairs =
            (0..keys).map(|n| (Key::new(format!("key {n}")), Json::from_encoded("\"a value of 20 b\""))).collect();
        handle.stash(pairs, vec![]).map_err(|error| error.to_string())?;
        flush(&handle)?;
        time(&handle, "1")
    })?;
    along(figures, "bytes of the value", &[100, 1_000, 10_000, 100_000, 1_000_000], |world, bytes| {
        let handle = open(&world.engine, &format!("bytes {bytes}"))?;
        time(&handle, &format!("\"{}\"", "x".repeat(bytes - 2)))
    })
}

fn along(
    figures: &mut Figures,
    over: &str,
    sizes: &[usize],
    measured: impl Fn(&World, usize) -> Result<f64, String>,
) -> Result<(), String> {
    let world = World::new(&Kind::Memory, |config| config.max_unsaved_bytes = 1 << 30)?;
    for &size in sizes {
        let runs = (0..RUNS).map(|_| measured(&world, size)).collect::<Result<_, _>>()?;
        figures.add(Row::new(&format!("growth with {over}"), &format!("stash to saved, {size}"), "µs", runs))?;
    }
    Ok(())
}

/// The median of a few dozen writes.
fn time(handle: &Handle, json: &str) -> Result<f64, String> {
    let mut times = vec![];
    for n in 0..40 {
        let began = Instant::now();
        // Two keys by turns, so that each write changes something.
        stash(handle, if n % 2 == 0 { "even" } else { "odd" }, json)?;
        flush(handle)?;
        times.push(micros(began.elapsed()));
    }
    Ok(quantile(&sorted(&times), 0.5))
}
