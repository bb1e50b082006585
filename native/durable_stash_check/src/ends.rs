//! How engine runs end, and documents.

use std::sync::Arc;

use durable_stash_machine::sweep::{self, Verdict};
use durable_stash_machine::{Precondition, WriteId, WriterId};

use crate::bits::Bits;
use crate::content::Change;
use crate::node::{Ask, Node, Put};
use crate::object::Stored;
use crate::step::Stepping;
use crate::world::{By, Deed, Fate, Live, Loose};

impl Stepping<'_> {
    /// The engine run ends, and with it all LiveViews of its node.
    pub(crate) fn crash(&mut self, node: u8) {
        self.end_run(node);
        for (script, live) in self.scenario.lives.iter().zip(&mut self.world.lives) {
            if script.node == node {
                *live = Live { next: live.next, claims: live.claims, ..Live::default() };
            }
        }
    }

    /// The engine run ends, and its LiveViews live on.
    pub(crate) fn restart(&mut self, node: u8) {
        self.end_run(node);
        let lives = self.scenario.lives.iter().zip(&mut self.world.lives);
        for (index, (_, live)) in (0u8..).zip(lives).filter(|(_, (script, live))| script.node == node && live.claim > 0)
        {
            live.is_cut_off = true;
            // The new run does not know of the later mount before that is back, or in the store.
            live.fenced = false;
            let own = (0u8..).zip(&self.world.ops).filter(|(op, state)| {
                let spec = &self.scenario.ops[usize::from(*op)];
                spec.live == index
                    && spec.change == Change::Sets
                    && state.claim >= live.first
                    && state.fate != Fate::Unissued
            });
            live.owed = own.fold(live.owed, |owed, (_, op)| owed.and(op.places));
        }
    }

    fn end_run(&mut self, node: u8) {
        let old = self.world.nodes[usize::from(node)].clone();
        for request in &old.requests {
            if let (Ask::Put(put), None) = (&request.ask, &request.answer) {
                self.set_loose_by(old.run, put.clone());
            }
        }
        self.world.nodes[usize::from(node)] = Arc::new(Node::new(self.scenario, old.run + self.scenario.nodes));
        for op in self.world.ops.iter_mut().filter(|op| op.run == old.run && op.fate == Fate::Open) {
            op.fate = Fate::Orphaned;
        }
        self.world.readings.retain(|reading| reading.run != old.run);
    }

    pub(crate) fn sweep(&mut self) -> Option<()> {
        let seq = u64::from(self.world.left.sweeps);
        self.world.left.sweeps -= 1;
        let stored = self.world.object.stored.clone()?;
        let write = WriteId { writer: SWEEPER, seq };
        let deed = match sweep::verdict(&stored.body, write, self.world.now(), &self.scenario.policy).ok()? {
            Verdict::Keep => return None,
            Verdict::Bury { body } => {
                let object = Stored::of(&body, self.scenario)?;
                let precondition = Precondition::Matches(stored.etag.clone());
                Deed::Put(Put { object, precondition, ops: Bits::default(), is_rebased: false })
            }
            Verdict::Delete => Deed::Delete(stored.etag.clone()),
        };
        self.log
            .note(|| format!("and is about to {}", if matches!(deed, Deed::Put(_)) { "bury it" } else { "remove it" }));
        self.world.loose.push(Arc::new(Loose { by: By::Sweeper, deed }));
        Some(())
    }
}

/// No run's.
const SWEEPER: WriterId = WriterId(1 << 100);
