//! What was recorded of a run: clients, writes, reads, and each session's chain of states.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::names::{Name, Names};
use crate::state::State;

/// An index into one of the history's tables.
pub(crate) type Index = usize;

/// One register: what the promises are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Register {
    pub(crate) session: Name,
    pub(crate) view: Name,
    pub(crate) vsn: u64,
    /// None for a `:session` key.
    pub(crate) tab: Option<Name>,
    pub(crate) key: Name,
}

/// Where a client writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) session: Name,
    pub(crate) view: Name,
    pub(crate) vsn: u64,
    pub(crate) tab: Name,
}

impl Register {
    /// Where all views' `:shared` key of this name stands.
    pub(crate) fn shared(session: Name, key: Name) -> Self {
        Self { session, view: Name::SHARED_VIEW, vsn: 1, tab: None, key }
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.view == Name::SHARED_VIEW
    }
}

impl Slot {
    pub(crate) fn register(self, key: Name, of_tab: bool) -> Register {
        let Self { session, view, vsn, tab } = self;
        Register { session, view, vsn, tab: of_tab.then_some(tab), key }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mount {
    Dead,
    Fresh,
    Rejoin,
    Again,
}

/// One LiveView's hold on its session.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: Name,
    pub(crate) session: Name,
    pub(crate) node: Name,
    /// None for one that only forgets.
    pub(crate) slot: Option<Slot>,
    pub(crate) mount: Mount,
    pub(crate) stores_tab: bool,
    pub(crate) opened: u64,
    pub(crate) opened_end: Option<u64>,
    pub(crate) closed: Option<u64>,
    /// The client whose mount this one carries on; itself otherwise.
    pub(crate) root: Index,
    /// By number.
    pub(crate) writes: Vec<Index>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Stash(Vec<(Register, Name)>),
    Remove(Vec<Register>),
    Reset,
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Saved,
    Failed,
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) client: Index,
    pub(crate) number: u64,
    pub(crate) invoked: u64,
    pub(crate) op: Op,
    pub(crate) end: Option<(Outcome, u64)>,
}

impl Write {
    pub(crate) fn saved_at(&self) -> Option<u64> {
        self.end.filter(|(outcome, _)| *outcome == Outcome::Saved).map(|(_, at)| at)
    }

    pub(crate) fn failed_at(&self) -> Option<u64> {
        self.end.filter(|(outcome, _)| *outcome == Outcome::Failed).map(|(_, at)| at)
    }
}

/// A client was told that everything it holds is saved.
#[derive(Debug)]
pub(crate) struct Flushed {
    pub(crate) client: Index,
    pub(crate) at: u64,
    pub(crate) state: Vec<(Register, Name)>,
}

/// A node has drained, and says that so many of its writes are not saved.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) node: Name,
    pub(crate) at: u64,
    pub(crate) unsaved: u64,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) at: u64,
    /// The version of the code that wrote the slice, and the tab's part of it; none if nothing was found.
    pub(crate) found: Option<(u64, u64)>,
    pub(crate) values: Vec<(Register, Name)>,
    /// It says nothing of `:reconnect` keys.
    pub(crate) is_tabless: bool,
    pub(crate) rev: Option<u64>,
    pub(crate) stale: bool,
}

#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) client: Index,
    pub(crate) number: u64,
    pub(crate) invoked: u64,
    pub(crate) answer: Option<Answer>,
}

/// What is known of one session's object.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// In the order in which they became the present one. The state before the first is "no object".
    pub(crate) states: Vec<State>,
    pub(crate) last: Option<State>,
    /// When somebody took the object away behind everybody's back.
    pub(crate) lost: Vec<u64>,
    /// When the store answered with an old revision, and to which node.
    pub(crate) stale: Vec<(u64, Option<Name>)>,
}

/// The numbers that the run was made with.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) ttl_ms: u64,
    pub(crate) skew_ms: u64,
    pub(crate) applied_age_ms: u64,
    pub(crate) applied_max: u64,
    pub(crate) tabs_per_view: u64,
    pub(crate) log: bool,
}

impl Default for Rules {
    /// The engine's defaults.
    fn default() -> Self {
        let hour = 3_600_000;
        let ttl_ms = 30 * 24 * hour;
        Self { ttl_ms, skew_ms: 0, applied_age_ms: hour, applied_max: 32, tabs_per_view: 32, log: true }
    }
}

/// Why the lines are no history. Nothing can be said of the promises then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAHistory(pub String);

impl fmt::Display for NotAHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a history: {}", self.0)
    }
}

impl std::error::Error for NotAHistory {}

/// What was recorded of a run.
#[derive(Debug, Default)]
pub struct History {
    pub(crate) names: Names,
    pub(crate) rules: Rules,
    pub(crate) clients: Vec<Client>,
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
    pub(crate) flushed: Vec<Flushed>,
    pub(crate) drained: Vec<Drained>,
    /// By session.
    pub(crate) chains: BTreeMap<Name, Chain>,
    /// Which write a value is of.
    pub(crate) write_of: HashMap<Name, Index>,
    /// What is wrong with documents that moved to another name.
    pub(crate) strays: Vec<String>,
    /// Writes that were told two outcomes.
    pub(crate) told_twice: Vec<(Index, Outcome, Outcome)>,
    pub(crate) events: u64,
    pub(crate) torn: u64,
    /// What happened to nodes, and the faults, by name.
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) client_of: HashMap<Name, Index>,
    /// Which session's an object is, and which of its objects, the oldest name first.
    pub(crate) object_of: HashMap<String, (Name, usize)>,
    /// What stood under each name, until it is put together (`moves.rs`).
    pub(crate) pieces: BTreeMap<(Name, usize), Chain>,
    pub(crate) reads_of: HashMap<(Index, u64), Index>,
    pub(crate) written: HashMap<(Index, u64), Index>,
}

impl History {
    /// Whether one client's mount was certainly over before the other's began, on whichever clocks. Mounts are ordered by
    /// milliseconds. One that was never heard of, and carries on, stands behind all others.
    pub(crate) fn mounted_before(&self, first: Index, second: Index) -> bool {
        let (first, second) = (&self.clients[self.clients[first].root], &self.clients[self.clients[second].root]);
        if first.mount == Mount::Again || second.mount == Mount::Again {
            return false;
        }
        let skew = match (first.node == second.node, first.slot == second.slot) {
            (true, true) => 0,
            (true, false) => 1000,
            // Where clocks are apart, a claim that a mount finds stored from the future is taken for a clock's error.
            (false, _) if self.rules.skew_ms > 0 => self.rules.skew_ms.saturating_mul(2000) + RECOVER_TIMEOUT_US,
            (false, _) => 1000,
        };
        first.opened_end.is_some_and(|end| end.saturating_add(skew) < second.opened)
    }
}

impl Op {
    /// Whether it does anything to its own view's slice.
    pub(crate) fn reaches_slice(&self) -> bool {
        match self {
            Self::Stash(sets) => sets.iter().any(|(register, _)| !register.is_shared()),
            Self::Remove(_) | Self::Reset | Self::Forget => true,
        }
    }

    pub(crate) fn sets(&self) -> &[(Register, Name)] {
        match self {
            Self::Stash(sets) => sets,
            Self::Remove(_) | Self::Reset | Self::Forget => &[],
        }
    }
}

/// How long after a mount its look at the document may leave.
const RECOVER_TIMEOUT_US: u64 = 3_000_000;
