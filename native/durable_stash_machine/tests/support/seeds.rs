//! A property for each of many seeds. A failure names its seed; `DURABLE_STASH_SEED=<seed>` replays it alone, and
//! `DURABLE_STASH_SEEDS=<count>` runs more of them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::rng::Rng;

/// Calls the property with each seed's randomness. Returns how many were run.
pub fn each(count: u64, mut property: impl FnMut(&mut Rng)) -> u64 {
    let seeds = match (number("DURABLE_STASH_SEED"), number("DURABLE_STASH_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, more) => 0..more.unwrap_or(count),
    };
    for seed in seeds.clone() {
        let outcome = catch_unwind(AssertUnwindSafe(|| property(&mut Rng::new(seed))));
        if let Err(panic) = outcome {
            eprintln!("DURABLE_STASH_SEED={seed} replays this.");
            resume_unwind(panic);
        }
    }
    seeds.end - seeds.start
}

#[expect(clippy::disallowed_methods, reason = "the ban is the machine's, and this asks which seed to run")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} takes a whole number, not {text:?}")))
}
