//! The scenarios. Each is checked in two sizes: a small one in every test run, the full one on demand.

use durable_stash_machine::Policy;

use crate::reached::Reached;
use crate::scenario::{Faults, Scenario, Script, Step};

/// How much may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Seconds.
    Small,
    /// Minutes.
    Full,
}

/// All of them.
pub fn all(size: Size) -> Vec<Scenario> {
    vec![
        two_nodes_two_writes(size),
        three_nodes_one_write(size),
        late_and_repeated_puts(size),
        a_value_that_returns(size),
        defaults_against_writes(size),
        sweep_against_write(size),
        claim_against_zombie_on_one_node(size),
        claim_against_zombie_on_two_nodes(size),
        two_mounts_at_once(size),
        a_zombie_over_a_forget(size),
        a_zombie_over_a_restart(size),
        a_fresh_mount(size),
        a_page_that_is_left(size),
        an_emptying_that_comes_too_late(size),
        two_vsns(size),
        a_rolling_deploy(size),
        given_up(size),
        a_crowded_object(size),
        retries_that_wait(size),
        reads_against_writes(size),
        a_store_that_is_behind(size),
        drain(size),
        forget_against_write(size),
    ]
}

/// Two nodes write twice each, one key in common; one node is killed, one answer is lost.
pub fn two_nodes_two_writes(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, crashes: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, crashes: 1, busy: 1, ..Faults::default() },
    };
    let script = |node, tab, own| Script::on(node, tab, &[stash("a"), stash(own)]);
    Scenario::new("two_nodes_two_writes", 2, vec![script(0, "t", "b"), script(1, "u", "c")]).faults(faults).reaches(&[
        Reached::Conflict,
        Reached::ResolvedSaved,
        Reached::ResolvedUnsaved,
        Reached::ToldSaved,
        Reached::RebaseKeptForeign,
        Reached::OrphanLanded,
        Reached::LatePutLanded,
    ])
}

/// Three nodes create the same object at once.
pub fn three_nodes_one_write(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, crashes: 1, repeats: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[stash("ab")]),
        Script::on(1, "u", &[stash("bc")]),
        Script::on(2, "w", &[stash("ca")]),
    ];
    Scenario::new("three_nodes_one_write", 3, lives).faults(faults).reaches(&[
        Reached::Conflict,
        Reached::ToldSaved,
        Reached::RebaseKeptForeign,
    ])
}

/// PUTs arrive late, twice, and after those that were sent later.
pub fn late_and_repeated_puts(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 2, repeats: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, repeats: 2, crashes: 1, ..Faults::default() },
    };
    let lives = vec![Script::on(0, "t", &[stash("a"), stash("ab")]), Script::on(1, "u", &[stash("b")])];
    Scenario::new("late_and_repeated_puts", 2, lives).faults(faults).reaches(&[
        Reached::Conflict,
        Reached::ResolvedSaved,
        Reached::ResolvedUnsaved,
        Reached::RebaseKeptForeign,
        Reached::LatePutLanded,
        Reached::MetItself,
    ])
}

/// A key is set and dropped, so that the values are what they were before: an etag must not be (fault 6).
pub fn a_value_that_returns(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, repeats: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, repeats: 1, crashes: 1, ..Faults::default() },
    };
    let lives =
        vec![Script::on(0, "t", &[stash("a"), stash("b"), Step::Drop("b")]), Script::on(1, "u", &[Step::Reset])];
    Scenario::new("a_value_that_returns", 2, lives).faults(faults).reaches(&[
        Reached::Conflict,
        Reached::LatePutLanded,
        Reached::MetItself,
    ])
}

