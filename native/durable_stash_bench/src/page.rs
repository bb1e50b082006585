//! The table of all rows, and the generated part of `docs/performance.md`.

use std::fmt::Write;
use std::path::Path;

use crate::plot::Plot;
use crate::row::{Row, Target};

/// For a terminal.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    let mut workload = "";
    for row in rows {
        if row.workload != workload {
            workload = &row.workload;
            let _ = writeln!(table, "\n{workload}");
        }
        let [median, min, max] = [row.median(), row.min(), row.max()].map(number);
        let verdict = match row.holds() {
            None => "",
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
        };
        let _ = writeln!(
            table,
            "  {:<58} {median:>10} {:<6} {:>22}  {:<12} {verdict}",
            row.what,
            row.unit,
            format!("{min} to {max}"),
            target(row)
        );
    }
    let bounded: Vec<_> = rows.iter().filter_map(Row::holds).collect();
    let held = bounded.iter().filter(|held| **held).count();
    let _ = writeln!(table, "\nfigures bench: rows={} targets={} held={held}", rows.len(), bounded.len());
    table
}

/// Writes what lies between the marks of `performance.md` in the folder, and the plots into `images/` there.
pub(crate) fn write(rows: &[Row], machine: &str, folder: &Path) -> Result<(), String> {
    let page = folder.join("performance.md");
    let text = std::fs::read_to_string(&page).map_err(|error| format!("cannot read {}: {error}", page.display()))?;
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        return Err(format!("{} has not both {BEGIN} and {END}", page.display()));
    };
    let generated = markdown(rows, machine);
    let text = format!("{}\n\n{generated}\n{}", &text[..begin + BEGIN.len()], &text[end..]);
    std::fs::write(&page, text).map_err(|error| format!("cannot write {}: {error}", page.display()))?;
    plots(rows, &folder.join("images"))
}

fn markdown(rows: &[Row], machine: &str) -> String {
    let mut page = format!("Measured on {machine}.\n");
    let mut workload = "";
    for row in rows {
        if row.workload != workload {
            workload = &row.workload;
            let _ = writeln!(
                page,
                "\n### {}\n\n| | median | of the runs | target | |\n|---|---|---|---|---|",
                capital(workload)
            );
        }
        let verdict = match row.holds() {
            None => "",
            Some(true) => "holds",
            Some(false) => "**does not hold**",
        };
        let [median, min, max] = [row.median(), row.min(), row.max()].map(number);
        let _ =
            writeln!(page, "| {} | {median} {} | {min} to {max} | {} | {verdict} |", row.what, row.unit, target(row));
    }
    page + &costs(rows) + IMAGES
}

/// What a million stashes cost while somebody types, at list prices.
fn costs(rows: &[Row]) -> String {
    let mut table = String::new();
    for row in rows.iter().filter(|row| row.what.starts_with("PUTs per stash")) {
        let puts = row.median() * 1e6;
        let dollars = |per_million: f64| format!("${:.2}", puts / 1e6 * per_million);
        let (s3, r2) = (dollars(S3_PUT_DOLLARS_PER_MILLION), dollars(R2_PUT_DOLLARS_PER_MILLION));
        let case = row.what.trim_start_matches("PUTs per stash, ");
        let _ = writeln!(table, "| {case} | {} | {s3} | {r2} |", number(puts));
    }
    if table.is_empty() {
        return table;
    }
    format!(
        "\n### What a million keystrokes cost\n\n| | PUTs | AWS S3 Standard | Cloudflare R2 |\n|---|---|---|---|\n{table}"
    )
}

fn plots(rows: &[Row], images: &Path) -> Result<(), String> {
    std::fs::create_dir_all(images).map_err(|error| format!("cannot make {}: {error}", images.display()))?;
    let saved: Vec<_> = rows.iter().filter(|row| row.workload == "a small change" && !row.curve.is_empty()).collect();
    if !saved.is_empty() {
        let plot = Plot { title: "From stash to saved", x: "share of the writes", y: "µs", logarithmic: true };
        plot.draw(&saved, &images.join("saved.svg"))?;
    }
    let sessions: Vec<_> =
        rows.iter().filter(|row| row.workload.contains("crawlers") && !row.curve.is_empty()).collect();
    if !sessions.is_empty() {
        let title = "Sessions in memory: 100,000 crawlers, then 1,000 active ones";
        let plot = Plot { title, x: "seconds", y: "sessions", logarithmic: false };
        plot.draw(&sessions, &images.join("sessions.svg"))?;
    }
    Ok(())
}

fn target(row: &Row) -> String {
    match row.target {
        None => String::new(),
        Some(Target::AtMost(bound)) => format!("≤ {}", number(bound)),
        Some(Target::AtLeast(bound)) => format!("≥ {}", number(bound)),
    }
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

const IMAGES: &str = "\n![From stash to saved](images/saved.svg)\n\n![Sessions in memory](images/sessions.svg)\n";
const BEGIN: &str = "<!-- figures -->";
const END: &str = "<!-- /figures -->";
/// List price of PUT requests, S3 Standard, us-east-1: 0.005 dollars per 1,000 (the S3 pricing page).
const S3_PUT_DOLLARS_PER_MILLION: f64 = 5.0;
/// List price of class A operations, standard storage: 4.50 dollars per million (the R2 pricing page).
const R2_PUT_DOLLARS_PER_MILLION: f64 = 4.5;
