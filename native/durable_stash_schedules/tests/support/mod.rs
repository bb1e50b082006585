//! What the schedules share: how many are tried, an engine that forgets idle sessions at once, a store that watches it.

mod store;
mod world;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use durable_stash_schedules::bugs::{Bug, plant};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler, UncontrolledNondeterminismCheckScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

pub(crate) use store::Watched;
pub(crate) use world::{SHARED, Tab, World, tasks_unwind, written};

/// Threads that meet, and what must be true whatever their order is.
pub(crate) type Scenario = fn();

/// Runs the scenario under as many schedules as `DURABLE_STASH_SCHEDULES` says, and prints the first that fails, with how to repeat it.
/// Each of these moments must have come in one of them at least, or the scenario shows less than it says.
pub(crate) fn holds_in_every_order(scenario: Scenario, moments: &[&str]) {
    let wanted = std::env::var("DURABLE_STASH_SCHEDULES")
        .map_or(SCHEDULES, |count| count.parse().expect("DURABLE_STASH_SCHEDULES=<count>"));
    let tried = run(scenario, wanted, FailurePersistence::Print);
    assert_eq!(tried, wanted);
    for moment in moments {
        assert!(MOMENTS.with_borrow(|seen| seen.contains(moment)), "never: {moment}");
    }
    println!("schedules={tried}");
}

/// Notes that this moment has come.
pub(crate) fn moment(moment: &'static str) {
    MOMENTS.with_borrow_mut(|seen| seen.insert(moment));
}

thread_local! {
    /// std's: schedules run on the thread of their test.
    static MOMENTS: RefCell<BTreeSet<&'static str>> = RefCell::default();
}

/// Plants the bug, and says whether the scenario shows it.
pub(crate) fn is_found(bug: Bug, scenario: Scenario) -> bool {
    plant(Some(bug));
    let found = catch_unwind(AssertUnwindSafe(|| run(scenario, UNTIL_FOUND, FailurePersistence::None))).is_err();
    plant(None);
    found
}

/// Whether a schedule decides everything, so that a failing one can be repeated.
pub(crate) fn can_be_repeated(scenario: Scenario) {
    let scheduler = UncontrolledNondeterminismCheckScheduler::new(RandomScheduler::new(REPEATED));
    Runner::new(scheduler, config(FailurePersistence::Print)).run(scenario);
}

/// Half of the schedules are random, half have few preemptions (PCT), as bugs need that show when one thread is held up for
/// long at just the wrong place.
fn run(scenario: Scenario, schedules: usize, on_failure: FailurePersistence) -> usize {
    let random = RandomScheduler::new(schedules.div_ceil(2));
    let few_preemptions = PctScheduler::new(PREEMPTIONS, schedules / 2);
    let run = |scheduler: Box<dyn Scheduler + Send>| Runner::new(scheduler, config(on_failure.clone())).run(scenario);
    run(Box::new(random)) + run(Box::new(few_preemptions))
}

fn config(on_failure: FailurePersistence) -> Config {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    // What takes so many steps hangs: a whole schedule takes a few hundred.
    config.max_steps = MaxSteps::FailAfter(50_000);
    config.failure_persistence = on_failure;
    config.silence_warnings = true;
    config
}

const SCHEDULES: usize = 2_000;
const UNTIL_FOUND: usize = 20_000;
const REPEATED: usize = 200;
const PREEMPTIONS: usize = 3;
