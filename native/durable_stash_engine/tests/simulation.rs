//! Whole engines over a store that does what faults 1 to 26 say, killed, frozen, drained and restarted, in simulated
//! time: every run's history is judged by `durable_stash_history`.
//!
//! Each seed is a run of its own. A failing one names the command that repeats it, and that writes its history, for
//! `durable-stash-history` and for the eye. `DURABLE_STASH_SEEDS=<n>` runs more.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::panic::{AssertUnwindSafe, catch_unwind};

use durable_stash_history::{History, Verdict, judge};
use sim::{FAULTS, Planted, Run, Tally, World};

const SEEDS: u64 = 2_000;

#[test]
fn every_history_of_engines_under_faults_is_sound() {
    if let Some(seed) = from_env("DURABLE_STASH_SEED") {
        let run = run(seed, Planted::default());
        println!("{}", run.history);
        check(seed, &run, true);
        return;
    }
    let seeds = from_env("DURABLE_STASH_SEEDS").unwrap_or(SEEDS);
    let tally = run_all(1..=seeds);
    let figures = tally.iter().map(|(name, count)| format!(" {name}={count}")).collect::<String>();
    println!("figures simulation: seeds={seeds}{figures}");
    if seeds >= SEEDS {
        for fault in FAULTS {
            let name = format!("fault_{fault:02}");
            assert!(tally.get(&name).is_some_and(|count| *count > 0), "{name} was never brought about");
        }
        for what in [
            "kills",
            "freezes",
            "drains",
            "restarts",
            "forgets",
            "sweeps",
            "deleted",
            "lost",
            "unknown",
            "failed",
            "moved",
            "mounts_at_once",
        ] {
            assert!(tally.get(what).is_some_and(|count| *count > 0), "never: {what}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_history_twice() {
    for seed in [3, 17, 4_711] {
        let (first, second) = (run(seed, Planted::default()), run(seed, Planted::default()));
        let differs = first.history.lines().zip(second.history.lines()).find(|(first, second)| first != second);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.history.len(), second.history.len(), "seed {seed}");
    }
}

/// On both cores, each with a thread of its own.
fn run_all(seeds: std::ops::RangeInclusive<u64>) -> Tally {
    const THREADS: u64 = 2;
    let work = |thread: u64| {
        let mut tally = Tally::new();
        for seed in seeds.clone().filter(|seed| seed % THREADS == thread) {
            let run = run(seed, Planted::default());
            let verdict = check(seed, &run, false);
            let figures = ["saved", "failed", "unknown", "open", "moved"];
            let figures = verdict.figures.iter().filter(|(name, _)| figures.contains(&name.as_str())).cloned();
            for (name, count) in run.tally.into_iter().chain(figures) {
                *tally.entry(name).or_default() += count;
            }
        }
        tally
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().fold(Tally::new(), |mut all, thread| {
            for (name, count) in thread.join().expect("a seed has failed") {
                *all.entry(name).or_default() += count;
            }
            all
        })
    })
}

fn run(seed: u64, planted: Planted) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let run = AssertUnwindSafe(|| runtime.block_on(async { World::new(seed, planted).run().await }));
    catch_unwind(run).unwrap_or_else(|panic| {
        eprintln!("{}", replay(seed));
        std::panic::resume_unwind(panic)
    })
}

fn check(seed: u64, run: &Run, shows: bool) -> Verdict {
    let history = History::read([("history", run.history.as_str())]).unwrap_or_else(|error| {
        panic!("{}\n{error}", replay(seed));
    });
    let verdict = judge(&history);
    if shows {
        println!("{verdict}");
    }
    let broken = verdict.broken.iter().map(ToString::to_string).chain(run.wrong.iter().cloned());
    let broken: Vec<String> = broken.take(5).collect();
    assert!(broken.is_empty(), "{}\n{}", replay(seed), broken.join("\n"));
    verdict
}

/// The history alone tells of each planted bug: what the world asserts besides is not asked.
#[cfg(feature = "planted-bugs")]
mod catches {
    use durable_stash_machine::planted::Bug;

    use super::*;

    const SEEDS: u64 = 1_000;

    macro_rules! catches {
        ($($name:ident: $bug:ident,)*) => {
            $(#[test]
            fn $name() {
                catches(Bug::$bug);
            })*

            #[test]
            fn every_planted_bug() {
                assert_eq!(Bug::ALL, [$(Bug::$bug),*]);
            }
        };
    }

    catches! {
        an_unconditional_put: UnconditionalPut,
        an_etag_without_rev: EtagWithoutRev,
        a_blind_rebase: BlindRebase,
        a_412_taken_for_mine: LostIsMine,
        a_412_never_taken_for_mine: LostIsNeverMine,
        operations_added_to_a_frozen_batch: GrowingBatch,
        kept_terms_that_advance_although_the_write_failed: KeptTermsAdvance,
        a_slice_replaced_by_another_version: SliceReplaced,
        a_fence_that_nobody_asks: FenceIgnored,
        a_write_told_saved_too_early: SavedTooEarly,
        applied_pruned_too_early: AppliedPruned,
        a_drain_that_forgets: DrainForgets,
    }

    fn catches(bug: Bug) {
        let broken = (1..=SEEDS).find_map(|seed| {
            let run = run(seed, Planted { bug: Some(bug) });
            let history = History::read([("history", run.history.as_str())]).expect("a history");
            Some((seed, judge(&history).broken.into_iter().next()?))
        });
        let Some((seed, broken)) = broken else { panic!("{bug:?} breaks nothing in {SEEDS} seeds") };
        println!("{bug:?}: seed {seed}: {broken}");
    }
}

fn replay(seed: u64) -> String {
    format!(
        "DURABLE_STASH_SEED={seed} cargo test -p durable_stash_engine --test simulation every_history -- --nocapture"
    )
}

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} takes a whole number, not {text:?}")))
}
