//! One browser session in many tabs, each of which stashes a key of its own, as when a laptop wakes up.

use std::time::{Duration, Instant};

use durable_stash_engine::Handle;

use crate::row::{Figures, Row};
use crate::workloads::Scale;
use crate::world::{World, flush, open_tab, recovered, stash};

pub(crate) fn many_tabs(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let put = Duration::from_millis(20);
    let rounds = scale.of(50, 5);
    let mut world = World::new(&scale.s3(20), |_| ())?;
    let (mut each, mut over, mut wrong) = (vec![], vec![], vec![]);
    for run in 0..scale.runs() {
        let sid = format!("many tabs {run}");
        let tabs: Vec<Handle> = (0..TABS)
            .map(|tab| open_tab(&world.engine, &sid, &format!("tab {tab}"), false))
            .collect::<Result<_, _>>()?;
        let before = world.engine.stats().puts;
        let began = Instant::now();
        for round in 1..=rounds {
            for (tab, handle) in tabs.iter().enumerate() {
                stash(handle, &format!("draft {tab}"), &round.to_string())?;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        tabs.iter().try_for_each(flush)?;
        let allowed = began.elapsed().as_secs_f64() / put.as_secs_f64() + 2.0;
        let sent = (world.engine.stats().puts - before) as f64;
        each.push(sent / (rounds * TABS) as f64);
        over.push(sent - allowed);
        drop(tabs);
        world.restart()?;
        let mut lost = 0;
        for tab in 0..TABS {
            let handle = open_tab(&world.engine, &sid, &format!("tab {tab}"), false)?;
            let found = recovered(&handle, &format!("draft {tab}"))?;
            lost += usize::from(found != Some(rounds.to_string()));
        }
        wrong.push(lost as f64);
    }
    let name = "many tabs: 20 of one browser session, PUT of 20 ms";
    figures.add(Row::new(name, "PUTs per stash", "", each))?;
    figures.add(Row::new(name, "PUTs over elapsed / 20 ms + 2", "", over).at_most(0.0))?;
    figures.add(Row::new(name, "last values that another engine did not find", "", wrong).at_most(0.0))
}

const TABS: usize = 20;
