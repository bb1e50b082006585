//! What may have taken a value away: removals, resets, fresh mounts of a tab, requests to forget. Found by what they cover.

use std::collections::HashMap;

use crate::history::{Chain, History, Index, Mount, Op, Outcome, Register, Slot};
use crate::names::Name;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Register(Register),
    Slice { session: Name, view: Name, vsn: u64 },
    Tab(Slot),
    Session(Name),
}

#[derive(Clone, Copy, Debug)]
struct Removal {
    from: u64,
    until: u64,
    client: Index,
    /// The number of the write; none for a mount's emptying of its tab.
    number: Option<u64>,
    /// It was told failed in the end: it can have shown in what its node answered, and nowhere else.
    failed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Removals {
    /// By beginning, each with the latest end of all up to it.
    by_scope: HashMap<Scope, Vec<(Removal, u64)>>,
}

/// When a removal must have been open, and whose it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) node: Option<Name>,
    /// It is for what a node answered: one that was told failed later counts, too, and a fresh mount's emptying that it
    /// still owes hides what later mounts on other nodes have stored.
    pub(crate) read: bool,
}

impl Removals {
    pub(crate) fn of(history: &History) -> Self {
        let mut all: Vec<(Scope, Removal)> = Vec::new();
        for (index, client) in history.clients.iter().enumerate() {
            if let Some(slot) = client.slot.filter(|_| client.mount == Mount::Fresh) {
                let removal =
                    Removal { from: client.opened, until: u64::MAX, client: index, number: None, failed: false };
                all.push((Scope::Tab(slot), removal));
            }
        }
        for write in &history.writes {
            let (until, failed) = match write.end {
                None | Some((Outcome::Unknown, _)) => (u64::MAX, false),
                Some((Outcome::Saved, at)) => (at, false),
                Some((Outcome::Failed, at)) => (at, true),
            };
            let client = &history.clients[write.client];
            // It may have been applied, and have gone with the object, before it was told.
            let is_lost = |chain: &Chain| chain.lost.iter().any(|lost| (write.invoked..=until).contains(lost));
            let failed = failed && !history.chains.get(&client.session).is_some_and(is_lost);
            let removal =
                Removal { from: write.invoked, until, client: write.client, number: Some(write.number), failed };
            match (&write.op, client.slot) {
                (Op::Remove(registers), _) => {
                    all.extend(registers.iter().map(|register| (Scope::Register(*register), removal)));
                }
                (Op::Reset, Some(slot)) => {
                    let Slot { session, view, vsn, .. } = slot;
                    all.push((Scope::Slice { session, view, vsn }, removal));
                    all.push((Scope::Tab(slot), removal));
                }
                (Op::Forget, _) => all.push((Scope::Session(client.session), removal)),
                (Op::Stash(_), _) | (Op::Reset, None) => {}
            }
        }
        all.sort_by_key(|(_, removal)| removal.from);
        let mut by_scope: HashMap<Scope, Vec<(Removal, u64)>> = HashMap::new();
        for (scope, removal) in all {
            let of_scope = by_scope.entry(scope).or_default();
            let latest = of_scope.last().map_or(0, |(_, latest)| *latest).max(removal.until);
            of_scope.push((removal, latest));
        }
        Self { by_scope }
    }

    /// Whether something that was open within this time may have removed what stood at the register: the value of this
    /// write, if there was one.
    pub(crate) fn may_remove(
        &self,
        history: &History,
        register: &Register,
        value_of: Option<Index>,
        within: Within,
    ) -> bool {
        let Register { session, view, vsn, tab, .. } = *register;
        let whole = match tab {
            Some(tab) => Scope::Tab(Slot { session, view, vsn, tab }),
            None => Scope::Slice { session, view, vsn },
        };
        let may = |removal: &Removal| {
            let client = &history.clients[removal.client];
            let in_time = removal.until >= within.from && within.node.is_none_or(|node| node == client.node);
            in_time
                && (within.read || !removal.failed)
                && (value_of.is_none_or(|write| !is_too_old(history, removal, write))
                    || (within.read && is_owed(history, removal, within.from)))
        };
        [Scope::Register(*register), whole, Scope::Session(session)].iter().any(|scope| {
            let Some(removals) = self.by_scope.get(scope) else { return false };
            let until = removals.partition_point(|(removal, _)| removal.from <= within.until);
            let open = removals[..until].iter().rev().take_while(|(_, latest)| *latest >= within.from);
            open.into_iter().any(|(removal, _)| may(removal))
        })
    }
}

/// Whether it is the emptying of a fresh mount that has saved nothing yet but what all views share.
fn is_owed(history: &History, removal: &Removal, at: u64) -> bool {
    let has_saved = |write: &Index| {
        let write = &history.writes[*write];
        write.op.reaches_slice() && write.saved_at().is_some_and(|saved| saved < at)
    };
    removal.number.is_none() && !history.clients[removal.client].writes.iter().any(has_saved)
}

/// Whether the removal was certainly over, or asked for, before the value was written.
fn is_too_old(history: &History, removal: &Removal, write: Index) -> bool {
    let write = &history.writes[write];
    match removal.number {
        Some(number) => (removal.client == write.client && number < write.number) || removal.until < write.invoked,
        // A fresh mount empties what mounts before it have left, by the clocks of their nodes.
        None => history.mounted_before(removal.client, write.client),
    }
}
