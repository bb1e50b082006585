//! A thousand stashes in one session as fast as they come, on a store that takes 20 ms.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::measure::{RUNS, micros};
use crate::row::{Figures, Row};
use crate::world::{Kind, World, flush, open, stash};

pub(crate) fn burst(server: &Path, figures: &mut Figures) -> Result<(), String> {
    let put = Duration::from_millis(20);
    let world = World::new(&Kind::S3 { server, latency: put }, |_| ())?;
    let (mut puts, mut over, mut longest) = (vec![], vec![], vec![]);
    for run in 0..RUNS {
        let handle = open(&world.engine, &format!("burst {run}"))?;
        stash(&handle, "count", "0")?;
        flush(&handle)?;
        let before = world.engine.stats().puts;
        let mut slowest = Duration::ZERO;
        let began = Instant::now();
        for n in 1..=1_000 {
            let began = Instant::now();
            stash(&handle, "count", &n.to_string())?;
            slowest = slowest.max(began.elapsed());
        }
        flush(&handle)?;
        let allowed = began.elapsed().as_secs_f64() / put.as_secs_f64() + 2.0;
        let sent = (world.engine.stats().puts - before) as f64;
        puts.push(sent);
        over.push(sent - allowed);
        longest.push(micros(slowest));
    }
    let name = "burst of 1,000 stashes, PUT of 20 ms";
    figures.add(Row::new(name, "PUTs", "", puts))?;
    figures.add(Row::new(name, "PUTs over elapsed / 20 ms + 2", "", over).at_most(0.0))?;
    figures.add(Row::new(name, "the longest of its stashes, in the engine", "µs", longest).at_most(1_000.0))
}
