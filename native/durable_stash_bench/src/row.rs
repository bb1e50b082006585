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
    #[serde(default)]
    pub(crate) unit: String,
    /// One value a run.
    #[serde(default)]
    pub(crate) runs: Vec<f64>,
    /// What the median is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Target>,
    /// For a plot: values over something, such as a latency's quantiles or memory over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) curve: Option<Curve>,
    /// Why there is no figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) absent: Option<Absent>,
}

/// A bound on the median.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// One line of one plot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Curve {
    pub(crate) plot: Plotted,
    /// Its legend.
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// The plots of `docs/performance.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Plotted {
    /// Microseconds in the LiveView over the share of stashes.
    Stash,
    /// Microseconds from stash to saved over the share of writes.
    Saved,
    /// MiB over seconds.
    Memory,
    /// Microseconds over a number of sessions.
    Sessions,
    /// Bytes over a number of sessions.
    SessionBytes,
    /// Microseconds over a number of keys.
    Keys,
    /// Microseconds over bytes.
    Bytes,
}

/// Why a row has no figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Absent {
    /// The workload failed, and how.
    Broke(String),
    /// It was not tried, and why.
    LeftOut(String),
}

impl Row {
    pub(crate) fn new(workload: &str, what: &str, unit: &str, runs: Vec<f64>) -> Self {
        let (workload, what, unit) = (workload.to_owned(), what.to_owned(), unit.to_owned());
        Self { workload, what, unit, runs, target: None, curve: None, absent: None }
    }

    pub(crate) fn absent(workload: &str, what: &str, why: Absent) -> Self {
        Self { absent: Some(why), ..Self::new(workload, what, "", vec![]) }
    }

    pub(crate) fn at_most(self, bound: f64) -> Self {
        Self { target: Some(Target::AtMost(bound)), ..self }
    }

    pub(crate) fn at_least(self, bound: f64) -> Self {
        Self { target: Some(Target::AtLeast(bound)), ..self }
    }

    pub(crate) fn with_curve(self, plot: Plotted, label: &str, points: Vec<(f64, f64)>) -> Self {
        Self { curve: Some(Curve { plot, label: label.to_owned(), points }), ..self }
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

    /// Whether the median keeps to the target; none without one. A figure that is not a number keeps to none.
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

/// The curve of a latency: value over share.
pub(crate) fn distribution(sorted: &[f64]) -> Vec<(f64, f64)> {
    (1..=99).map(|percent| f64::from(percent) / 100.0).map(|q| (q, quantile(sorted, q))).collect()
}

/// The file that rows are appended to.
pub(crate) struct Figures(File);

impl Figures {
    pub(crate) fn append(path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.map(Self).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    pub(crate) fn add(&mut self, row: Row) -> Result<(), String> {
        // JSON has no place for what is not a number.
        let row = match row.runs.iter().find(|value| !value.is_finite()) {
            Some(value) => Row::absent(&row.workload, &row.what, Absent::Broke(format!("measured {value}"))),
            None => row,
        };
        match &row.absent {
            Some(Absent::Broke(reason)) => eprintln!("  {}: broke: {reason}", row.what),
            Some(Absent::LeftOut(reason)) => eprintln!("  {}: left out: {reason}", row.what),
            None => {
                eprintln!("  {}: {:.3} {} ({:.3} to {:.3})", row.what, row.median(), row.unit, row.min(), row.max())
            }
        }
        let mut line = serde_json::to_string(&row).map_err(|error| error.to_string())?;
        line.push('\n');
        // At once: this process may be ended at any time, and the line is then there or not.
        self.0.write_all(line.as_bytes()).map_err(|error| error.to_string())
    }
}

/// A line that is no row, as one that was being written when its process ended, is a row that broke.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, String> {
    let file = File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    BufReader::new(file)
        .lines()
        .map(|line| {
            let line = line.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let broke = |error| Row::absent("a line that is no row", "the line", Absent::Broke(format!("{error}")));
            Ok(serde_json::from_str(&line).unwrap_or_else(broke))
        })
        .collect()
}

/// All of a report in one document, a line to a row.
pub(crate) fn write_json(rows: &[Row], quick: bool, machine: &str, path: &Path) -> Result<(), String> {
    let problem = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", path.display());
    let lines: Result<Vec<_>, _> = rows.iter().map(serde_json::to_string).collect();
    let lines = lines.map_err(|error| problem(&error))?.join(",\n");
    let machine = serde_json::to_string(machine).map_err(|error| problem(&error))?;
    let text = format!("{{\"machine\":{machine},\"quick\":{quick},\"rows\":[\n{lines}\n]}}\n");
    std::fs::write(path, text).map_err(|error| problem(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_runs_is_held_against_the_target() {
        let row = Row::new("typing", "PUTs", "", vec![9.0, 1.0, 2.0]);
        assert_eq!((row.min(), row.median(), row.max()), (1.0, 2.0, 9.0));
        assert_eq!(row.holds(), None);
        assert_eq!(row.clone().at_most(2.0).holds(), Some(true));
        assert_eq!(row.clone().at_most(1.9).holds(), Some(false));
        assert_eq!(row.clone().at_least(2.0).holds(), Some(true));
        assert_eq!(row.at_least(2.1).holds(), Some(false));
    }

    #[test]
    fn a_row_without_a_figure_keeps_to_no_target() {
        let broken = Row::absent("herd", "the workload", Absent::Broke("killed".to_owned()));
        assert_eq!(broken.clone().at_most(1.0).holds(), Some(false));
        assert_eq!(broken.at_least(1.0).holds(), Some(false));
    }

    #[test]
    fn rows_are_read_back_and_what_is_no_number_or_no_row_is_a_row_that_broke() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures.jsonl");
        let mut figures = Figures::append(&path).unwrap();
        figures.add(Row::new("typing", "PUTs", "", vec![0.5]).at_most(0.3)).unwrap();
        figures.add(Row::new("herd", "a ratio", "x", vec![1.0, f64::NAN])).unwrap();
        figures.0.write_all(b"{\"workload\":\"burst\",\"wh\n").unwrap();
        figures.add(Row::absent("peers", "all", Absent::LeftOut("not here".to_owned()))).unwrap();
        let [typing, herd, burst, peers] = read(&path).unwrap().try_into().unwrap();
        assert_eq!((typing.median(), typing.holds()), (0.5, Some(false)));
        assert!(matches!(&herd.absent, Some(Absent::Broke(why)) if why == "measured NaN") && herd.what == "a ratio");
        assert!(matches!(burst.absent, Some(Absent::Broke(_))));
        assert!(matches!(&peers.absent, Some(Absent::LeftOut(why)) if why == "not here"));
    }

    #[test]
    fn the_report_is_one_json_document() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures.json");
        let rows = [Row::new("typing", "PUTs", "", vec![0.5]), Row::new("herd", "a \"ratio\"", "x", vec![1.0])];
        write_json(&rows, true, "a \"machine\"", &path).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((&document["machine"], &document["quick"]), (&"a \"machine\"".into(), &true.into()));
        assert_eq!(document["rows"][1]["what"], "a \"ratio\"");
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 50.0);
        assert_eq!(quantile(&values, 0.99), 99.0);
        assert_eq!(quantile(&values, 1.0), 100.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.5), 2.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