/// Two tabs that have found nothing: each sends what it has changed, and its defaults of what it has not.
pub fn defaults_against_writes(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 1, crashes: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[Step::Default("ab"), stash("b"), Step::Read]),
        Script::on(1, "u", &[stash("a"), Step::Default("b"), Step::Drop("a")]),
    ];
    Scenario::new("defaults_against_writes", 2, lives).faults(faults).reaches(&[
        Reached::DefaultGaveWay,
        Reached::Conflict,
        Reached::RebaseKeptForeign,
        Reached::ResolvedSaved,
    ])
}

/// The object passes its time while it is written, and is swept.
pub fn sweep_against_write(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { ages: 2, sweeps: 2, ..Faults::default() },
        Size::Full => Faults { ages: 2, sweeps: 3, timeouts: 1, ..Faults::default() },
    };
    let lives = vec![Script::on(0, "t", &[stash("a"), stash("b")]), Script::on(1, "u", &[stash("a"), Step::Read])];
    Scenario::new("sweep_against_write", 2, lives).faults(faults).reaches(&[
        Reached::SweepBuried,
        Reached::SweepLost,
        Reached::TombstoneRemoved,
        Reached::WroteOnTombstone,
        Reached::Conflict,
    ])
}

/// A LiveView goes on after its tab has mounted again on the same node.
pub fn claim_against_zombie_on_one_node(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, evictions: 1, crashes: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, evictions: 1, repeats: 1, crashes: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[REJOIN, both("a", "c"), both("b", "c")]).stores_tab(),
        Script::on(0, "t", &[REJOIN, both("b", "c")]).stores_tab(),
    ];
    Scenario::new("claim_against_zombie_on_one_node", 1, lives).faults(faults).reaches(&[
        Reached::ZombieRefused,
        Reached::ToldSaved,
        Reached::ResolvedSaved,
    ])
}

/// The same on two nodes, where only the store can tell.
pub fn claim_against_zombie_on_two_nodes(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, evictions: 1, repeats: 1, crashes: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[REJOIN, both("a", "c"), both("b", "c")]).stores_tab(),
        Script::on(1, "t", &[REJOIN, both("b", "c")]).stores_tab(),
    ];
    Scenario::new("claim_against_zombie_on_two_nodes", 2, lives).faults(faults).reaches(&[
        Reached::ZombieFenced,
        Reached::ToldSaved,
        Reached::Conflict,
    ])
}

/// A tab mounts on two nodes in one millisecond. Either may win; and only one.
pub fn two_mounts_at_once(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, evictions: 1, crashes: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[REJOIN, both("a", "c"), both("", "c")]).stores_tab(),
        Script::on(1, "t", &[REJOIN, both("", "c"), both("b", "c")]).stores_tab(),
    ];
    Scenario::new("two_mounts_at_once", 2, lives).at_once().faults(faults).reaches(&[
        Reached::ZombieFenced,
        Reached::ToldSaved,
        Reached::Conflict,
    ])
}

/// Logout while a LiveView and its successor live: the successor's claim outlives the document.
pub fn a_zombie_over_a_forget(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 1, repeats: 1, crashes: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[REJOIN, both("a", "c"), both("b", "c")]).stores_tab(),
        Script::on(1, "t", &[REJOIN, both("", "c"), Step::Forget]).stores_tab(),
    ];
    Scenario::new("a_zombie_over_a_forget", 2, lives).faults(faults).reaches(&[
        Reached::ZombieFenced,
        Reached::Forgotten,
        Reached::WroteOnTombstone,
    ])
}

/// The engine is restarted while a LiveView and its successor live.
pub fn a_zombie_over_a_restart(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { restarts: 1, ..Faults::default() },
        Size::Full => Faults { restarts: 1, timeouts: 1, ..Faults::default() },
    };
    let first: &[Step] = match size {
        Size::Small => &[REJOIN, both("a", "c")],
        Size::Full => &[REJOIN, both("a", "c"), both("b", "c")],
    };
    let lives = vec![
        Script::on(0, "t", first).stores_tab(),
        Script::on(0, "t", &[REJOIN, both("", "c")]).stores_tab(),
        Script::on(1, "t", &[REJOIN, both("a", "c")]).stores_tab(),
    ];
    Scenario::new("a_zombie_over_a_restart", 2, lives)
        .faults(faults)
        .reaches(&[Reached::ZombieRefused, Reached::ZombieFenced])
}

