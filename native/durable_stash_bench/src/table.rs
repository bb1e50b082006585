//! The tables for a terminal, and how figures are written.

use std::fmt::Write;

use crate::row::{Absent, Row, Target};

/// Every row by workload, then those with a target by themselves.
pub(crate) fn all(rows: &[Row]) -> String {
    let mut table = String::new();
    let mut workload = "";
    for row in rows {
        if row.workload != workload {
            workload = &row.workload;
            let _ = writeln!(table, "\n{workload}");
        }
        let _ = writeln!(table, "  {:<64} {}", row.what, measured(row));
    }
    table + &targets(rows)
}

fn targets(rows: &[Row]) -> String {
    let mut table = format!("\n{:<110} {:>10}  {:<44} holds\n", "row", "target", "measured (min median max)");
    for row in rows.iter().filter(|row| row.target.is_some() || matches!(row.absent, Some(Absent::Broke(_)))) {
        let name = format!("{}: {}", row.workload, row.what);
        let verdict = row.holds().map_or("", |holds| if holds { "yes" } else { "no" });
        let _ = writeln!(table, "{name:<110} {:>10}  {:<44} {verdict}", target(row), measured(row));
    }
    let bounded: Vec<_> = rows.iter().filter_map(Row::holds).collect();
    let held = bounded.iter().filter(|held| **held).count();
    let _ = writeln!(table, "\nfigures bench: rows={} targets={} held={held}", rows.len(), bounded.len());
    table
}

fn measured(row: &Row) -> String {
    match &row.absent {
        Some(Absent::Broke(reason)) => format!("BROKE: {reason}"),
        Some(Absent::LeftOut(reason)) => format!("left out: {reason}"),
        None => {
            let [min, median, max] = [row.min(), row.median(), row.max()].map(number);
            format!("{min:>10} {median:>10} {max:>10} {}", row.unit)
        }
    }
}

pub(crate) fn target(row: &Row) -> String {
    match row.target {
        None => String::new(),
        Some(Target::AtMost(bound)) => format!("≤ {}", number(bound)),
        Some(Target::AtLeast(bound)) => format!("≥ {}", number(bound)),
    }
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small < 0.1 && small > 0.0 => format!("{value:.4}"),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_table_says_of_every_row_with_a_target_and_of_every_broken_one_how_it_went() {
        let rows = [
            Row::new("typing", "PUTs per stash", "", vec![0.25]).at_most(0.3),
            Row::new("herd", "recoveries / raw", "x", vec![0.5, 0.6, 0.7]).at_least(0.8),
            Row::new("herd", "raw GETs a second", "1/s", vec![1_234.0]),
            Row::absent("burst", "the workload", Absent::Broke("killed".to_owned())),
            Row::absent("peers", "Redis", Absent::LeftOut("needs the real packages".to_owned())),
        ];
        let last = targets(&rows);
        let lines: Vec<Vec<&str>> = last.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2][4..], ["≤", "0.30", "0.25", "0.25", "0.25", "yes"]);
        assert_eq!(lines[3][4..], ["≥", "0.80", "0.50", "0.60", "0.70", "x", "no"]);
        assert!(last.contains("BROKE: killed"), "{last}");
        assert!(!last.contains("raw GETs") && !last.contains("Redis"), "{last}");
        assert!(last.ends_with("rows=5 targets=2 held=1\n"), "{last}");
        assert!(all(&rows).contains("left out: needs the real packages"));
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0.012_34, 0.3, 1.15, 12.34, 123.4, 3.0].map(number),
            ["0.0123", "0.30", "1.15", "12.3", "123", "3"]
        );
    }
}
