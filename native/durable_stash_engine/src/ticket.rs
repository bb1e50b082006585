//! Replies that are answered exactly once, whatever becomes of whoever holds them.

use crate::error::{Error, Failure};
use crate::handle::Reply;

/// A reply that is answered exactly once: whoever drops it unanswered says that the engine is down.
pub(crate) struct Ticket<T: FromFailure>(Option<Reply<T>>);

/// An answer that can be "it cannot be done".
pub(crate) trait FromFailure {
    fn from_failure(failure: Failure) -> Self;
}

impl<T> FromFailure for Result<T, Error> {
    fn from_failure(failure: Failure) -> Self {
        Err(failure.into())
    }
}

impl<T: FromFailure> Ticket<T> {
    pub(crate) fn new(reply: Reply<T>) -> Self {
        Self(Some(reply))
    }

    pub(crate) fn answer(mut self, answer: T) {
        if let Some(reply) = self.0.take() {
            reply(answer);
        }
    }
}

impl<T: FromFailure> Drop for Ticket<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(T::from_failure(Failure::EngineDown));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use durable_stash_machine::ErrorKind;

    use super::*;

    #[test]
    fn a_ticket_that_is_dropped_says_that_the_engine_is_down() {
        let (sender, answer) = mpsc::channel::<Result<(), Error>>();
        drop(Ticket::new(Box::new(move |result: Result<(), Error>| sender.send(result).unwrap())));
        assert_eq!(answer.recv().unwrap().unwrap_err().kind, ErrorKind::EngineDown);
        assert!(answer.recv().is_err(), "once");
    }
}
