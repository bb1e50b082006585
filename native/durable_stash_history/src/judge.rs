//! The verdict: which promises were broken, by which writes, in which revisions.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::history::{Chain, History, Index, Mount, Outcome, Register, Slot, Write};
use crate::names::Name;
use crate::removals::Removals;

/// One of the promises of design §1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Durability.
    I1,
    /// No lost update.
    I2,
    /// At most once.
    I3,
    /// Order.
    I4,
    /// Chain.
    I5,
    /// Fencing.
    I6,
    /// Honest outcome.
    I7,
    /// Sound recovery.
    I8,
    /// Isolation.
    I9,
    /// Expiry.
    I10,
    /// Versions.
    I11,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// Session, key, writes, revisions.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} broken: {}", self.promise, self.how)
    }
}

/// What can be said of a history.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What was broken, in no order that means anything.
    pub broken: Vec<Broken>,
    /// Counts, by name, in a fixed order.
    pub figures: Vec<(String, u64)>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_sound(&self) -> bool {
        self.broken.is_empty()
    }

    /// Saved writes that are not where they must be.
    pub fn lost(&self) -> usize {
        self.broken.iter().filter(|broken| broken.promise == Promise::I1).count()
    }
}

impl fmt::Display for Verdict {
    /// The line of figures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "figures history:")?;
        for (name, count) in &self.figures {
            write!(f, " {name}={count}")?;
        }
        write!(f, " lost={} broken={}", self.lost(), self.broken.len())
    }
}

/// Judges the history.
pub fn judge(history: &History) -> Verdict {
    let mut judge = Judge {
        history,
        removals: Removals::of(history),
        mounts: mounts(history),
        lines: BTreeMap::new(),
        node_of: HashMap::new(),
        broken: Vec::new(),
    };
    for (index, first, second) in &history.told_twice {
        let write = judge.write(*index);
        judge.broken(Promise::I7, format!("{write} was told {first:?} and later {second:?}"));
    }
    for stray in &history.strays {
        judge.broken(Promise::I2, stray.clone());
    }
    if history.rules.log {
        for (session, chain) in &history.chains {
            judge.walk(*session, chain);
        }
        judge.outcomes();
        judge.reads();
    } else {
        judge.without_log();
    }
    judge.drains();
    judge.finals();
    let mut figures = figures(history);
    if history.rules.log {
        figures.extend(judge.unsettled());
    }
    let mut broken = judge.broken;
    broken.sort_by(|a, b| (a.promise, &a.how).cmp(&(b.promise, &b.how)));
    Verdict { figures, broken }
}

pub(crate) struct Judge<'a> {
    pub(crate) history: &'a History,
    pub(crate) removals: Removals,
    /// The connected mounts of each tab on each node.
    mounts: HashMap<(Name, Slot), Vec<Index>>,
    /// By session: what became of each register.
    pub(crate) lines: BTreeMap<Name, Line>,
    /// Which node a writer is.
    pub(crate) node_of: HashMap<String, Name>,
    broken: Vec<Broken>,
}

/// The states of one session, register by register. A position counts states: 0 is before the first.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// What each register held from which position on, nothing at first.
    pub(crate) changes: HashMap<Register, Vec<(usize, Option<Name>)>>,
    /// Where each value stood: from and until which position, the last time.
    pub(crate) stood: HashMap<(Register, Name), (usize, Option<usize>)>,
    /// Which node made the state, where that is known.
    pub(crate) nodes: Vec<Option<Name>>,
    /// From this position on the object was taken away behind everybody's back once: what was overtaken long ago may
    /// be applied, and what was saved may be gone.
    pub(crate) lossy_from: Option<usize>,
}

impl Line {
    /// What the register held at the position.
    pub(crate) fn at(&self, register: &Register, position: usize) -> Option<Name> {
        let changes = self.changes.get(register)?;
        let after = changes.partition_point(|(from, _)| *from <= position);
        changes[..after].last().and_then(|(_, value)| *value)
    }

    /// The register's changes from after `lo` up to `hi`.
    pub(crate) fn between(&self, register: &Register, lo: usize, hi: usize) -> &[(usize, Option<Name>)] {
        let Some(changes) = self.changes.get(register) else { return &[] };
        let from = changes.partition_point(|(at, _)| *at <= lo);
        let until = changes.partition_point(|(at, _)| *at <= hi);
        &changes[from..until.max(from)]
    }

    /// The value goes, and this comes in its place.
    pub(crate) fn leave(&mut self, register: Register, value: Name, position: usize, successor: Option<Name>) {
        self.changes.entry(register).or_default().push((position, successor));
        if let Some((_, until)) = self.stood.get_mut(&(register, value)) {
            *until = Some(position);
        }
    }

    pub(crate) fn is_lossy_at(&self, position: usize) -> bool {
        self.lossy_from.is_some_and(|from| from <= position)
    }
}

impl Chain {
    /// When the state of this position became the present one, at the earliest.
    pub(crate) fn since(&self, position: usize) -> u64 {
        position.checked_sub(1).map_or(0, |index| self.states[index].at)
    }

    /// The same, at the latest.
    pub(crate) fn by(&self, position: usize) -> u64 {
        position.checked_sub(1).map_or(0, |index| self.states[index].until)
    }

