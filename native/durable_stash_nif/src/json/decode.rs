//! JSON text to terms.

use std::fmt;

use super::number::BigInteger;
use super::text::first_special;

/// What the parser builds into.
pub(crate) trait Sink {
    type Value: Copy;

    fn null(&mut self) -> Self::Value;
    fn bool(&mut self, bool: bool) -> Self::Value;
    fn int(&mut self, int: i64) -> Self::Value;
    fn natural(&mut self, natural: u64) -> Self::Value;

    /// `None` for one that is larger than the VM has integers.
    fn big(&mut self, big: &BigInteger) -> Option<Self::Value>;

    fn float(&mut self, float: f64) -> Self::Value;
    fn string(&mut self, text: &str) -> Self::Value;
    fn list(&mut self, items: &[Self::Value]) -> Self::Value;

    /// As many keys as values. `None` when two keys are equal.
    fn object(&mut self, keys: &[Self::Value], values: &[Self::Value]) -> Option<Self::Value>;
}

/// Text that is not the JSON of one value as this library writes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Corrupt {
    /// Bytes from the start.
    at: usize,
    what: &'static str,
}

#[cfg(test)]
impl Corrupt {
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the stored JSON is corrupt at byte {}: {}", self.at, self.what)
    }
}

/// Reads the JSON of exactly one value, with at most `depth` lists and objects inside each other. Numbers with
/// neither point nor exponent are integers, all others floats; keys stay strings, nothing becomes an atom; an object
/// that has a key twice is corrupt (fault 65).
pub(crate) fn decode<S: Sink>(text: &str, depth: usize, sink: &mut S) -> Result<S::Value, Corrupt> {
    Parser {
        text,
        at: 0,
        depth,
        sink,
        open: Vec::new(),
        keys: Vec::new(),
        values: Vec::new(),
        unescaped: String::new(),
    }
    .run()
}

struct Parser<'t, 's, S: Sink> {
    text: &'t str,
    at: usize,
    depth: usize,
    sink: &'s mut S,
    open: Vec<Open>,
    /// The keys of all objects that are open.
    keys: Vec<S::Value>,
    /// The items and values of all lists and objects that are open.
    values: Vec<S::Value>,
    /// A string that has escapes, without them. Kept for its memory.
    unescaped: String,
}

/// A list or object that is not closed yet: from where on the parser's `keys` and `values` are its own.
#[derive(Clone, Copy)]
enum Open {
    List { values: usize },
    Object { keys: usize, values: usize },
}

impl<S: Sink> Parser<'_, '_, S> {
    fn run(mut self) -> Result<S::Value, Corrupt> {
        loop {
            if let Some(value) = self.value()?
                && let Some(root) = self.close(value)?
            {
                self.skip_whitespace();
                return if self.at == self.text.len() { Ok(root) } else { self.corrupt("something follows the value") };
            }
        }
    }

