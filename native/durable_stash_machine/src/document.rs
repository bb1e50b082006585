//! One browser session's document: every slice of it, and the header that says which revision this is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::Policy;
use crate::name::DocumentName;
use crate::slice::{Epoch, Slice, Tab, TabId, View, Vsn};
use crate::write_id::{WriteId, WriterId};

/// All slices of a browser session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Document {
    /// Per view and version of its code.
    pub views: BTreeMap<View, BTreeMap<Vsn, Slice>>,
}

impl Document {
    /// The highest epoch that any version of the view has stored for the tab.
    pub fn epoch(&self, view: &View, tab: &TabId) -> Option<Epoch> {
        let slices = self.views.get(view)?;
        slices.values().filter_map(|slice| slice.tabs.get(tab)).map(|tab| tab.epoch).max()
    }

    /// Whether it has nothing but the epochs of what was forgotten.
    pub fn is_blank(&self) -> bool {
        self.views.values().flatten().all(|(vsn, slice)| *vsn == Vsn::FENCES && slice.is_hollow())
    }

    /// What stays when it is forgotten: where the latest mounts of its tabs stood, so that those before them, which may live
    /// on elsewhere, stay superseded. A visitor's pages are without end: the newest are kept.
    pub fn forgotten(&self, wall: u64) -> Self {
        let mut tabs: BTreeMap<(&View, &TabId), Epoch> = BTreeMap::new();
        for (view, slices) in &self.views {
            for (id, tab) in slices.values().flat_map(|slice| &slice.tabs) {
                let epoch = tabs.entry((view, id)).or_default();
                *epoch = tab.epoch.max(*epoch);
            }
        }
        let mut newest: Vec<_> = tabs.into_iter().map(|(tab, epoch)| (epoch, tab)).collect();
        newest.sort_unstable_by(|one, other| other.cmp(one));
        let mut husk = Self::default();
        for (epoch, (view, id)) in newest.into_iter().take(MAX_FENCES) {
            let slice = husk.views.entry(view.clone()).or_default().entry(Vsn::FENCES).or_default();
            slice.touched_at = wall;
            slice.tabs.insert(id.clone(), Tab { epoch, touched_at: wall, data: BTreeMap::new() });
        }
        husk
    }
}

/// How far one writer's batches are in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// The highest batch of that writer in this object.
    pub seq: u64,
    /// When it was written, in ms since the epoch; never below what stands in other entries at that time.
    pub at: u64,
}

/// What one revision says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Goes up by exactly one with each commit (I5).
    pub rev: u64,
    /// The batch that made it. With `rev` it makes the body unique, so that no etag can repeat.
    pub write: WriteId,
    /// What settles unknown outcomes (I3): per writer, the highest batch in this object.
    pub applied: BTreeMap<WriterId, Applied>,
    /// The last write, in ms since the epoch. Never goes back along the chain of revisions.
    pub touched_at: u64,
    /// From then on it reads as not found.
    pub expires_at: u64,
    /// A tombstone: the document was forgotten or has expired.
    pub buried: bool,
    /// A seal: the document stands under this name, or will, and this object does not change any more.
    pub moved_to: Option<DocumentName>,
}

impl Header {
    /// Whether the batch is in this object.
    pub fn contains(&self, write: WriteId) -> bool {
        self.applied.get(&write.writer).is_some_and(|applied| applied.seq >= write.seq)
    }

    /// Whether there is nothing to read here (any more).
    pub fn is_over(&self, wall: u64) -> bool {
        self.buried || self.expires_at <= wall
    }
}

/// The header that follows `previous` when `write` commits.
pub fn succeed(previous: Option<&Header>, write: WriteId, wall: u64, buried: bool, policy: &Policy) -> Header {
    let touched_at = previous.map_or(wall, |header| header.touched_at.max(wall));
    let mut applied = previous.map(|header| header.applied.clone()).unwrap_or_default();
    applied.remove(&write.writer);
    planted!(policy, AppliedPruned, { applied.clear() });
    applied.retain(|_, entry| entry.at.saturating_add(policy.applied_age_ms) > wall);
    while applied.len() >= policy.applied_max.max(1) {
        let Some(oldest) = applied.iter().min_by_key(|(writer, entry)| (entry.at, **writer)).map(|(writer, _)| *writer)
        else {
            break;
        };
        applied.remove(&oldest);
    }
    // On the document's own time: a clock that is behind must not have its entry taken for an old one.
    applied.insert(write.writer, Applied { seq: write.seq, at: touched_at });
    let lifetime = if buried { policy.tombstone_ms } else { policy.ttl_ms };
    Header {
        rev: previous.map_or(0, |header| header.rev).saturating_add(1),
        write,
        applied,
        touched_at,
        expires_at: touched_at.saturating_add(lifetime),
        buried,
        moved_to: None,
    }
}

/// The header that follows `previous` when the object is sealed: nothing is applied, and it says where the document is.
/// A seal lives for a TTL, empty or not: as long as a node may ask for this name.
pub fn close(
    previous: Option<&Header>,
    write: WriteId,
    wall: u64,
    buried: bool,
    to: DocumentName,
    policy: &Policy,
) -> Header {
    let applied = previous.map(|header| header.applied.clone()).unwrap_or_default();
    let header = succeed(previous, write, wall, buried, policy);
    let expires_at = header.touched_at.saturating_add(policy.ttl_ms);
    Header { applied, expires_at, moved_to: Some(to), ..header }
}

/// As many tabs as a slice keeps by default.
const MAX_FENCES: usize = 32;
