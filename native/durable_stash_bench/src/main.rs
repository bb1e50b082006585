//! `durable-stash-bench`: what DurableStash costs, each figure beside the raw loop that it is compared with.
//!
//! `run` measures the workloads of the engine and appends a JSON line each to a file; `bench/live_view.exs` appends those
//! of the LiveView's side to the same file; `report` makes the table, the plots and `docs/performance.md` of it.
//!
//! A workload that breaks is a row that says so; the others are measured all the same.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod fit;
mod measure;
mod page;
mod plot;
mod prices;
mod row;
mod supervise;
mod table;
mod workloads;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use row::{Absent, Figures, Row};
use workloads::Scale;

/// Counts what is allocated, for the rows about memory: what the allocator keeps back for itself is not the engine's.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().position(|argument| argument == "--quick").map(|at| arguments.remove(at)).is_some();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["run", figures, server, only @ ..] => run(quick, Path::new(figures), Path::new(server), only),
        ["one", figures, server, name] => one(quick, Path::new(figures), Path::new(server), name),
        ["broke", figures, workload, reason] => broke(Path::new(figures), workload, reason),
        ["report", figures, machine, prices, folder, json] => {
            report(quick, [figures, prices, folder, json].map(Path::new), machine)
        }
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("durable-stash-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Measures each workload in a process of its own, so that none inherits another's memory, or ends with it.
fn run(quick: bool, figures: &Path, server: &Path, only: &[&str]) -> Result<(), String> {
    if let Some(unknown) = only.iter().find(|name| workloads::named(name).is_none()) {
        let known: Vec<_> = workloads::ALL.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no workload {unknown}; there are {}", known.join(", ")));
    }
    for (name, _) in workloads::ALL {
        if only.is_empty() || only.contains(name) {
            eprintln!("{name}");
            if let Err(reason) = supervise::measure(quick, figures, server, name) {
                broke(figures, name, &reason)?;
            }
        }
    }
    Ok(())
}

fn one(quick: bool, figures: &Path, server: &Path, name: &str) -> Result<(), String> {
    let workload = workloads::named(name).ok_or_else(|| format!("there is no workload {name}"))?;
    let mut figures = Figures::append(figures)?;
    let scale = Scale { server: PathBuf::from(server), quick };
    // So that the reason of a panic is the last line too, and not advice on backtraces.
    let done = catch_unwind(AssertUnwindSafe(|| workload(&scale, &mut figures)));
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a text")))
    })
}

fn broke(figures: &Path, workload: &str, reason: &str) -> Result<(), String> {
    Figures::append(figures)?.add(Row::absent(workload, "the workload", Absent::Broke(reason.to_owned())))
}

/// Fails, after everything is written, when a workload broke; not when a figure misses its target.
fn report(quick: bool, [figures, prices, folder, json]: [&Path; 4], machine: &str) -> Result<(), String> {
    let rows = row::read(figures)?;
    let prices = prices::read(prices)?;
    row::write_json(&rows, quick, machine, json)?;
    print!("{}", table::all(&rows));
    page::write(&rows, &page::About { quick, machine, prices: &prices }, folder)?;
    let broken = rows.iter().filter(|row| matches!(row.absent, Some(Absent::Broke(_)))).count();
    if broken > 0 { Err(format!("{broken} of the rows above broke")) } else { Ok(()) }
}

const USAGE: &str = "usage: durable-stash-bench run [--quick] FIGURES.jsonl S3-SERVER-PROGRAM [WORKLOAD …]
       durable-stash-bench broke FIGURES.jsonl WORKLOAD REASON
       durable-stash-bench report [--quick] FIGURES.jsonl MACHINE-DESCRIPTION PRICES.json FOLDER OUT.json";
