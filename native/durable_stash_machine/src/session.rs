//! The session: everything that this node knows and decides about one browser session's document.
//!
//! # Contract
//!
//! A [`Session`] does no I/O and reads no clock. Its driver owns it alone and works in turns:
//!
//! 1. **Input**, one of: [`command`](Session::command) (a LiveView asks), [`handle`](Session::handle) (the store
//!    answered), [`timeout`](Session::timeout) (the moment that `poll_timeout` named has come; harmless at any other).
//!    `now.mono` never goes back between inputs; `now.wall` may.
//! 2. **Output**, until both are empty: [`poll_effect`](Session::poll_effect) (start this request; answer it with
//!    `handle`, whatever happens to it, within a bound), [`poll_notice`](Session::poll_notice) (tell the LiveView).
//! 3. **Timer**: arm one for [`poll_timeout`](Session::poll_timeout), in place of the one before.
//!
//! [`is_idle`](Session::is_idle), [`unsaved_bytes`](Session::unsaved_bytes) and [`last_seq`](Session::last_seq) are
//! plain queries. A session at rest may be [parked](Session::park) and goes on later as if it had not been; one that is
//! idle may [leave](Session::leave), and only what must outlive it is kept.
//!
//! At most one PUT of the document is in flight whose outcome is open, and at most one GET; beside them at most one
//! quarantine copy, and at most one GET or PUT of an object under an older name that is being sealed or buried. Every write that was handed in gets exactly one
//! of `Notice::Settled` and `Notice::Rejected`; every read exactly one `Notice::Read`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::backoff::Jitter;
use crate::base::Base;
use crate::batch::{Batch, Stamp, edit_bytes};
use crate::command::{ClaimId, Command, RequestId, Values};
use crate::effect::{Attempt, Effect};
use crate::error::ErrorKind;
use crate::event::Event;
use crate::fence::{Arrival, Fence};
use crate::limits::{Now, Policy};
use crate::name::{DocumentName, Names};
use crate::notice::{Incident, Notice};
use crate::phase::{Flight, Frozen};
use crate::quarantine::Quarantine;
use crate::reading::Reads;
use crate::retire::Retire;
use crate::seal::Seal;
use crate::slice::{Epoch, Json, Key, Slot};
use crate::write_id::{WriteId, WriterId};

/// One browser session on this node. See the module's contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    pub(crate) writer: WriterId,
    pub(crate) policy: Arc<Policy>,
    /// What the session's object may stand under: a name per secret.
    pub(crate) names: Names,
    pub(crate) jitter: Jitter,
    pub(crate) fence: Fence,
    pub(crate) base: Base,
    /// The batch whose outcome is open. At most one: what arrives meanwhile is folded into `pending`.
    pub(crate) frozen: Option<Frozen>,
    pub(crate) pending: Batch,
    pub(crate) reads: Reads,
    pub(crate) quarantine: Option<Quarantine>,
    pub(crate) retire: Option<Retire>,
    pub(crate) seal: Option<Seal>,
    pub(crate) last_seq: u64,
    /// Commits of this session so far: whether one has overtaken a GET.
    pub(crate) commits: u64,
    pub(crate) draining: bool,
    pub(crate) next_attempt: u64,
    pub(crate) next_stamp: u64,
    effects: VecDeque<Effect>,
    notices: VecDeque<Notice>,
}

/// What a session starts from.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Of the jitter.
    pub seed: u64,
    /// Batches are numbered above this. The engine raises it to `last_seq` whenever it forgets a session, so that no
    /// number is used twice for one object.
    pub seq_floor: u64,
    /// What the object may stand under, the name under the current secret first. At least one.
    pub names: Vec<DocumentName>,
    /// The session id was minted in this very request: there can be no object yet.
    pub minted: bool,
    /// What outlived this session's last eviction.
    pub fence: Fence,
}

