//! Terms without a BEAM, for the tests of both walks and for fuzzing them (`fuzz/`).

use std::collections::BTreeMap;
use std::iter::Map;
use std::slice::Iter;

use super::decode::Sink;
use super::encode::{Node, Rest, Tree, Unsafe};
use super::number::BigInteger;

/// A term as the walk can meet it.
#[derive(Clone, Debug)]
pub(super) enum Model {
    Nil,
    Bool(bool),
    Atom(String),
    Int(i64),
    Natural(u64),
    Big(BigInteger),
    Float(f64),
    Bytes(Vec<u8>),
    /// The items from `from` on, as the tail of a list is.
    List(Vec<Model>),
    Improper(Vec<Model>),
    Map(Vec<(Model, Model)>),
    Struct(&'static str),
    Tuple,
}

#[derive(Clone, Copy)]
pub(super) enum Cursor<'a> {
    At(&'a Model),
    Tail(&'a [Model], bool),
}

impl<'a> Tree<'a> for Cursor<'a> {
    type Entries = Map<Iter<'a, (Model, Model)>, fn(&'a (Model, Model)) -> (Cursor<'a>, Cursor<'a>)>;

    fn node(self) -> Node<'a> {
        match self {
            Cursor::At(Model::Nil) => Node::Nil,
            Cursor::At(Model::Bool(bool)) => Node::Bool(*bool),
            Cursor::At(Model::Atom(name)) => Node::Atom(name.clone()),
            Cursor::At(Model::Int(int)) => Node::Int(*int),
            Cursor::At(Model::Natural(natural)) => Node::Natural(*natural),
            Cursor::At(Model::Big(big)) => Node::Big(big.clone()),
            Cursor::At(Model::Float(float)) => Node::Float(*float),
            Cursor::At(Model::Bytes(bytes)) => Node::Bytes(bytes),
            Cursor::At(Model::List(_) | Model::Improper(_)) | Cursor::Tail(..) => Node::List,
            Cursor::At(Model::Map(_)) => Node::Map,
            Cursor::At(Model::Struct(name)) => Node::Unsafe(Unsafe::Struct((*name).into())),
            Cursor::At(Model::Tuple) => Node::Unsafe(Unsafe::Tuple),
        }
    }

    fn rest(self) -> Rest<Cursor<'a>> {
        let (items, is_proper) = match self {
            Cursor::At(Model::List(items)) => (&items[..], true),
            Cursor::At(Model::Improper(items)) => (&items[..], false),
            Cursor::Tail(items, is_proper) => (items, is_proper),
            Cursor::At(_) => panic!("not a list"),
        };
        match items {
            [first, rest @ ..] => Rest::Cell(Cursor::At(first), Cursor::Tail(rest, is_proper)),
            [] if is_proper => Rest::End,
            [] => Rest::Improper,
        }
    }

    fn entries(self) -> Self::Entries {
        match self {
            Cursor::At(Model::Map(entries)) => entries.iter().map(|(key, value)| (Cursor::At(key), Cursor::At(value))),
            _ => panic!("not a map"),
        }
    }
}

/// What comes back: no atoms, all keys strings.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    Nil,
    Bool(bool),
    Integer(String),
    FloatBits(u64),
    Text(String),
    List(Vec<Read>),
    Object(BTreeMap<String, Read>),
}

#[derive(Default)]
pub(super) struct Arena(pub(super) Vec<Read>);

impl Arena {
    fn add(&mut self, read: Read) -> usize {
        self.0.push(read);
        self.0.len() - 1
    }
}

impl Sink for Arena {
    type Value = usize;

    fn null(&mut self) -> usize {
        self.add(Read::Nil)
    }

    fn bool(&mut self, bool: bool) -> usize {
        self.add(Read::Bool(bool))
    }

    fn int(&mut self, int: i64) -> usize {
        self.add(Read::Integer(int.to_string()))
    }

    fn natural(&mut self, natural: u64) -> usize {
        self.add(Read::Integer(natural.to_string()))
    }

    fn big(&mut self, big: &BigInteger) -> Option<usize> {
        let mut digits = String::new();
        big.write(&mut digits);
        Some(self.add(Read::Integer(digits)))
    }

    fn float(&mut self, float: f64) -> usize {
        self.add(Read::FloatBits(float.to_bits()))
    }

    fn string(&mut self, text: &str) -> usize {
        self.add(Read::Text(text.into()))
    }

    fn list(&mut self, items: &[usize]) -> usize {
        let items = items.iter().map(|item| self.0[*item].clone()).collect();
        self.add(Read::List(items))
    }

    fn object(&mut self, keys: &[usize], values: &[usize]) -> Option<usize> {
        assert_eq!(keys.len(), values.len());
        let mut object = BTreeMap::new();
        for (key, value) in keys.iter().zip(values) {
            let Read::Text(key) = &self.0[*key] else { panic!("a key that is no string") };
            if object.insert(key.clone(), self.0[*value].clone()).is_some() {
                return None;
            }
        }
        Some(self.add(Read::Object(object)))
    }
}

/// What is expected to come back, said in a second way.
pub(super) fn expected(model: &Model) -> Read {
    match model {
        Model::Nil => Read::Nil,
        Model::Bool(bool) => Read::Bool(*bool),
        Model::Atom(name) => Read::Text(name.clone()),
        Model::Int(int) => Read::Integer(int.to_string()),
        Model::Natural(natural) => Read::Integer(natural.to_string()),
        Model::Big(big) => {
            let magnitude = num_bigint::BigUint::from_bytes_le(&big.magnitude);
            Read::Integer(format!("{}{magnitude}", if big.negative { "-" } else { "" }))
        }
        Model::Float(float) => Read::FloatBits(float.to_bits()),
        Model::Bytes(bytes) => Read::Text(String::from_utf8(bytes.clone()).unwrap()),
        Model::List(items) => Read::List(items.iter().map(expected).collect()),
        Model::Map(entries) => {
            Read::Object(entries.iter().map(|(key, value)| (key_text(key), expected(value))).collect())
        }
        Model::Improper(_) | Model::Struct(_) | Model::Tuple => panic!("not JSON-safe"),
    }
}

pub(super) fn key_text(key: &Model) -> String {
    match expected(key) {
        Read::Text(text) | Read::Integer(text) => text,
        Read::Bool(bool) => bool.to_string(),
        Read::Nil => "nil".into(),
        other => panic!("{other:?} as a key"),
    }
}

pub(super) fn has_collision(model: &Model) -> bool {
    match model {
        Model::List(items) => items.iter().any(has_collision),
        Model::Map(entries) => {
            let Read::Object(object) = expected(model) else { panic!("a map") };
            object.len() < entries.len() || entries.iter().any(|(_, value)| has_collision(value))
        }
        _ => false,
    }
}
