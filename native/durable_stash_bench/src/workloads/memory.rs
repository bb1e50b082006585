//! What sessions weigh while they live, and that they weigh nothing afterwards.

use durable_stash_engine::Handle;

use crate::measure::{bytes_since, region};
use crate::row::{Figures, Row};
use crate::workloads::Scale;
use crate::world::{Kind, World, flush, open, stash, wait_until};

/// Live idle sessions with 200 bytes of state each, then their eviction. The sessions are the same in every run, so that
/// what the store in memory holds of them is there before the first run that counts.
pub(crate) fn memory(scale: &Scale, figures: &mut Figures) -> Result<(), String> {
    let sessions = scale.of(20_000, 2_000);
    let (mut live, mut evicted) = (vec![], vec![]);
    let world = World::new(&Kind::Memory, |config| {
        config.idle_after_ms = 4_000;
        config.max_unsaved_bytes = 1 << 30;
    })?;
    for run in 0..=scale.runs() {
        let region = region();
        let mut handles: Vec<Handle> = Vec::with_capacity(sessions);
        for n in 0..sessions {
            let handle = open(&world.engine, &format!("session {n}"))?;
            stash(&handle, "draft", &format!("\"{run}{}\"", "x".repeat(190)))?;
            handles.push(handle);
        }
        handles.iter().try_for_each(flush)?;
        if world.engine.stats().live_sessions < sessions as u64 {
            return Err("sessions went before they were weighed: this machine is too slow for their 4 s".to_owned());
        }
        let weight = bytes_since(&region) / sessions as f64;
        drop(handles);
        wait_until("are idle sessions gone", || world.engine.known_sessions() == 0)?;
        if run > 0 {
            live.push(weight);
            evicted.push(bytes_since(&region) / sessions as f64);
        }
    }
    let name = "memory of a session with 200 bytes";
    figures.add(Row::new(name, "live and idle, its handle included", "bytes", live).at_most(1_536.0))?;
    figures.add(Row::new(name, "after eviction", "bytes", evicted).at_most(0.5))
}
