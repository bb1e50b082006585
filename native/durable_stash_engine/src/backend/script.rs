//! The misbehaviours that a test asks the in-memory store for.

use std::collections::VecDeque;

/// A misbehaviour to come. Each is used up by the next requests it fits, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next PUTs fail and are not applied; the store asks to be left alone for `retry_after_ms`.
    FailPuts {
        /// How many.
        count: u32,
        /// What `Retry-After` says.
        retry_after_ms: Option<u64>,
    },
    /// The next PUTs are applied and their answers are lost.
    DropAnswers {
        /// How many.
        count: u32,
    },
    /// The next PUTs wait for [`MemoryStore::release`](super::MemoryStore::release). They are applied then if their condition holds, even if nobody
    /// waits for the answer any more.
    StallPuts {
        /// How many.
        count: u32,
    },
    /// The next PUTs lose, whatever is stored.
    Conflict {
        /// How many.
        count: u32,
        /// To what.
        with: Contention,
    },
    /// The next PUTs are refused for want of rights.
    DenyPuts {
        /// How many.
        count: u32,
    },
    /// The next PUTs are applied and answered without an etag.
    OmitEtags {
        /// How many.
        count: u32,
    },
    /// The next GETs fail.
    FailGets {
        /// How many.
        count: u32,
        /// What `Retry-After` says.
        retry_after_ms: Option<u64>,
    },
    /// The next GETs wait for [`MemoryStore::release`](super::MemoryStore::release).
    StallGets {
        /// How many.
        count: u32,
    },
    /// The next GETs are refused for want of rights.
    DenyGets {
        /// How many.
        count: u32,
    },
}

/// What a PUT loses to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contention {
    /// 412: another version is stored.
    Moved,
    /// 409: another write is under way.
    Busy,
}

/// What is still to come, in the order given.
#[derive(Default)]
pub(super) struct Script(VecDeque<Fault>);

impl Script {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push_back(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn forget_stalls(&mut self) {
        self.0.retain(|fault| !matches!(fault, Fault::StallPuts { .. } | Fault::StallGets { .. }));
    }

    /// What happens to the next PUT.
    pub(super) fn next_for_put(&mut self) -> Option<Fault> {
        self.next(|fault| match fault {
            Fault::FailPuts { count, .. }
            | Fault::DropAnswers { count }
            | Fault::StallPuts { count }
            | Fault::Conflict { count, .. }
            | Fault::DenyPuts { count }
            | Fault::OmitEtags { count } => Some(count),
            Fault::FailGets { .. } | Fault::StallGets { .. } | Fault::DenyGets { .. } => None,
        })
    }

    /// What happens to the next GET.
    pub(super) fn next_for_get(&mut self) -> Option<Fault> {
        self.next(|fault| match fault {
            Fault::FailGets { count, .. } | Fault::StallGets { count } | Fault::DenyGets { count } => Some(count),
            Fault::FailPuts { .. }
            | Fault::DropAnswers { .. }
            | Fault::StallPuts { .. }
            | Fault::Conflict { .. }
            | Fault::DenyPuts { .. }
            | Fault::OmitEtags { .. } => None,
        })
    }

    /// Takes one use off the first fault that fits.
    fn next(&mut self, uses: impl Fn(&mut Fault) -> Option<&mut u32>) -> Option<Fault> {
        let mut index = 0;
        while index < self.0.len() {
            let Some(count) = uses(&mut self.0[index]) else {
                index += 1;
                continue;
            };
            if *count == 0 {
                self.0.remove(index);
                continue;
            }
            *count -= 1;
            let spent = *count == 0;
            let fault = self.0[index];
            if spent {
                self.0.remove(index);
            }
            return Some(fault);
        }
        None
    }
}
