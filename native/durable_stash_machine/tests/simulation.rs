//! Thousands of seeded worlds, each checked against the promises of the design on every step.
//!
//! A failing seed is printed; `DURABLE_STASH_SEED=<seed>` replays it alone with its whole trace.
//! `DURABLE_STASH_SEEDS=<count>` runs more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod support;

use support::history::Counts;
use support::world::{Kind, World};

const STEPS: u64 = 120;
const SEEDS: u64 = 10_000;

#[test]
fn nodes_that_crash_and_a_network_that_lies_break_no_promise() {
    simulate(
        Kind::Plain,
        &[
            "rekeyed",
            "sealed",
            "followed",
            "retired",
            "lost",
            "restored",
            "damaged",
            "quarantined",
            "healed",
            "expired",
            "swept",
            "deleted",
        ],
    );
}

#[test]
fn a_rotated_secret_breaks_no_promise() {
    simulate(
        Kind::TwoSecrets,
        &["lost", "restored", "damaged", "quarantined", "healed", "expired", "swept", "deleted"],
    );
}

#[test]
fn a_store_that_loses_the_object_breaks_no_other_promise() {
    simulate(
        Kind::Losing,
        &[
            "forgotten",
            "rekeyed",
            "sealed",
            "followed",
            "retired",
            "damaged",
            "quarantined",
            "healed",
            "expired",
            "swept",
            "deleted",
        ],
    );
}

#[test]
fn bits_that_turn_over_break_no_other_promise() {
    simulate(
        Kind::Damaging,
        &["forgotten", "rekeyed", "sealed", "followed", "retired", "lost", "restored", "expired", "swept", "deleted"],
    );
}

#[test]
fn time_that_runs_out_and_clocks_that_step_break_no_promise() {
    simulate(
        Kind::Expiring,
        &["rekeyed", "sealed", "followed", "retired", "lost", "restored", "damaged", "quarantined", "healed"],
    );
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

/// Runs the worlds of this kind, in which these things cannot happen and everything else must.
fn simulate(kind: Kind, impossible: &[&str]) {
    let of_kind = |seed: &u64| Kind::of(*seed) == kind;
    if let Some(seed) = number("DURABLE_STASH_SEED") {
        return Some(seed).filter(of_kind).into_iter().for_each(replay);
    }
    let seeds = number("DURABLE_STASH_SEEDS").unwrap_or(SEEDS);
    let mut total = Counts::default();
    let mut worlds = 0;
    for seed in (0..seeds).filter(of_kind) {
        let mut world = World::new(seed, false);
        if let Err(broken) = world.run(STEPS) {
            panic!(
                "seed {seed}: {broken}\nreplay: DURABLE_STASH_SEED={seed} cargo test -p durable_stash_machine --test simulation"
            );
        }
        total += world.told();
        worlds += 1;
    }
    println!("{kind:?}: {worlds} worlds, {total:?}");
    let Counts { saved, failed, unknown, conflicts, crashes, .. } = total;
    println!(
        "figures machine, {kind:?}: worlds={worlds} crashes={crashes} conflicts={conflicts} saved={saved} failed={failed} unknown={unknown}"
    );
    // A simulation that never meets a conflict proves nothing.
    if seeds >= SEEDS {
        assert_eq!(total.never(), impossible, "what never happened, and what cannot");
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

/// The simulation finds the bugs that are planted, each within so many seeds.
#[cfg(feature = "planted-bugs")]
mod planted {
    use durable_stash_machine::planted::Bug;

    use super::{STEPS, World};

    const SEEDS: u64 = 2_000;

    #[test]
    fn catches_an_unconditional_put() {
        catches(Bug::UnconditionalPut);
    }

    #[test]
    fn catches_an_etag_without_rev() {
        catches(Bug::EtagWithoutRev);
    }

    #[test]
    fn catches_a_blind_rebase() {
        catches(Bug::BlindRebase);
    }

    #[test]
    fn catches_a_412_taken_for_mine() {
        catches(Bug::LostIsMine);
    }

    #[test]
    fn catches_a_412_never_taken_for_mine() {
        catches(Bug::LostIsNeverMine);
    }

    #[test]
    fn catches_operations_added_to_a_frozen_batch() {
        catches(Bug::GrowingBatch);
    }

    #[test]
    fn catches_a_slice_replaced_by_another_version() {
        catches(Bug::SliceReplaced);
    }

    #[test]
    fn catches_a_fence_that_nobody_asks() {
        catches(Bug::FenceIgnored);
    }

    #[test]
    fn catches_a_write_told_saved_too_early() {
        catches(Bug::SavedTooEarly);
    }

    #[test]
    fn catches_applied_pruned_too_early() {
        catches(Bug::AppliedPruned);
    }

    #[test]
    fn catches_a_drain_that_forgets() {
        catches(Bug::DrainForgets);
    }

    #[test]
    fn catches_every_bug_of_the_machine_and_the_store() {
        let tests = include_str!("simulation.rs");
        for bug in Bug::ALL.into_iter().filter(|bug| *bug != Bug::KeptTermsAdvance) {
            assert!(tests.contains(&format!("catches(Bug::{bug:?});")), "{bug:?} is not");
        }
    }

    fn catches(bug: Bug) {
        let broken = (0..SEEDS).find_map(|seed| Some((seed, World::planted(seed, bug).run(STEPS).err()?)));
        let Some((seed, broken)) = broken else { panic!("{bug:?} breaks nothing in {SEEDS} seeds") };
        println!("{bug:?}: seed {seed}: {}", broken.lines().next().unwrap_or_default());
    }
}
