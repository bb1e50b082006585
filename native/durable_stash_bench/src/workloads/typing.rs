//! Ten keystrokes a second under `auto_stash`: how many PUTs they cost.

use std::path::Path;
use std::time::Duration;

use crate::measure::RUNS;
use crate::row::{Figures, Row};
use crate::world::{Kind, World, flush, open, stash};

pub(crate) fn typing(server: &Path, figures: &mut Figures) -> Result<(), String> {
    // The four run side by side: each mostly waits.
    let cases = [(20, 0), (200, 0), (20, 400), (200, 400)];
    let rows = std::thread::scope(|scope| {
        let threads = cases.map(|(latency_ms, flush_after)| scope.spawn(move || case(server, latency_ms, flush_after)));
        threads.map(|thread| thread.join().map_err(|_| "a case panicked".to_owned()).and_then(|row| row))
    });
    for row in rows {
        figures.add(row?)?;
    }
    Ok(())
}

fn case(server: &Path, latency_ms: u64, flush_after: u64) -> Result<Row, String> {
    let latency = Duration::from_millis(latency_ms);
    let world = World::new(&Kind::S3 { server, latency }, |config| config.policy.flush_after_ms = flush_after)?;
    let mut runs = vec![];
    for run in 0..RUNS {
        let handle = open(&world.engine, &format!("typing {run}"))?;
        let before = world.engine.stats().puts;
        for keystroke in 1..=KEYSTROKES {
            stash(&handle, "draft", &format!("\"{}\"", "x".repeat(keystroke)))?;
            std::thread::sleep(Duration::from_millis(100));
        }
        flush(&handle)?;
        runs.push((world.engine.stats().puts - before) as f64 / KEYSTROKES as f64);
    }
    let what = format!("PUTs per stash, PUT of {latency_ms} ms, flush_after: {flush_after}");
    let row = Row::new("typing, 10 keystrokes a second", &what, "", runs);
    Ok(if flush_after > 0 { row.at_most(0.3) } else { row })
}

const KEYSTROKES: usize = 60;