/// A fresh mount empties its tab, and nothing else.
pub fn a_fresh_mount(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 1, ticks: 1, crashes: 1, refusals: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[REJOIN, both("a", "c"), both("", "c")]).stores_tab(),
        Script::on(1, "t", &[Step::Claim { fresh: true }, Step::Read, both("", "d")]).stores_tab(),
    ];
    Scenario::new("a_fresh_mount", 2, lives).faults(faults).reaches(&[
        Reached::TabEmptied,
        Reached::ToldSaved,
        Reached::ZombieFenced,
    ])
}

/// A fresh mount leaves before it has written: whoever mounts next empties the tab.
pub fn a_page_that_is_left(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 1, evictions: 1, refusals: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[REJOIN, both("a", "c"), Step::Leave]).stores_tab(),
        Script::on(0, "t", &[Step::Claim { fresh: true }, Step::Leave]).stores_tab(),
        Script::on(0, "t", &[REJOIN, both("", "d"), Step::Read]).stores_tab(),
    ];
    Scenario::new("a_page_that_is_left", 1, lives).faults(faults).reaches(&[
        Reached::TabEmptied,
        Reached::ToldSaved,
        Reached::ZombieRefused,
    ])
}

/// The tab of a fresh mount goes on elsewhere before it is emptied, and comes back to the node that owes the emptying.
pub fn an_emptying_that_comes_too_late(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { ticks: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 1, ticks: 1, refusals: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[Step::Claim { fresh: true }, Step::Leave]).stores_tab(),
        Script::on(1, "t", &[REJOIN, both("", "c")]).stores_tab(),
        Script::on(0, "t", &[REJOIN, both("", "d"), Step::Read]).stores_tab(),
    ];
    Scenario::new("an_emptying_that_comes_too_late", 2, lives).faults(faults).reaches(&[
        Reached::TabEmptied,
        Reached::RebaseKeptForeign,
        Reached::ZombieFenced,
    ])
}

/// Two versions of the code write by turns, as in a rolling deploy.
pub fn two_vsns(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, crashes: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[stash("a"), stash("ab")]),
        Script::on(1, "u", &[Step::Read, stash("a"), stash("b")]).vsn(2),
    ];
    Scenario::new("two_vsns", 2, lives).faults(faults).reaches(&[
        Reached::TwoVersions,
        Reached::RebaseKeptForeign,
        Reached::Conflict,
    ])
}

/// A tab is taken over by a newer version of the code on another node, and its old LiveView lives on.
pub fn a_rolling_deploy(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, crashes: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[REJOIN, both("a", "c"), both("a", "c")]).stores_tab(),
        Script::on(1, "t", &[REJOIN, Step::Read, both("a", "")]).vsn(2).stores_tab(),
    ];
    Scenario::new("a_rolling_deploy", 2, lives).faults(faults).reaches(&[
        Reached::TwoVersions,
        Reached::ZombieFenced,
        Reached::Conflict,
    ])
}

/// Writes are refused, denied, and given up; the client stashes them again.
pub fn given_up(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, refusals: 1, unsent: 1, repeats: 1, ticks: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, refusals: 1, unsent: 1, repeats: 1, ticks: 1, ..Faults::default() },
    };
    let lives = vec![Script::on(0, "t", &[stash("a"), stash("b")]), Script::on(1, "u", &[stash("a")])];
    Scenario::new("given_up", 2, lives).faults(faults).reaches(&[
        Reached::ToldFailed,
        Reached::ToldUnknown,
        Reached::StashedAgain,
        Reached::ResolvedSaved,
    ])
}

