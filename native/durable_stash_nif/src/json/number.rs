//! Numbers as text, where `core` alone does not do it: floats that stay floats, integers of any size.

use std::fmt::Write;

use num_bigint::BigUint;

/// An integer beyond 64 bits: its sign, and its magnitude in bytes, the least significant first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BigInteger {
    pub(crate) negative: bool,
    pub(crate) magnitude: Vec<u8>,
}

impl BigInteger {
    /// Reads the external term format of one integer, the only way in which the VM shows a big one.
    /// (<https://www.erlang.org/doc/apps/erts/erl_ext_dist.html>, `SMALL_BIG_EXT` and `LARGE_BIG_EXT`)
    pub(crate) fn from_external(term: &[u8]) -> Option<BigInteger> {
        let (sign, magnitude) = match term {
            [VERSION, SMALL_BIG, length, sign, rest @ ..] if usize::from(*length) == rest.len() => (sign, rest),
            [VERSION, LARGE_BIG, a, b, c, d, sign, rest @ ..]
                if u32::from_be_bytes([*a, *b, *c, *d]) as usize == rest.len() =>
            {
                (sign, rest)
            }
            _ => return None,
        };
        Some(BigInteger { negative: *sign != 0, magnitude: magnitude.to_vec() })
    }

    /// The reverse of [`from_external`](Self::from_external). `None` for one that the format cannot hold.
    pub(crate) fn to_external(&self) -> Option<Vec<u8>> {
        let sign = u8::from(self.negative);
        let mut term = Vec::with_capacity(self.magnitude.len() + 7);
        if let Ok(length) = u8::try_from(self.magnitude.len()) {
            term.extend([VERSION, SMALL_BIG, length, sign]);
        } else {
            term.extend([VERSION, LARGE_BIG]);
            term.extend(u32::try_from(self.magnitude.len()).ok()?.to_be_bytes());
            term.push(sign);
        }
        term.extend(&self.magnitude);
        Some(term)
    }

    /// The least number of decimal digits that this integer can have: what to check against a limit before paying for
    /// the digits.
    pub(crate) fn least_digits(&self) -> usize {
        // 12/5 < log10(256), and the highest byte may be as small as 1.
        self.magnitude.len().saturating_sub(1) * 12 / 5
    }

    pub(crate) fn write(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        out.push_str(&BigUint::from_bytes_le(&self.magnitude).to_str_radix(10));
    }

    /// `digits` are decimal digits and nothing else; `None` otherwise.
    pub(crate) fn from_digits(negative: bool, digits: &str) -> Option<BigInteger> {
        Some(BigInteger { negative, magnitude: natural_from_digits(digits)?.to_bytes_le() })
    }
}

/// The shortest text that reads back as the same bits. It always has a point with digits on both sides, `1.0e16` and
/// not `1e16`: every reader takes that for a float, Erlang's own included.
pub(crate) fn write_float(float: f64, out: &mut String) {
    let start = out.len();
    let _ = write!(out, "{float:?}");
    if !out[start..].contains('.')
        && let Some(exponent) = out[start..].find('e')
    {
        out.insert_str(start + exponent, ".0");
    }
}

/// Splits in halves instead of adding digit by digit: a megabyte of digits takes milliseconds and not a second.
fn natural_from_digits(digits: &str) -> Option<BigUint> {
    if digits.len() <= DIRECT_DIGITS {
        return BigUint::parse_bytes(digits.as_bytes(), 10);
    }
    // The low part is a power of two long, so that it halves exactly and one power of ten serves each level of it.
    let low = 1 << (digits.len() - 1).ilog2();
    let (high_digits, low_digits) = digits.split_at_checked(digits.len() - low)?;
    let mut powers = vec![BigUint::from(10u32).pow(DIRECT_DIGITS as u32)];
    for _ in 0..(low / DIRECT_DIGITS).ilog2() {
        let last = powers.last()?;
        powers.push(last * last);
    }
    let power = powers.last()?.clone();
    Some(natural_from_digits(high_digits)? * power + halved(low_digits, &powers)?)
}

/// `digits` is a power of two long, and `powers[i]` is ten to the power of `DIRECT_DIGITS << i`.
fn halved(digits: &str, powers: &[BigUint]) -> Option<BigUint> {
    if digits.len() <= DIRECT_DIGITS {
        return BigUint::parse_bytes(digits.as_bytes(), 10);
    }
    let half = digits.len() / 2;
    let (high, low) = digits.split_at_checked(half)?;
    let below = powers.get(..(half / DIRECT_DIGITS).ilog2() as usize + 1)?;
    Some(halved(high, below)? * below.last()? + halved(low, below)?)
}

const VERSION: u8 = 131;
const SMALL_BIG: u8 = 110;
const LARGE_BIG: u8 = 111;

/// Up to here the schoolbook way is the faster one. A power of two.
const DIRECT_DIGITS: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(float: f64) -> String {
        let mut out = String::new();
        write_float(float, &mut out);
        out
    }

    #[test]
    fn floats_have_a_point_and_digits_on_both_sides() {
        for (float, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1.0e16"),
            (5e-324, "5.0e-324"),
            (f64::MAX, "1.7976931348623157e308"),
            (9007199254740991.0, "9007199254740991.0"),
            (1e-7, "1.0e-7"),
        ] {
            assert_eq!(text(float), expected);
        }
    }

    #[test]
    fn a_number_that_is_not_all_digits_is_none() {
        assert_eq!(BigInteger::from_digits(false, "12a"), None);
        assert_eq!(BigInteger::from_digits(false, &"1".repeat(5000).replace("111111", "11é1")), None);
    }

    #[test]
    fn a_length_that_is_not_the_length_of_the_rest_is_none() {
        for external in [&[131, 110, 2, 0, 1][..], &[131, 111, 0, 0, 0, 9, 0, 1], &[131, 97, 3], &[131], &[]] {
            assert_eq!(BigInteger::from_external(external), None);
        }
    }

    proptest! {
        #[test]
        fn every_finite_float_survives_to_the_bit(bits: u64) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let text = text(float);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.as_f64().unwrap().to_bits(), bits);
            prop_assert!(read.is_f64());
        }

        #[test]
        fn every_big_integer_survives(negative: bool, mut magnitude in prop::collection::vec(any::<u8>(), 9..4000)) {
            *magnitude.last_mut().unwrap() |= 1;
            let big = BigInteger { negative, magnitude };
            let mut text = String::new();
            big.write(&mut text);
            let digits = text.trim_start_matches('-');
            prop_assert!(digits.len() >= big.least_digits());
            let read = BigInteger::from_digits(negative, digits);
            prop_assert_eq!(read.as_ref(), Some(&big));
            prop_assert_eq!(BigInteger::from_external(&big.to_external().unwrap()), Some(big));
        }

        #[test]
        fn halving_reads_what_the_schoolbook_reads(digits in "[0-9]{500,6000}") {
            prop_assert_eq!(natural_from_digits(&digits), BigUint::parse_bytes(digits.as_bytes(), 10));
        }
    }
}
