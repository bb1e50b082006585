//! The bytes of a frozen batch on what is known of the object, and what of the batch cannot be part of them.

use std::borrow::Cow;

use crate::base::{Base, Stored};
use crate::batch::{Batch, ClaimEdit};
use crate::command::ClaimId;
use crate::document::{Document, Header, succeed};
use crate::effect::Precondition;
use crate::error::ErrorKind;
use crate::format;
use crate::limits::Now;
use crate::merge::{Merged, merge, superseded};
use crate::name::Names;
use crate::notice::{Incident, Notice, Outcome};
use crate::phase::{Built, Flight, Frozen};
use crate::retire::Replaced;
use crate::seal::Unsealed;
use crate::session::{Edits, Session};

impl Session {
    /// Makes the bytes of the frozen batch. False if there is nothing to send (yet).
    pub(crate) fn build(&mut self, now: Now) -> bool {
        let Some(mut frozen) = self.frozen.take() else { return false };
        // What is damaged may be this very batch, applied: made again on what stood there before, its bytes and so its
        // etag could be the damaged object's, and two nodes that both repair it would not notice each other (I5).
        if frozen.attempts > 0 && matches!(self.base, Base::Damaged { .. }) {
            frozen.written_as = self.next_write().seq;
        }
        let insisted = frozen.insisted.take();
        let Some(ground) = Ground::of(&self.base, &self.names, insisted.as_deref(), now.wall) else {
            frozen.insisted = insisted;
            self.frozen = Some(frozen);
            return false;
        };
        let has_object = ground.has_object;
        let rev = ground.previous.map_or(0, |header| header.rev);
        let mut taken = Vec::new();
        let assembled = self.assemble(now, &mut frozen, &ground, &mut taken);
        let unsealed = ground.unsealed().filter(|_| assembled.is_some());

        for (claim, edit, kind) in taken {
            self.take_out(&frozen, claim, &edit, kind);
        }
        if let Some(unsealed) = unsealed {
            self.frozen = Some(frozen);
            self.start_seal(now, unsealed);
            return false;
        }
        match assembled {
            Some((built, merged)) => {
                if merged.tabs_evicted > 0 {
                    self.happened(Incident::TabsEvicted { count: merged.tabs_evicted });
                }
                if merged.components_evicted > 0 {
                    self.happened(Incident::ComponentsEvicted { count: merged.components_evicted });
                }
                frozen.built = Some(built);
                self.frozen = Some(frozen);
                true
            }
            // Nothing is there to be forgotten, as far as is known. Another node may know better.
            None if frozen.batch.forgotten.is_some() && !has_object && !frozen.confirmed => {
                frozen.flight = Flight::Resolving { after: self.last_attempt(), at: now.mono };
                self.frozen = Some(frozen);
                false
            }
            None => {
                self.settle(&frozen.batch, Outcome::Saved { rev });
                false
            }
        }
    }

    /// Takes out of the batch what must not be applied or does not fit. None if committing the rest would change
    /// nothing that exists.
    fn assemble(
        &self,
        now: Now,
        frozen: &mut Frozen,
        ground: &Ground<'_>,
        taken: &mut Vec<(ClaimId, ClaimEdit, ErrorKind)>,
    ) -> Option<(Built, Merged)> {
        let batch = &mut frozen.batch;
        if !planted!(self.policy, FenceIgnored) {
            for claim in superseded(&ground.content, batch) {
                taken.extend(batch.claims.remove(&claim).map(|edit| (claim, edit, ErrorKind::Superseded)));
            }
        }
        // What is over the limit already, as after the limit was lowered, may at least not grow.
        let limit = self.policy.max_document_bytes.max(ground.bytes);
        loop {
            if ground.is_void(batch) {
                return None;
            }
            let mut document = Document::clone(&ground.content);
            let merged = merge(&mut document, batch, now.wall, &self.policy);
            let was_buried = ground.previous.is_some_and(|header| header.buried);
            let buried = document.is_blank() && (batch.forgotten.is_some() || was_buried);
            let header = succeed(ground.previous, self.write_id(frozen.written_as), now.wall, buried, &self.policy);
            let body = format::encode(&header, &document);
            if body.len() > limit
                && let Some((claim, edit)) = remove_largest(batch)
            {
                taken.push((claim, edit, ErrorKind::TooLarge));
                continue;
            }
            let (name, precondition) = (self.names.home(), ground.precondition.clone());
            let built = Built {
                name,
                precondition,
                body,
                header,
                document,
                restores: ground.is_lost,
                replaces: ground.replaces.clone(),
            };
            return Some((built, merged));
        }
    }

    /// The claim's edits are not part of the batch any more.
    fn take_out(&mut self, frozen: &Frozen, claim: ClaimId, edit: &ClaimEdit, kind: ErrorKind) {
        // Bytes with these edits in them may still be on their way.
        let outcome = if frozen.may_land { Outcome::Unknown } else { Outcome::Failed(kind) };
        self.tell_outcome(claim, edit, outcome);
        if kind != ErrorKind::Superseded {
            return self.owe_fresh(claim, edit);
        }
        // What it wrote since must not be applied either (I6), even if the tab of the claim that fences it is gone by then.
        if let Some(later) = self.pending.claims.remove(&claim) {
            self.tell_outcome(claim, &later, Outcome::Failed(kind));
        }
        self.pending.rest_if_empty();
        self.fence.supersede(&edit.slot, claim);
        self.tell(Notice::Superseded { claim });
    }

