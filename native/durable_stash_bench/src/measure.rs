//! Clocks and counters of this process.

use std::time::{Duration, Instant};

use stats_alloc::Region;

use crate::ALLOCATOR;

/// How often each figure is taken.
pub(crate) const RUNS: usize = 5;

/// Seconds.
pub(crate) fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// Microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The bytes that are allocated now and were not when the region began.
pub(crate) fn bytes_since(region: &Region<'_, std::alloc::System>) -> f64 {
    let change = region.change();
    // Growth and shrinkage in place are in these two as well.
    change.bytes_allocated as f64 - change.bytes_deallocated as f64
}

pub(crate) fn region() -> Region<'static, std::alloc::System> {
    Region::new(ALLOCATOR)
}

/// The CPU time that this process has used, user and system, in seconds. The kernel counts in ticks of 10 ms.
pub(crate) fn cpu_seconds() -> Result<f64, String> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|error| error.to_string())?;
    // The second field is the program's name in parentheses, and may have spaces.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |field: usize| after_name.split_whitespace().nth(field).and_then(|text| text.parse::<f64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / 100.0),
        _ => Err("/proc/self/stat has another shape than proc(5) says".to_owned()),
    }
}
