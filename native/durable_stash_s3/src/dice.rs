//! Dice that fall the same way in every run: numbers in, a number out.

/// A hash of byte strings, the same on every machine and in every release (FNV-1a, then mixed).
pub(crate) fn hash(parts: &[&[u8]]) -> u64 {
    let mut state = FNV_OFFSET;
    for part in parts {
        for byte in *part {
            state = (state ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
        // Keeps `ab`, `c` apart from `a`, `bc`.
        state = (state ^ part.len() as u64).wrapping_mul(FNV_PRIME);
    }
    splitmix(state)
}

/// One number of several.
pub(crate) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |state, part| splitmix(state ^ splitmix(*part)))
}

/// From 0 up to, and never, 1.
pub(crate) fn fraction(throw: u64) -> f64 {
    (throw >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, 2014).
fn splitmix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