impl Session {
    /// A session that knows nothing of the store yet.
    pub fn new(writer: WriterId, policy: Arc<Policy>, start: Start) -> Self {
        Self {
            writer,
            policy,
            names: Names::new(start.names),
            jitter: Jitter::new(start.seed),
            fence: start.fence,
            base: if start.minted { Base::Absent } else { Base::Unknown },
            frozen: None,
            pending: Batch::default(),
            reads: Reads::default(),
            quarantine: None,
            retire: None,
            seal: None,
            last_seq: start.seq_floor,
            commits: 0,
            draining: false,
            next_attempt: 0,
            next_stamp: 0,
            effects: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// Input: a LiveView of this node asks.
    pub fn command(&mut self, now: Now, command: Command) {
        match command {
            Command::Claim { claim, slot, fresh, stores_tab } => self.claim(now, claim, &slot, fresh, stores_tab),
            Command::Reclaim { claim, slot, stores_tab, epoch } => {
                if let Some(loser) = self.fence.reclaim(claim, &slot, stores_tab, epoch.by(self.writer)) {
                    self.tell(Notice::Superseded { claim: loser });
                }
            }
            Command::ClaimLate { claim, slot, fresh, stores_tab, epoch } => {
                let epoch = epoch.by(self.writer);
                if let Some(loser) = self.fence.claim_late(claim, &slot, fresh, stores_tab, epoch, now) {
                    self.tell(Notice::Superseded { claim: loser });
                }
                self.empty_fresh_tabs(now);
            }
            Command::Merge { claim, slot, op, session, tab, shared, defaults } => {
                let edits = Edits::set(session, tab, shared, defaults);
                self.write(now, claim, &slot, op, edits);
            }
            Command::Drop { claim, slot, op, session, tab } => {
                self.write(now, claim, &slot, op, Edits::removed(session, tab));
            }
            Command::Reset { claim, slot, op } => self.write(now, claim, &slot, op, Edits::Reset),
            Command::Read { request, slot, claim } => self.read(now, request, slot, claim),
            Command::Forget { request } => self.forget(now, request),
            Command::Release { claim } => self.fence.release(claim),
            Command::Drain => {
                planted!(self.policy, DrainForgets, { self.pending = Batch::default() });
                self.draining = true;
            }
        }
        self.advance(now);
    }

    /// Input: the store answered. An answer that nobody waits for changes nothing.
    pub fn handle(&mut self, now: Now, event: Event) {
        match event {
            Event::Got { attempt, outcome } if self.retires(attempt) => self.retire_got(now, outcome),
            Event::Got { attempt, outcome } => self.got(now, attempt, outcome),
            Event::Put { attempt, outcome } if self.retires(attempt) => self.retired(now, outcome),
            Event::Put { attempt, outcome } if self.seals(attempt) => self.sealed(now, outcome),
            Event::Put { attempt, outcome } => self.put(now, attempt, outcome),
            Event::Quarantined { attempt, ok } => self.quarantined(now, attempt, ok),
        }
        self.advance(now);
    }

    /// Input: the moment named by `poll_timeout` has come.
    pub fn timeout(&mut self, now: Now) {
        self.advance(now);
    }

    /// Output: the next request to start.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Output: the next thing to tell.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The moment (monotonic ms) at which `timeout` has something to do.
    pub fn poll_timeout(&self) -> Option<u64> {
        let deadlines = [
            self.send_at(),
            self.give_up_at(),
            self.reads.next_deadline(),
            self.get_at(),
            self.quarantine.as_ref().and_then(Quarantine::retry_at),
            self.retire.as_ref().and_then(Retire::retry_at),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Whether nothing is pending, in flight or waited for.
    pub fn is_idle(&self) -> bool {
        self.frozen.is_none()
            && self.pending.is_empty()
            && self.reads.is_idle()
            && self.quarantine.is_none()
            && self.retire.is_none()
            && self.seal.is_none()
            && self.effects.is_empty()
            && self.notices.is_empty()
    }

    /// What the index in an effect stands for.
    pub fn object_name(&self, name: usize) -> Option<&DocumentName> {
        self.names.get(name)
    }

    /// What is accepted and not settled, in bytes.
    pub fn unsaved_bytes(&self) -> usize {
        self.pending.bytes() + self.frozen.as_ref().map_or(0, |frozen| frozen.batch.bytes())
    }

    /// What is at hand of the document as the store has it, in bytes.
    pub fn cached_bytes(&self) -> usize {
        self.base.cached_bytes()
    }

    /// The highest number that a batch of this session has had.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Where a claim stands among all nodes' claims of its tab, if it holds the tab. It may rise until the claim's first
    /// write. A LiveView brings it back with `Command::Reclaim` when the engine was restarted under it.
    pub fn epoch(&self, claim: ClaimId) -> Option<Epoch> {
        self.fence.epoch(claim)
    }

    /// What must outlive the session while its LiveViews live.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The revision last seen committed, if any.
    pub fn committed_rev(&self) -> Option<u64> {
        self.base.stored().map(|stored| stored.header.rev)
    }

    fn claim(&mut self, now: Now, claim: ClaimId, slot: &Arc<Slot>, fresh: bool, stores_tab: bool) {
        let arrival = self.arrival(now, slot);
        if let Some(loser) = self.fence.claim(claim, slot, fresh, stores_tab, arrival) {
            self.notices.push_back(Notice::Superseded { claim: loser });
        }
        self.empty_fresh_tabs(now);
    }

    fn arrival(&self, now: Now, slot: &Slot) -> Arrival {
        Arrival { now, writer: self.writer, stored: self.base.epoch(&slot.view, &slot.tab) }
    }

    fn write(&mut self, now: Now, claim: ClaimId, slot: &Arc<Slot>, op: u64, edits: Edits) {
        if self.fence.is_superseded(slot, claim) && !planted!(self.policy, FenceIgnored) {
            return self.reject(claim, op, ErrorKind::Superseded);
        }
        let stamp = self.next_stamp();
        let before = self.is_near_limit(&edits).then(|| self.pending.clone());
        let arrival = self.arrival(now, slot);
        let holder = self.fence.writer(claim, slot, edits.names_tab(), arrival);
        self.pending.accept(now.mono);
        let edit = self.pending.claim(claim, slot, holder.epoch, holder.stores_tab);
        // The claim may have been taken for one without `:reconnect` keys before.
        edit.stores_tab = holder.stores_tab;
        // What is shared says nothing of the tab, and begins no slice of the view.
        let reaches_slice = edits.reach_slice();
        if holder.starts_fresh && reaches_slice {
            edit.start_fresh(stamp, holder.owed_by);
        }
        edit.last_op = op;
        match edits {
            Edits::Keys { session, tab, shared, defaults } => {
                edit.edit(stamp, session, tab);
                edit.share(stamp, shared);
                edit.set_defaults(stamp, defaults);
            }
            Edits::Reset => edit.reset(stamp),
        }
        if let Some(before) = before
            && self.outgrows(now)
        {
            self.pending = before;
            return self.reject(claim, op, ErrorKind::TooLarge);
        }
        if let Some(holder) = self.fence.holder(slot, claim) {
            holder.starts_fresh &= !reaches_slice;
            holder.has_written = true;
        }
        planted!(self.policy, GrowingBatch, { self.plant_growing_batch() });
    }

    fn forget(&mut self, now: Now, request: RequestId) {
        let stamp = self.next_stamp();
        self.pending.accept(now.mono);
        self.pending.forget(stamp, request);
    }

    fn reject(&mut self, claim: ClaimId, op: u64, kind: ErrorKind) {
        self.notices.push_back(Notice::Rejected { claim, op, kind });
    }

    /// A fresh mount under a tab id that has content must empty it even if it never writes. Where the document is not
    /// known the emptying travels with the first write.
    pub(crate) fn empty_fresh_tabs(&mut self, now: Now) {
        let Some(content) = self.base.stored().and_then(|stored| stored.content(now.wall)) else { return };
        let mut stamp = self.next_stamp;
        for (slot, holder) in self.fence.fresh() {
            let slice = content.views.get(&slot.view).and_then(|slices| slices.get(&slot.vsn));
            let tab = slice.and_then(|slice| slice.tabs.get(&slot.tab));
            // A higher epoch is a later mount's: the content is not this one's to empty.
            let owed_by = holder.owed_by.unwrap_or(holder.epoch);
            let is_ours = content.epoch(&slot.view, &slot.tab).is_none_or(|epoch| epoch <= owed_by);
            if is_ours && tab.is_some_and(|tab| !tab.data.is_empty()) {
                stamp += 1;
                let edit = self.pending.claim(holder.claim, slot, holder.epoch, holder.stores_tab);
                edit.start_fresh(Stamp(stamp), holder.owed_by);
                self.pending.since.get_or_insert(now.mono);
                holder.starts_fresh = false;
                holder.has_written = true;
            }
        }
        self.next_stamp = stamp;
    }

    /// Everything that can be done now is done, in the order in which one enables the next.
    fn advance(&mut self, now: Now) {
        self.distrust_old_copy(now);
        self.give_up(now);
        // Whoever is answered may have touched the document.
        self.expire_reads(now);
        self.freeze(now);
        self.send(now);
        // A batch that turned out to be void has made room for the next.
        self.freeze(now);
        self.send(now);
        self.start_get(now);
        self.retry_quarantine(now);
        self.retry_retire(now);
    }

    /// Whether the pending batch may leave. It waits for the one before it, and for `flush_after`.
    pub(crate) fn pending_due_at(&self) -> Option<u64> {
        if self.pending.is_empty() {
            return None;
        }
        let since = self.pending.since.unwrap_or(0);
        let hold = if self.draining || self.pending.forgotten.is_some() { 0 } else { self.policy.flush_after_ms };
        Some(since.saturating_add(hold))
    }

    fn send_at(&self) -> Option<u64> {
        match &self.frozen {
            Some(frozen) => match frozen.flight {
                Flight::Ready { at } if self.base.is_known() && self.seal.is_none() => Some(at),
                Flight::Ready { .. } | Flight::Sending { .. } | Flight::Resolving { .. } => None,
            },
            None if self.base.is_known() => self.pending_due_at(),
            None => None,
        }
    }

    pub(crate) fn write_id(&self, seq: u64) -> WriteId {
        WriteId { writer: self.writer, seq }
    }

    /// The next number for a write of this session.
    pub(crate) fn next_write(&mut self) -> WriteId {
        self.last_seq = self.last_seq.saturating_add(1);
        self.write_id(self.last_seq)
    }

    fn retires(&self, attempt: Attempt) -> bool {
        self.retire.as_ref().is_some_and(|retire| retire.awaits(attempt))
    }

    pub(crate) fn last_attempt(&self) -> Attempt {
        Attempt(self.next_attempt)
    }

    pub(crate) fn next_attempt(&mut self) -> Attempt {
        self.next_attempt += 1;
        Attempt(self.next_attempt)
    }

    fn next_stamp(&mut self) -> Stamp {
        self.next_stamp += 1;
        Stamp(self.next_stamp)
    }

    pub(crate) fn start(&mut self, effect: Effect) {
        planted!(self.policy, UnconditionalPut, { return self.effects.push_back(effect.without_condition()) });
        self.effects.push_back(effect);
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }

    pub(crate) fn happened(&mut self, incident: Incident) {
        self.notices.push_back(Notice::Happened(incident));
    }
}

/// One write's edits.
pub(crate) enum Edits {
    /// Keys set or removed, and others set where nothing stands.
    Keys {
        session: Vec<(Key, Option<Json>)>,
        tab: Vec<(Key, Option<Json>)>,
        shared: Vec<(Key, Json)>,
        defaults: Values,
    },
    /// Everything emptied.
    Reset,
}

impl Edits {
    fn set(session: Vec<(Key, Json)>, tab: Vec<(Key, Json)>, shared: Vec<(Key, Json)>, defaults: Values) -> Self {
        let some = |entries: Vec<(Key, Json)>| entries.into_iter().map(|(key, json)| (key, Some(json))).collect();
        Self::Keys { session: some(session), tab: some(tab), shared, defaults }
    }

    fn removed(session: Vec<Key>, tab: Vec<Key>) -> Self {
        let none = |keys: Vec<Key>| keys.into_iter().map(|key| (key, None)).collect();
        Self::Keys { session: none(session), tab: none(tab), shared: Vec::new(), defaults: Values::default() }
    }

    /// Whether the view's own slice is concerned.
    fn reach_slice(&self) -> bool {
        match self {
            Self::Keys { session, tab, shared: _, defaults } => {
                !(session.is_empty() && tab.is_empty() && defaults.session.is_empty() && defaults.tab.is_empty())
            }
            Self::Reset => true,
        }
    }

    fn names_tab(&self) -> bool {
        matches!(self, Self::Keys { tab, defaults, .. } if !tab.is_empty() || !defaults.tab.is_empty())
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Keys { session, tab, shared, defaults } => {
                let of = |entries: &[(Key, Option<Json>)]| -> usize {
                    entries.iter().map(|(key, json)| edit_bytes(key, json.as_ref())).sum()
                };
                let others = shared.iter().chain(defaults.iter());
                of(session) + of(tab) + others.map(|(key, json)| edit_bytes(key, Some(json))).sum::<usize>()
            }
            Self::Reset => 0,
        }
    }
}
