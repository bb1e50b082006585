//! Events on their way to the one process that observes an engine: gathered into batches, and bounded.

use std::mem;

/// What waits. The counts are in events.
pub(crate) struct Backlog<E> {
    waiting: Vec<E>,
    /// Handed in for sending and not sent yet.
    leaving: usize,
    dropped: u64,
    dropped_unsaid: u64,
    is_timed: bool,
}

/// What to do after an event was added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// Hand the batch in after [`BATCH_MS`].
    Wait,
    HandIn,
}

/// Events to send in one message, and how many were dropped since the message before.
pub(crate) struct Batch<E> {
    pub(crate) events: Vec<E>,
    pub(crate) dropped: u64,
}

impl<E> Backlog<E> {
    pub(crate) fn add(&mut self, event: E) -> Next {
        if self.waiting.len() + self.leaving >= MAX_WAITING {
            self.dropped += 1;
            self.dropped_unsaid += 1;
            return Next::Nothing;
        }
        self.waiting.push(event);
        if self.waiting.len() >= BATCH_EVENTS {
            Next::HandIn
        } else if mem::replace(&mut self.is_timed, true) {
            Next::Nothing
        } else {
            Next::Wait
        }
    }

    /// The time is up.
    pub(crate) fn wake(&mut self) {
        self.is_timed = false;
    }

    /// What is to be sent now, if anything. [`sent`](Self::sent) has to follow with the number of its events.
    pub(crate) fn take(&mut self) -> Option<Batch<E>> {
        if self.waiting.is_empty() && self.dropped_unsaid == 0 {
            return None;
        }
        self.leaving += self.waiting.len();
        Some(Batch { events: mem::take(&mut self.waiting), dropped: mem::take(&mut self.dropped_unsaid) })
    }

    pub(crate) fn sent(&mut self, events: usize) {
        self.leaving = self.leaving.saturating_sub(events);
    }

    /// Nobody observes any more.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.dropped_unsaid = 0;
    }

    /// In all.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<E> Default for Backlog<E> {
    fn default() -> Self {
        Backlog { waiting: Vec::new(), leaving: 0, dropped: 0, dropped_unsaid: 0, is_timed: false }
    }
}

/// How long events are gathered.
pub(crate) const BATCH_MS: u64 = 50;

/// A batch that has so many goes at once.
const BATCH_EVENTS: usize = 100;

const MAX_WAITING: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_sets_one_timer_and_a_full_batch_goes_at_once() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.add(0), Next::Wait);
        for event in 1..99 {
            assert_eq!(backlog.add(event), Next::Nothing);
        }
        assert_eq!(backlog.add(99), Next::HandIn);
        assert_eq!(backlog.take().unwrap().events, (0..100).collect::<Vec<_>>());
        assert_eq!(backlog.add(100), Next::Nothing, "the timer still runs");
        backlog.wake();
        assert_eq!(backlog.take().unwrap().events, [100]);
        assert!(backlog.take().is_none());
        assert_eq!(backlog.add(101), Next::Wait);
    }

    #[test]
    fn what_is_not_sent_counts_against_the_bound_and_drops_are_said_once() {
        let mut backlog = Backlog::default();
        let mut leaving = 0;
        for event in 0..5_000 {
            if backlog.add(event) == Next::HandIn {
                leaving += backlog.take().unwrap().events.len();
            }
        }
        assert_eq!((leaving, backlog.dropped()), (4_000, 5_000 - 4_096));
        let batch = backlog.take().unwrap();
        assert_eq!((batch.events.len(), batch.dropped), (96, 904));
        backlog.sent(4_096);
        backlog.add(5_000);
        assert_eq!(backlog.take().unwrap().dropped, 0);
    }
}