/// The object remembers fewer writers than there are.
pub fn a_crowded_object(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, ..Faults::default() },
    };
    let lives =
        vec![Script::on(0, "t", &[stash("a")]), Script::on(1, "u", &[stash("a")]), Script::on(2, "w", &[stash("a")])];
    Scenario::new("a_crowded_object", 3, lives)
        .faults(faults)
        .policy(|policy| policy.applied_max = 2)
        .reaches(&[Reached::Conflict, Reached::ToldUnknown])
}

/// Retries wait, and while they do the LiveViews go on and read.
pub fn retries_that_wait(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ticks: 2, ..Faults::default() },
        Size::Full => Faults { timeouts: 1, denials: 1, busy: 1, ticks: 3, ..Faults::default() },
    };
    let lives = vec![Script::on(0, "t", &[stash("a"), Step::Read]), Script::on(1, "u", &[stash("ab")])];
    let waits = |policy: &mut Policy| (policy.backoff_base_ms, policy.backoff_cap_ms) = (50, 50);
    Scenario::new("retries_that_wait", 2, lives).faults(faults).policy(waits).reaches(&[
        Reached::Conflict,
        Reached::ResolvedSaved,
        Reached::ResolvedUnsaved,
        Reached::ReadOwnUncommitted,
    ])
}

/// Reads on both nodes while both write.
pub fn reads_against_writes(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { ticks: 1, ..Faults::default() },
        Size::Full => Faults { ticks: 1, timeouts: 1, ..Faults::default() },
    };
    let lives =
        vec![Script::on(0, "t", &[stash("a"), Step::Read]), Script::on(1, "u", &[Step::Read, stash("ab"), Step::Read])];
    Scenario::new("reads_against_writes", 2, lives).faults(faults).reaches(&[
        Reached::ReadOwnUncommitted,
        Reached::ReadOlder,
        Reached::StaleServed,
    ])
}

/// The store answers with what stood there before.
pub fn a_store_that_is_behind(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { stale: 2, ..Faults::default() },
        Size::Full => Faults { stale: 3, timeouts: 1, ..Faults::default() },
    };
    let lives =
        vec![Script::on(0, "t", &[stash("a"), Step::Read, stash("b"), Step::Read]), Script::on(1, "u", &[stash("ab")])];
    Scenario::new("a_store_that_is_behind", 2, lives).faults(faults).reaches(&[
        Reached::StaleRead,
        Reached::Conflict,
        Reached::ReadOlder,
    ])
}

/// A node that holds its first write back is told to stop.
pub fn drain(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ticks: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 1, ticks: 2, crashes: 1, ..Faults::default() },
    };
    let lives = vec![
        Script::on(0, "t", &[stash("a"), stash("b"), Step::Drain]),
        Script::on(1, "u", &[stash("a"), Step::Drain]),
    ];
    Scenario::new("drain", 2, lives)
        .faults(faults)
        .policy(|policy| policy.flush_after_ms = 40)
        .reaches(&[Reached::ToldSaved, Reached::Conflict])
}

/// Logout on one node while the other writes.
pub fn forget_against_write(size: Size) -> Scenario {
    let faults = match size {
        Size::Small => Faults { timeouts: 1, ..Faults::default() },
        Size::Full => Faults { timeouts: 2, repeats: 1, crashes: 1, ..Faults::default() },
    };
    let lives = vec![Script::on(0, "t", &[stash("a"), Step::Forget]), Script::on(1, "u", &[stash("a"), stash("b")])];
    Scenario::new("forget_against_write", 2, lives).faults(faults).reaches(&[
        Reached::Forgotten,
        Reached::WroteOnTombstone,
        Reached::Conflict,
    ])
}

const REJOIN: Step = Step::Claim { fresh: false };

const fn stash(session: &'static str) -> Step {
    Step::Stash { session, tab: "" }
}

const fn both(session: &'static str, tab: &'static str) -> Step {
    Step::Stash { session, tab }
}
