//! Ten keystrokes a second under `auto_stash`: how many PUTs they cost, and when each is saved.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use durable_stash_engine::{Change, Handle};

use crate::row::{Figures, Row, quantile, sorted};
use crate::workloads::Scale;
use crate::world::{World, open, stash, wait_until};

pub(crate) fn typing(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    // They run side by side: each mostly waits.
    let cases = [(5, 0), (20, 0), (200, 0), (5, 400), (20, 400), (200, 400)];
    let rows = std::thread::scope(|scope| {
        let threads = cases.map(|(latency_ms, flush_after)| scope.spawn(move || case(scale, latency_ms, flush_after)));
        threads.map(|thread| thread.join().map_err(|_| "a case panicked".to_owned()).and_then(|rows| rows))
    });
    let (mut puts, mut times) = (vec![], vec![]);
    for rows in rows {
        let [put, time] = rows?;
        puts.push(put);
        times.push(time);
    }
    puts.into_iter().chain(times).try_for_each(|row| figures.add(row))
}

fn case(scale: &Scale, latency_ms: u64, flush_after: u64) -> Result<[Row; 2], String> {
    let world = World::new(&scale.s3(latency_ms), |config| config.policy.flush_after_ms = flush_after)?;
    let keystrokes = scale.of(60, 15);
    let (mut puts, mut waits) = (vec![], vec![]);
    for run in 0..scale.runs() {
        let handle = open(&world.engine, &format!("typing {run}"))?;
        let saved = SavedAt::watch(&handle);
        let before = world.engine.stats().puts;
        let mut typed = vec![];
        for keystroke in 1..=keystrokes {
            typed.push(Instant::now());
            stash(&handle, "draft", &format!("\"{}\"", "x".repeat(keystroke)))?;
            std::thread::sleep(Duration::from_millis(100));
        }
        // The last one goes by itself too, without a flush: what it waits is a part of what is measured.
        wait_until("is the last keystroke known to be saved", || saved.up_to() >= keystrokes as u64)?;
        puts.push((world.engine.stats().puts - before) as f64 / keystrokes as f64);
        waits.push(quantile(&sorted(&saved.waits(&typed)?), 0.5));
    }
    let what = |text: &str| format!("{text}, PUT of {latency_ms} ms, flush_after: {flush_after}");
    let row = Row::new(NAME, &what("PUTs per stash"), "", puts);
    let row = if flush_after > 0 { row.at_most(0.3) } else { row };
    Ok([row, Row::new(NAME, &what("keystroke to saved, p50"), "ms", waits)])
}

/// When which write was known to be saved: writes with their numbers, in the order of the notices.
struct SavedAt(Arc<Mutex<Vec<(u64, Instant)>>>);

impl SavedAt {
    fn watch(handle: &Handle) -> Self {
        let notices = Arc::new(Mutex::new(vec![]));
        let to = notices.clone();
        handle.watch(Some(Arc::new(move |change| {
            if let (Change::Saved { op }, Ok(mut notices)) = (change, to.lock()) {
                notices.push((op, Instant::now()));
            }
        })));
        Self(notices)
    }

    fn up_to(&self) -> u64 {
        self.0.lock().map_or(0, |notices| notices.last().map_or(0, |(op, _)| *op))
    }

    /// How many ms each keystroke waited. Its write's number is its place.
    fn waits(&self, typed: &[Instant]) -> Result<Vec<f64>, String> {
        let notices = self.0.lock().map_err(|_| "a watcher panicked".to_owned())?;
        let wait = |(index, typed): (usize, &Instant)| {
            let saved = notices.iter().find(|(op, _)| *op > index as u64);
            let (_, at) = saved.ok_or_else(|| format!("keystroke {} was never saved", index + 1))?;
            Ok(at.duration_since(*typed).as_secs_f64() * 1e3)
        };
        typed.iter().enumerate().map(wait).collect()
    }
}

const NAME: &str = "typing, 10 keystrokes a second";
