//! Terms to JSON text.

use std::borrow::Cow;
use std::collections::HashMap;

use super::number::{BigInteger, write_float};
use super::path::{Path, show};
use super::text::write_string;

/// What the walk reads. Looking at a term costs as little as the VM's own accessors do.
pub(crate) trait Tree<'a>: Copy {
    type Entries: Iterator<Item = (Self, Self)>;

    fn node(self) -> Node<'a>;

    /// Of a [`Node::List`], or of the tail of one.
    fn rest(self) -> Rest<Self>;

    /// Of a [`Node::Map`]: every key with its value, in the same order each time.
    fn entries(self) -> Self::Entries;
}

pub(crate) enum Node<'a> {
    Nil,
    Bool(bool),
    /// Any atom but `nil`, `true` and `false`.
    Atom(String),
    Int(i64),
    /// Past `i64::MAX`.
    Natural(u64),
    /// Past 64 bits.
    Big(BigInteger),
    Float(f64),
    Bytes(&'a [u8]),
    /// Also an improper one, which shows at its end.
    List,
    Map,
    Unsafe(Unsafe),
}

pub(crate) enum Rest<T> {
    Cell(T, T),
    End,
    Improper,
}

/// The terms that JSON has no place for.
pub(crate) enum Unsafe {
    /// With its module's name, without `Elixir.`.
    Struct(String),
    Tuple,
    Pid,
    Port,
    Reference,
    Function,
    Bitstring,
    Unknown,
}

impl Unsafe {
    fn with_article(&self) -> Cow<'static, str> {
        match self {
            Unsafe::Struct(name) if name.starts_with(['A', 'E', 'I', 'O']) => format!("an {name}").into(),
            Unsafe::Struct(name) => format!("a {name}").into(),
            Unsafe::Tuple => "a tuple".into(),
            Unsafe::Pid => "a pid".into(),
            Unsafe::Port => "a port".into(),
            Unsafe::Reference => "a reference".into(),
            Unsafe::Function => "a function".into(),
            Unsafe::Bitstring => "a bitstring".into(),
            Unsafe::Unknown => "a term of an unknown type".into(),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Lists and maps inside each other.
    pub(crate) depth: usize,
    /// Bytes of JSON of the whole value.
    pub(crate) bytes: usize,
}

/// How much work a call may still do. One unit is about a nanosecond, on a slow machine.
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    /// What a call on a normal scheduler may do: 100 KB of text, or some thousand terms, or a mix. That is a tenth of
    /// the millisecond that the VM grants a call.
    pub(crate) const SHORT: usize = 100_000;

    pub(crate) fn short() -> Budget {
        Budget { left: Budget::SHORT }
    }

    /// For a dirty scheduler, where `Limits::bytes` alone bounds the work: every term writes at least a byte.
    pub(crate) fn unlimited() -> Budget {
        Budget { left: usize::MAX }
    }

    #[cfg(test)]
    pub(crate) fn of(units: usize) -> Budget {
        Budget { left: units }
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn charge(&mut self, cost: usize) -> Result<(), Stop> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Stop::Large),
        }
    }
}

pub(crate) enum Stop {
    /// This value cannot be stored.
    Refused(Refusal),
    /// The budget is used up. The value may well be fine.
    Large,
}

/// Why a value cannot be stored, in a sentence that starts with the path to the culprit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Invalid(String),
    TooLarge(String),
}

/// Appends `term` as JSON to `out`, and nothing when it returns an error. `name` begins the path in a refusal.
pub(crate) fn encode<'a, T: Tree<'a>>(
    name: &str,
    term: T,
    limits: Limits,
    budget: &mut Budget,
    out: &mut String,
) -> Result<(), Stop> {
    let start = out.len();
    let mut walk = Walk { limits, budget, start, out, open: Vec::new() };
    walk.run(term).map_err(|fault| {
        let stop = walk.explain(name, fault);
        walk.out.truncate(start);
        stop
    })
}

struct Walk<'a, 'w, T: Tree<'a>> {
    limits: Limits,
    budget: &'w mut Budget,
    start: usize,
    out: &'w mut String,
    /// The lists and maps around the term that is next, the outermost first.
    open: Vec<Open<'a, T>>,
}

enum Open<'a, T: Tree<'a>> {
    List { tail: T, index: Option<usize> },
    Map { map: T, entries: T::Entries, key: Option<T>, kinds: KeyKinds },
}

