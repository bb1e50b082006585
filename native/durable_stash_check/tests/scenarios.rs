//! Every scenario in its small size, exhaustively. The full sizes are run by the binary.

use durable_stash_check::scenarios::{self, Size};
use durable_stash_check::{Scenario, check};

#[test]
fn two_nodes_of_which_one_dies_lose_no_saved_write() {
    keeps_every_promise(scenarios::two_nodes_two_writes(Size::Small));
}

#[test]
fn three_nodes_that_create_one_object_all_have_their_say() {
    keeps_every_promise(scenarios::three_nodes_one_write(Size::Small));
}

#[test]
fn late_and_repeated_puts_change_nothing_twice() {
    keeps_every_promise(scenarios::late_and_repeated_puts(Size::Small));
}

#[test]
fn a_value_that_returns_does_not_bring_back_its_etag() {
    keeps_every_promise(scenarios::a_value_that_returns(Size::Small));
}

#[test]
fn a_default_takes_the_place_of_nothing() {
    keeps_every_promise(scenarios::defaults_against_writes(Size::Small));
}

#[test]
fn a_sweep_never_buries_a_write() {
    keeps_every_promise(scenarios::sweep_against_write(Size::Small));
}

#[test]
fn a_zombie_changes_nothing_on_its_own_node() {
    keeps_every_promise(scenarios::claim_against_zombie_on_one_node(Size::Small));
}

#[test]
fn a_zombie_on_another_node_changes_nothing_once_the_claim_is_stored() {
    keeps_every_promise(scenarios::claim_against_zombie_on_two_nodes(Size::Small));
}

#[test]
fn of_two_mounts_in_one_millisecond_exactly_one_wins() {
    keeps_every_promise(scenarios::two_mounts_at_once(Size::Small));
}

#[test]
fn a_zombie_stays_one_when_the_document_is_forgotten() {
    keeps_every_promise(scenarios::a_zombie_over_a_forget(Size::Small));
}

#[test]
fn a_zombie_stays_one_over_an_engine_restart() {
    keeps_every_promise(scenarios::a_zombie_over_a_restart(Size::Small));
}

#[test]
fn a_fresh_mount_empties_its_tab_and_nothing_else() {
    keeps_every_promise(scenarios::a_fresh_mount(Size::Small));
}

#[test]
fn an_emptying_that_is_owed_outlives_the_page_that_is_left() {
    keeps_every_promise(scenarios::a_page_that_is_left(Size::Small));
}

#[test]
fn an_emptying_that_is_owed_spares_what_later_mounts_have_written() {
    keeps_every_promise(scenarios::an_emptying_that_comes_too_late(Size::Small));
}

#[test]
fn two_versions_leave_each_other_alone() {
    keeps_every_promise(scenarios::two_vsns(Size::Small));
}

#[test]
fn a_rolling_deploy_mixes_no_versions_and_fences_the_old_one() {
    keeps_every_promise(scenarios::a_rolling_deploy(Size::Small));
}

#[test]
fn what_is_given_up_is_told_honestly_and_stashed_again() {
    keeps_every_promise(scenarios::given_up(Size::Small));
}

#[test]
fn what_the_object_may_have_forgotten_is_told_unknown() {
    keeps_every_promise(scenarios::a_crowded_object(Size::Small));
}

#[test]
fn retries_that_wait_are_overtaken_by_nothing() {
    keeps_every_promise(scenarios::retries_that_wait(Size::Small));
}

#[test]
fn reads_show_one_revision_and_what_this_node_has_accepted() {
    keeps_every_promise(scenarios::reads_against_writes(Size::Small));
}

#[test]
fn a_store_that_is_behind_is_never_shown_behind_what_this_node_has_seen() {
    keeps_every_promise(scenarios::a_store_that_is_behind(Size::Small));
}

#[test]
fn a_drain_answers_everybody() {
    keeps_every_promise(scenarios::drain(Size::Small));
}

#[test]
fn what_was_forgotten_does_not_come_back() {
    keeps_every_promise(scenarios::forget_against_write(Size::Small));
}

#[test]
fn every_scenario_is_tested_here() {
    let tested = include_str!("scenarios.rs");
    for scenario in scenarios::all(Size::Small) {
        assert!(tested.contains(&format!("scenarios::{}(", scenario.name)), "{} is not", scenario.name);
    }
}

/// One thread each: the tests themselves run side by side.
fn keeps_every_promise(scenario: Scenario) {
    let name = scenario.name;
    let verdict = check(scenario, 1);
    println!("{name}: {}", verdict.figures);
    assert!(verdict.holds(), "{name}:\n{verdict}");
}
