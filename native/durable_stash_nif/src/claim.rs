//! Who has the last word on a reply: the thread that is about to send it, or the process that no longer waits for it.
//!
//! A message that arrives after its waiter has given up stays in the mailbox for ever, and the process may be one
//! that serves other requests next (liveview.md). The VM cannot recall a message, so the two sides settle it before
//! it is sent: exactly one of them succeeds.

use std::sync::atomic::{AtomicU8, Ordering};

/// One reply that is awaited.
#[derive(Default)]
pub(crate) struct Claim(AtomicU8);

impl Claim {
    /// Before sending. True, once: nobody has given up and nobody can any more, so the message must be sent now.
    /// False: it must not.
    pub(crate) fn send(&self) -> bool {
        self.0.compare_exchange(WAITING, SENDING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Gives up. True: no message will ever come. False: it is certain to come, or has.
    pub(crate) fn cancel(&self) -> bool {
        match self.0.compare_exchange(WAITING, CANCELLED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(state) => state == CANCELLED,
        }
    }
}

const WAITING: u8 = 0;
const SENDING: u8 = 1;
const CANCELLED: u8 = 2;

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn what_was_cancelled_is_never_sent() {
        let claim = Claim::default();
        assert!(claim.cancel());
        assert!(!claim.send());
        assert!(claim.cancel(), "giving up twice is giving up");
    }

    #[test]
    fn what_is_sent_is_sent_once_and_cannot_be_cancelled() {
        let claim = Claim::default();
        assert!(claim.send());
        assert!(!claim.cancel());
        assert!(!claim.send());
    }

    #[test]
    fn exactly_one_side_wins_every_race() {
        let mut sent = 0;
        for _ in 0..2_000 {
            let (claim, start) = (Claim::default(), Barrier::new(2));
            let (is_sent, is_cancelled) = thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    start.wait();
                    claim.send()
                });
                start.wait();
                let is_cancelled = claim.cancel();
                (sender.join().unwrap(), is_cancelled)
            });
            assert_ne!(is_sent, is_cancelled);
            sent += u32::from(is_sent);
        }
        println!("{sent} of 2000 were sent");
    }
}
