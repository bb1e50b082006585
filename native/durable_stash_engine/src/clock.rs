//! Where the time comes from. The machine is told it; only this file reads it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use durable_stash_machine::Now;
use tokio::time::Instant;

use crate::sync;

/// The engine's two clocks: a monotonic one for deadlines, a wall clock for what is written into documents.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    wall: Wall,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    System,
    /// Moves with the monotonic clock, and so with tokio's paused time.
    Simulated {
        at_origin_ms: u64,
    },
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self { origin: Instant::now(), wall: Wall::System }
    }

    /// A wall clock that starts at `wall_ms` since the epoch and moves with tokio's time: for simulations.
    pub fn simulated(wall_ms: u64) -> Self {
        Self { origin: Instant::now(), wall: Wall::Simulated { at_origin_ms: wall_ms } }
    }

    pub(crate) fn now(&self) -> Now {
        let mono = millis(sync::since(self.origin));
        let wall = match self.wall {
            Wall::System => millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Wall::Simulated { at_origin_ms } => at_origin_ms.saturating_add(mono),
        };
        Now { mono, wall }
    }

    /// Sleeps until the monotonic clock shows `mono` ms.
    pub(crate) async fn sleep_until(&self, mono: u64) {
        // The timer's range is about two years; nothing waits that long.
        tokio::time::sleep_until(self.origin + Duration::from_millis(mono.min(FAR))).await;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Ten years: beyond every uptime, and within what `Instant` can hold.
const FAR: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
