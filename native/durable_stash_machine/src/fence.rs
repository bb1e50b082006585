//! Who may write for a tab on this node (I6): the latest mount, and nobody who was there before it.
//!
//! Two LiveViews of one tab can live side by side for a minute after a half-open connection. The later claim wins at
//! once here, and across nodes from when its epoch is in the document (`merge::superseded`). What is kept here must
//! outlive the rest of a session's memory while its LiveViews live, or a superseded one could come back after an
//! eviction: hence `Session::leave`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::batch::{Batch, ClaimEdit};
use crate::command::ClaimId;
use crate::limits::Now;
use crate::slice::{Epoch, Slot};
use crate::write_id::WriterId;

/// The claims of this node's live LiveViews.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fence {
    holders: BTreeMap<Arc<Slot>, Holder>,
    /// LiveViews that lost their tab and are not gone yet.
    superseded: BTreeSet<ClaimId>,
}

/// The mount that holds a tab.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    /// Its claim.
    pub(crate) claim: ClaimId,
    /// Where the claim stands among all nodes' claims of this tab.
    pub(crate) epoch: Epoch,
    /// The view has `:reconnect` keys.
    pub(crate) stores_tab: bool,
    /// The mount was fresh: the tab is to be emptied with its first write.
    pub(crate) starts_fresh: bool,
    /// The fresh mount that owes the emptying, if that is an earlier one: what was stored after it is not to be emptied.
    pub(crate) owed_by: Option<Epoch>,
    /// It has written under its epoch, which stays as it is from then on.
    pub(crate) has_written: bool,
    /// Its epoch is in the document, or may be.
    pub(crate) is_stored: bool,
    /// When it took the tab (monotonic ms).
    claimed_at: u64,
    /// Its LiveView is gone. Only the emptying that it owes keeps it here: it stands in nobody's way.
    is_gone: bool,
}

/// A fence in as few bytes as possible: a map's node has room for eleven holders, and most sessions have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackedFence {
    holders: Box<[(Arc<Slot>, Holder)]>,
    superseded: Box<[ClaimId]>,
}

impl PackedFence {
    pub(crate) fn unpack(self) -> Fence {
        let Self { holders, superseded } = self;
        Fence { holders: holders.into_iter().collect(), superseded: superseded.into_iter().collect() }
    }
}

/// A claim that comes: when, on whose node, and what the store is known to have of its tab.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) now: Now,
    pub(crate) writer: WriterId,
    pub(crate) stored: Option<Epoch>,
}

impl Arrival {
    /// Its epoch, if this was the highest on its own node.
    fn above(&self, held: Option<Epoch>) -> Epoch {
        Epoch::after(held.max(self.stored), self.now.wall, self.writer)
    }
}

impl Holder {
    fn new(claim: ClaimId, epoch: Epoch, now: Now) -> Self {
        let (stores_tab, starts_fresh, owed_by) = (false, false, None);
        let (has_written, is_stored, is_gone) = (false, false, false);
        let claimed_at = now.mono;
        Self { claim, epoch, stores_tab, starts_fresh, owed_by, has_written, is_stored, claimed_at, is_gone }
    }

    /// Which mount owes the tab an emptying, for the next one to inherit.
    fn owed_by(&self) -> Option<Epoch> {
        self.starts_fresh.then(|| self.owed_by.unwrap_or(self.epoch))
    }
}

