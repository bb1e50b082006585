//! Who may write for a tab on this node (I6): the latest mount, and nobody who was there before it.
//!
//! Two LiveViews of one tab can live side by side for a minute after a half-open connection. The later claim wins at
//! once here, and across nodes from when its epoch is in the document (`merge::superseded`). What is kept here must
//! outlive the rest of a session's memory while its LiveViews live, or a superseded one could come back after an
//! eviction: hence `Session::into_fence`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::ClaimId;
use crate::slice::{Epoch, Slot};

/// The claims of this node's live LiveViews.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fence {
    holders: BTreeMap<Arc<Slot>, Holder>,
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
    /// It has written under its epoch, which stays as it is from then on.
    pub(crate) has_written: bool,
}

impl Fence {
    /// Whether nothing needs to be kept.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty() && self.superseded.is_empty()
    }

    /// The claim takes the tab. Returns who held it.
    pub(crate) fn claim(
        &mut self,
        claim: ClaimId,
        slot: &Arc<Slot>,
        fresh: bool,
        stores_tab: bool,
        stored: Option<Epoch>,
        wall: u64,
    ) -> Option<ClaimId> {
        let previous = self.holders.get(slot);
        let seen = previous.map(|holder| holder.epoch).max(stored);
        let epoch = seen.map_or(Epoch(wall), |seen| Epoch(wall.max(seen.0 + 1)));
        // A rejoin after a fresh mount that never wrote inherits the emptying: it is still to be done.
        let starts_fresh = stores_tab && (fresh || previous.is_some_and(|holder| holder.starts_fresh));
        let holder = Holder { claim, epoch, stores_tab, starts_fresh, has_written: false };
        let loser =
            self.holders.insert(slot.clone(), holder).map(|holder| holder.claim).filter(|loser| *loser != claim);
        self.superseded.extend(loser);
        loser
    }

    /// The holder, if it is this claim.
    pub(crate) fn holder(&mut self, slot: &Arc<Slot>, claim: ClaimId) -> Option<&mut Holder> {
        self.holders.get_mut(slot).filter(|holder| holder.claim == claim)
    }

    /// The holder for a claim that was never announced: it takes the tab now.
    pub(crate) fn adopt(&mut self, claim: ClaimId, slot: &Arc<Slot>, stores_tab: bool, wall: u64) -> &mut Holder {
        let holder = Holder { claim, epoch: Epoch(wall), stores_tab, starts_fresh: false, has_written: false };
        let place = self.holders.entry(slot.clone()).or_insert_with(|| holder.clone());
        *place = holder;
        place
    }

    /// Whether the claim has lost its tab.
    pub(crate) fn is_superseded(&self, slot: &Arc<Slot>, claim: ClaimId) -> bool {
        self.superseded.contains(&claim) || self.holders.get(slot).is_some_and(|holder| holder.claim != claim)
    }

    /// Another node's later claim is in the document: this one has lost its tab.
    pub(crate) fn supersede(&mut self, slot: &Arc<Slot>, claim: ClaimId) {
        if self.holder(slot, claim).is_some() {
            self.holders.remove(slot);
        }
        self.superseded.insert(claim);
    }

    /// The claim's LiveView is gone. An emptying that it still owes its tab stays for the rejoin to inherit.
    pub(crate) fn release(&mut self, claim: ClaimId) {
        self.superseded.remove(&claim);
        self.holders.retain(|_, holder| holder.claim != claim || holder.starts_fresh);
    }

    /// Fresh mounts that have not emptied their tab yet.
    pub(crate) fn fresh(&mut self) -> impl Iterator<Item = (&Arc<Slot>, &mut Holder)> {
        self.holders.iter_mut().filter(|(_, holder)| holder.starts_fresh)
    }
}