    /// The positions that may have been the present one at some time from `from` to `until`.
    pub(crate) fn present(&self, from: u64, until: u64) -> (usize, usize) {
        let lo = self.states.partition_point(|state| state.until < from);
        (lo, self.states.partition_point(|state| state.at <= until).max(lo))
    }
}

impl<'a> Judge<'a> {
    pub(crate) fn broken(&mut self, promise: Promise, how: String) {
        self.broken.push(Broken { promise, how });
    }

    /// What became of the stashes whose clients were told nothing, or that it is unknown.
    fn unsettled(&self) -> [(String, u64); 2] {
        let is_unsettled = |write: &&Write| write.end.is_none_or(|(end, _)| end == Outcome::Unknown);
        let is_applied = |write: &&Write| {
            let session = self.history.clients[write.client].session;
            let stood =
                |set: &(Register, Name)| self.lines.get(&session).is_some_and(|line| line.stood.contains_key(set));
            write.op.sets().iter().any(stood)
        };
        let unsettled = self.history.writes.iter().filter(is_unsettled).filter(|write| !write.op.sets().is_empty());
        let (applied, not): (Vec<&Write>, Vec<&Write>) = unsettled.partition(is_applied);
        [("unknown_applied", applied.len()), ("unknown_not_applied", not.len())]
            .map(|(name, count)| (name.to_owned(), count as u64))
    }

    /// Whether the first write came certainly before the second.
    pub(crate) fn is_before(&self, first: Index, second: Index) -> bool {
        let (first, second) = (&self.history.writes[first], &self.history.writes[second]);
        let in_turn = first.client == second.client && first.number < second.number;
        in_turn || first.saved_at().is_some_and(|saved| saved < second.invoked)
    }

    /// A client of the same node and tab whose mount came after this one's and was over by then.
    pub(crate) fn later_mount_here(&self, client: Index, by: u64) -> Option<Index> {
        let one = &self.history.clients[client];
        let mounts = self.mounts.get(&(one.node, one.slot?))?;
        mounts.iter().copied().find(|other| {
            let later = &self.history.clients[*other];
            let was_gone = later.closed.is_some_and(|closed| closed <= one.opened);
            let is_over = later.opened_end.is_some_and(|end| end < by);
            *other != client && is_over && !was_gone && self.history.mounted_before(client, *other)
        })
    }

    pub(crate) fn node(&self, write: &Write) -> Name {
        self.history.clients[write.client].node
    }

    pub(crate) fn text(&self, name: Name) -> &'a str {
        self.history.names.text(name)
    }

    /// A write in words.
    pub(crate) fn write(&self, write: Index) -> String {
        let write = &self.history.writes[write];
        let client = &self.history.clients[write.client];
        let end = match write.end {
            None => "no end".to_owned(),
            Some((outcome, at)) => format!("{outcome:?} at {at}"),
        };
        format!(
            "write {} of client {} on node {} (invoked at {}, {end})",
            write.number,
            self.text(client.name),
            self.text(client.node),
            write.invoked
        )
    }

    /// A register in words.
    pub(crate) fn place(&self, register: &Register) -> String {
        let Register { session, view, vsn, tab, key } = *register;
        let tab = tab.map_or_else(String::new, |tab| format!(", tab {:?}", self.text(tab)));
        format!("key {:?} (session {:?}, view {}, vsn {vsn}{tab})", self.text(key), self.text(session), self.text(view))
    }
}

fn mounts(history: &History) -> HashMap<(Name, Slot), Vec<Index>> {
    let mut mounts: HashMap<_, Vec<Index>> = HashMap::new();
    for (index, client) in history.clients.iter().enumerate() {
        if let Some(slot) = client.slot.filter(|_| client.mount != Mount::Dead) {
            mounts.entry((client.node, slot)).or_default().push(index);
        }
    }
    mounts
}

fn figures(history: &History) -> Vec<(String, u64)> {
    let ended = |outcome| move |write: &&Write| write.end.is_some_and(|(end, _)| end == outcome);
    let count = |outcome| history.writes.iter().filter(ended(outcome)).count() as u64;
    let answers = history.reads.iter().filter_map(|read| read.answer.as_ref());
    let mut figures: Vec<(String, u64)> = [
        ("events", history.events),
        ("sessions", history.chains.len() as u64),
        ("clients", history.clients.len() as u64),
        ("writes", history.writes.len() as u64),
        ("saved", count(Outcome::Saved)),
        ("failed", count(Outcome::Failed)),
        ("unknown", count(Outcome::Unknown)),
        ("open", history.writes.iter().filter(|write| write.end.is_none()).count() as u64),
        ("reads", history.reads.len() as u64),
        ("answered", answers.clone().count() as u64),
        ("recovered", answers.clone().filter(|answer| !answer.values.is_empty()).count() as u64),
        ("stale_answers", answers.filter(|answer| answer.stale).count() as u64),
        ("versions", history.chains.values().map(|chain| chain.states.len() as u64).sum()),
        (
            "moved",
            history.chains.values().flat_map(|chain| &chain.states).filter(|state| state.has_moved).count() as u64,
        ),
        ("torn", history.torn),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), count))
    .collect();
    figures.extend(history.counts.iter().map(|(name, count)| (name.clone(), *count)));
    figures
}