    /// A cheap upper bound says that the document might outgrow its limit.
    pub(crate) fn is_near_limit(&self, edits: &Edits) -> bool {
        let base = self.base.stored().map_or(0, |stored| stored.bytes);
        base + self.unsaved_bytes() + edits.bytes() > self.policy.max_document_bytes
    }

    /// The exact answer.
    pub(crate) fn outgrows(&self, now: Now) -> bool {
        let base = self.base.stored().map_or(0, |stored| stored.bytes);
        let body = format::encode_body(&self.document_with_accepted(now, None)).len();
        body + HEADER_ALLOWANCE > self.policy.max_document_bytes && body > base
    }
}

/// What a batch is built on.
struct Ground<'a> {
    precondition: Precondition,
    replaces: Option<Replaced>,
    previous: Option<&'a Header>,
    content: Cow<'a, Document>,
    bytes: usize,
    /// There is an object, readable or not.
    has_object: bool,
    /// The store does not have the content (any more): writing it back is a change.
    is_lost: bool,
    /// The older name that must say first where the document goes, and on what condition.
    unsealed: Option<(usize, Precondition)>,
}

impl<'a> Ground<'a> {
    /// None while too little is known.
    fn of(base: &'a Base, names: &Names, insisted: Option<&'a Stored>, wall: u64) -> Option<Self> {
        let home = names.home();
        match (insisted.or(base.stored()), base) {
            (Some(stored), _) if stored.vanished => {
                let unsealed = (stored.name != home).then_some((stored.name, Precondition::Absent));
                Some(Self { is_lost: true, unsealed, ..Self::on(Some(stored), wall) })
            }
            (Some(stored), _) if stored.name != home => Some(Self::elsewhere(stored, names, wall)),
            (Some(stored), _) => {
                Some(Self { precondition: Precondition::Matches(stored.etag.clone()), ..Self::on(Some(stored), wall) })
            }
            (None, Base::Damaged { etag, name, copied: true, last }) => {
                let ground = Self { is_lost: last.is_some(), ..Self::on(last.as_deref(), wall) };
                let precondition = Precondition::Matches(etag.clone());
                Some(match *name == home {
                    true => Self { precondition, ..ground },
                    false => Self { unsealed: Some((*name, precondition)), ..ground },
                })
            }
            (None, Base::Absent) => {
                let unsealed = names.older().next().map(|name| (name, Precondition::Absent));
                Some(Self { has_object: false, unsealed, ..Self::on(None, wall) })
            }
            (None, Base::Unknown | Base::Stored(_) | Base::Damaged { copied: false, .. }) => None,
        }
    }

    /// The document is about to leave an older name.
    fn elsewhere(stored: &'a Stored, names: &Names, wall: u64) -> Self {
        let Stored { name, etag, header, .. } = stored;
        let ground = Self::on(Some(stored), wall);
        if !names.leads_home(header.moved_to.as_ref()) {
            return Self { unsealed: Some((*name, Precondition::Matches(etag.clone()))), ..ground };
        }
        let replaced = || Replaced { name: *name, etag: etag.clone(), header: header.clone() };
        Self { replaces: (!header.buried).then(replaced), ..ground }
    }

    /// An object that is to be created anew, with this revision's content.
    fn on(stored: Option<&'a Stored>, wall: u64) -> Self {
        Self {
            precondition: Precondition::Absent,
            replaces: None,
            previous: stored.map(|stored| &stored.header),
            content: stored.map(|stored| stored.ground(wall)).unwrap_or_default(),
            bytes: stored.map_or(0, |stored| stored.bytes),
            has_object: true,
            is_lost: false,
            unsealed: None,
        }
    }

    fn unsealed(&self) -> Option<Unsealed> {
        let (name, precondition) = self.unsealed.clone()?;
        let (previous, document) = (self.previous.cloned(), Document::clone(&self.content));
        Some(Unsealed { name, precondition, previous, document })
    }

    /// Whether committing the batch would change nothing that exists.
    fn is_void(&self, batch: &Batch) -> bool {
        if batch.claims.values().any(|edit| !edit.is_empty()) {
            return false;
        }
        let restores = batch.restore && self.is_lost;
        !self.has_object || (batch.forgotten.is_none() && batch.touched.is_empty() && !restores)
    }
}

/// Takes out the claim that weighs most, if there is any.
fn remove_largest(batch: &mut Batch) -> Option<(ClaimId, ClaimEdit)> {
    let claim = batch.claims.iter().max_by_key(|(_, edit)| edit.bytes()).map(|(claim, _)| *claim)?;
    batch.claims.remove_entry(&claim)
}

/// What a header takes at most, with `applied_max` writers in it.
const HEADER_ALLOWANCE: usize = 4 * 1024;
