//! Along the revisions of one object: each is the one before it and one batch of one writer (I2), applied once (I3), its
//! revision and etag in line (I5), by nobody who was superseded (I6), in the writer's own places (I9, I11), and what was
//! removed or has expired does not return (I10).
//!
//! The order of the writes is known, so that one sweep along it is enough (Gibbons and Korach, "Testing Shared Memories",
//! SIAM J. Comput. 26, 1997: with the write order known, linearizability of a register is decided in O(n log n)).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::history::{Chain, Index, Register};
use crate::judge::{Judge, Line, Promise};
use crate::names::Name;
use crate::object::WriteId;
use crate::removals::Within;
use crate::state::{Content, State, Value, Whole};

/// What the walk along one chain remembers.
#[derive(Default)]
struct Walk {
    line: Line,
    batches: HashSet<WriteId>,
    etags: HashSet<String>,
    /// Who has written to each tab.
    claims: HashMap<(Name, Name), Claims>,
}

/// The mounts of one tab that have written to the store. A mount is known by its first client.
struct Claims {
    /// The latest, as far as clocks tell.
    latest: Index,
    /// The highest epoch that stood there.
    epoch: u64,
    /// Those that the last commit was of.
    last: BTreeSet<Index>,
    /// Those over which others have written.
    overtaken: BTreeSet<Index>,
}

/// One step of it.
struct Step<'a> {
    position: usize,
    state: &'a State,
    before: Option<&'a State>,
    new: Vec<(Register, Name)>,
}

