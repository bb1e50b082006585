//! `durable-stash-history FILE…`: reads histories, and exits with 1 if a promise was broken, with 2 if they are none.

use std::process::ExitCode;

use durable_stash_history::{History, judge};

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: durable-stash-history FILE…");
        return ExitCode::from(2);
    }
    let mut texts = Vec::new();
    for file in files {
        match std::fs::read(&file) {
            // A torn line may end within a character.
            Ok(bytes) => texts.push((file, String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    let history = match History::read(texts.iter().map(|(file, text)| (file.as_str(), text.as_str()))) {
        Ok(history) => history,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let verdict = judge(&history);
    for broken in verdict.broken.iter().take(SHOWN) {
        println!("{broken}");
    }
    if verdict.broken.len() > SHOWN {
        println!("… and {} more", verdict.broken.len() - SHOWN);
    }
    println!("{verdict}");
    if verdict.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

const SHOWN: usize = 20;
