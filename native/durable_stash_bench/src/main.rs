//! `durable-stash-bench`: what DurableStash costs, each figure beside the raw loop that it is compared with.
//!
//! `run` measures the workloads of the engine and appends a JSON line each to a file; `bench/live_view.exs` appends those
//! of the LiveView's side to the same file; `report` makes the table, the plots and `docs/performance.md` of it.

#![forbid(unsafe_code)]

mod measure;
mod page;
mod plot;
mod row;
mod workloads;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

/// Counts what is allocated, for the rows about memory: what the allocator keeps back for itself is not the engine's.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("run") => run(&arguments[1..]),
        Some("report") => report(&arguments[1..]),
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

fn run(arguments: &[String]) -> Result<(), String> {
    let [figures, server, only @ ..] = arguments else { return Err(USAGE.to_owned()) };
    let unknown = only.iter().find(|name| workloads::ALL.iter().all(|(known, _)| known != name));
    if let Some(unknown) = unknown {
        let known: Vec<_> = workloads::ALL.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no workload {unknown}; there are {}", known.join(", ")));
    }
    let mut figures = row::Figures::append(&PathBuf::from(figures))?;
    for (name, workload) in workloads::ALL {
        if only.is_empty() || only.iter().any(|chosen| chosen == name) {
            eprintln!("{name}");
            workload(&PathBuf::from(server), &mut figures)?;
        }
    }
    Ok(())
}

fn report(arguments: &[String]) -> Result<(), String> {
    let [figures, machine, folder] = arguments else { return Err(USAGE.to_owned()) };
    let rows = row::read(&PathBuf::from(figures))?;
    page::write(&rows, machine, &PathBuf::from(folder))?;
    print!("{}", page::table(&rows));
    Ok(())
}

const USAGE: &str = "usage: durable-stash-bench run FIGURES.jsonl S3-SERVER-PROGRAM [WORKLOAD …]
       durable-stash-bench report FIGURES.jsonl MACHINE-DESCRIPTION FOLDER";
