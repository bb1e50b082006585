//! What clients were told of their writes, held against the chain: *saved* is there by then or was overwritten (I1),
//! *failed* never is (I7).

use crate::history::{Chain, Index, Op, Register};
use crate::judge::{Judge, Line, Promise};
use crate::names::Name;
use crate::removals::Within;

impl Judge<'_> {
    pub(crate) fn outcomes(&mut self) {
        let (history, lines) = (self.history, std::mem::take(&mut self.lines));
        for (index, write) in history.writes.iter().enumerate() {
            let session = history.clients[write.client].session;
            let (Some(line), Some(chain)) = (lines.get(&session), history.chains.get(&session)) else { continue };
            if let Some(at) = write.saved_at() {
                self.check_saved(line, chain, index, at);
            }
            if let Some(at) = write.failed_at() {
                self.check_failed(line, chain, index, at);
            }
        }
        for flushed in &history.flushed {
            let session = history.clients[flushed.client].session;
            let (Some(line), Some(chain)) = (lines.get(&session), history.chains.get(&session)) else { continue };
            for (register, value) in &flushed.state {
                let Some(index) = history.write_of.get(value) else { continue };
                self.check_set(line, chain, *index, register, *value, flushed.at, "its client was told at");
            }
        }
        self.lines = lines;
    }

    /// I7: a drain ends with a word on every write, or counts it among the unsaved.
    pub(crate) fn drains(&mut self) {
        for drained in &self.history.drained {
            let is_untold = |index: &Index| {
                let write = &self.history.writes[*index];
                let is_open = write.end.is_none_or(|(_, at)| at > drained.at);
                self.node(write) == drained.node && write.invoked < drained.at && is_open
            };
            let untold: Vec<Index> = (0..self.history.writes.len()).filter(is_untold).collect();
            if untold.len() as u64 > drained.unsaved {
                let (node, unsaved, first) = (self.text(drained.node), drained.unsaved, self.write(untold[0]));
                let how = format!(
                    "node {node} has drained with {unsaved} writes unsaved, and of {} nothing was said, as of {first}",
                    untold.len()
                );
                self.broken(Promise::I7, how);
            }
        }
    }

    fn check_saved(&mut self, line: &Line, chain: &Chain, index: Index, at: u64) {
        let write = &self.history.writes[index];
        let client = &self.history.clients[write.client];
        match &write.op {
            Op::Stash(sets) => {
                for (register, value) in sets.iter().filter(|(register, _)| register.tab.is_none() || client.stores_tab)
                {
                    self.check_set(line, chain, index, register, *value, at, "it was told saved at");
                }
            }
            Op::Remove(registers) => {
                for register in registers {
                    self.check_removed(line, chain, index, register, at);
                }
            }
            Op::Reset => {
                let Some(slot) = client.slot else { return };
                let is_named = |register: &&Register| {
                    let is_slice = (register.view, register.vsn) == (slot.view, slot.vsn);
                    is_slice && register.tab.is_none_or(|tab| tab == slot.tab)
                };
                let registers: Vec<Register> = line.changes.keys().filter(is_named).copied().collect();
                for register in registers {
                    self.check_removed(line, chain, index, &register, at);
                }
            }
            Op::Forget => self.check_forgotten(chain, index, at),
        }
    }

    /// I1: the value stands there by then, or something that its node accepted after it.
    #[expect(clippy::too_many_arguments, reason = "two callers, which differ in how the client was told")]
    fn check_set(
        &mut self,
        line: &Line,
        chain: &Chain,
        index: Index,
        register: &Register,
        value: Name,
        at: u64,
        told: &str,
    ) {
        let appeared = line.stood.get(&(*register, value)).map(|(from, _)| *from);
        // It may have come back since, which is another promise's matter.
        let first = line
            .changes
            .get(register)
            .and_then(|changes| changes.iter().find(|(_, now)| *now == Some(value)).map(|(from, _)| *from));
        if first.is_some_and(|from| chain.since(from) <= at) || self.was_overwritten(line, chain, index, register, at) {
            return;
        }
        let (place, text) = (self.place(register), self.write(index));
        let present = chain.present(at, at).1;
        let rev = rev(chain, present);
        let when = match appeared {
            Some(from) => format!("came into the store only with rev {}", self::rev(chain, from)),
            None => "is in no revision".to_owned(),
        };
        self.broken(
            Promise::I1,
            format!("{place}: {told} {at} that {text} is saved, at rev {rev}, and its value {when}"),
        );
    }

    /// Whether, since the write was invoked and until `at`, its place held something that the same node accepted later.
    fn was_overwritten(&self, line: &Line, chain: &Chain, index: Index, register: &Register, at: u64) -> bool {
        let (lo, hi) = chain.present(self.history.writes[index].invoked, at);
        let held = std::iter::once(line.at(register, lo));
        let changes = line.between(register, lo, hi).iter().map(|(_, now)| *now);
        held.chain(changes).any(|now| self.is_overwritten(index, register, now, at))
    }

    fn check_removed(&mut self, line: &Line, chain: &Chain, index: Index, register: &Register, at: u64) {
        let (lo, hi) = chain.present(self.history.writes[index].invoked, at);
        let held = std::iter::once(line.at(register, lo));
        let changes = line.between(register, lo, hi).iter().map(|(_, now)| *now);
        let was_gone = held.chain(changes).any(|now| match now {
            None => true,
            Some(now) => self.history.write_of.get(&now).is_some_and(|other| !self.is_before(*other, index)),
        });
        if !was_gone {
            let (place, text) = (self.place(register), self.write(index));
            self.broken(
                Promise::I1,
                format!("{place}: {text} removed it, and an older value stands in every revision until then"),
            );
        }
    }

    /// A request to forget: at some moment since, nothing older was there.
    fn check_forgotten(&mut self, chain: &Chain, index: Index, at: u64) {
        let (lo, hi) = chain.present(self.history.writes[index].invoked, at);
        let invoked = self.history.writes[index].invoked;
        let is_older = |value: &Name| {
            let write = self.history.write_of.get(value).map(|write| &self.history.writes[*write]);
            write.is_some_and(|write| write.saved_at().is_some_and(|saved| saved < invoked))
        };
        let is_clean = |position: usize| {
            let whole = position.checked_sub(1).and_then(|state| chain.states[state].whole());
            whole.is_none_or(|whole| !whole.values.iter().any(|(_, value)| is_older(&value.name)))
        };
        if !(lo..=hi).any(is_clean) {
            let (text, rev) = (self.write(index), rev(chain, hi));
            self.broken(
                Promise::I10,
                format!("{text} was told that the document is forgotten, and it stands in rev {rev}"),
            );
        }
    }

    fn check_failed(&mut self, line: &Line, chain: &Chain, index: Index, at: u64) {
        let write = &self.history.writes[index];
        for (register, value) in write.op.sets() {
            let Some((from, until)) = line.stood.get(&(*register, *value)) else { continue };
            let stood_later = until.is_none_or(|until| chain.since(until) > at);
            if stood_later && !line.is_lossy_at(*from) {
                let (place, text, rev) = (self.place(register), self.write(index), rev(chain, *from));
                self.broken(Promise::I7, format!("{place}: {text}, and its value stands in rev {rev}"));
            }
        }
    }

    /// Whether a removal of the same node, open within this time, explains that nothing stands there.
    pub(crate) fn is_removed(&self, register: &Register, of: Option<Index>, node: Name, from: u64, until: u64) -> bool {
        self.removals.may_remove(self.history, register, of, Within { from, until, node: Some(node), read: true })
    }
}

/// The revision at a position; 0 where there is none.
pub(crate) fn rev(chain: &Chain, position: usize) -> u64 {
    let whole = position.checked_sub(1).and_then(|state| chain.states[state].whole());
    whole.map_or(0, |whole| whole.header.rev)
}
