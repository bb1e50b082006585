//! What a node asks of a session.

use std::sync::Arc;

use crate::slice::{Epoch, Json, Key, Slot};

/// One mounted LiveView's standing with its tab. The engine numbers them and never reuses a number in a run, so
/// that a LiveView whose tab has mounted again is told from its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimId(pub u64);

/// Names a question, so that its answer finds the asker. Numbered by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Keys and their values, by scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Values {
    /// `:session` keys.
    pub session: Vec<(Key, Json)>,
    /// `:reconnect` keys.
    pub tab: Vec<(Key, Json)>,
    /// `:shared` keys.
    pub shared: Vec<(Key, Json)>,
}

impl Values {
    /// All of them, whatever their scope.
    pub fn iter(&self) -> impl Iterator<Item = &(Key, Json)> {
        self.session.iter().chain(&self.tab).chain(&self.shared)
    }
}

/// An input from this node's LiveViews.
///
/// `op` numbers the writes of one claim upwards from 1; outcomes name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// A connected mount takes its tab: whoever held it before is superseded.
    Claim {
        /// The new holder.
        claim: ClaimId,
        /// What it holds.
        slot: Arc<Slot>,
        /// Not a rejoin: the tab's slice starts empty.
        fresh: bool,
        /// The view has `:reconnect` keys, so the claim belongs into the document.
        stores_tab: bool,
    },
    /// The LiveView of an earlier mount is back with a new claim: the engine was restarted under it. It takes its tab
    /// if nobody has mounted there since.
    Reclaim {
        /// The new claim.
        claim: ClaimId,
        /// What it held.
        slot: Arc<Slot>,
        /// The view has `:reconnect` keys.
        stores_tab: bool,
        /// Where its mount stood, as `Session::epoch` told.
        epoch: Epoch,
    },
    /// A slot is claimed for the first time, by an earlier mount that lives on: a LiveComponent has come to the page late, or
    /// there was no engine at the mount. As `Reclaim`; and if the mount was fresh, the tab's slice starts empty.
    ClaimLate {
        /// The new claim.
        claim: ClaimId,
        /// What it is to hold.
        slot: Arc<Slot>,
        /// The mount was no rejoin.
        fresh: bool,
        /// There are `:reconnect` keys.
        stores_tab: bool,
        /// Where the mount stands.
        epoch: Epoch,
    },
    /// Set these keys. All of them or none.
    Merge {
        /// Who writes.
        claim: ClaimId,
        /// Where.
        slot: Arc<Slot>,
        /// The number of this write.
        op: u64,
        /// `:session` keys.
        session: Vec<(Key, Json)>,
        /// `:reconnect` keys.
        tab: Vec<(Key, Json)>,
        /// `:shared` keys.
        shared: Vec<(Key, Json)>,
        /// Keys, none of those above, that are set only where nothing stands when the write is applied.
        defaults: Values,
    },
    /// Remove these keys.
    Drop {
        /// Who writes.
        claim: ClaimId,
        /// Where.
        slot: Arc<Slot>,
        /// The number of this write.
        op: u64,
        /// `:session` keys.
        session: Vec<Key>,
        /// `:reconnect` keys.
        tab: Vec<Key>,
    },
    /// Empty this view's slice and this tab.
    Reset {
        /// Who writes.
        claim: ClaimId,
        /// Where.
        slot: Arc<Slot>,
        /// The number of this write.
        op: u64,
    },
    /// What is stored for this slot?
    Read {
        /// Names the answer.
        request: RequestId,
        /// Whose.
        slot: Arc<Slot>,
        /// The asker's claim; none at a dead mount.
        claim: Option<ClaimId>,
    },
    /// Bury the whole document (logout).
    Forget {
        /// Names the answer.
        request: RequestId,
    },
    /// The claim's LiveView is gone; what it wrote lives on.
    Release {
        /// The claim.
        claim: ClaimId,
    },
    /// From now on nothing is held back.
    Drain,
}
