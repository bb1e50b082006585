//! The promises of the design (§1), each a function of its own. What a state shows is judged in the state; what only a
//! step shows (a commit, an answer) is judged in that step, and the state remembers that it was broken.

use durable_stash_machine::{Now, Precondition};
use stateright::Property;

use crate::bits::Bits;
use crate::content::{Change, Content};
use crate::model::Check;
use crate::object::{Object, Stored};
use crate::reading::Shown;
use crate::scenario::{Scenario, Step};
use crate::world::{By, Fate, Fresh, Op, World};

/// A promise that one step can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// I2.
    NoLostUpdate,
    /// I3.
    AtMostOnce,
    /// I4.
    Order,
    /// I5.
    Chain,
    /// I6.
    Fencing,
    /// I7.
    HonestOutcome,
    /// I8.
    SoundRecovery,
    /// I9.
    Isolation,
    /// I10.
    Expiry,
    /// I11.
    Versions,
}

/// Promises that were broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Broken(Bits);

impl Broken {
    /// This one was.
    pub(crate) fn insert(&mut self, promise: Promise) {
        self.0 = self.0.and(Bits::one(promise as u8));
    }

    fn has(self, promise: Promise) -> bool {
        self.0.has(promise as u8)
    }
}

/// What must hold in every state.
pub(crate) fn always() -> Vec<Property<Check>> {
    vec![
        Property::always("I1 durability", i1_durability),
        Property::always("I2 no lost update", |_, world: &World| !world.broken.has(Promise::NoLostUpdate)),
        Property::always("I3 at most once", |_, world: &World| !world.broken.has(Promise::AtMostOnce)),
        Property::always("I4 order", |_, world: &World| !world.broken.has(Promise::Order)),
        Property::always("I5 chain", |_, world: &World| !world.broken.has(Promise::Chain)),
        Property::always("I6 fencing", i6_fencing),
        Property::always("I7 honest outcome", i7_honest_outcome),
        Property::always("I8 sound recovery", |_, world: &World| !world.broken.has(Promise::SoundRecovery)),
        Property::always("I9 isolation", |_, world: &World| !world.broken.has(Promise::Isolation)),
        Property::always("I10 expiry", |_, world: &World| !world.broken.has(Promise::Expiry)),
        Property::always("I11 versions", |_, world: &World| !world.broken.has(Promise::Versions)),
        Property::always("I12 progress", i12_progress),
    ]
}

/// What was told saved is in the object, or was; that it is then replaced only by later writes is I2 and I3. And who
/// believes that everything is saved is right.
fn i1_durability(check: &Check, world: &World) -> bool {
    // What a node was told to forget before it was ever written needs no commit if there was nothing to forget.
    let is_void =
        |op: &Op| world.ops.iter().any(|forget| forget.void && forget.run == op.run && forget.order >= op.order);
    world.told(Fate::Saved).without(world.object.applied).without(world.ops_where(is_void)).is_empty()
        && (0u8..).zip(&world.lives).all(|(live, _)| is_status_true(&check.scenario, world, live))
}

/// `DurableStash.status/1` says "saved" when the last stash is saved, nothing is open, and nothing has failed that was not
/// stashed again. Then every change of an assign is in the object, carried by this stash or another.
fn is_status_true(scenario: &Scenario, world: &World, live: u8) -> bool {
    let state = &world.lives[usize::from(live)];
    let own = (0u8..).zip(&world.ops).filter(|(index, op)| {
        let spec = &scenario.ops[usize::from(*index)];
        spec.live == live && spec.change == Change::Sets && op.claim >= state.first && op.fate != Fate::Unissued
    });
    let says_saved = state.claim > 0
        && state.owed.is_empty()
        && own.clone().all(|(_, op)| op.fate != Fate::Open)
        && own.clone().last().is_some_and(|(_, op)| op.fate == Fate::Saved);
    !says_saved
        || own.clone().all(|(index, _)| {
            let later_and_saved = own.clone().filter(|(later, op)| *later >= index && op.fate == Fate::Saved);
            let covered = later_and_saved.fold(Bits::default(), |covered, (_, op)| covered.and(op.places));
            scenario.ops[usize::from(index)].places.without(covered).is_empty()
        })
}

/// Who was superseded on its own node changes nothing any more, from the moment of the later mount. Of other nodes'
/// mounts it is the store that tells: see `i6_nobody_superseded_writes`.
fn i6_fencing(_: &Check, world: &World) -> bool {
    let doomed = world.ops_where(|op| op.is_doomed);
    !world.broken.has(Promise::Fencing)
        && doomed.both(world.object.applied).is_empty()
        && doomed.both(world.told(Fate::Saved)).is_empty()
}

/// Failed means in no later object; nobody gets two answers; and a session that has nothing left to do has answered
/// everybody.
fn i7_honest_outcome(_: &Check, world: &World) -> bool {
    let is_answered = |run: u8| world.open(run).is_empty();
    !world.broken.has(Promise::HonestOutcome)
        && world.told(Fate::Failed).both(world.object.applied).is_empty()
        && world.nodes.iter().all(|node| !node.session.is_idle() || is_answered(node.run))
}