    /// A scalar, or an empty list or object. `None` when it opened one that has something in it, whose first value is
    /// next.
    fn value(&mut self) -> Result<Option<S::Value>, Corrupt> {
        self.skip_whitespace();
        let value = match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'n') => self.word("null", S::null)?,
            Some(b't') => self.word("true", |sink| sink.bool(true))?,
            Some(b'f') => self.word("false", |sink| sink.bool(false))?,
            Some(b'[') => {
                self.begin(Open::List { values: self.values.len() })?;
                if !self.take(b']') {
                    return Ok(None);
                }
                self.end()?
            }
            Some(b'{') => {
                self.begin(Open::Object { keys: self.keys.len(), values: self.values.len() })?;
                if !self.take(b'}') {
                    self.key()?;
                    return Ok(None);
                }
                self.end()?
            }
            Some(_) => return self.corrupt("no value begins like this"),
            None => return self.corrupt("it ends where a value should be"),
        };
        Ok(Some(value))
    }

    /// Puts a whole value where it belongs and closes what ends behind it. Gives the root when that was the last one.
    fn close(&mut self, mut value: S::Value) -> Result<Option<S::Value>, Corrupt> {
        while let Some(open) = self.open.last() {
            let (end, is_object) = match open {
                Open::List { .. } => (b']', false),
                Open::Object { .. } => (b'}', true),
            };
            self.values.push(value);
            self.skip_whitespace();
            if self.take(b',') {
                if is_object {
                    self.skip_whitespace();
                    self.key()?;
                }
                return Ok(None);
            }
            if !self.take(end) {
                return self.corrupt("a list or an object is not closed");
            }
            value = self.end()?;
        }
        Ok(Some(value))
    }

    fn begin(&mut self, open: Open) -> Result<(), Corrupt> {
        if self.open.len() == self.depth {
            return self.corrupt("it is nested too deep");
        }
        self.open.push(open);
        self.at += 1;
        self.skip_whitespace();
        Ok(())
    }

    fn end(&mut self) -> Result<S::Value, Corrupt> {
        let built = match self.open.pop() {
            Some(Open::List { values }) => {
                let list = self.sink.list(&self.values[values..]);
                self.values.truncate(values);
                Some(list)
            }
            Some(Open::Object { keys, values }) => {
                let object = self.sink.object(&self.keys[keys..], &self.values[values..]);
                self.keys.truncate(keys);
                self.values.truncate(values);
                object
            }
            None => None,
        };
        built.map_or_else(|| self.corrupt("an object has the same key twice"), Ok)
    }

    fn key(&mut self) -> Result<(), Corrupt> {
        if self.peek() != Some(b'"') {
            return self.corrupt("a key should be here");
        }
        let key = self.string()?;
        self.keys.push(key);
        self.skip_whitespace();
        if self.take(b':') { Ok(()) } else { self.corrupt("a colon should be here") }
    }

    fn word(&mut self, word: &'static str, build: impl FnOnce(&mut S) -> S::Value) -> Result<S::Value, Corrupt> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.corrupt("no value begins like this");
        }
        self.at += word.len();
        Ok(build(self.sink))
    }

    fn number(&mut self) -> Result<S::Value, Corrupt> {
        let start = self.at;
        let negative = self.take(b'-');
        let first_digit = self.at;
        if !self.take(b'0') {
            self.digits()?;
        }
        let digits = first_digit..self.at;
        let has_point = self.take(b'.');
        if has_point {
            self.digits()?;
        }
        let has_exponent = self.take(b'e') || self.take(b'E');
        if has_exponent {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        if has_point || has_exponent {
            return match number.parse::<f64>() {
                Ok(float) if float.is_finite() => Ok(self.sink.float(float)),
                _ => self.corrupt("a number that no float can hold"),
            };
        }
        if let Ok(int) = number.parse() {
            return Ok(self.sink.int(int));
        }
        if let Ok(natural) = number.parse() {
            return Ok(self.sink.natural(natural));
        }
        let big = BigInteger::from_digits(negative, &self.text[digits]);
        big.and_then(|big| self.sink.big(&big)).map_or_else(|| self.corrupt("an integer that the VM cannot hold"), Ok)
    }

    fn digits(&mut self) -> Result<(), Corrupt> {
        let count = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { self.corrupt("a digit should be here") }
    }

    /// From the quote that opens it to the one that closes it.
    fn string(&mut self) -> Result<S::Value, Corrupt> {
        self.at += 1;
        self.unescaped.clear();
        loop {
            let start = self.at;
            let Some(length) = first_special(&self.text.as_bytes()[start..]) else {
                self.at = self.text.len();
                return self.corrupt("a string is not closed");
            };
            self.at += length;
            let plain = &self.text[start..self.at];
            match self.text.as_bytes()[self.at] {
                b'"' => {
                    self.at += 1;
                    if self.unescaped.is_empty() {
                        return Ok(self.sink.string(plain));
                    }
                    self.unescaped.push_str(plain);
                    return Ok(self.sink.string(&self.unescaped));
                }
                b'\\' => {
                    self.unescaped.push_str(plain);
                    self.at += 1;
                    let char = self.escape()?;
                    self.unescaped.push(char);
                }
                _ => return self.corrupt("a control character in a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Corrupt> {
        let char = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return self.corrupt("an unknown escape"),
        };
        self.at += 1;
        Ok(char)
    }

    /// After `\u`. Characters past U+FFFF come as two, a high surrogate and a low one; either alone is no character
    /// (fault 61).
    fn unicode_escape(&mut self) -> Result<char, Corrupt> {
        let unit = self.four_hex_digits()?;
        let mut code = unit;
        if (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let low = self.four_hex_digits()?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        char::from_u32(code).map_or_else(|| self.corrupt("half of a surrogate pair"), Ok)
    }

    fn four_hex_digits(&mut self) -> Result<u32, Corrupt> {
        let mut unit = 0;
        for _ in 0..4 {
            match self.peek().and_then(|byte| char::from(byte).to_digit(16)) {
                Some(digit) => unit = unit << 4 | digit,
                None => return self.corrupt("four hexadecimal digits should be here"),
            }
            self.at += 1;
        }
        Ok(unit)
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn corrupt<T>(&self, what: &'static str) -> Result<T, Corrupt> {
        Err(Corrupt { at: self.at, what })
    }
}
