//! What a part of a state is told by. Parts are shared between states, and each is hashed once.

use std::hash::Hash;

use ahash::RandomState;

/// The same for equal values, in every run.
pub(crate) fn fingerprint(value: &impl Hash) -> u64 {
    RandomState::with_seeds(SEEDS[0], SEEDS[1], SEEDS[2], SEEDS[3]).hash_one(value)
}

/// Digits of pi.
const SEEDS: [u64; 4] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];
