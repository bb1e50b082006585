//! A document that moves to another name when the secret is rotated: what stood under each name, as one chain.
//!
//! There is one moment at which it moves: its last revision under the old name, which says where it went. Before that
//! nothing may stand under the new name, and after it nothing may be written under the old one.

use std::collections::BTreeMap;

use crate::history::{Chain, History};
use crate::names::Name;
use crate::state::{Content, State};

impl History {
    pub(crate) fn join(&mut self) {
        let mut pieces: BTreeMap<Name, Vec<Chain>> = BTreeMap::new();
        for ((session, _), piece) in std::mem::take(&mut self.pieces) {
            pieces.entry(session).or_default().push(piece);
        }
        for (session, pieces) in pieces {
            let mut strays = Vec::new();
            let chain = self.chains.entry(session).or_default();
            for piece in pieces {
                append(chain, piece, &mut strays);
            }
            let text = self.names.text(session);
            self.strays.extend(strays.into_iter().map(|stray| format!("session {text:?}: {stray}")));
        }
    }
}

fn append(chain: &mut Chain, piece: Chain, strays: &mut Vec<String>) {
    let is_first = chain.states.is_empty();
    // Where nothing ever stood, what stands in the end is told by the name before.
    if chain.last.is_none() || !piece.states.is_empty() {
        chain.last = piece.last;
    }
    let mut states = piece.states.into_iter();
    if let Some(mut first) = states.next() {
        if !is_first && !chain.states.last().is_some_and(|last| last.is_seal() && last.at <= first.at) {
            strays.push(format!("{} was created before the name before it was sealed", rev(&first)));
        }
        first.has_moved = !is_first;
        chain.states.push(first);
    }
    for state in states {
        if !chain.states.last().is_some_and(State::is_seal) {
            chain.states.push(state);
        } else if !state.is_seal() && !matches!(state.content, Content::Absent) {
            strays.push(format!("{} was written after the name was sealed", rev(&state)));
        }
    }
}

fn rev(state: &State) -> String {
    state
        .whole()
        .map_or_else(|| "something that is no document".to_owned(), |whole| format!("rev {}", whole.header.rev))
}