/// A session that has something to do waits for the store or for a timer, and not for luck. Where nothing is held back the
/// timer that gives up does not count.
fn i12_progress(check: &Check, world: &World) -> bool {
    let policy = &check.scenario.policy;
    let holds_back = policy.flush_after_ms > 0 || policy.backoff_base_ms > 0;
    world.nodes.iter().all(|node| {
        let is_timed = node.session.poll_timeout().is_some_and(|at| at <= world.time || holds_back);
        node.session.is_idle() || !node.requests.is_empty() || is_timed
    })
}

/// The object is about to change.
pub(crate) struct Commit<'a> {
    /// Where.
    pub(crate) scenario: &'a Scenario,
    /// What everybody did and was told so far.
    pub(crate) world: &'a World,
    /// By whom.
    pub(crate) by: By,
    /// The operations of its batch.
    pub(crate) ops: Bits,
    /// The condition that it named.
    pub(crate) precondition: &'a Precondition,
    /// What is there now.
    pub(crate) before: &'a Object,
    /// What will be.
    pub(crate) after: &'a Stored,
}

impl Commit<'_> {
    /// The promises that it breaks.
    pub(crate) fn breaks(&self) -> impl Iterator<Item = Promise> {
        let judgements = [
            (Promise::NoLostUpdate, self.i2_is_merge_of_one_batch()),
            (Promise::AtMostOnce, self.i3_batch_was_never_applied()),
            (Promise::Chain, self.i5_follows_what_it_names()),
            (Promise::Fencing, self.i6_nobody_superseded_writes()),
            (Promise::Isolation, self.i9_changes_only_what_it_names()),
            (Promise::Expiry, self.i10_buries_nothing_alive_and_raises_nothing_dead()),
            (Promise::Versions, self.i11_leaves_other_versions_alone()),
        ];
        judgements.into_iter().filter(|(_, holds)| !holds).map(|(promise, _)| promise)
    }

    fn now(&self) -> Now {
        self.world.now()
    }

    /// I2: it is the previous object with one batch of one writer on it. Byte by byte: a value is the number of its
    /// write.
    fn i2_is_merge_of_one_batch(&self) -> bool {
        let Some(after) = self.after.content else { return false };
        let is_over = self.before.stored.as_ref().is_some_and(|stored| stored.header.is_over(self.now().wall));
        // When the bytes were made it may not have been over yet.
        let grounds = [Some(self.before.content()), is_over.then(Content::default)];
        grounds.into_iter().flatten().any(|ground| self.merges_to(ground, after))
    }

    fn merges_to(&self, ground: Content, after: Content) -> bool {
        let emptyings = self.emptyings();
        let optional: Vec<usize> = (0..emptyings.len()).filter(|index| !emptyings[*index].is_due).collect();
        // Which of the emptyings that may have been in the batch were.
        (0..1u32 << optional.len()).any(|chosen| {
            let is_in = |index: usize| {
                optional.iter().position(|one| *one == index).is_none_or(|place| chosen & (1 << place) != 0)
            };
            let mut deeds: Vec<(u8, Bits, u8, Change)> = (0..emptyings.len())
                .filter(|index| is_in(*index))
                .map(|index| (emptyings[index].order, emptyings[index].places, 0, Change::Empties))
                .collect();
            deeds.extend(self.ops.members().map(|op| {
                let (spec, state) = (&self.scenario.ops[usize::from(op)], &self.world.ops[usize::from(op)]);
                (state.order, state.places, op, spec.change)
            }));
            deeds.sort_by_key(|(order, ..)| *order);
            let mut content = ground;
            for (_, places, op, change) in deeds {
                content.apply(op, places, change);
            }
            content == after
        })
    }

    /// Fresh mounts of this run empty their tab with their first write at the latest, unless a later mount has written
    /// there before.
    fn emptyings(&self) -> Vec<Emptying> {
        let By::Run(run) = self.by else { return Vec::new() };
        let document = self.before.stored.as_ref().map(|stored| &stored.document);
        let is_past = |fresh: &Fresh| document.is_some_and(|it| self.world.is_past(fresh, self.scenario, it));
        let of_run = self.world.fresh.iter().filter(|fresh| fresh.run == run && !is_past(fresh));
        let owed = of_run.filter_map(|fresh| {
            let own = self.world.ops_where(|op| op.run == run && op.claim == fresh.claim);
            let places = self.scenario.places_of(fresh.live, true);
            let is_done = !own.both(self.before.applied).is_empty();
            (!is_done).then(|| Emptying { order: fresh.order, places, is_due: !own.both(self.ops).is_empty() })
        });
        owed.collect()
    }

    /// I3: neither the batch nor any operation in it has been in an object before.
    fn i3_batch_was_never_applied(&self) -> bool {
        let write = self.after.header.write;
        let is_new = match self.by {
            By::Run(run) => self.before.seq(run).is_none_or(|seq| write.seq > seq),
            By::Sweeper => true,
        };
        is_new && self.ops.both(self.before.applied).is_empty()
    }

    /// I5: one up, on what it names, in bytes that were never there.
    fn i5_follows_what_it_names(&self) -> bool {
        let Some(before) = &self.before.stored else { return *self.precondition == Precondition::Absent };
        self.after.header.rev == before.header.rev + 1
            && *self.precondition == Precondition::Matches(before.etag.clone())
            && self.after.body != before.body
            && self.after.header.contains(self.after.header.write)
    }

    /// I6: the tab of no operation in it belongs to a later mount already, nor to one that has come between.
    fn i6_nobody_superseded_writes(&self) -> bool {
        let Some(before) = &self.before.stored else { return true };
        if before.header.is_over(self.now().wall) && !before.header.buried {
            return true;
        }
        let goes_back = before.document.views.keys().any(|view| {
            let tabs = before.document.views[view].values().flat_map(|slice| slice.tabs.keys());
            tabs.into_iter().any(|tab| self.after.document.epoch(view, tab) < before.document.epoch(view, tab))
        });
        let step = |op: u8| {
            let spec = &self.scenario.ops[usize::from(op)];
            self.scenario.lives[usize::from(spec.live)].steps[usize::from(spec.step)]
        };
        // A document is forgotten for its session, whoever asks.
        let written = || self.ops.members().filter(|op| step(*op) != Step::Forget);
        !goes_back
            && !written().any(|op| self.returns(op))
            && written().all(|op| {
                let script = &self.scenario.lives[usize::from(self.scenario.ops[usize::from(op)].live)];
                let mount = self.world.ops[usize::from(op)].mount;
                let stored = before.document.epoch(&script.slot.view, &script.slot.tab);
                !script.stores_tab || !stored.is_some_and(|stored| self.world.is_later(stored, mount))
            })
    }

    /// Whether another mount's value stands in the tab where one of the operation's own mount stood before: however close
    /// the two mounts were, one of them had lost by then.
    fn returns(&self, op: u8) -> bool {
        let live = |op: u8| self.scenario.ops[usize::from(op)].live;
        let mount = |op: u8| self.world.ops[usize::from(op)].mount;
        let own = self.before.applied.members().filter(|earlier| mount(*earlier) == mount(op));
        let stood = own.fold(Bits::default(), |stood, own| stood.and(self.world.ops[usize::from(own)].places));
        let of_tab = stood.both(self.scenario.places_of(live(op), true));
        let holders = of_tab.members().filter_map(|place| self.before.content().at(place));
        self.scenario.lives[usize::from(live(op))].stores_tab
            && holders.into_iter().any(|holder| mount(holder) != mount(op))
    }

    /// I9: every value that is new there belongs there, and was set by an operation of this batch.
    fn i9_changes_only_what_it_names(&self) -> bool {
        let Some(after) = self.after.content else { return false };
        let changes = after.changes(&self.before.content());
        changes.members().all(|place| match after.at(place) {
            Some(op) => self.ops.has(op) && self.world.ops[usize::from(op)].places.has(place),
            None => true,
        })
    }

    /// I10: the sweeper buries only what is past its time; and no value that was there and went comes back.
    fn i10_buries_nothing_alive_and_raises_nothing_dead(&self) -> bool {
        let is_past = self.before.stored.as_ref().is_some_and(|stored| stored.header.expires_at <= self.now().wall);
        let Some(after) = self.after.content else { return false };
        let returns = after
            .changes(&self.before.content())
            .members()
            .any(|place| after.at(place).is_some_and(|op| self.before.applied.has(op)));
        !returns && (self.by != By::Sweeper || is_past)
    }

    /// I11: the slices of versions that none of its operations is of are the same to the byte.
    fn i11_leaves_other_versions_alone(&self) -> bool {
        let Some(before) = &self.before.stored else { return true };
        let is_forgotten = self.after.header.buried;
        if is_forgotten || before.header.is_over(self.now().wall) {
            return true;
        }
        let written = |view, vsn| {
            self.ops.members().any(|op| {
                let slot = &self.scenario.lives[usize::from(self.scenario.ops[usize::from(op)].live)].slot;
                slot.view == view && slot.vsn == vsn
            })
        };
        before.document.views.iter().all(|(view, slices)| {
            slices.iter().all(|(vsn, slice)| {
                written(view.clone(), *vsn) || self.ops.is_empty() || {
                    let kept = self.after.document.views.get(view).and_then(|slices| slices.get(vsn));
                    kept == Some(slice) || slice.is_over(self.now().wall, self.scenario.policy.ttl_ms)
                }
            })
        })
    }
}

struct Emptying {
    order: u8,
    places: Bits,
    /// A write of its mount is in the batch.
    is_due: bool,
}

/// I4: each key that a read shows is what stood there at some moment of the read, or what this node has accepted on top.
pub(crate) fn i4_each_key_was_there(shown: &Shown<'_>) -> bool {
    shown.places().members().all(|place| shown.candidates().any(|candidate| shown.agrees(&candidate, Bits::one(place))))
}

/// I8: all of it together is one committed revision with what this node has accepted on top.
pub(crate) fn i8_is_one_revision_and_own_writes(shown: &Shown<'_>) -> bool {
    shown.candidates().any(|candidate| shown.agrees(&candidate, shown.places()))
}
