//! One figure: what was measured, run by run, and what it should be.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What users do.
    pub(crate) workload: String,
    /// What of it was measured.
    pub(crate) what: String,
    /// Its unit; `x` for a ratio.
    pub(crate) unit: String,
    /// One value a run.
    pub(crate) runs: Vec<f64>,
    /// What the median is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Target>,
    /// For a plot: values over something, such as a latency's quantiles or memory over time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) curve: Vec<(f64, f64)>,
}

/// A bound on the median.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub(crate) fn new(workload: &str, what: &str, unit: &str, runs: Vec<f64>) -> Self {
        let (workload, what, unit) = (workload.to_owned(), what.to_owned(), unit.to_owned());
        Self { workload, what, unit, runs, target: None, curve: vec![] }
    }

    pub(crate) fn at_most(self, bound: f64) -> Self {
        Self { target: Some(Target::AtMost(bound)), ..self }
    }

    pub(crate) fn at_least(self, bound: f64) -> Self {
        Self { target: Some(Target::AtLeast(bound)), ..self }
    }

    pub(crate) fn with_curve(self, curve: Vec<(f64, f64)>) -> Self {
        Self { curve, ..self }
    }

    pub(crate) fn median(&self) -> f64 {
        quantile(&sorted(&self.runs), 0.5)
    }

    pub(crate) fn min(&self) -> f64 {
        sorted(&self.runs).first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn max(&self) -> f64 {
        sorted(&self.runs).last().copied().unwrap_or(f64::NAN)
    }

    /// Whether the median keeps to the target; none without one.
    pub(crate) fn holds(&self) -> Option<bool> {
        Some(match self.target? {
            Target::AtMost(bound) => self.median() <= bound,
            Target::AtLeast(bound) => self.median() >= bound,
        })
    }
}

pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The nearest-rank quantile of sorted values.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The file that rows are appended to.
pub(crate) struct Figures(File);

impl Figures {
    pub(crate) fn append(path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.map(Self).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    pub(crate) fn add(&mut self, row: Row) -> Result<(), String> {
        eprintln!("  {}: {:.3} {} ({:.3} to {:.3})", row.what, row.median(), row.unit, row.min(), row.max());
        let line = serde_json::to_string(&row).map_err(|error| error.to_string())?;
        writeln!(self.0, "{line}").map_err(|error| error.to_string())
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<Row>, String> {
    let file = File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    BufReader::new(file)
        .lines()
        .map(|line| {
            let line = line.map_err(|error| error.to_string())?;
            serde_json::from_str(&line).map_err(|error| format!("not a row: {line}: {error}"))
        })
        .collect()
}
