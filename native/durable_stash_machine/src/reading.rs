//! Reads: who waits, what the GET in flight can answer, and what an answer consists of (design §6).
//!
//! A reader that arrives while a GET is in flight waits for the next one: the one in flight may have been answered
//! by the store before the reader asked. Readers that arrive before a GET leaves share it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Base;
use crate::batch::{Batch, ClaimEdit};
use crate::command::{ClaimId, RequestId};
use crate::document::Document;
use crate::error::ErrorKind;
use crate::fence::Holder;
use crate::finding::{Getting, Suspect};
use crate::limits::Now;
use crate::merge::{merge, superseded};
use crate::notice::{Found, Incident, Notice, ReadAnswer};
use crate::phase::{Flight, Frozen};
use crate::session::Session;
use crate::slice::{Epoch, Json, Key, Slice, Slot, Tab, View, Vsn};

/// The reads of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    waiting: Vec<Reader>,
    pub(crate) in_flight: Option<Getting>,
    /// The store failed: ask again at this moment, not before.
    retry_at: Option<u64>,
    pub(crate) failures: u32,
    /// Older revisions in a row from a store that had shown newer ones.
    pub(crate) stale_reads: u32,
    /// The last answer was that the credentials do not allow it.
    pub(crate) is_denied: bool,
    /// What the last answer was if it could not be read.
    pub(crate) suspect: Option<Suspect>,
}

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reader {
    request: RequestId,
    slot: Arc<Slot>,
    claim: Option<ClaimId>,
    deadline: u64,
}

impl Reads {
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// When the next reader's patience ends.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let in_flight = self.in_flight.iter().flat_map(|getting| &getting.question.readers);
        self.waiting.iter().chain(in_flight).map(|reader| reader.deadline).min()
    }

    /// The store asked for a pause.
    pub(crate) fn hold_until(&mut self, mono: u64) {
        self.retry_at = Some(self.retry_at.map_or(mono, |at| at.max(mono)));
    }

    /// The readers of a GET that told them nothing wait for the next one, ahead of those who came later.
    pub(crate) fn wait_again(&mut self, mut readers: Vec<Reader>) {
        readers.append(&mut self.waiting);
        self.waiting = readers;
    }

    /// The store has answered.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.stale_reads = 0;
        self.is_denied = false;
        self.suspect = None;
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.is_denied
    }

    fn take_expired(&mut self, mono: u64) -> Vec<Reader> {
        let mut expired: Vec<Reader> = self.waiting.extract_if(.., |reader| reader.deadline <= mono).collect();
        if let Some(getting) = &mut self.in_flight {
            expired.extend(getting.question.readers.extract_if(.., |reader| reader.deadline <= mono));
        }
        expired
    }
}

impl Session {
    pub(crate) fn read(&mut self, now: Now, request: RequestId, slot: Arc<Slot>, claim: Option<ClaimId>) {
        if claim.is_some_and(|claim| self.fence.is_superseded(&slot, claim)) {
            return self.tell(Notice::Read { request, answer: Err(ErrorKind::Superseded) });
        }
        let deadline = now.mono.saturating_add(self.policy.recover_timeout_ms);
        let reader = Reader { request, slot, claim, deadline };
        if self.may_answer_unasked(now) {
            self.answer(now, &reader, false);
        } else {
            self.reads.waiting.push(reader);
        }
    }

    /// When the next GET is to leave, if one is wanted.
    pub(crate) fn get_at(&self) -> Option<u64> {
        if self.reads.in_flight.is_some() {
            return None;
        }
        let reader = (!self.reads.waiting.is_empty()).then_some(0);
        let writer = match &self.frozen {
            Some(frozen) => match frozen.flight {
                Flight::Resolving { at, .. } => Some(at),
                Flight::Ready { at } if self.must_ask() => Some(at),
                Flight::Ready { .. } | Flight::Sending { .. } => None,
            },
            None if self.must_ask() => self.pending_due_at(),
            None => None,
        };
        let wanted = [reader, writer].into_iter().flatten().min();
        wanted.map(|at| at.max(self.reads.retry_at.unwrap_or(0)))
    }

    /// Nothing can be written before the store has been asked.
    fn must_ask(&self) -> bool {
        match &self.base {
            Base::Unknown => true,
            // The copy could not be made: whoever has something to write starts over.
            Base::Damaged { copied: false, .. } => self.quarantine.is_none(),
            Base::Absent | Base::Stored(_) | Base::Damaged { copied: true, .. } => false,
        }
    }

