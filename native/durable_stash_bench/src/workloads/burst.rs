//! A thousand stashes in one session as fast as they come, on a store that takes 20 ms.

use std::time::{Duration, Instant};

use crate::measure::micros;
use crate::row::{Figures, Row};
use crate::workloads::Scale;
use crate::world::{World, flush, open, recovered, stash};

pub(crate) fn burst(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let put = Duration::from_millis(20);
    let mut world = World::new(&scale.s3(20), |_| ())?;
    let (mut puts, mut over, mut longest, mut wrong) = (vec![], vec![], vec![], vec![]);
    for run in 0..scale.runs() {
        let sid = format!("burst {run}");
        let handle = open(&world.engine, &sid)?;
        stash(&handle, "count", "0")?;
        flush(&handle)?;
        let before = world.engine.stats().puts;
        let mut slowest = Duration::ZERO;
        let began = Instant::now();
        for n in 1..=STASHES {
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
        drop(handle);
        // From the store, by an engine that has not seen the burst.
        world.restart()?;
        let last = recovered(&open(&world.engine, &sid)?, "count")?;
        wrong.push(f64::from(last != Some(STASHES.to_string())));
    }
    let name = "burst of 1,000 stashes, PUT of 20 ms";
    figures.add(Row::new(name, "PUTs", "", puts))?;
    figures.add(Row::new(name, "PUTs over elapsed / 20 ms + 2", "", over).at_most(0.0))?;
    figures.add(Row::new(name, "last values that another engine did not find", "", wrong).at_most(0.0))?;
    figures.add(Row::new(name, "the longest of its stashes, in the engine", "µs", longest).at_most(1_000.0))
}

const STASHES: usize = 1_000;
