//! What a session's driver has yet to take, in the order of arrival.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use durable_stash_machine::{ClaimId, Command, ReadAnswer, Slot};

use crate::budget::Share;
use crate::error::Error;
use crate::standing::HandleState;
use crate::ticket::Ticket;

/// What a session's driver is fed, beside the store's answers and the time.
pub(crate) enum Input {
    /// `wall` is when the mount was: claims are ordered by that, not by when a node that stood still got round to them.
    Claim {
        handle: Arc<HandleState>,
        command: Box<Command>,
        wall: u64,
    },
    Write {
        handle: Arc<HandleState>,
        command: Box<Command>,
        share: Share,
        /// Where it stands among all writes.
        turn: u64,
    },
    Read {
        slot: Arc<Slot>,
        handle: Arc<HandleState>,
        /// A dead mount only reads.
        claimed: bool,
        reply: Ticket<Result<ReadAnswer, Error>>,
    },
    Forget {
        reply: Ticket<Result<(), Error>>,
    },
    Release(ClaimId),
    Drain,
    Stop,
}

/// The inputs of a live session. It lives in the session's cell, under the lock that decides whether the driver may go.
pub(crate) struct Inbox {
    inputs: VecDeque<Input>,
    /// The driver, when it has found nothing.
    waiting: Option<Waker>,
}

impl Inbox {
    /// Returns whom to wake: outside of every lock, since it takes the same one first of all.
    #[must_use = "the driver waits for it"]
    pub(crate) fn put(&mut self, input: Input) -> Option<Waker> {
        self.inputs.push_back(input);
        self.waiting.take()
    }

    pub(crate) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Input> {
        match self.inputs.pop_front() {
            Some(input) => Poll::Ready(input),
            None => {
                self.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// What is left when nobody will take it.
    pub(crate) fn into_inputs(self) -> VecDeque<Input> {
        self.inputs
    }
}

impl FromIterator<Input> for Inbox {
    fn from_iter<T: IntoIterator<Item = Input>>(inputs: T) -> Self {
        Self { inputs: inputs.into_iter().collect(), waiting: None }
    }
}
