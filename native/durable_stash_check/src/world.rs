//! One state of a model: the nodes, the store, the network between them, and what every LiveView was told.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use durable_stash_machine::document::Document;
use durable_stash_machine::slice::Epoch;
use durable_stash_machine::{ETag, Now};

use crate::bits::Bits;
use crate::node::{Node, Put};
use crate::object::Object;
use crate::promises::{Broken, Promise};
use crate::scenario::{Faults, Scenario};

/// One state.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// The nodes.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The object.
    pub(crate) object: Arc<Object>,
    /// Requests that nobody waits for any more. They reach the store at any later time, or never.
    pub(crate) loose: Vec<Arc<Loose>>,
    /// The LiveViews.
    pub(crate) lives: Vec<Live>,
    /// Every operation of the scripts, and what was told of it.
    pub(crate) ops: Vec<Op>,
    /// Every fresh mount.
    pub(crate) fresh: Vec<Fresh>,
    /// Reads without an answer.
    pub(crate) readings: Vec<Reading>,
    /// Faults that may still happen.
    pub(crate) left: Faults,
    /// Monotonic ms.
    pub(crate) time: u64,
    /// When each mount was, in ms since the epoch.
    pub(crate) mounts: Vec<u64>,
    /// How much time has passed for mounts to be apart.
    pub(crate) apart: u64,
    /// Promises that were broken on the way here.
    pub(crate) broken: Broken,
    /// What the last step has shown. Not part of the state's identity: it proves that something can happen.
    pub(crate) just: Bits,
}

/// A request whose sender has stopped waiting or is dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Loose {
    /// Who sent it.
    pub(crate) by: By,
    /// What it does.
    pub(crate) deed: Deed,
}

/// Who changes the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum By {
    /// An engine run.
    Run(u8),
    /// The sweeper.
    Sweeper,
}

/// A change of the object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Deed {
    /// Replace it.
    Put(Put),
    /// Remove it if it still is this one.
    Delete(ETag),
}

/// One LiveView.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Live {
    /// The next step of its script.
    pub(crate) next: u8,
    /// The number of its claim; 0 before it has one.
    pub(crate) claim: u8,
    /// How many claims it has had.
    pub(crate) claims: u8,
    /// The first claim of the present mount.
    pub(crate) first: u8,
    /// Where its claim stands, as the session told.
    pub(crate) epoch: Epoch,
    /// Its mount: the so-manieth.
    pub(crate) mount: u8,
    /// The engine was restarted under it: it has to claim its tab again.
    pub(crate) is_cut_off: bool,
    /// Its tab has mounted again on its own node.
    pub(crate) fenced: bool,
    /// Places whose value the store may not have: to be stashed again.
    pub(crate) owed: Bits,
}

/// One operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Op {
    /// What became of it.
    pub(crate) fate: Fate,
    /// The run that accepted it.
    pub(crate) run: u8,
    /// Under which claim.
    pub(crate) claim: u8,
    /// Its mount.
    pub(crate) mount: u8,
    /// As the so-manieth of that run.
    pub(crate) order: u8,
    /// The places that it changes: its own and those that were owed.
    pub(crate) places: Bits,
    /// Its LiveView had lost its tab on its own node before.
    pub(crate) is_doomed: bool,
    /// There was nothing to forget at some moment since it was issued.
    pub(crate) void: bool,
}

/// What a LiveView knows of one of its writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// It is still to come.
    #[default]
    Unissued,
    /// Accepted.
    Open,
    /// Told saved.
    Saved,
    /// Told failed, or refused.
    Failed,
    /// Told unknown.
    Unknown,
    /// Its node died first.
    Orphaned,
}

/// A fresh mount: it empties its tab of what was there before, with its first write at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fresh {
    /// Whose.
    pub(crate) live: u8,
    /// Which mount it was.
    pub(crate) mount: u8,
    /// Its claim; or that of the mount which has come after it and sees to it instead.
    pub(crate) claim: u8,
    /// On which run.
    pub(crate) run: u8,
    /// The so-manieth input of that run.
    pub(crate) order: u8,
}

/// A read that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reading {
    /// Its number.
    pub(crate) read: u8,
    /// Who reads.
    pub(crate) live: u8,
    /// On which run.
    pub(crate) run: u8,
    /// What has stood in the store since it was asked.
    pub(crate) seen: Vec<Arc<Object>>,
}

impl World {
    /// Nothing has happened yet.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            nodes: (0..scenario.nodes).map(|run| Arc::new(Node::new(scenario, run))).collect(),
            object: Object::none().sealed(),
            loose: Vec::new(),
            lives: vec![Live::default(); scenario.lives.len()],
            ops: vec![Op::default(); scenario.ops.len()],
            fresh: Vec::new(),
            readings: Vec::new(),
            left: scenario.faults,
            time: 0,
            mounts: Vec::new(),
            apart: 0,
            broken: Broken::default(),
            just: Bits::default(),
        }
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Now {
        Now { mono: self.time, wall: EPOCH_MS + self.time + self.apart }
    }

    /// The next mount comes.
    pub(crate) fn pass_to_mount(&mut self, scenario: &Scenario) {
        self.apart += scenario.mount_ms;
        self.mounts.push(self.now().wall);
    }

    /// Whether the claim that is stored is of a mount that came later than this one, and not in the same millisecond.
    pub(crate) fn is_later(&self, stored: Epoch, mount: u8) -> bool {
        let by_then = self.mounts.iter().filter(|at| **at <= stored.millis()).max();
        by_then > usize::from(mount).checked_sub(1).map(|mount| &self.mounts[mount])
    }

    /// Whether what stands in the tab is a later mount's, and not the fresh one's to empty.
    pub(crate) fn is_past(&self, fresh: &Fresh, scenario: &Scenario, document: &Document) -> bool {
        let slot = &scenario.lives[usize::from(fresh.live)].slot;
        document.epoch(&slot.view, &slot.tab).is_some_and(|stored| self.is_later(stored, fresh.mount))
    }

    /// The operations for which this holds.
    pub(crate) fn ops_where(&self, holds: impl Fn(&Op) -> bool) -> Bits {
        (0u8..).zip(&self.ops).filter(|(_, op)| holds(op)).map(|(index, _)| index).collect()
    }

    /// The run's operations that have no outcome.
    pub(crate) fn open(&self, run: u8) -> Bits {
        self.ops_where(|op| op.run == run && op.fate == Fate::Open)
    }

    /// The operations that ended so.
    pub(crate) fn told(&self, fate: Fate) -> Bits {
        self.ops_where(|op| op.fate == fate)
    }

    /// The node of a run, if that run still lives.
    pub(crate) fn node_of(&self, run: u8) -> Option<usize> {
        self.nodes.iter().position(|node| node.run == run)
    }

    pub(crate) fn require(&mut self, promise: Promise, holds: bool) {
        if !holds {
            self.broken.insert(promise);
        }
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.nodes == other.nodes
            && self.object == other.object
            && self.loose == other.loose
            && (&self.lives, &self.ops) == (&other.lives, &other.ops)
            && (&self.fresh, &self.readings) == (&other.fresh, &other.readings)
            && (self.left, self.time, self.broken) == (other.left, other.time, other.broken)
            && (&self.mounts, self.apart) == (&other.mounts, other.apart)
    }
}

impl Eq for World {}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.nodes, &self.object, &self.loose).hash(state);
        (&self.lives, &self.ops, &self.fresh, &self.readings).hash(state);
        (self.left, self.time, &self.mounts, self.apart, self.broken).hash(state);
    }
}

/// Any time will do.
const EPOCH_MS: u64 = 1_000;
