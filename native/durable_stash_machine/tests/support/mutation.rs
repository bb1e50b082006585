//! Objects that are nearly sound: the golden ones, damaged and then sealed again, so that the damage gets past the
//! checksum.

#![allow(dead_code, reason = "each test target uses its part of it")]

use crate::object::{golden_files, seal, unseal};
use crate::rng::Rng;

/// What mutants are made from.
pub struct Corpus(Vec<(Vec<u8>, Vec<u8>)>);

impl Corpus {
    pub fn golden() -> Self {
        Self(golden_files().iter().map(|(_, object)| unseal(object)).collect())
    }

    /// The golden ones, and for each of these fields of a header one that has it beside its own.
    pub fn golden_with(fields: &[&str]) -> Self {
        let Self(mut parts) = Self::golden();
        parts.retain(|(head, _)| !head.windows(8).any(|bytes| bytes == b"moved_to"));
        let plain = parts.clone();
        for (field, (head, body)) in fields.iter().flat_map(|field| plain.iter().map(move |parts| (field, parts))) {
            let open = head.strip_suffix(b"}").unwrap();
            parts.push(([open, b",", field.as_bytes(), b"}"].concat(), body.clone()));
        }
        Self(parts)
    }

    /// An object of which a few places are not as they were. Of those in ten nine have their checksum right.
    pub fn mutant(&self, rng: &mut Rng) -> Vec<u8> {
        let (mut head, mut body) = rng.pick(&self.0).clone();
        if rng.chance(20) {
            body = rng.pick(&self.0).1.clone();
        }
        for _ in 0..rng.below(3) {
            let part = if rng.chance(50) { &mut head } else { &mut body };
            self.mutate(part, rng);
        }
        let mut object = seal(&head, &body);
        if rng.chance(10) {
            self.mutate(&mut object, rng);
        }
        object
    }

    fn mutate(&self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        let (from, to) = range(bytes, rng);
        match rng.below(8) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.truncate(from),
            2 => {
                let piece = bytes[from..to].to_vec();
                let at = index(bytes, rng);
                bytes.splice(at..at, piece);
            }
            3 => {
                let (head, body) = rng.pick(&self.0);
                let other = if rng.chance(50) { head } else { body };
                let (first, last) = range(other, rng);
                bytes.splice(from..to, other[first..last].iter().copied());
            }
            4 if !bytes.is_empty() => {
                let at = index(bytes, rng).min(bytes.len() - 1);
                bytes[at] ^= 1 << rng.below(8);
            }
            5 => replace_number(bytes, rng),
            _ => {
                let token = *rng.pick(TOKENS);
                bytes.splice(from..from, token.bytes());
            }
        }
    }
}

/// Another number in the place of one that is there: this keeps the JSON sound, and so goes deepest.
fn replace_number(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let starts: Vec<usize> = (0..bytes.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1))).collect();
    if !starts.is_empty() {
        let start = *rng.pick(&starts);
        let end = (start..).find(|at| !is_digit(*at)).unwrap_or(bytes.len());
        bytes.splice(start..end, rng.pick(NUMBERS).bytes());
    }
}

fn range(bytes: &[u8], rng: &mut Rng) -> (usize, usize) {
    let from = index(bytes, rng);
    (from, (from + rng.below(40) as usize).min(bytes.len()))
}

fn index(bytes: &[u8], rng: &mut Rng) -> usize {
    rng.below(bytes.len() as u64 + 1) as usize
}

const NUMBERS: &[&str] = &["0", "1", "2", "18446744073709551615", "18446744073709551616", "1e3", "01", "4000000000000"];
const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    " ",
    "\n",
    "\t",
    "0",
    "-1",
    "1.5",
    "1e999",
    "null",
    "true",
    "NaN",
    "\0",
    "{}",
    "[]",
    "\"\"",
    "\"a\":1,",
    "\"data\":{},",
    "\"tabs\":{},",
    "\"touched_at\":1,",
    "\"buried\":true,",
    "\"rev\":2,",
    "\"format\":2,",
    "\"\\ud800\"",
    "\"\\u0061\"",
    "\u{fe}\u{ff}",
    "é",
    "\u{feff}",
    "\"1\":{\"touched_at\":0,\"data\":{},\"tabs\":{}},",
];