impl Judge<'_> {
    pub(crate) fn walk(&mut self, session: Name, chain: &Chain) {
        let mut walk = Walk { line: Line { nodes: vec![None], ..Line::default() }, ..Walk::default() };
        for (index, state) in chain.states.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| &chain.states[before]);
            let mut step = Step { position: index + 1, state, before, new: Vec::new() };
            let is_lost = chain.lost.iter().any(|lost| *lost <= state.at);
            if is_lost && walk.line.lossy_from.is_none() {
                walk.line.lossy_from = Some(step.position);
            }
            let node = match &state.content {
                Content::Whole(whole) => {
                    self.check_link(session, &walk, &step, whole);
                    self.check_batch(session, &mut walk, &mut step, whole)
                }
                Content::Damaged | Content::Absent => {
                    self.check_gone(session, &mut walk, &step, is_lost);
                    None
                }
            };
            walk.line.nodes.push(node);
            walk.etags.extend(state.etag.clone());
        }
        self.lines.insert(session, walk.line);
    }

    /// The object is not there any more, or not readable.
    fn check_gone(&mut self, session: Name, walk: &mut Walk, step: &Step<'_>, is_lost: bool) {
        let before = step.before.and_then(State::whole);
        if !is_lost {
            let is_damaged = matches!(step.state.content, Content::Damaged);
            let is_over = before.is_none_or(|whole| {
                whole.header.buried || whole.header.expires_at.saturating_mul(1000) <= step.state.at
            });
            let rev = before.map_or(0, |whole| whole.header.rev);
            let session = self.text(session);
            if is_damaged {
                let how = format!("session {session:?}: what replaced rev {rev} is no document");
                self.broken(Promise::I2, how);
            } else if !is_over {
                self.broken(Promise::I10, format!("session {session:?}: rev {rev} was alive and was deleted"));
            }
        }
        for (register, value) in before.into_iter().flat_map(|whole| &whole.values) {
            walk.line.leave(*register, value.name, step.position, None);
        }
        walk.claims.clear();
    }

    /// I5 and the header's part of I3.
    fn check_link(&mut self, session: Name, walk: &Walk, step: &Step<'_>, whole: &Whole) {
        let is_lossy = walk.line.lossy_from.is_some();
        let (header, rules) = (&whole.header, self.history.rules.clone());
        let place = format!("session {:?}, rev {}", self.text(session), header.rev);
        let due = step.before.and_then(State::whole).map_or(1, |before| before.header.rev + 1);
        // After a tombstone was deleted a node that remembers goes on counting.
        let restarts = step.position > 1 && step.before.is_some_and(|before| before.whole().is_none());
        if header.rev != due && !restarts {
            self.broken(Promise::I5, format!("{place}: rev {due} was due"));
        }
        let there = step.before.filter(|before| !step.state.has_moved && !matches!(before.content, Content::Absent));
        let there = there.and_then(|before| before.etag.as_ref());
        let is_by_hand = walk.line.lossy_from == Some(step.position);
        if step.state.etag.is_some() && step.state.replaces.as_ref() != there && !is_by_hand {
            let named = &step.state.replaces;
            self.broken(Promise::I5, format!("{place}: it names the etag {named:?} and replaced {there:?}"));
        }
        // Where the object was taken away, a request to create it may arrive once more.
        if !is_lossy && step.state.etag.as_ref().is_some_and(|etag| walk.etags.contains(etag)) {
            let etag = &step.state.etag;
            self.broken(Promise::I5, format!("{place}: its etag {etag:?} was that of an earlier revision"));
        }
        let WriteId { writer, seq } = &header.write;
        if walk.batches.contains(&header.write) && !is_lossy {
            self.broken(Promise::I3, format!("{place}: batch {seq} of writer {writer} was applied before"));
        }
        // A seal is no batch.
        if header.moved_to.is_none() && header.applied.get(writer).is_none_or(|applied| applied.seq < *seq) {
            self.broken(Promise::I3, format!("{place}: batch {seq} of writer {writer} is not in its own `applied`"));
        }
        for (writer, applied) in step.before.and_then(State::whole).into_iter().flat_map(|b| &b.header.applied) {
            let is_kept = header.applied.get(writer).is_some_and(|now| now.seq >= applied.seq);
            let is_old = applied.at.saturating_add(rules.applied_age_ms) <= header.touched_at;
            if !is_kept && !is_old && (header.applied.len() as u64) < rules.applied_max {
                let seq = applied.seq;
                self.broken(Promise::I3, format!("{place} forgets that batch {seq} of writer {writer} is applied"));
            }
        }
    }

    /// What the commit changed, and whether its writer may. Returns the writer's node, if it is known.
    fn check_batch(&mut self, session: Name, walk: &mut Walk, step: &mut Step<'_>, whole: &Whole) -> Option<Name> {
        let before = step.before.and_then(State::whole);
        let nothing = Vec::new();
        let (mut old, mut now) =
            (before.map_or(&nothing, |before| &before.values).iter().peekable(), &whole.values[..]);
        let (mut kept, mut vanished) = (Vec::new(), Vec::new());
        while let Some((register, value)) = now.first() {
            match old.peek() {
                Some((earlier, _)) if earlier < register => vanished.extend(old.next()),
                Some((earlier, replaced)) if earlier == register => {
                    match (replaced.name == value.name, replaced.bytes == value.bytes) {
                        (true, true) => kept.push((*register, *value)),
                        (true, false) => {
                            let place = self.place(register);
                            let rev = whole.header.rev;
                            self.broken(Promise::I2, format!("{place}: rev {rev} stores it in other bytes"));
                        }
                        (false, _) => step.new.push((*register, value.name)),
                    }
                    old.next();
                    now = &now[1..];
                }
                Some(_) | None => {
                    step.new.push((*register, value.name));
                    now = &now[1..];
                }
            }
        }
        vanished.extend(old);

        // What the store had lost, and a node has written back: it is nobody's new write.
        let is_restored =
            |value: &(Register, Name)| walk.line.lossy_from.is_some() && walk.line.stood.contains_key(value);
        let (restored, new): (Vec<_>, Vec<_>) = step.new.iter().copied().partition(is_restored);
        step.new = new;
        let node = self.writer(whole, &step.new);
        if before.is_some_and(|before| before.header.expires_at <= whole.header.touched_at) {
            walk.claims.clear();
        }
        for (register, value) in std::mem::take(&mut step.new) {
            self.check_new(walk, step, whole, node, register, value);
            step.new.push((register, value));
        }
        self.check_whole(step);
        for (register, value) in &vanished {
            self.check_vanished(walk, step, whole, node, register, value.name);
        }
        self.check_expired(session, step, whole, &kept);
        step.new.extend(restored);
        for (register, value) in vanished {
            walk.line.leave(register, value.name, step.position, None);
        }
        for (register, value) in &step.new {
            if let Some(replaced) = step.before.and_then(|before| before.value(register)) {
                walk.line.leave(*register, replaced, step.position, Some(*value));
            } else {
                walk.line.changes.entry(*register).or_default().push((step.position, Some(*value)));
            }
            walk.line.stood.insert((*register, *value), (step.position, None));
        }
        self.note_claims(walk, step, whole);
        // An epoch that went with its tab fences nobody. With the document it does not go.
        walk.claims.retain(|(view, tab), claims| whole.epoch(*view, *tab) >= claims.epoch);
        walk.batches.insert(whole.header.write.clone());
        node
    }

    /// Which node the commit's writer is: the one that all its new values are of.
    fn writer(&mut self, whole: &Whole, new: &[(Register, Name)]) -> Option<Name> {
        let writer = &whole.header.write.writer;
        if let Some(known) = self.node_of.get(writer) {
            return Some(*known);
        }
        let first = new.iter().find_map(|(_, value)| self.history.write_of.get(value))?;
        let node = self.node(&self.history.writes[*first]);
        self.node_of.insert(writer.clone(), node);
        Some(node)
    }

    fn check_new(
        &mut self,
        walk: &Walk,
        step: &Step<'_>,
        whole: &Whole,
        node: Option<Name>,
        register: Register,
        value: Name,
    ) {
        let rev = whole.header.rev;
        let Some(index) = self.history.write_of.get(&value).copied() else {
            let (place, value) = (self.place(&register), self.text(value));
            return self.broken(Promise::I2, format!("{place}: rev {rev} has {value}, which nobody wrote"));
        };
        let write = &self.history.writes[index];
        // Words are found for what is broken only: this is done for every value of every revision.
        let words = |judge: &Self| (judge.place(&register), judge.write(index));
        if !write.op.sets().contains(&(register, value)) {
            let same_but_vsn = |other: &Register| Register { vsn: register.vsn, ..*other } == register;
            let of_other_vsn = write.op.sets().iter().any(|(other, _)| same_but_vsn(other));
            let promise = if of_other_vsn { Promise::I11 } else { Promise::I9 };
            let (place, text) = words(self);
            return self
                .broken(promise, format!("{place}: rev {rev} has the value of {text}, which was for elsewhere"));
        }
        if node.is_some_and(|node| node != self.node(write)) {
            let (writer, (place, text)) = (&whole.header.write.writer, words(self));
            self.broken(Promise::I2, format!("{place}: rev {rev} is by writer {writer}, and has the value of {text}"));
        }
        if write.invoked > step.state.at {
            let (place, text) = words(self);
            self.broken(Promise::I2, format!("{place}: rev {rev} of {} has the value of {text}", step.state.at));
        }
        if let Some((first, _)) = walk.line.stood.get(&(register, value)) {
            let was_removed = walk.line.at(&register, step.position - 1).is_none();
            let promise = if was_removed { Promise::I10 } else { Promise::I3 };
            let (place, text) = words(self);
            let how = format!("{place}: the value of {text} came back in rev {rev}; it stood from state {first} on");
            self.broken(promise, how);
        }
        let replaced = step.before.and_then(|before| before.value(&register));
        if let Some(replaced) = replaced.and_then(|value| self.history.write_of.get(&value).copied())
            && self.is_before(index, replaced)
        {
            let (later, (place, text)) = (self.write(replaced), words(self));
            self.broken(Promise::I4, format!("{place}: in rev {rev} {text} replaced {later}"));
        }
        self.check_fence(walk, index, &register, rev);
    }

    /// I6: nobody writes after a later mount of its tab, on its own node from the mount on, on others from the later
    /// mount's first write on. Of two mounts that no clock tells apart, one has lost once they have written by turns.
    fn check_fence(&mut self, walk: &Walk, index: Index, register: &Register, rev: u64) {
        let write = &self.history.writes[index];
        let client = &self.history.clients[write.client];
        let Some(slot) = client.slot else { return };
        if let Some(later) = self.later_mount_here(write.client, write.invoked) {
            let (later, text) = (self.text(self.history.clients[later].name), self.write(index));
            let place = self.place(register);
            let how = format!("{place}: rev {rev} has the value of {text}, after client {later} had mounted its tab");
            self.broken(Promise::I6, how);
        }
        let claims = walk.claims.get(&(slot.view, slot.tab));
        let latest = claims.map(|claims| claims.latest);
        if let Some(latest) = latest.filter(|latest| self.history.mounted_before(write.client, *latest)) {
            let (later, text) = (self.text(self.history.clients[latest].name), self.write(index));
            let place = self.place(register);
            let how =
                format!("{place}: rev {rev} has the value of {text}; client {later} of a later mount was in the store");
            self.broken(Promise::I6, how);
        }
        if claims.is_some_and(|claims| claims.overtaken.contains(&client.root)) {
            let (place, text) = (self.place(register), self.write(index));
            let how = format!("{place}: rev {rev} has the value of {text}, over whose mount another had written");
            self.broken(Promise::I6, how);
        }
    }

    /// The claims of the clients whose values a commit has brought.
    fn note_claims(&self, walk: &mut Walk, step: &Step<'_>, whole: &Whole) {
        let mut written: BTreeMap<(Name, Name), BTreeSet<Index>> = BTreeMap::new();
        // What is shared says nothing of the tab.
        for (_, value) in step.new.iter().filter(|(register, _)| !register.is_shared()) {
            let Some(index) = self.history.write_of.get(value) else { continue };
            let client = &self.history.clients[self.history.writes[*index].client];
            let Some(slot) = client.slot.filter(|_| client.stores_tab) else { continue };
            // Of more tabs than a view keeps, some go with the batch that brings them.
            if whole.tabs.contains_key(&(slot.view, slot.vsn, slot.tab)) {
                written.entry((slot.view, slot.tab)).or_default().insert(client.root);
            }
        }
        for ((view, tab), mounts) in written {
            let Some(first) = mounts.first().copied() else { continue };
            let new = || Claims { latest: first, epoch: 0, last: BTreeSet::new(), overtaken: BTreeSet::new() };
            let claims = walk.claims.entry((view, tab)).or_insert_with(new);
            claims.epoch = claims.epoch.max(whole.epoch(view, tab));
            let before = |one: Index, other: Index| self.history.mounted_before(one, other);
            claims.latest =
                mounts.iter().fold(claims.latest, |one, other| if before(one, *other) { *other } else { one });
            claims.overtaken.extend(claims.last.difference(&mounts));
            // In one batch of one node, the earlier of two mounts has lost.
            let (lost, last) = mounts.iter().partition(|one| mounts.iter().any(|other| before(**one, *other)));
            claims.overtaken.extend::<BTreeSet<Index>>(lost);
            claims.last = last;
        }
    }

    /// A write is whole: with one of its keys all come, unless somebody of the same node wrote over them.
    fn check_whole(&mut self, step: &Step<'_>) {
        let writes: BTreeSet<Index> =
            step.new.iter().filter_map(|(_, value)| self.history.write_of.get(value).copied()).collect();
        for index in writes {
            let write = &self.history.writes[index];
            let client = &self.history.clients[write.client];
            for (register, value) in write.op.sets() {
                let now = step.state.value(register);
                let is_stored = register.tab.is_none() || client.stores_tab;
                if now == Some(*value) || !is_stored || self.is_overwritten(index, register, now, step.state.at) {
                    continue;
                }
                let (text, place) = (self.write(index), self.place(register));
                let rev = step.state.whole().map_or(0, |whole| whole.header.rev);
                self.broken(Promise::I2, format!("{place}: rev {rev} has a part of {text}, and not this key"));
            }
        }
    }

    /// Whether what stands at the register can be of the same batch as the write, and accepted after it.
    pub(crate) fn is_overwritten(&self, index: Index, register: &Register, now: Option<Name>, at: u64) -> bool {
        let write = &self.history.writes[index];
        let node = self.node(write);
        match now {
            Some(now) => self.history.write_of.get(&now).is_some_and(|other| {
                let by = &self.history.writes[*other];
                self.node(by) == node && by.invoked <= at && !self.is_before(*other, index)
            }),
            None => {
                let within = Within { from: write.invoked, until: at, node: Some(node), read: false };
                self.removals.may_remove(self.history, register, Some(index), within)
            }
        }
    }

    fn check_vanished(
        &mut self,
        walk: &Walk,
        step: &Step<'_>,
        whole: &Whole,
        node: Option<Name>,
        register: &Register,
        value: Name,
    ) {
        let Some(before) = step.before.and_then(State::whole) else { return };
        let (header, rules) = (&whole.header, &self.history.rules);
        let has_expired = before.header.expires_at <= header.touched_at;
        let slice = (register.view, register.vsn);
        let slice_over = before
            .slices
            .get(&slice)
            .is_some_and(|(touched_at, _)| touched_at.saturating_add(rules.ttl_ms) <= header.touched_at);
        let was_evicted = whole.has_evicted(register, rules.tabs_per_view);
        let write = self.history.write_of.get(&value).copied();
        let within = Within { from: step.state.at, until: step.state.at, node, read: false };
        let was_removed = self.removals.may_remove(self.history, register, write, within);
        if has_expired || slice_over || was_evicted || was_removed || walk.line.lossy_from == Some(step.position) {
            return;
        }
        let place = self.place(register);
        let text = write.map_or_else(|| self.text(value).to_owned(), |write| self.write(write));
        let of_other_vsn = |(new, _): &(Register, Name)| new.view == register.view && new.vsn != register.vsn;
        let promise = match () {
            () if header.buried => Promise::I10,
            () if step.new.iter().any(of_other_vsn) => Promise::I11,
            () => Promise::I2,
        };
        let (rev, writer) = (header.rev, &header.write.writer);
        let how =
            format!("{place}: the value of {text} vanished in rev {rev} of writer {writer}, who removed nothing there");
        self.broken(promise, how);
    }

    /// I10: what had expired is not in a later revision.
    fn check_expired(&mut self, session: Name, step: &Step<'_>, whole: &Whole, kept: &[(Register, Value)]) {
        let Some(before) = step.before.and_then(State::whole) else { return };
        // Then the time on it is the writer's own clock.
        let by_clock = whole.header.touched_at > before.header.touched_at;
        if by_clock && before.header.expires_at <= whole.header.touched_at && !kept.is_empty() {
            let (session, rev) = (self.text(session), whole.header.rev);
            let place = self.place(&kept[0].0);
            self.broken(Promise::I10, format!("session {session:?}: rev {rev} keeps {place}, which had expired"));
        }
    }
}
