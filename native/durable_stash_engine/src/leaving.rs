//! Which parked sessions are to leave memory, and when (design §11). One task sees to all of them, for as long as there
//! are any.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cell::Cell;
use crate::engine::Shared;
use crate::stats::up;

/// The parked sessions, in the order in which they are to leave memory. Each stands here once at most
/// (`State::is_queued`); one that was woken and parked again meanwhile gets another turn.
#[derive(Default)]
pub(crate) struct Leaving {
    queue: Mutex<Queue>,
    /// The first turn has become an earlier one.
    sooner: Notify,
}

#[derive(Default)]
struct Queue {
    entries: BinaryHeap<Reverse<Entry>>,
    added: u64,
    /// Somebody sees to the entries, or is about to.
    is_watched: bool,
}

struct Entry {
    /// Monotonic ms.
    at: u64,
    /// Among equals the first one is the first, so that a run can be repeated.
    number: u64,
    cell: Arc<Cell>,
}

impl Leaving {
    /// True if nobody sees to the queue yet: then the caller starts `watch`.
    #[must_use = "the queue is to be watched"]
    pub(crate) fn add(&self, at: u64, cell: Arc<Cell>) -> bool {
        let mut queue = self.queue.lock();
        let is_sooner = queue.entries.peek().is_none_or(|Reverse(first)| at < first.at);
        queue.added += 1;
        let number = queue.added;
        queue.entries.push(Reverse(Entry { at, number, cell }));
        let is_watched = std::mem::replace(&mut queue.is_watched, true);
        drop(queue);
        if is_sooner && is_watched {
            self.sooner.notify_one();
        }
        !is_watched
    }

    /// When the next turn is. If there is none, nobody sees to the queue from now on.
    fn next(&self) -> Option<u64> {
        let mut queue = self.queue.lock();
        let next = queue.entries.peek().map(|Reverse(entry)| entry.at);
        queue.is_watched = next.is_some();
        next
    }

    /// A session whose turn has come.
    fn take_due(&self, mono: u64) -> Option<Arc<Cell>> {
        let mut queue = self.queue.lock();
        queue.entries.peek().filter(|Reverse(entry)| entry.at <= mono)?;
        queue.entries.pop().map(|Reverse(entry)| entry.cell)
    }
}

/// Has sessions leave memory as their time comes, until none is parked.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let registry = &shared.registry;
    while let Some(at) = registry.leaving().next() {
        tokio::select! {
            biased;
            () = registry.leaving().sooner.notified() => {}
            () = shared.clock.sleep_until(at) => {}
        }
        let mono = shared.clock.now().mono;
        let mut turns = 0_u32;
        while let Some(cell) = registry.leaving().take_due(mono) {
            if registry.evict(&cell, mono) {
                up(&shared.counters.evicted);
            }
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

const TURNS_AT_ONCE: u32 = 128;
