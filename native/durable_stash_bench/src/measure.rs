//! Clocks and counters of this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stats_alloc::Region;

use crate::ALLOCATOR;

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

/// Watches what is allocated, every other millisecond, from a thread of its own.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(f64, f64)>>,
}

impl Watch {
    /// Bytes count from here on.
    pub(crate) fn begin() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let mut seen = Vec::with_capacity(SAMPLES);
        let (began, region) = (Instant::now(), region());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && seen.len() < SAMPLES {
                seen.push((seconds(began), bytes_since(&region)));
                std::thread::sleep(Duration::from_millis(2));
            }
            seen.push((seconds(began), bytes_since(&region)));
            seen
        });
        Self { stop, thread }
    }

    /// Seconds and bytes.
    pub(crate) fn end(self) -> Result<Vec<(f64, f64)>, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the watch on memory panicked".to_owned())
    }
}

/// The largest of them.
pub(crate) fn peak(samples: &[(f64, f64)]) -> f64 {
    samples.iter().map(|sample| sample.1).fold(0.0, f64::max)
}

/// Few enough samples for a plot: of each stretch of time the one with the most bytes, in MiB.
pub(crate) fn thinned(samples: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let most = |stretch: &[(f64, f64)]| stretch.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let stretches = samples.chunks(samples.len().div_ceil(PLOTTED).max(1));
    stretches.filter_map(most).map(|(at, bytes)| (at, bytes / MIB)).collect()
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

pub(crate) const MIB: f64 = 1024.0 * 1024.0;
/// Ten minutes. They are all allocated at once, so that the watch does not see itself.
const SAMPLES: usize = 300_000;
const PLOTTED: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_peak() {
        let samples: Vec<_> = (0..10_000).map(|n| (f64::from(n), if n == 7_777 { 9.0 * MIB } else { MIB })).collect();
        let thin = thinned(&samples);
        assert!(thin.len() <= PLOTTED);
        assert!(thin.contains(&(7_777.0, 9.0)));
        assert_eq!(peak(&samples), 9.0 * MIB);
    }

    #[test]
    fn time_spent_is_counted() {
        let before = cpu_seconds().unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(100) {
            std::hint::black_box(());
        }
        assert!(cpu_seconds().unwrap() > before);
    }
}
