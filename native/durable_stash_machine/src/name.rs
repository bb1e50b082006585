//! What a session's object is called, and where a session looks for it.
//!
//! A session has a name per secret. It writes under its *home*: the name under the current secret, until an object under
//! that name says that the document has moved (`seal.rs`); then the name that it has moved to. Names are only ever added,
//! so that an index means the same for as long as the session is in memory.

use std::fmt;
use std::sync::Arc;

/// An object's name: `<first 2 hex>/<64 hex>` (design §3).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentName(Arc<str>);

impl DocumentName {
    /// The name, if the text is one.
    pub fn parse(text: &str) -> Option<Self> {
        let (folder, file) = text.split_once('/')?;
        let is_hex = file.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (folder.len() == 2 && file.len() == 64 && file.starts_with(folder) && is_hex).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentName({}…)", self.0.get(3..11).unwrap_or(""))
    }
}

/// The names of one session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Names {
    all: Vec<DocumentName>,
    home: usize,
    /// How many the session started with.
    given: usize,
}

impl Names {
    /// The name under the current secret first. A session has at least one name.
    pub(crate) fn new(all: Vec<DocumentName>) -> Self {
        Self { given: all.len(), all, home: 0 }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&DocumentName> {
        self.all.get(index)
    }

    /// Where the session writes.
    pub(crate) fn home(&self) -> usize {
        self.home
    }

    pub(crate) fn home_name(&self) -> Option<&DocumentName> {
        self.get(self.home)
    }

    /// These names, if they are not those that the session started with.
    pub(crate) fn learned(&self) -> Option<Self> {
        (self.home > 0 || self.all.len() > self.given).then(|| self.clone())
    }

    /// How far from the home: what is nearer is newer.
    pub(crate) fn rank(&self, name: usize) -> usize {
        if name == self.home { 0 } else { name + 1 }
    }

    /// Whether the document may stand elsewhere.
    pub(crate) fn has_older(&self) -> bool {
        self.all.len() > 1
    }

    /// The other names, in the order in which they are asked.
    pub(crate) fn older(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let home = self.home;
        (0..self.all.len()).filter(move |name| *name != home)
    }

    /// The name to ask when there is nothing under this one.
    pub(crate) fn after(&self, name: usize) -> Option<usize> {
        self.older().find(|older| name == self.home || *older > name)
    }

    /// Whether the object leads to the home.
    pub(crate) fn leads_home(&self, moved_to: Option<&DocumentName>) -> bool {
        moved_to.is_some() && moved_to == self.home_name()
    }

    /// An object under this name says that the document has moved. Whether that leads somewhere new.
    pub(crate) fn follow(&mut self, name: usize, to: &DocumentName) -> bool {
        match self.all.iter().position(|known| known == to) {
            // It was, or will be, looked for there anyway.
            Some(_) if name != self.home => false,
            Some(known) => {
                self.home = known;
                true
            }
            None => {
                self.all.push(to.clone());
                self.home = self.all.len() - 1;
                true
            }
        }
    }
}
