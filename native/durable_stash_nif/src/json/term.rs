//! The VM's terms as what the walks read and build.

use std::iter::Flatten;
use std::option::IntoIter;

use rustler::types::atom;
use rustler::types::map::MapIterator;
use rustler::{Binary, Encoder, Env, NewBinary, Term};

use super::decode::Sink;
use super::encode::{Node, Rest, Tree, Unsafe};
use super::number::BigInteger;

impl<'a> Tree<'a> for Term<'a> {
    type Entries = Flatten<IntoIter<MapIterator<'a>>>;

    /// Asks for one type after the other, the frequent ones first. `Term::get_type` would ask once, but the VM ends
    /// itself when that is asked of a term of a newer type: OTP 29 has native records, and an assign may hold one.
    fn node(self) -> Node<'a> {
        if let Ok(int) = self.decode() {
            Node::Int(int)
        } else if let Ok(binary) = Binary::from_term(self) {
            Node::Bytes(binary.as_slice())
        } else if self.is_atom() {
            atom_node(self)
        } else if self.is_map() {
            struct_name(self).map_or(Node::Map, |name| Node::Unsafe(Unsafe::Struct(name)))
        } else if self.is_list() {
            Node::List
        } else if self.is_number() {
            number_node(self)
        } else {
            Node::Unsafe(unsafe_kind(self))
        }
    }

    fn rest(self) -> Rest<Term<'a>> {
        match self.list_get_cell() {
            Ok((head, tail)) => Rest::Cell(head, tail),
            Err(_) if self.is_empty_list() => Rest::End,
            Err(_) => Rest::Improper,
        }
    }

    fn entries(self) -> Self::Entries {
        MapIterator::new(self).into_iter().flatten()
    }
}

fn atom_node<'a>(term: Term<'a>) -> Node<'a> {
    if atom::nil() == term {
        Node::Nil
    } else if atom::true_() == term {
        Node::Bool(true)
    } else if atom::false_() == term {
        Node::Bool(false)
    } else {
        term.atom_to_string().map_or(Node::Unsafe(Unsafe::Unknown), Node::Atom)
    }
}

/// Of a number that is no `i64`.
fn number_node<'a>(term: Term<'a>) -> Node<'a> {
    if let Ok(natural) = term.decode() {
        Node::Natural(natural)
    } else if let Ok(float) = term.decode() {
        Node::Float(float)
    } else {
        BigInteger::from_external(&term.to_binary()).map_or(Node::Unsafe(Unsafe::Unknown), Node::Big)
    }
}

fn unsafe_kind(term: Term<'_>) -> Unsafe {
    if term.is_tuple() {
        Unsafe::Tuple
    } else if term.is_pid() {
        Unsafe::Pid
    } else if term.is_ref() {
        Unsafe::Reference
    } else if term.is_fun() {
        Unsafe::Function
    } else if term.is_port() {
        Unsafe::Port
    } else if term > Term::list_new_empty(term.get_env()) {
        // Only bitstrings sort behind lists.
        Unsafe::Bitstring
    } else {
        Unsafe::Unknown
    }
}

/// As Elixir has it: a map whose `__struct__` is an atom.
fn struct_name(map: Term<'_>) -> Option<String> {
    let module = map.map_get(atom::__struct__()).ok()?;
    if !module.is_atom() {
        return None;
    }
    let name = module.atom_to_string().ok()?;
    Some(name.strip_prefix("Elixir.").map_or(name.clone(), str::to_owned))
}

/// Builds terms in `env`.
pub(crate) struct Terms<'a> {
    env: Env<'a>,
}

impl<'a> Terms<'a> {
    pub(crate) fn new(env: Env<'a>) -> Terms<'a> {
        Terms { env }
    }
}

impl<'a> Sink for Terms<'a> {
    type Value = Term<'a>;

    fn null(&mut self) -> Term<'a> {
        atom::nil().to_term(self.env)
    }

    fn bool(&mut self, bool: bool) -> Term<'a> {
        bool.encode(self.env)
    }

    fn int(&mut self, int: i64) -> Term<'a> {
        int.encode(self.env)
    }

    fn natural(&mut self, natural: u64) -> Term<'a> {
        natural.encode(self.env)
    }

    fn big(&mut self, big: &BigInteger) -> Option<Term<'a>> {
        self.env.binary_to_term(&big.to_external()?).map(|(term, _)| term)
    }

    fn float(&mut self, float: f64) -> Term<'a> {
        float.encode(self.env)
    }

    fn string(&mut self, text: &str) -> Term<'a> {
        NewBinary::from_slice(self.env, text.as_bytes()).into()
    }

    fn list(&mut self, items: &[Term<'a>]) -> Term<'a> {
        items.encode(self.env)
    }

    fn object(&mut self, keys: &[Term<'a>], values: &[Term<'a>]) -> Option<Term<'a>> {
        Term::map_from_term_arrays(self.env, keys, values).ok()
    }
}