    pub(crate) fn start_get(&mut self, now: Now) {
        if self.get_at().is_some_and(|at| at <= now.mono) {
            let readers = std::mem::take(&mut self.reads.waiting);
            self.reads.retry_at = None;
            self.get(now, readers);
        }
    }

    /// Whether the copy at hand may answer without a question to the store.
    fn may_answer_unasked(&self, now: Now) -> bool {
        match &self.base {
            Base::Stored(stored) if stored.vanished => false,
            Base::Stored(stored) => {
                self.policy.single_writer || stored.validated.mono.saturating_add(self.policy.fresh_for_ms) > now.mono
            }
            Base::Absent => self.policy.single_writer,
            Base::Unknown | Base::Damaged { .. } => false,
        }
    }

    pub(crate) fn expire_reads(&mut self, now: Now) {
        for reader in self.reads.take_expired(now.mono) {
            if self.policy.serve_stale && self.base.is_known() {
                self.happened(Incident::StaleServed);
                self.answer(now, &reader, true);
            } else {
                self.tell(Notice::Read { request: reader.request, answer: Err(ErrorKind::Unavailable) });
            }
        }
    }

    pub(crate) fn refuse_readers(&mut self, readers: Vec<Reader>, kind: ErrorKind) {
        for reader in readers {
            self.tell(Notice::Read { request: reader.request, answer: Err(kind) });
        }
    }

    pub(crate) fn answer_all(&mut self, now: Now, readers: Vec<Reader>) {
        for reader in readers {
            self.answer(now, &reader, false);
        }
    }

    /// The base and, on top, what this node has accepted and not committed.
    fn answer(&mut self, now: Now, reader: &Reader, stale: bool) {
        let answer = match self.base.error() {
            Some(kind) => Err(kind),
            None => {
                let (found, unsaved) = (self.look_up(now, reader), self.unsaved(now, reader));
                Ok(ReadAnswer { found, rev: self.committed_rev(), stale, unsaved })
            }
        };
        self.tell(Notice::Read { request: reader.request, answer });
        if let Some(claim) = reader.claim {
            self.mounted(now, &reader.slot, claim);
        }
    }

    fn look_up(&mut self, now: Now, reader: &Reader) -> Option<Found> {
        let slot = &reader.slot;
        let document = self.document_with_accepted(now, Some(&slot.view));
        let shared =
            pairs(document.views.get(&View::shared()).and_then(|slices| Some(&slices.get(&Vsn::SHARED)?.data)));
        let slices = || document.views.get(&slot.view).into_iter().flat_map(|slices| slices.range(..=slot.vsn).rev());
        let Some((vsn, slice)) = slices().next() else {
            let (vsn, tab_vsn) = (slot.vsn, slot.vsn);
            return (!shared.is_empty()).then(|| Found { vsn, tab_vsn, session: Vec::new(), tab: Vec::new(), shared });
        };
        // An emptied tab is there too: what was deleted does not come back from a lower version.
        let tab = slices().find_map(|(vsn, slice)| Some((*vsn, slice.tabs.get(&slot.tab)?)));
        let owes = |holder: &Holder, tab: &Tab| {
            holder.starts_fresh && holder.owed_by.is_none_or(|owed_by| tab.epoch <= owed_by)
        };
        let holder = reader.claim.and_then(|claim| self.fence.holder(slot, claim)).map(|holder| &*holder);
        let owes_emptying = |tab: &Tab| holder.is_some_and(|holder| owes(holder, tab));
        let (tab_vsn, tab) =
            tab.filter(|(_, tab)| !owes_emptying(tab)).map_or((*vsn, None), |(vsn, tab)| (vsn, Some(tab)));
        Some(Found {
            vsn: *vsn,
            tab_vsn,
            session: pairs(Some(&slice.data)),
            tab: pairs(tab.map(|tab| &tab.data)),
            shared,
        })
    }

    /// The writes of others that this reader is shown, or whose emptying it is shown, and that are not saved yet.
    fn unsaved(&self, now: Now, reader: &Reader) -> Vec<(ClaimId, u64)> {
        let content = self.base.stored().map(|stored| stored.ground(now.wall)).unwrap_or_default();
        let shown = self.accepted_batches().flat_map(|batch| {
            let overtaken = superseded(&content, batch);
            let is_shown = move |(claim, edit): &(&ClaimId, &ClaimEdit)| {
                Some(**claim) != reader.claim && !overtaken.contains(claim) && edit.is_seen_from(&reader.slot)
            };
            batch.claims.iter().filter(is_shown).map(|(claim, edit)| (*claim, edit.last_op))
        });
        shown.filter(|(_, op)| *op > 0).collect()
    }

