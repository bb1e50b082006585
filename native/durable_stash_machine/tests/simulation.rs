//! Thousands of seeded worlds, each checked against the promises of the design on every step.
//!
//! A failing seed is printed; `DURABLE_STASH_SEED=<seed>` replays it alone with its whole trace.
//! `DURABLE_STASH_SEEDS=<count>` runs more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod support;

use support::history::Counts;
use support::world::World;

const STEPS: u64 = 120;
const SEEDS: u64 = 10_000;

#[test]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = number("DURABLE_STASH_SEED") {
        return replay(seed);
    }
    let seeds = number("DURABLE_STASH_SEEDS").unwrap_or(SEEDS);
    let mut total = Counts::default();
    for seed in 0..seeds {
        let mut world = World::new(seed, false);
        if let Err(broken) = world.run(STEPS) {
            panic!(
                "seed {seed}: {broken}\nreplay: DURABLE_STASH_SEED={seed} cargo test -p durable_stash_machine --test simulation"
            );
        }
        total += world.told();
    }
    println!("{seeds} seeds: {total:?}");
    // A simulation that never meets a conflict proves nothing.
    assert_eq!(total.never(), [""; 0], "some state was never reached");
}

#[test]
fn the_same_seed_makes_the_same_history() {
    for seed in [3, 17, 4242] {
        let run = || {
            let mut world = World::new(seed, true);
            let verdict = world.run(STEPS);
            (verdict, world.trace, world.history.told)
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}

fn replay(seed: u64) {
    let mut world = World::new(seed, true);
    let verdict = world.run(STEPS);
    for line in &world.trace {
        println!("{line}");
    }
    verdict.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the ban is the machine's, and this asks which seed to run")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} takes a whole number, not {text:?}")))
}
