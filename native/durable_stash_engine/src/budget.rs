//! The bytes that are accepted and not yet saved, and those of saved documents at hand, over all sessions: what bounds the
//! engine's memory (fault 53).

use std::sync::Arc;

use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The engine-wide account.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    taken: AtomicUsize,
    limit: usize,
}

/// Bytes taken from the account; given back when dropped, wherever that happens.
#[derive(Debug)]
pub(crate) struct Share {
    account: Arc<Account>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Account { taken: AtomicUsize::new(0), limit }))
    }

    /// Takes the bytes, if there are so many left.
    ///
    /// A write that is larger than the whole account passes when nothing else is unsaved: it could never pass
    /// otherwise, and its own size has a limit of its own.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<Share> {
        let account = &self.0;
        let fits = |taken: usize| {
            let after = taken.checked_add(bytes)?;
            (after <= account.limit || taken == 0).then_some(after)
        };
        account.taken.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(Share { account: account.clone(), bytes })
    }

    /// An empty share, to grow by what was admitted before.
    pub(crate) fn empty_share(&self) -> Share {
        Share { account: self.0.clone(), bytes: 0 }
    }

    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(Relaxed)
    }

    /// Whether more is taken than there should be.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.taken() > self.limit()
    }

    pub(crate) fn limit(&self) -> usize {
        self.0.limit
    }
}

impl Share {
    /// Now holds so many bytes, whatever the limit: they were admitted already, and only change owners.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.account.taken.fetch_add(bytes - self.bytes, Relaxed);
        } else {
            self.account.taken.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.account.taken.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_or_shrunk_is_given_back() {
        let budget = Budget::new(100);
        let queued = budget.reserve(60).unwrap();
        assert!(budget.reserve(50).is_none());
        let mut session = budget.empty_share();
        session.resize(60);
        drop(queued);
        assert_eq!(budget.taken(), 60);
        session.resize(10);
        assert!(budget.reserve(90).is_some());
        drop(session);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_write_larger_than_the_account_passes_alone() {
        let budget = Budget::new(10);
        let alone = budget.reserve(50).unwrap();
        assert!(budget.reserve(1).is_none());
        drop(alone);
        assert_eq!(budget.taken(), 0);
    }
}
