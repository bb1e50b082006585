//! How long to wait before asking the store again: full jitter, exponential.

use crate::limits::Policy;

/// A seeded source of jitter (splitmix64). The seed is an argument, so that a run can be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// Starts from the seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Milliseconds to wait after `failures` failures in a row: uniform between 0 and the exponential bound, but never
    /// less than the store asked for.
    pub(crate) fn delay(&mut self, failures: u32, retry_after: Option<u64>, policy: &Policy) -> u64 {
        let doublings = failures.saturating_sub(1).min(MAX_DOUBLINGS);
        let bound = policy.backoff_base_ms.saturating_mul(1 << doublings).min(policy.backoff_cap_ms);
        let asked = retry_after.unwrap_or(0).min(MAX_RETRY_AFTER_MS);
        asked.saturating_add(self.below(bound))
    }

    /// Uniform in `0..=bound`.
    fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The bias of the remainder is below bound / 2^64.
        bound.checked_add(1).map_or(mixed, |values| mixed % values)
    }
}

const MAX_DOUBLINGS: u32 = 20;
/// A store that asks for more is asked again after this all the same; the batch's own age bounds the rest.
const MAX_RETRY_AFTER_MS: u64 = 60_000;