enum Fault {
    Large,
    TooLarge,
    TooDeep,
    NotUtf8,
    Term(Unsafe),
    // These three are about the innermost list or map that is open, not about what is in it.
    Improper,
    Key(Cow<'static, str>),
    Collision(String, String),
}

impl From<Stop> for Fault {
    fn from(_: Stop) -> Fault {
        Fault::Large
    }
}

impl<'a, T: Tree<'a>> Walk<'a, '_, T> {
    fn run(&mut self, root: T) -> Result<(), Fault> {
        let mut next = Some(root);
        while let Some(term) = next {
            self.write(term)?;
            next = self.next()?;
        }
        self.check_size(0)
    }

    /// Writes a scalar whole, and of a list or map the bracket that opens it.
    fn write(&mut self, term: T) -> Result<(), Fault> {
        let node = term.node();
        self.budget.charge(cost(&node))?;
        self.check_size(0)?;
        match node {
            Node::Nil => self.out.push_str("null"),
            Node::Bool(bool) => self.out.push_str(bool_text(bool)),
            Node::Atom(name) => self.string(&name)?,
            Node::Int(int) => self.out.push_str(itoa::Buffer::new().format(int)),
            Node::Natural(natural) => self.out.push_str(itoa::Buffer::new().format(natural)),
            Node::Big(big) => {
                self.charge_big(&big)?;
                big.write(self.out);
            }
            Node::Float(float) => write_float(float, self.out),
            Node::Bytes(bytes) => {
                self.charge_bytes(bytes)?;
                self.string(str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?)?;
            }
            Node::List => {
                self.check_depth()?;
                self.open.push(Open::List { tail: term, index: None });
                self.out.push('[');
            }
            Node::Map => {
                self.check_depth()?;
                self.open.push(Open::Map { map: term, entries: term.entries(), key: None, kinds: KeyKinds::default() });
                self.out.push('{');
            }
            Node::Unsafe(what) => return Err(Fault::Term(what)),
        }
        Ok(())
    }

    /// The next term to write, after what has to stand before it. `None` when everything is closed.
    fn next(&mut self) -> Result<Option<T>, Fault> {
        while let Some(open) = self.open.last_mut() {
            match open {
                Open::List { tail, index } => match tail.rest() {
                    Rest::Cell(head, rest) => {
                        if index.is_some() {
                            self.out.push(',');
                        }
                        *tail = rest;
                        *index = Some(index.map_or(0, |index| index + 1));
                        return Ok(Some(head));
                    }
                    Rest::End => self.out.push(']'),
                    Rest::Improper => return Err(Fault::Improper),
                },
                Open::Map { map, entries, key, kinds } => match entries.next() {
                    Some((next_key, value)) => {
                        if key.is_some() {
                            self.out.push(',');
                        }
                        let node = next_key.node();
                        kinds.note(&node);
                        *key = Some(next_key);
                        self.write_key(&node)?;
                        return Ok(Some(value));
                    }
                    None => {
                        if kinds.are_mixed() {
                            let map = *map;
                            self.check_collisions(map)?;
                        }
                        self.out.push('}');
                    }
                },
            }
            self.open.pop();
        }
        Ok(None)
    }

    fn write_key(&mut self, key: &Node<'a>) -> Result<(), Fault> {
        self.budget.charge(cost(key))?;
        match key {
            Node::Bytes(bytes) => self.charge_bytes(bytes)?,
            Node::Big(big) => self.charge_big(big)?,
            _ => {}
        }
        self.string(&key_text(key)?)?;
        self.out.push(':');
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Fault> {
        let before = self.out.len();
        write_string(text, self.out);
        let escaped = self.out.len() - before - text.len();
        Ok(self.budget.charge(escaped * ESCAPED_BYTE_COST)?)
    }

    /// Before the bytes are looked at: to check and copy ten megabytes takes milliseconds.
    fn charge_bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.check_size(bytes.len() + 2)?;
        Ok(self.budget.charge(bytes.len())?)
    }

    /// Before the digits are made, which takes longer than linear.
    fn charge_big(&mut self, big: &BigInteger) -> Result<(), Fault> {
        let bytes = big.magnitude.len();
        self.check_size(big.least_digits())?;
        Ok(self.budget.charge(bytes.saturating_mul(bytes) / 16)?)
    }

    fn check_size(&self, more: usize) -> Result<(), Fault> {
        let bytes = self.out.len() - self.start + more;
        if bytes > self.limits.bytes { Err(Fault::TooLarge) } else { Ok(()) }
    }

    fn check_depth(&self) -> Result<(), Fault> {
        if self.open.len() == self.limits.depth { Err(Fault::TooDeep) } else { Ok(()) }
    }

