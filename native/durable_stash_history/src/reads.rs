//! What reads were answered: one revision that was the present one at some moment of the read, with what the node itself
//! has accepted on top (I8), and so never less than what was told saved before the read began (I4).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{Answer, Chain, Client, Index, Read, Register, Rules, Slot};
use crate::judge::{Judge, Line, Promise};
use crate::names::Name;
use crate::outcomes::rev;
use crate::state::State;

impl Judge<'_> {
    pub(crate) fn reads(&mut self) {
        let (history, lines) = (self.history, std::mem::take(&mut self.lines));
        let keys = self.keys(&lines);
        let mut tabs: HashMap<(Name, Name), BTreeSet<Name>> = HashMap::new();
        for slot in history.clients.iter().filter_map(|client| client.slot) {
            tabs.entry((slot.session, slot.view)).or_default().insert(slot.tab);
        }
        for read in &history.reads {
            let Some(answer) = &read.answer else { continue };
            let client = &history.clients[read.client];
            let Some(slot) = client.slot else { continue };
            let (Some(line), Some(chain)) = (lines.get(&client.session), history.chains.get(&client.session)) else {
                continue;
            };
            if let Some(how) = self.check_invented(read, answer) {
                self.broken(Promise::I9, how);
                continue;
            }
            let is_excused = |(at, node): &(u64, Option<Name>)| {
                (read.invoked..=answer.at).contains(at) && node.is_none_or(|node| node == client.node)
            };
            // A node may know what the store has lost, and says so until it has written it back.
            let is_lossy = line.is_lossy_at(chain.present(answer.at, answer.at).1);
            if answer.stale || is_lossy || chain.stale.iter().any(is_excused) {
                continue;
            }
            let tabs = tabs.get(&(slot.session, slot.view)).map_or(0, |tabs| tabs.len() as u64);
            let may_evict = tabs > history.rules.tabs_per_view;
            let asked = Asked { read, answer, client, slot, line, chain, may_evict };
            let of_slot = keys.get(&(slot.session, slot.view)).map_or(&[][..], |keys| keys.as_slice());
            if let Err((promise, how)) = self.check_answer(&asked, of_slot) {
                self.broken(promise, how);
            }
        }
        self.lines = lines;
    }

    /// Every register that ever held something and that a client of this session and view is answered.
    fn keys(&self, lines: &BTreeMap<Name, Line>) -> HashMap<(Name, Name), Vec<Register>> {
        let slots = self.history.clients.iter().filter_map(|client| client.slot);
        let mut keys: HashMap<_, Vec<Register>> = slots.map(|slot| ((slot.session, slot.view), Vec::new())).collect();
        for ((session, view), registers) in &mut keys {
            let all = lines.get(session).into_iter().flat_map(|line| line.changes.keys());
            registers.extend(all.filter(|register| register.view == *view || register.is_shared()));
            registers.sort_unstable();
        }
        keys
    }

    /// A value that nobody wrote there, or not before the answer.
    pub(crate) fn check_invented(&self, read: &Read, answer: &Answer) -> Option<String> {
        let asker = self.asker(read);
        answer.values.iter().find_map(|(register, value)| {
            let place = self.place(register);
            let Some(index) = self.history.write_of.get(value).copied() else {
                return Some(format!("{place}: {asker} was answered {}, which nobody wrote", self.text(*value)));
            };
            let write = &self.history.writes[index];
            let is_elsewhere = !write.op.sets().contains(&(*register, *value));
            let is_early = write.invoked > answer.at;
            (is_elsewhere || is_early).then(|| {
                let text = self.write(index);
                format!("{place}: {asker} was answered the value of {text}, which is of another place or time")
            })
        })
    }

    fn check_answer(&self, asked: &Asked<'_>, of_view: &[Register]) -> Result<(), (Promise, String)> {
        let (lo, hi) = asked.chain.present(asked.read.invoked, asked.answer.at);
        let mut candidates: Vec<usize> = (lo..=hi).rev().collect();
        if let Some(wanted) = asked.answer.rev.filter(|_| asked.line.lossy_from.is_none()) {
            candidates.retain(|position| rev(asked.chain, *position) == wanted);
            if candidates.is_empty() {
                let (asker, from, to) = (self.asker(asked.read), rev(asked.chain, lo), rev(asked.chain, hi));
                let how = format!("{asker} was answered from rev {wanted}; present meanwhile were {from} to {to}");
                return Err((Promise::I8, how));
            }
        }
        let registers = asked.registers(of_view);
        let mut reason = None;
        for position in candidates {
            match self.fits(asked, &registers, position) {
                Ok(()) => return Ok(()),
                Err(how) => reason.get_or_insert(how),
            };
        }
        let asker = self.asker(asked.read);
        let (promise, how) = reason.unwrap_or((Promise::I4, String::new()));
        Err((promise, format!("{how}, when {asker} was answered")))
    }

    /// Whether the answer is this state and what the node has accepted besides.
    fn fits(
        &self,
        asked: &Asked<'_>,
        registers: &[(Register, Option<Name>)],
        position: usize,
    ) -> Result<(), (Promise, String)> {
        self.fits_slice(asked, position).map_err(|how| (Promise::I8, how))?;
        for (register, seen) in registers {
            let stored = asked.stored(register, position, &self.history.rules);
            let is_stored = stored.contains(seen);
            let own = self.own_write(asked, register);
            // A LiveView reads its own writes.
            // With a tab that goes its epoch goes: a write that was superseded for a moment may land after all.
            let misses_own = own.filter(|_| !asked.may_evict).is_some_and(|own| {
                let is_older = |seen: &Name| {
                    self.history.write_of.get(seen).is_some_and(|seen| *seen != own && self.is_before(*seen, own))
                };
                match seen {
                    Some(seen) => is_older(seen),
                    None => {
                        let appeared = self.first_position(asked.line, register, own);
                        let is_gone = appeared.is_some_and(|from| from <= position);
                        !is_gone && !self.is_taken_away(asked, register, Some(own))
                    }
                }
            });
            if misses_own {
                let own = own.map_or_else(String::new, |own| self.write(own));
                let place = self.place(register);
                return Err((Promise::I8, format!("{place}: its own {own} is missing")));
            }
            if !is_stored && !self.is_pending(asked, register, *seen, stored[0]) {
                let place = self.place(register);
                let text = |value: Option<Name>| value.map_or("nothing", |value| self.text(value));
                let rev = rev(asked.chain, position);
                let how = format!("{place}: {} where rev {rev} has {}", text(*seen), text(stored[0]));
                return Err((Promise::I4, how));
            }
        }
        Ok(())
    }

    /// The version of the code that was read from is the highest up to the asker's.
    fn fits_slice(&self, asked: &Asked<'_>, position: usize) -> Result<(), String> {
        let Some(whole) = position.checked_sub(1).and_then(|state| asked.chain.states[state].whole()) else {
            return Ok(());
        };
        let over = |touched_at: u64| {
            let by = touched_at.saturating_add(self.history.rules.ttl_ms);
            by <= (asked.answer.at / 1000).saturating_add(self.history.rules.skew_ms)
        };
        let (view, mine) = (asked.slot.view, asked.slot.vsn);
        let highest = whole.slices.range((view, 0)..=(view, mine)).next_back();
        let found = asked.answer.found.map(|(vsn, _)| vsn);
        match highest {
            Some(((_, vsn), (touched_at, _))) if found.is_none_or(|found| found < *vsn) => {
                let node = asked.client.node;
                let probe = asked.slot.register(asked.slot.tab, false);
                let probe = Register { vsn: *vsn, ..probe };
                let is_forgotten = self.is_removed(&probe, None, node, asked.read.invoked, asked.answer.at);
                if over(*touched_at) || over_document(asked, position, self.history.rules.skew_ms) || is_forgotten {
                    return Ok(());
                }
                let rev = rev(asked.chain, position);
                Err(format!("view {}: vsn {found:?} was read where rev {rev} has vsn {vsn}", self.text(view)))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it is a write, or a removal, that the asker's node has accepted and not committed yet.
    fn is_pending(&self, asked: &Asked<'_>, register: &Register, seen: Option<Name>, stored: Option<Name>) -> bool {
        let Some(seen) = seen else {
            let of = stored.and_then(|stored| self.history.write_of.get(&stored).copied());
            return self.is_taken_away(asked, register, of);
        };
        let Some(index) = self.history.write_of.get(&seen).copied() else { return false };
        let write = &self.history.writes[index];
        let was_failed = write.failed_at().is_some_and(|at| at < asked.read.invoked);
        let was_replaced = asked
            .line
            .stood
            .get(&(*register, seen))
            .is_some_and(|(_, until)| until.is_some_and(|until| asked.chain.by(until) < asked.read.invoked));
        // What was saved is in the chain, or was overwritten in its own batch.
        let is_over = write.saved_at().is_some_and(|at| at < asked.read.invoked);
        self.node(write) == asked.client.node && !was_failed && !was_replaced && !is_over
    }

    fn is_taken_away(&self, asked: &Asked<'_>, register: &Register, of: Option<Index>) -> bool {
        // A fresh mount's tab starts empty, whatever stands there for lower versions.
        let mine = Register { vsn: asked.slot.vsn, ..*register };
        let of_tab = register.tab.is_some() && mine != *register;
        let is_removed =
            |register: &Register| self.is_removed(register, of, asked.client.node, asked.read.invoked, asked.answer.at);
        is_removed(register) || (of_tab && is_removed(&mine))
    }

    /// The last write of the asker itself to the register before it asked, if that was open then and was saved in the
    /// end. One that was saved before is in the chain.
    fn own_write(&self, asked: &Asked<'_>, register: &Register) -> Option<Index> {
        let writes = &asked.client.writes;
        let before = writes.partition_point(|write| self.history.writes[*write].invoked < asked.read.invoked);
        let latest = writes[..before]
            .iter()
            .rev()
            .take(LOOK_BACK)
            .find(|write| self.history.writes[**write].op.sets().iter().any(|(other, _)| other == register))?;
        let is_open = self.history.writes[*latest].saved_at().is_some_and(|at| at >= asked.read.invoked);
        is_open.then_some(*latest)
    }

    fn first_position(&self, line: &Line, register: &Register, index: Index) -> Option<usize> {
        let (_, value) = self.history.writes[index].op.sets().iter().find(|(other, _)| other == register)?;
        line.stood.get(&(*register, *value)).map(|(from, _)| *from)
    }

    pub(crate) fn asker(&self, read: &Read) -> String {
        let client = &self.history.clients[read.client];
        let (name, node) = (self.text(client.name), self.text(client.node));
        format!("read {} of client {name} on node {node} (asked at {})", read.number, read.invoked)
    }
}

/// A read and all that it is held against.
struct Asked<'a> {
    read: &'a Read,
    answer: &'a Answer,
    client: &'a Client,
    slot: Slot,
    line: &'a Line,
    chain: &'a Chain,
    /// The view has more tabs than it keeps: one that the node has accepted may take another's place.
    may_evict: bool,
}

impl Asked<'_> {
    /// Every register that the answer speaks of, with what it says, and those of the same slice that it leaves out.
    fn registers(&self, of_view: &[Register]) -> Vec<(Register, Option<Name>)> {
        let mut all: Vec<(Register, Option<Name>)> =
            self.answer.values.iter().map(|(register, value)| (*register, Some(*value))).collect();
        let (vsn, tab_vsn) = self.answer.found.unwrap_or((self.slot.vsn, self.slot.vsn));
        let is_read = |register: &&Register| match register.tab {
            None => register.is_shared() || register.vsn == vsn,
            Some(tab) => !self.answer.is_tabless && register.vsn == tab_vsn && tab == self.slot.tab,
        };
        for register in of_view.iter().filter(is_read) {
            if !self.answer.values.iter().any(|(named, _)| named == register) {
                all.push((*register, None));
            }
        }
        all
    }

    /// What the register holds at the position; nothing besides, if that may be taken for expired.
    fn stored(&self, register: &Register, position: usize, rules: &Rules) -> Vec<Option<Name>> {
        let value = self.line.at(register, position);
        let whole = position.checked_sub(1).and_then(|state| self.chain.states[state].whole());
        let slice = whole.and_then(|whole| whole.slices.get(&(register.view, register.vsn)));
        let now = (self.answer.at / 1000).saturating_add(rules.skew_ms);
        let is_over = slice.is_some_and(|(touched_at, _)| touched_at.saturating_add(rules.ttl_ms) <= now);
        match value.is_some()
            && (is_over || (self.may_evict && register.tab.is_some()) || over_document(self, position, rules.skew_ms))
        {
            true => vec![value, None],
            false => vec![value],
        }
    }
}

fn over_document(asked: &Asked<'_>, position: usize, skew_ms: u64) -> bool {
    let whole = position.checked_sub(1).map(|state| &asked.chain.states[state]).and_then(State::whole);
    whole.is_some_and(|whole| whole.header.expires_at <= (asked.answer.at / 1000).saturating_add(skew_ms))
}

/// Of a client's own writes so many are looked at: each key is among the last few.
const LOOK_BACK: usize = 256;
