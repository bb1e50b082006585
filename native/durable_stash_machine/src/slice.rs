//! What a LiveView stores: its slice of the document, and the names that lead to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Json(Arc<str>);

impl Json {
    /// Wraps text that is known to be one JSON value.
    pub fn from_encoded(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

/// The version of a view's code. Slices of different versions are kept apart (I11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vsn(pub u64);

impl Vsn {
    /// The one version of what all views share: whichever release of whichever view asks, it is the same slice.
    pub const SHARED: Self = Self(1);
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
/// It is a hybrid logical clock: the wall clock's milliseconds at the mount, but always above every epoch of
/// the tab that the claiming node has seen. Two nodes that never saw each other's claims are so ordered by
/// when the tab mounted, which is the order that the browser made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a mount at this moment that has seen `seen`.
    pub(crate) fn after(seen: Option<Epoch>, wall: u64) -> Self {
        Self(seen.map_or(wall, |seen| wall.max(seen.0.saturating_add(1))))
    }
}

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
    /// Whether nobody has touched it for a whole TTL: it reads as not found, and goes with the next write.
    pub fn is_over(&self, wall: u64, ttl_ms: u64) -> bool {
        self.touched_at.saturating_add(ttl_ms) <= wall
    }
}
