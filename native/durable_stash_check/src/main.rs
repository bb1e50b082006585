//! Runs the checks and prints their figures:
//!
//! ```text
//! cargo run --release -p durable_stash_check -- full   # every scenario, minutes
//! cargo run --release -p durable_stash_check -- small  # every scenario, seconds
//! cargo run --release -p durable_stash_check -- full drain two_vsns
//! ```
//!
//! A broken promise is printed with the shortest way there. The last line is one of figures, for whoever collects them.

use std::process::ExitCode;
use std::thread;

use durable_stash_check::scenarios::{self, Size};
use durable_stash_check::{Figures, check, explain};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let size = match args.next().as_deref() {
        Some("full") => Size::Full,
        Some("small") => Size::Small,
        Some(_) | None => return usage(),
    };
    let wanted: Vec<String> = args.collect();
    let all = scenarios::all(size);
    if wanted.iter().any(|name| all.iter().all(|scenario| scenario.name != *name)) {
        return usage();
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (mut total, mut count, mut failed) = (Figures::default(), 0, 0);
    for scenario in all {
        let name = scenario.name;
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let verdict = check(scenario.clone(), threads);
        println!("{name}: {}", verdict.figures);
        count += 1;
        total += verdict.figures;
        if !verdict.holds() {
            failed += 1;
            let shortest = if verdict.broken.is_empty() { verdict } else { explain(scenario) };
            println!("{shortest}");
        }
    }
    println!("all: {total}");
    let Figures { states, unique, took, .. } = total;
    let seconds = took.as_secs();
    println!("figures model: scenarios={count} states={states} unique={unique} seconds={seconds} broken={failed}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    let names: Vec<&str> = scenarios::all(Size::Small).iter().map(|scenario| scenario.name).collect();
    eprintln!("usage: durable_stash_check small|full [scenario…]\nscenarios: {}", names.join(" "));
    ExitCode::FAILURE
}