    fn check_collisions(&mut self, map: T) -> Result<(), Fault> {
        let mut seen = HashMap::new();
        for (key, _) in map.entries() {
            self.budget.charge(HASHED_KEY_COST)?;
            if let Some(other) = seen.insert(key_text(&key.node())?.into_owned(), key) {
                return Err(Fault::Collision(show(other), show(key)));
            }
        }
        Ok(())
    }

    fn explain(&self, name: &str, fault: Fault) -> Stop {
        let everything = self.open.len();
        let (levels, sentence) = match fault {
            Fault::Large => return Stop::Large,
            Fault::TooLarge => {
                let limit = self.limits.bytes;
                let path = self.path(name, 0);
                return Stop::Refused(Refusal::TooLarge(format!(
                    "{path}: larger than the {limit} bytes of JSON that max_value_bytes allows"
                )));
            }
            Fault::TooDeep => (everything, format!("nested more than {} levels deep", self.limits.depth)),
            Fault::NotUtf8 => (everything, "a binary that is not valid UTF-8 is not JSON-safe".into()),
            Fault::Term(what) => (everything, format!("{} is not JSON-safe", what.with_article())),
            Fault::Improper => (everything - 1, "an improper list is not JSON-safe".into()),
            Fault::Key(what) => {
                (everything - 1, format!("{what} as a map's key is not JSON-safe; atoms, binaries and integers are"))
            }
            Fault::Collision(one, other) => {
                (everything - 1, format!("the keys {one} and {other} are one and the same in JSON"))
            }
        };
        Stop::Refused(Refusal::Invalid(format!("{}: {sentence}", self.path(name, levels))))
    }

    fn path(&self, name: &str, levels: usize) -> String {
        let mut path = Path::new(name);
        for open in &self.open[..levels] {
            match open {
                Open::List { index, .. } => path.index(index.unwrap_or(0)),
                Open::Map { key: Some(key), .. } => path.key(*key),
                Open::Map { key: None, .. } => {}
            }
        }
        path.into_text()
    }
}

/// Which kinds of key a map has shown. Keys of one kind differ as text because they differ as terms; only among
/// several kinds can two be the same text.
#[derive(Default)]
struct KeyKinds {
    atom: bool,
    bytes: bool,
    integer: bool,
}

impl KeyKinds {
    fn note(&mut self, key: &Node<'_>) {
        match key {
            Node::Nil | Node::Bool(_) | Node::Atom(_) => self.atom = true,
            Node::Bytes(_) => self.bytes = true,
            Node::Int(_) | Node::Natural(_) | Node::Big(_) => self.integer = true,
            Node::Float(_) | Node::List | Node::Map | Node::Unsafe(_) => {}
        }
    }

    fn are_mixed(&self) -> bool {
        u8::from(self.atom) + u8::from(self.bytes) + u8::from(self.integer) > 1
    }
}

fn key_text<'n>(key: &'n Node<'_>) -> Result<Cow<'n, str>, Fault> {
    match key {
        Node::Nil => Ok("nil".into()),
        Node::Bool(bool) => Ok(bool_text(*bool).into()),
        Node::Atom(name) => Ok(name.into()),
        Node::Bytes(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(Fault::Key("a binary that is not valid UTF-8".into())),
        },
        Node::Int(int) => Ok(int.to_string().into()),
        Node::Natural(natural) => Ok(natural.to_string().into()),
        Node::Big(big) => {
            let mut digits = String::new();
            big.write(&mut digits);
            Ok(digits.into())
        }
        Node::Float(_) => Err(Fault::Key("a float".into())),
        Node::List => Err(Fault::Key("a list".into())),
        Node::Map => Err(Fault::Key("a map".into())),
        Node::Unsafe(what) => Err(Fault::Key(what.with_article())),
    }
}

fn bool_text(bool: bool) -> &'static str {
    if bool { "true" } else { "false" }
}

/// What looking at a term and writing it takes, beside its bytes. Measured, and rounded up.
fn cost(node: &Node<'_>) -> usize {
    match node {
        Node::Nil | Node::Bool(_) | Node::Int(_) | Node::Natural(_) | Node::Atom(_) | Node::Bytes(_) | Node::List => 30,
        Node::Map => 70,
        Node::Float(_) => 80,
        Node::Big(_) => 150,
        Node::Unsafe(_) => 0,
    }
}

/// To look for keys that collide.
const HASHED_KEY_COST: usize = 120;

/// Of every byte that escapes add.
const ESCAPED_BYTE_COST: usize = 2;
