//! The history of a run, as lines, and how often each fault of faults.md was met.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The faults that this simulation brings about, by their numbers in faults.md.
pub(crate) const FAULTS: std::ops::RangeInclusive<u8> = 1..=26;

/// Of the simulated wall clock at the beginning of every run, in ms since the epoch.
pub(crate) const WALL_MS: u64 = 1_750_000_000_000;

/// Writes down what happens. Clones write into the same history.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Mutex<Record>>);

struct Record {
    lines: String,
    began: Instant,
    last_us: u64,
    tally: Tally,
}

/// What a run has met, by name.
pub(crate) type Tally = BTreeMap<String, u64>;

impl Recorder {
    pub(crate) fn new() -> Self {
        let record = Record { lines: String::new(), began: Instant::now(), last_us: 0, tally: Tally::new() };
        Self(Arc::new(Mutex::new(record)))
    }

    /// Writes an event with its other fields, as JSON without braces. Every line has a time of its own.
    pub(crate) fn line(&self, event: &str, fields: &str) {
        let mut record = self.0.lock();
        let now = (WALL_MS + elapsed_ms(record.began)) * 1000;
        record.last_us = now.max(record.last_us + 1);
        let t = record.last_us;
        let comma = if fields.is_empty() { "" } else { "," };
        writeln!(record.lines, "{{\"e\":\"{event}\",\"t\":{t}{comma}{fields}}}").expect("a String takes all");
    }

    /// A fault of faults.md was brought about.
    pub(crate) fn fault(&self, number: u8) {
        self.line("fault", &format!("\"n\":{number}"));
        self.count(&fault_name(number));
    }

    pub(crate) fn count(&self, what: &str) {
        *self.0.lock().tally.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        elapsed_ms(self.0.lock().began)
    }

    pub(crate) fn finish(&self) -> (String, Tally) {
        let mut record = self.0.lock();
        (std::mem::take(&mut record.lines), std::mem::take(&mut record.tally))
    }
}

pub(crate) fn fault_name(number: u8) -> String {
    format!("fault_{number:02}")
}

/// Text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

fn elapsed_ms(began: Instant) -> u64 {
    began.elapsed().as_millis() as u64
}