impl Fence {
    /// Whether nothing needs to be kept.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty() && self.superseded.is_empty()
    }

    pub(crate) fn pack(&self) -> PackedFence {
        let Self { holders, superseded } = self;
        let holders = holders.iter().map(|(slot, holder)| (slot.clone(), holder.clone())).collect();
        PackedFence { holders, superseded: superseded.iter().copied().collect() }
    }

    /// The claim takes the tab. Returns the LiveView that held it.
    pub(crate) fn claim(
        &mut self,
        claim: ClaimId,
        slot: &Arc<Slot>,
        fresh: bool,
        stores_tab: bool,
        arrival: Arrival,
    ) -> Option<ClaimId> {
        let previous = self.holders.get(slot);
        let epoch = arrival.above(self.highest(slot));
        // A rejoin after a fresh mount that never wrote inherits the emptying: it is still to be done.
        let owed_by = previous.filter(|_| !fresh).and_then(Holder::owed_by);
        let starts_fresh = stores_tab && (fresh || owed_by.is_some());
        let holder = Holder { stores_tab, starts_fresh, owed_by, ..Holder::new(claim, epoch, arrival.now) };
        let previous = self.holders.insert(slot.clone(), holder).filter(|holder| !holder.is_gone);
        let loser = previous.map(|holder| holder.claim).filter(|loser| *loser != claim);
        self.superseded.extend(loser);
        loser
    }

    /// The claim of an earlier mount takes its tab again, unless a later mount holds it. Returns who has lost the tab:
    /// a LiveView of a still earlier mount, or the claim itself.
    pub(crate) fn reclaim(
        &mut self,
        claim: ClaimId,
        slot: &Arc<Slot>,
        stores_tab: bool,
        epoch: Epoch,
    ) -> Option<ClaimId> {
        let previous = self.holders.get(slot);
        if previous.is_some_and(|holder| !holder.is_gone && holder.epoch > epoch) {
            self.superseded.insert(claim);
            return Some(claim);
        }
        let owed_by = previous.and_then(Holder::owed_by);
        let starts_fresh = stores_tab && owed_by.is_some();
        let stands = Holder { has_written: true, is_stored: true, ..Holder::new(claim, epoch, Now::default()) };
        let holder = Holder { stores_tab, starts_fresh, owed_by, ..stands };
        let previous = self.holders.insert(slot.clone(), holder).filter(|holder| !holder.is_gone);
        let loser = previous.map(|holder| holder.claim).filter(|loser| *loser != claim);
        self.superseded.extend(loser);
        loser
    }

    /// As `reclaim`, of a slot that the mount has not held before. It has written nothing there: a stored claim from the future
    /// is not taken for a later mount's. What is older than the mount is a fresh one's to empty.
    pub(crate) fn claim_late(
        &mut self,
        claim: ClaimId,
        slot: &Arc<Slot>,
        fresh: bool,
        stores_tab: bool,
        epoch: Epoch,
        now: Now,
    ) -> Option<ClaimId> {
        let loser = self.reclaim(claim, slot, stores_tab, epoch);
        if let Some(holder) = self.holder(slot, claim) {
            (holder.has_written, holder.is_stored, holder.claimed_at) = (false, false, now.mono);
            if fresh && stores_tab {
                (holder.starts_fresh, holder.owed_by) = (true, Some(epoch));
            }
        }
        loser
    }

    /// The holder, if it is this claim.
    pub(crate) fn holder(&mut self, slot: &Slot, claim: ClaimId) -> Option<&mut Holder> {
        self.holders.get_mut(slot).filter(|holder| holder.claim == claim)
    }

    /// The highest epoch of the tab here, in whichever version of the view's code.
    fn highest(&self, slot: &Slot) -> Option<Epoch> {
        let of_tab = self.holders.iter().filter(|(other, _)| (&other.view, &other.tab) == (&slot.view, &slot.tab));
        of_tab.map(|(_, holder)| holder.epoch).max()
    }

    /// Where the claim stands, if it holds the tab.
    pub(crate) fn epoch(&self, claim: ClaimId) -> Option<Epoch> {
        self.holders.values().find(|holder| holder.claim == claim).map(|holder| holder.epoch)
    }

    /// An emptying has failed: it is whoever's that holds the tab now; or whoever's that mounts next, if its page was left.
    pub(crate) fn owe(&mut self, claim: ClaimId, failed: &ClaimEdit, owed_by: Epoch) {
        let stands = Holder { has_written: true, is_stored: true, ..Holder::new(claim, failed.epoch, Now::default()) };
        let gone = Holder { stores_tab: true, is_gone: true, ..stands };
        let holder = self.holders.entry(failed.slot.clone()).or_insert(gone);
        (holder.starts_fresh, holder.owed_by) = (true, Some(owed_by));
        self.bound_debts();
    }

    /// The holder for a claim that writes. One that was never announced takes the tab now.
    pub(crate) fn writer(
        &mut self,
        claim: ClaimId,
        slot: &Arc<Slot>,
        stores_tab: bool,
        arrival: Arrival,
    ) -> &mut Holder {
        let epoch = arrival.above(self.highest(slot));
        let announced = |owed_by: Option<Epoch>| {
            let starts_fresh = owed_by.is_some();
            Holder { stores_tab, starts_fresh, owed_by, ..Holder::new(claim, epoch, arrival.now) }
        };
        let holder = self.holders.entry(slot.clone()).or_insert_with(|| announced(None));
        if holder.claim != claim {
            *holder = announced(holder.owed_by());
        }
        holder.stores_tab |= stores_tab;
        holder
    }

    /// Whether the claim has lost its tab.
    pub(crate) fn is_superseded(&self, slot: &Slot, claim: ClaimId) -> bool {
        let is_anothers = |holder: &Holder| holder.claim != claim && !holder.is_gone;
        self.superseded.contains(&claim) || self.holders.get(slot).is_some_and(is_anothers)
    }

    /// Another node's later claim is in the document: this one has lost its tab. A claim that does not hold it any
    /// more was told before, or is gone and will not be heard of again.
    pub(crate) fn supersede(&mut self, slot: &Slot, claim: ClaimId) {
        if self.holder(slot, claim).is_none() {
            return;
        }
        if self.holders.remove(slot).is_some_and(|holder| !holder.is_gone) {
            self.superseded.insert(claim);
        }
    }

    /// The claim's LiveView is gone. An emptying that it still owes its tab stays for the rejoin to inherit.
    pub(crate) fn release(&mut self, claim: ClaimId) {
        self.superseded.remove(&claim);
        self.holders.retain(|_, holder| holder.claim != claim || holder.starts_fresh);
        for holder in self.holders.values_mut().filter(|holder| holder.claim == claim) {
            holder.is_gone = true;
        }
        self.bound_debts();
    }

    /// The batch is in the document, or may be, and with it the epochs of its claims: they stay as they are.
    pub(crate) fn stored(&mut self, batch: &Batch) {
        for (claim, edit) in &batch.claims {
            if let Some(holder) = self.holder(&edit.slot, *claim) {
                holder.is_stored = true;
            }
        }
    }

    /// The mounts that took their tab at this moment or later and whose epoch is in no document yet.
    pub(crate) fn unstored_since(&mut self, mono: u64) -> impl Iterator<Item = (&Arc<Slot>, &mut Holder)> {
        self.holders.iter_mut().filter(move |(_, holder)| !holder.is_stored && holder.claimed_at >= mono)
    }

    /// Fresh mounts that have not emptied their tab yet.
    pub(crate) fn fresh(&mut self) -> impl Iterator<Item = (&Arc<Slot>, &mut Holder)> {
        self.holders.iter_mut().filter(|(_, holder)| holder.starts_fresh)
    }

    /// Every page load leaves a debt under a tab id of its own: the oldest are let go, or a visitor who reloads for a
    /// day would be remembered page by page.
    fn bound_debts(&mut self) {
        let debts = || self.holders.iter().filter(|(_, holder)| holder.is_gone);
        if debts().count() > MAX_DEBTS
            && let Some(oldest) = debts().min_by_key(|(_, holder)| holder.epoch).map(|(slot, _)| slot.clone())
        {
            self.holders.remove(&oldest);
        }
    }
}

/// As many as a slice keeps tabs by default: what is older has lost its content anyway.
const MAX_DEBTS: usize = 32;
