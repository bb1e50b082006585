//! The check finds every bug that is planted, and says how it comes about. That it finds none where none is planted is
//! what `scenarios.rs` shows.

use durable_stash_check::scenarios::{self, Size};
use durable_stash_check::{Bug, Scenario, explain};

#[test]
fn catches_an_unconditional_put() {
    catches(Bug::UnconditionalPut, scenarios::late_and_repeated_puts, "I2 no lost update");
}

#[test]
fn catches_an_etag_without_rev() {
    catches(Bug::EtagWithoutRev, scenarios::a_value_that_returns, "I3 at most once");
}

#[test]
fn catches_a_blind_rebase() {
    catches(Bug::BlindRebase, scenarios::two_nodes_two_writes, "I2 no lost update");
}

#[test]
fn catches_a_412_taken_for_mine() {
    catches(Bug::LostIsMine, scenarios::two_nodes_two_writes, "I1 durability");
}

#[test]
fn catches_a_412_never_taken_for_mine() {
    catches(Bug::LostIsNeverMine, scenarios::two_nodes_two_writes, "I3 at most once");
}

#[test]
fn catches_operations_added_to_a_frozen_batch() {
    catches(Bug::GrowingBatch, scenarios::two_nodes_two_writes, "I1 durability");
}

#[test]
fn catches_kept_terms_that_advance_although_the_write_failed() {
    catches(Bug::KeptTermsAdvance, scenarios::given_up, "I1 durability");
}

#[test]
fn catches_a_slice_replaced_by_another_version() {
    catches(Bug::SliceReplaced, scenarios::two_vsns, "I11 versions");
}

#[test]
fn catches_a_fence_that_nobody_asks_on_one_node() {
    catches(Bug::FenceIgnored, scenarios::claim_against_zombie_on_one_node, "I6 fencing");
}

#[test]
fn catches_a_fence_that_nobody_asks_on_two_nodes() {
    catches(Bug::FenceIgnored, scenarios::claim_against_zombie_on_two_nodes, "I6 fencing");
}

#[test]
fn catches_a_write_told_saved_too_early() {
    catches(Bug::SavedTooEarly, scenarios::two_nodes_two_writes, "I1 durability");
}

#[test]
fn catches_applied_pruned_too_early() {
    catches(Bug::AppliedPruned, scenarios::two_nodes_two_writes, "I3 at most once");
}

#[test]
fn catches_a_drain_that_forgets() {
    catches(Bug::DrainForgets, scenarios::drain, "I7 honest outcome");
}

#[test]
fn catches_every_bug_that_can_be_planted() {
    let tests = include_str!("planted.rs");
    for bug in Bug::ALL {
        assert!(tests.contains(&format!("catches(Bug::{bug:?}, ")), "{bug:?} is not");
    }
}

fn catches(bug: Bug, scenario: fn(Size) -> Scenario, promise: &str) {
    let verdict = explain(scenario(Size::Small).planted(bug));
    let found = verdict.broken.iter().find(|(broken, _)| *broken == promise);
    let Some((_, way)) = found else { panic!("{bug:?} does not break {promise}:\n{verdict}") };
    println!("{bug:?} breaks {promise}, {} states:\n{way}", verdict.figures.unique);
    // A way that a reader can follow: numbered steps, and what was said in them.
    assert!(way.starts_with("   1. ") && way.contains("\n        "), "{way}");
}
