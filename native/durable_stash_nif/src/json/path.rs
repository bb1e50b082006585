//! Where in a value the culprit is, in the notation of the code that would reach it: `settings.items[3].at`.

use std::fmt::Write;

use super::encode::{Node, Tree};
use super::number::BigInteger;

/// A path under construction. It grows only when a value is refused, so it costs nothing otherwise.
pub(crate) struct Path {
    text: String,
    full: bool,
}

impl Path {
    /// `root` is the name of the value: the key of the assign.
    pub(crate) fn new(root: &str) -> Path {
        Path { text: abbreviated(root, MAX_SEGMENT), full: false }
    }

    pub(crate) fn index(&mut self, index: usize) {
        if self.has_room() {
            let _ = write!(self.text, "[{index}]");
        }
    }

    pub(crate) fn key<'a, T: Tree<'a>>(&mut self, key: T) {
        if self.has_room() {
            match key.node() {
                Node::Nil => self.text.push_str(".nil"),
                Node::Bool(bool) => drop(write!(self.text, ".{bool}")),
                Node::Atom(name) => self.name(&name, ":"),
                Node::Bytes(bytes) => self.name(&String::from_utf8_lossy(bytes), ""),
                _ => drop(write!(self.text, "[{}]", show(key))),
            }
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn name(&mut self, name: &str, sigil: &str) {
        if is_identifier(name) {
            let _ = write!(self.text, ".{name}");
        } else {
            let _ = write!(self.text, "[{sigil}{:?}]", abbreviated(name, MAX_SEGMENT));
        }
    }

    /// A path is for people: a hundred levels down it is cut, and says so.
    fn has_room(&mut self) -> bool {
        if !self.full && self.text.len() > MAX_PATH {
            self.text.push('…');
            self.full = true;
        }
        !self.full
    }
}

/// A map's key as code would write it: `:a`, `"a"`, `1`.
pub(crate) fn show<'a, T: Tree<'a>>(key: T) -> String {
    match key.node() {
        Node::Nil => "nil".into(),
        Node::Bool(bool) => bool.to_string(),
        Node::Atom(name) if is_identifier(&name) => format!(":{name}"),
        Node::Atom(name) => format!(":{:?}", abbreviated(&name, MAX_SEGMENT)),
        Node::Bytes(bytes) => format!("{:?}", abbreviated(&String::from_utf8_lossy(bytes), MAX_SEGMENT)),
        Node::Int(int) => int.to_string(),
        Node::Natural(natural) => natural.to_string(),
        Node::Big(big) => show_big(&big),
        Node::Float(_) | Node::List | Node::Map | Node::Unsafe(_) => "?".into(),
    }
}

fn show_big(big: &BigInteger) -> String {
    format!("{}an integer of {} bytes", if big.negative { "minus " } else { "" }, big.magnitude.len())
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    starts
        && name.len() <= MAX_SEGMENT
        && chars.all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '?' | '!'))
}

fn abbreviated(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

/// Characters of one key.
const MAX_SEGMENT: usize = 40;

/// Bytes after which nothing more is added.
const MAX_PATH: usize = 160;
