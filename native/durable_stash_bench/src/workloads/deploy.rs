//! A deploy: every session has just stashed, and the engine stops.

use std::time::Instant;

use durable_stash_engine::Handle;

use crate::measure::seconds;
use crate::row::{Figures, Row};
use crate::workloads::Scale;
use crate::workloads::saving::{Chain, document_bytes, put_once};
use crate::world::{World, flush, open, stash};

pub(crate) fn drain(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let sessions = scale.of(5_000, 200);
    let mut world = World::new(&scale.s3(20), |_| ())?;
    let bytes = document_bytes(&world)?;
    let (mut ours, mut raw, mut ratios, mut unsaved) = (vec![], vec![], vec![], vec![]);
    for run in 0..scale.runs() {
        // Their documents are there and known, so that what is measured is one write each.
        let handles: Vec<Handle> =
            (0..sessions).map(|n| open(&world.engine, &format!("visitor {n}"))).collect::<Result<_, _>>()?;
        handles.iter().try_for_each(|handle| stash(handle, "count", &format!("{run}")))?;
        handles.iter().try_for_each(flush)?;
        let mut chains: Vec<Chain> =
            (0..sessions).map(|n| Chain::new(world.raw.clone(), (run * sessions + n) as u64, bytes)).collect();
        chains = world.runtime.block_on(put_once(chains))?;

        let began = Instant::now();
        handles.iter().try_for_each(|handle| stash(handle, "count", &format!("{run}{run}")))?;
        let stashed = seconds(began);
        let (drained, report) = world.restart()?;
        ours.push(stashed + drained.as_secs_f64());
        unsaved.push(report.unsaved_ops as f64 + handles.iter().filter(|handle| !handle.is_saved()).count() as f64);
        drop(handles);

        let began = Instant::now();
        world.runtime.block_on(put_once(chains))?;
        raw.push(seconds(began));
        ratios.push(ours[run] / raw[run]);
    }
    let name = format!("deploy: {sessions} sessions stash, and the engine drains, PUT of 20 ms");
    figures.add(Row::new(&name, "from the first stash until the engine is drained", "s", ours).at_most(20.0))?;
    figures.add(Row::new(&name, "as many raw PUTs", "s", raw))?;
    figures.add(Row::new(&name, "drained / raw", "x", ratios))?;
    figures.add(Row::new(&name, "writes not saved", "", unsaved).at_most(0.0))
}
