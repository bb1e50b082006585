//! The generated part of `docs/performance.md`.

use std::fmt::Write;
use std::path::Path;

use crate::plot;
use crate::prices::Price;
use crate::row::{Absent, Row};
use crate::table::{number, target};

/// What is on the page beside the rows.
pub(crate) struct About<'a> {
    pub(crate) quick: bool,
    pub(crate) machine: &'a str,
    pub(crate) prices: &'a [Price],
}

/// Writes what lies between the marks of `performance.md` in the folder, and the plots into `images/` there.
pub(crate) fn write(rows: &[Row], about: &About<'_>, folder: &Path) -> Result<(), String> {
    let page = folder.join("performance.md");
    let text = std::fs::read_to_string(&page).map_err(|error| format!("cannot read {}: {error}", page.display()))?;
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        return Err(format!("{} has not both {BEGIN} and {END}", page.display()));
    };
    let images = plot::draw_all(rows, &folder.join("images"))?;
    let generated = markdown(rows, about, &images);
    let text = format!("{}\n\n{generated}\n{}", &text[..begin + BEGIN.len()], &text[end..]);
    std::fs::write(&page, text).map_err(|error| format!("cannot write {}: {error}", page.display()))
}

fn markdown(rows: &[Row], about: &About<'_>, images: &[(&str, &str)]) -> String {
    let mut page = format!("Measured on {}.\n", about.machine);
    if about.quick {
        page.push_str("\n**A quick run, to see that everything works: the figures mean nothing.**\n");
    }
    page + &payment(rows, about.prices) + &targets(rows) + &beside_peers(rows) + &details(rows) + &pictures(images)
}

/// Latency, memory, requests and money.
fn payment(rows: &[Row], prices: &[Price]) -> String {
    let mut page = "\n### What you pay\n\n| | |\n|---|---|\n".to_owned();
    for (text, workload, what) in PAYMENT {
        let found = rows.iter().find(|row| row.workload.starts_with(workload) && row.what == *what);
        let paid = found.filter(|row| row.absent.is_none());
        let paid = paid.map_or("not measured".to_owned(), |row| format!("{} {}", number(row.median()), row.unit));
        let _ = writeln!(page, "| {text} | {} |", paid.trim_end());
    }
    page + &costs(rows, prices)
}

/// What a million stashes cost at list prices, with and without `flush_after`.
fn costs(rows: &[Row], prices: &[Price]) -> String {
    let mut page = "\nA million stashes, in `PUT`s and at list prices:\n\n| | `PUT`s |".to_owned();
    page.extend(prices.iter().map(|price| format!(" {} |", price.store)));
    page.push_str("\n|---|---|");
    page.extend(prices.iter().map(|_| "---|"));
    let mut line = |case: &str, puts: f64| {
        let _ = write!(page, "\n| {case} | {puts:.0} |");
        page.extend(prices.iter().map(|price| format!(" ${:.2} |", puts / 1e6 * price.dollars_per_million_puts)));
    };
    line("each by itself, more than a `PUT` apart", 1e6);
    for row in rows.iter().filter(|row| row.absent.is_none()) {
        if let Some(case) = row.what.strip_prefix("PUTs per stash, ") {
            line(&format!("typed, ten a second, {case}"), row.median() * 1e6);
        }
    }
    page.push_str("\n\nA million recoveries are a million `GET`s:");
    let gets = prices.iter().map(|price| format!(" ${:.2} at {}", price.dollars_per_million_gets, price.store));
    page.push_str(&gets.collect::<Vec<_>>().join(","));
    page.push_str(". A gigabyte of sessions stored for a month:");
    let stored = prices.iter().map(|price| format!(" ${:.3} at {}", price.dollars_per_gigabyte_month, price.store));
    page.push_str(&stored.collect::<Vec<_>>().join(","));
    page.push_str(".\n\nThe prices:");
    for Price { store, source, read, .. } in prices {
        let _ = write!(page, "\n- {store}: <{source}>; {read}.");
    }
    page.push('\n');
    page
}

fn targets(rows: &[Row]) -> String {
    let mut page =
        "\n### The targets\n\n| | target | min | median | max | holds |\n|---|---|---|---|---|---|\n".to_owned();
    for row in rows.iter().filter(|row| row.target.is_some()) {
        let name = format!("{}: {}", row.workload, row.what);
        let [min, median, max] = [row.min(), row.median(), row.max()].map(number);
        let (target, unit, verdict) = (target(row), &row.unit, verdict(row));
        let _ = writeln!(page, "| {name} | {target} {unit} | {min} | **{median}** | {max} | {verdict} |");
    }
    page
}

/// Our adapter and LiveStash's own in one table: medians.
fn beside_peers(rows: &[Row]) -> String {
    let of = |row: &Row| row.workload.strip_prefix(IN_THE_LIVEVIEW).map(str::to_owned);
    let mut adapters: Vec<String> = vec![];
    let mut figures: Vec<&str> = vec![];
    for row in rows {
        let Some(adapter) = of(row) else { continue };
        if !adapters.contains(&adapter) {
            adapters.push(adapter);
        }
        if row.absent.is_none() && !figures.contains(&row.what.as_str()) {
            figures.push(&row.what);
        }
    }
    if adapters.is_empty() {
        return String::new();
    }
    let mut page = "\n### Beside LiveStash's own adapters\n\nThe same harness and the same socket, in the same run; medians.\n\n| |".to_owned();
    page.extend(adapters.iter().map(|adapter| format!(" {adapter} |")));
    page.push_str("\n|---|");
    page.extend(adapters.iter().map(|_| "---|"));
    for what in figures {
        let _ = write!(page, "\n| {what} |");
        for adapter in &adapters {
            let row = rows.iter().find(|row| of(row).as_ref() == Some(adapter) && row.what == what);
            let cell = row.map_or(String::new(), |row| format!("{} {}", number(row.median()), row.unit));
            let _ = write!(page, " {} |", cell.trim_end());
        }
    }
    page.push('\n');
    for row in rows {
        if let (Some(adapter), Some(Absent::LeftOut(why))) = (of(row), &row.absent) {
            let _ = write!(page, "\n{adapter} is left out: {why}.\n");
        }
    }
    page
}