    /// What is accepted and not in the copy of the document that is at hand, in the order in which it is to be applied.
    fn accepted_batches(&self) -> impl Iterator<Item = &Batch> {
        let stored = self.base.stored();
        let is_open =
            |frozen: &&Frozen| !stored.is_some_and(|stored| stored.header.contains(self.write_id(frozen.seq)));
        self.frozen.as_ref().filter(is_open).map(|frozen| &frozen.batch).into_iter().chain([&self.pending])
    }

    /// The document as it will be once all that is accepted is committed; of one view, and what all share, if named.
    pub(crate) fn document_with_accepted(&self, now: Now, view: Option<&View>) -> Document {
        let content = self.base.stored().map(|stored| stored.ground(now.wall)).unwrap_or_default();
        let mut document = match view {
            None => Document::clone(&content),
            Some(view) => {
                let of = |view| content.views.get_key_value(view).map(|(view, slices)| (view.clone(), slices.clone()));
                Document { views: of(view).into_iter().chain(of(&View::shared())).collect() }
            }
        };
        for batch in self.accepted_batches() {
            let mut overtaken = superseded(&document, batch);
            // Other views' tabs are in the whole of it alone, and what their claims share is seen here.
            overtaken.extend(superseded(&content, batch));
            if overtaken.is_empty() {
                merge(&mut document, batch, now.wall, &self.policy);
            } else {
                let mut batch = batch.clone();
                batch.claims.retain(|claim, _| !overtaken.contains(claim));
                merge(&mut document, &batch, now.wall, &self.policy);
            }
        }
        document
    }

    /// A mount that did not read has a GET made for it by its first write. Where that leaves as soon after the mount as a
    /// read would, the mount stands above a stored claim from the future, as one that has read. Later, the stored claim
    /// may be of a mount that came since, and wins.
    pub(crate) fn stand_above_the_future(&mut self, now: Now, left_at: u64) {
        let Some(stored) = self.base.stored() else { return };
        let writer = self.writer;
        for (slot, holder) in self.fence.unstored_since(left_at.saturating_sub(self.policy.recover_timeout_ms)) {
            let Some(epoch) = stored.document.epoch(&slot.view, &slot.tab) else { continue };
            if epoch < holder.epoch || epoch.millis() <= now.wall {
                continue;
            }
            holder.epoch = Epoch::after(Some(epoch), now.wall, writer);
            let batches = self.frozen.as_mut().map(|frozen| &mut frozen.batch).into_iter().chain([&mut self.pending]);
            for edit in batches.filter_map(|batch| batch.claims.get_mut(&holder.claim)) {
                edit.epoch = holder.epoch;
            }
        }
    }

    /// A mount has seen the document. A stored claim from the future is one of a clock that runs ahead, not of a later
    /// mount: this mount stands above it. And the visit counts for the slice's life.
    fn mounted(&mut self, now: Now, slot: &Arc<Slot>, claim: ClaimId) {
        let stored_epoch = self.base.epoch(&slot.view, &slot.tab);
        if let Some(holder) = self.fence.holder(slot, claim)
            && !holder.has_written
            && let Some(stored) = stored_epoch
            && stored >= holder.epoch
            && stored.millis() > now.wall
        {
            holder.epoch = Epoch::after(Some(stored), now.wall, self.writer);
            // It had no say over the tab's content before.
            self.empty_fresh_tabs(now);
        }
        let Some(content) = self.base.stored().and_then(|stored| stored.content(now.wall)) else { return };
        let aged = |view: View, vsn: Vsn| {
            let is_alive = |slice: &Slice| !slice.is_over(now.wall, self.policy.ttl_ms);
            let (vsn, slice) = content.views.get(&view)?.range(..=vsn).rfind(|(_, slice)| is_alive(slice))?;
            (now.wall.saturating_sub(slice.touched_at) > self.policy.ttl_ms / 8).then_some((view, *vsn))
        };
        let seen = [aged(slot.view.clone(), slot.vsn), aged(View::shared(), Vsn::SHARED)];
        for slice in seen.into_iter().flatten() {
            self.pending.touched.insert(slice);
            self.pending.since.get_or_insert(now.mono);
        }
    }
}

fn pairs(data: Option<&BTreeMap<Key, Json>>) -> Vec<(Key, Json)> {
    data.into_iter().flatten().map(|(key, json)| (key.clone(), json.clone())).collect()
}
