//! What stands in the end. Where there is no log of versions, as on a disk, it is all that the promises can be held
//! against: I1, I7 and I9 on the last content, and reads by the order that invocations and answers give.

use std::collections::HashMap;

use crate::history::{Index, Register};
use crate::judge::{Judge, Promise};
use crate::names::Name;

impl Judge<'_> {
    /// With a log: the last state is what was found. Without one: every register.
    pub(crate) fn finals(&mut self) {
        for (session, chain) in &self.history.chains {
            let Some(last) = &chain.last else { continue };
            if !self.history.rules.log {
                continue;
            }
            let nothing = Vec::new();
            let of = |state: Option<&crate::state::State>| {
                state.and_then(|state| state.whole()).map_or_else(|| nothing.clone(), |whole| whole.values.clone())
            };
            if of(Some(last)) != of(chain.states.last()) {
                let how = format!("session {:?}: what stands in the end is not the last version", self.text(*session));
                self.broken(Promise::I1, how);
            }
        }
    }

    pub(crate) fn without_log(&mut self) {
        let history = self.history;
        let mut by_register: HashMap<Register, Vec<Index>> = HashMap::new();
        for (index, write) in history.writes.iter().enumerate() {
            for (register, _) in write.op.sets() {
                by_register.entry(*register).or_default().push(index);
            }
        }
        for chain in history.chains.values() {
            let Some(whole) = chain.last.as_ref().and_then(|last| last.whole()) else { continue };
            for (register, value) in &whole.values {
                self.check_content(register, value.name);
            }
        }
        let mut registers: Vec<_> = by_register.keys().copied().collect();
        registers.sort_unstable();
        for register in registers {
            let Some(chain) = history.chains.get(&register.session) else { continue };
            let Some(last) = &chain.last else { continue };
            self.check_last(&register, last.value(&register), &by_register[&register], chain.lost.is_empty());
        }
        self.reads_without_log(&by_register);
    }

    fn check_content(&mut self, register: &Register, value: Name) {
        let place = self.place(register);
        let Some(index) = self.history.write_of.get(&value).copied() else {
            return self.broken(Promise::I2, format!("{place}: {} stands there, which nobody wrote", self.text(value)));
        };
        let (write, text) = (&self.history.writes[index], self.write(index));
        if !write.op.sets().contains(&(*register, value)) {
            self.broken(Promise::I9, format!("{place}: it holds the value of {text}, which was for elsewhere"));
        }
        if write.failed_at().is_some() {
            self.broken(Promise::I7, format!("{place}: {text}, and its value stands in the end"));
        }
    }

    /// I1: what stands there is no older than anything that was told saved.
    fn check_last(&mut self, register: &Register, value: Option<Name>, writes: &[Index], is_lossless: bool) {
        let history = self.history;
        let stands = value.and_then(|value| history.write_of.get(&value).copied());
        let has_expired = history.rules.ttl_ms == 0;
        if !is_lossless || has_expired {
            return;
        }
        let lost = writes.iter().copied().find(|index| {
            history.writes[*index].saved_at().is_some()
                && match stands {
                    Some(stands) => stands != *index && self.is_before(stands, *index),
                    None => !self.removals.may_remove(
                        history,
                        register,
                        Some(*index),
                        crate::removals::Within {
                            from: history.writes[*index].invoked,
                            until: u64::MAX,
                            node: None,
                            read: false,
                        },
                    ),
                }
        });
        if let Some(lost) = lost {
            let (place, text) = (self.place(register), self.write(lost));
            let instead = stands.map_or_else(
                || "nothing stands there".to_owned(),
                |stands| format!("in the end the older value of {} stands there", self.write(stands)),
            );
            self.broken(Promise::I1, format!("{place}: {text}, and {instead}"));
        }
        for flushed in history.flushed.iter().filter(|_| stands.is_some()) {
            let claimed = flushed.state.iter().find(|(other, _)| other == register).map(|(_, value)| *value);
            let claimed = claimed.and_then(|value| history.write_of.get(&value).copied());
            if let (Some(claimed), Some(stands)) = (claimed, stands)
                && claimed != stands
                && self.is_before(stands, claimed)
            {
                let (place, text) = (self.place(register), self.write(claimed));
                let how = format!(
                    "{place}: at {} its client was told that {text} is saved, and an older value stands",
                    flushed.at
                );
                self.broken(Promise::I1, how);
            }
        }
    }

    /// I4 and I8: no answer is older than what was told saved before the question.
    fn reads_without_log(&mut self, by_register: &HashMap<Register, Vec<Index>>) {
        let history = self.history;
        let saved: HashMap<Register, Saved> =
            by_register.iter().map(|(register, writes)| (*register, Saved::of(self, writes))).collect();
        for read in &history.reads {
            let Some(answer) = &read.answer else { continue };
            if let Some(how) = self.check_invented(read, answer) {
                self.broken(Promise::I9, how);
                continue;
            }
            let lost = |lost: &u64| *lost <= answer.at;
            let session = history.clients[read.client].session;
            if answer.stale || history.chains.get(&session).is_some_and(|chain| chain.lost.iter().any(lost)) {
                continue;
            }
            for (register, value) in &answer.values {
                let Some(index) = history.write_of.get(value).copied() else { continue };
                let latest = saved.get(register).and_then(|saved| saved.before(read.invoked));
                if let Some(latest) = latest.filter(|latest| *latest != index && self.is_before(index, *latest)) {
                    let (place, asker) = (self.place(register), self.asker(read));
                    let (old, new) = (self.write(index), self.write(latest));
                    self.broken(Promise::I4, format!("{place}: {asker} was answered the value of {old}, after {new}"));
                }
            }
        }
    }
}

/// The saved writes of one register: of those that were told by some time, the one that was invoked last.
struct Saved(Vec<(u64, Index)>);

impl Saved {
    fn of(judge: &Judge<'_>, writes: &[Index]) -> Self {
        let writes = writes.iter().filter_map(|index| Some((judge.history.writes[*index].saved_at()?, *index)));
        let mut writes: Vec<(u64, Index)> = writes.collect();
        writes.sort_unstable();
        let mut latest: Option<Index> = None;
        for (_, index) in &mut writes {
            let invoked = |index: Index| judge.history.writes[index].invoked;
            let best = latest.filter(|latest| invoked(*latest) >= invoked(*index)).unwrap_or(*index);
            (*index, latest) = (best, Some(best));
        }
        Self(writes)
    }

    fn before(&self, at: u64) -> Option<Index> {
        let until = self.0.partition_point(|(saved, _)| *saved < at);
        self.0[..until].last().map(|(_, index)| *index)
    }
}