/// Every figure, by workload.
fn details(rows: &[Row]) -> String {
    let mut page = "\n### Every figure\n".to_owned();
    let mut workload = "";
    for row in rows {
        if row.workload != workload {
            workload = &row.workload;
            let head = "| | median | of the runs | target | |\n|---|---|---|---|---|";
            let _ = writeln!(page, "\n#### {}\n\n{head}", capital(workload));
        }
        let _ = match &row.absent {
            Some(Absent::Broke(reason)) => writeln!(page, "| {} | **broke** | {reason} | | |", row.what),
            Some(Absent::LeftOut(reason)) => writeln!(page, "| {} | left out | {reason} | | |", row.what),
            None => {
                let [median, min, max] = [row.median(), row.min(), row.max()].map(number);
                let (unit, target, verdict) = (&row.unit, target(row), verdict(row));
                writeln!(page, "| {} | {median} {unit} | {min} to {max} | {target} | {verdict} |", row.what)
            }
        };
    }
    page
}

fn pictures(images: &[(&str, &str)]) -> String {
    let picture = |(file, title): &(&str, &str)| format!("\n![{title}](images/{file})\n");
    images.iter().map(picture).collect()
}

fn verdict(row: &Row) -> &'static str {
    match row.holds() {
        None => "",
        Some(true) => "yes",
        Some(false) => "**no**",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

const IN_THE_LIVEVIEW: &str = "stash/1 in the LiveView: ";
/// What, and the row that says it: how its workload begins, and what it is called there.
const PAYMENT: &[(&str, &str, &str)] = &[
    (
        "A stash of one small change holds the LiveView for, p50",
        "stash/1 in the LiveView: DurableStash",
        "one small key changed, p50",
    ),
    ("the same, p99", "stash/1 in the LiveView: DurableStash", "one small key changed, p99"),
    (
        "A stash with nothing changed, however much is declared, p50",
        "stash/1 in the LiveView: DurableStash",
        "nothing changed, 1 MB and 20 keys, p50",
    ),
    ("It is saved, where a `PUT` takes 20 ms, after, p50", "a small change", "stash to saved, p50, PUT of 20 ms"),
    (
        "Typing with `flush_after: 400`: a keystroke is saved after, p50",
        "typing",
        "keystroke to saved, p50, PUT of 20 ms, flush_after: 400",
    ),
    ("CPU of a saved write, signing included", "many sessions", "CPU of a saved write, PUT of 20 ms"),
    ("Memory of a live session with 200 bytes of state", "memory of a session", "live and idle, its handle included"),
    ("Memory of a session that has gone", "memory of a session", "after eviction"),
];
const BEGIN: &str = "<!-- figures -->";
const END: &str = "<!-- /figures -->";

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Vec<Price> {
        vec![Price {
            store: "Some store".to_owned(),
            dollars_per_million_puts: 5.0,
            dollars_per_million_gets: 0.4,
            dollars_per_gigabyte_month: 0.023,
            source: "https://store.example/pricing".to_owned(),
            read: "read in November".to_owned(),
        }]
    }

    #[test]
    fn a_million_stashes_cost_what_their_puts_cost() {
        let typing = |ms: u64, each| {
            Row::new("typing", &format!("PUTs per stash, PUT of 20 ms, flush_after: {ms}"), "", vec![each])
        };
        let page = costs(&[typing(0, 1.0), typing(400, 0.25)], &prices());
        assert!(page.contains("| typed, ten a second, PUT of 20 ms, flush_after: 0 | 1000000 | $5.00 |"), "{page}");
        assert!(page.contains("| typed, ten a second, PUT of 20 ms, flush_after: 400 | 250000 | $1.25 |"), "{page}");
        assert!(page.contains("$0.40 at Some store") && page.contains("read in November"), "{page}");
    }

    #[test]
    fn what_you_pay_is_taken_from_rows_that_the_workloads_write() {
        let sources = concat!(
            include_str!("workloads/saving.rs"),
            include_str!("workloads/typing.rs"),
            include_str!("workloads/memory.rs"),
            include_str!("../../../bench/live_view.exs"),
        );
        for (_, workload, what) in PAYMENT {
            let first = |text: &str, upto: &str| text.split(upto).next().unwrap().to_owned();
            for text in [first(workload, ": "), first(what, ", PUT of")] {
                assert!(sources.contains(&text), "no workload writes {text:?}");
            }
        }
    }

    #[test]
    fn peers_stand_in_columns_and_those_left_out_say_why() {
        let held = |adapter: &str, value| {
            Row::new(&format!("{IN_THE_LIVEVIEW}{adapter}"), "one small key changed, p50", "µs", vec![value])
        };
        let why = Absent::LeftOut("needs the real packages".to_owned());
        let rows =
            [held("DurableStash", 4.0), held("ETS", 2.0), Row::absent(&format!("{IN_THE_LIVEVIEW}Redis"), "all", why)];
        let page = beside_peers(&rows);
        assert!(page.contains("| | DurableStash | ETS | Redis |"), "{page}");
        assert!(page.contains("| one small key changed, p50 | 4 µs | 2 µs |  |"), "{page}");
        assert!(page.contains("Redis is left out: needs the real packages."), "{page}");
    }
}
