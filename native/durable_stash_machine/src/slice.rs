//! What a LiveView stores: its slice of the document, and the names that lead to it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::write_id::WriterId;

/// A shared, immutable piece of text with a meaning of its own.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

text! {
    /// The name of one assign.
    Key
}
text! {
    /// The LiveView module, or the LiveComponent, that owns a slice.
    View
}
text! {
    /// One tab (one page's memory) of the browser session.
    TabId
}

impl View {
    /// Owner of what all views of a browser session share. No module has this name.
    pub fn shared() -> Self {
        Self::new("*")
    }

    /// The module, if the owner is one of its LiveComponents: those are named `<module>:<id>`. No module has a colon.
    pub fn component_module(&self) -> Option<&str> {
        self.0.split_once(':').map(|(module, _id)| module)
    }
}

/// The JSON text of one value.
///
/// It was produced once, at the NIF boundary, and is never parsed on the way to the store: a parser
/// in between would be free to round numbers. `Debug` shows its length only, since values are never logged.
#[derive(Clone)]
pub struct Json(Text);

/// To copy megabytes takes milliseconds: a long text stays where it was written.
#[derive(Clone)]
enum Text {
    Short(Arc<str>),
    Long(Arc<String>),
}

impl Json {
    /// Wraps text that is known to be one JSON value.
    pub fn from_encoded(text: impl Into<Arc<str>>) -> Self {
        Self(Text::Short(text.into()))
    }

    /// As `from_encoded`. What `text` holds is left to it, or taken if there is much of it.
    pub fn take_encoded(text: &mut String) -> Self {
        if text.len() < LONG {
            return Self::from_encoded(text.as_str());
        }
        let mut text = std::mem::take(text);
        text.shrink_to_fit();
        Self(Text::Long(Arc::new(text)))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(text) => text,
            Text::Long(text) => text,
        }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl Hash for Json {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Json {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Json {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.as_str().len())
    }
}

/// The version of a view's code. Slices of different versions are kept apart (I11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vsn(pub u64);

impl Vsn {
    /// The one version of what all views share: whichever release of whichever view asks, it is the same slice.
    pub const SHARED: Self = Self(1);
    /// No code has this version, and none reads one above its own: under it stand the epochs of a forgotten document's tabs.
    pub const FENCES: Self = Self(u64::MAX);
}

/// Where a LiveView writes: its view, the version of its code, its tab.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The LiveView module.
    pub view: View,
    /// The version of its code.
    pub vsn: Vsn,
    /// The tab it is shown in.
    pub tab: TabId,
}

/// The claim of one mount on its tab; a later mount of the tab takes a higher one.
///
/// It is a hybrid logical clock: the wall clock's millisecond at the mount, but always above every epoch of
/// the tab that the claiming node has seen. Two nodes that never saw each other's claims are so ordered by
/// when the tab mounted, which is the order that the browser made.
///
/// ```text
/// | 42 bits: ms since the epoch | 4 bits: the mounts of one node in one ms | 18 bits of the writer |
/// ```
///
/// With the writer's bits two nodes do not take the same one, also in one and the same millisecond: one of them wins.
/// The first releases stored milliseconds alone, which are below every epoch of today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Of a mount of which no more is known than its moment (ms since the epoch): above every one before that.
    pub fn at(wall: u64) -> Self {
        Self(wall.saturating_mul(1 << MILLI_BITS))
    }

    /// The epoch of a mount on the writer's node at this moment that has seen `seen`.
    pub(crate) fn after(seen: Option<Epoch>, wall: u64, writer: WriterId) -> Self {
        let next = seen.map_or(0, |seen| (seen.0 >> WRITER_BITS) + 1);
        let tick = next.max(Self::at(wall).0 >> WRITER_BITS);
        Self(tick.saturating_mul(1 << WRITER_BITS) | writer.low_bits(WRITER_BITS))
    }

    /// The same, and if a clock alone has told it, with the writer's bits.
    pub(crate) fn by(self, writer: WriterId) -> Self {
        let is_unsigned = self.0.trailing_zeros() >= WRITER_BITS;
        Self(if is_unsigned { self.0 | writer.low_bits(WRITER_BITS) } else { self.0 })
    }

    /// The millisecond that it stands for: all that a clock can be compared with.
    pub fn millis(self) -> u64 {
        self.0 >> MILLI_BITS
    }

    /// The highest one below it.
    pub(crate) fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A wall clock's milliseconds fit above them until the year 2109.
const MILLI_BITS: u32 = 22;
/// That two writers have these in common has a chance of one in 262,144, and then only counts for mounts of one tab in
/// one millisecond.
const WRITER_BITS: u32 = 18;

/// One tab's part of a slice: the `:reconnect` keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tab {
    /// The newest claim that has written here.
    pub epoch: Epoch,
    /// When it was last written, in ms since the epoch.
    pub touched_at: u64,
    /// The values.
    pub data: BTreeMap<Key, Json>,
}

/// What one view, in one version, keeps for one browser session; or, under [`View::shared`], what all views share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slice {
    /// When it was last written, in ms since the epoch.
    pub touched_at: u64,
    /// The `:session` keys.
    pub data: BTreeMap<Key, Json>,
    /// The `:reconnect` keys, a tab each.
    pub tabs: BTreeMap<TabId, Tab>,
}

impl Slice {
    /// Whether it has no value.
    pub(crate) fn is_hollow(&self) -> bool {
        self.data.is_empty() && self.tabs.values().all(|tab| tab.data.is_empty())
    }

    /// Whether nobody has touched it for a whole TTL: it reads as not found, and goes with the next write.
    pub fn is_over(&self, wall: u64, ttl_ms: u64) -> bool {
        self.touched_at.saturating_add(ttl_ms) <= wall
    }
}

/// In bytes. Below this a copy that fits is cheaper than what a text grew to.
const LONG: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use super::*;

    #[test]
    fn a_long_text_is_taken_and_is_the_value_that_its_copy_is() {
        for (length, is_taken) in [(1, false), (LONG - 1, false), (LONG, true), (3 * LONG, true)] {
            let copy = Json::from_encoded("7".repeat(length));
            let mut text = "7".repeat(length);
            let json = Json::take_encoded(&mut text);
            assert_eq!((text.is_empty(), json.as_str().len()), (is_taken, length));
            assert!(json == copy && json.cmp(&copy).is_eq());
            let hash = |json: &Json| BuildHasherDefault::<DefaultHasher>::default().hash_one(json);
            assert_eq!(hash(&json), hash(&copy));
            assert!(json < Json::from_encoded("8"));
        }
    }
}
