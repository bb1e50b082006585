//! What one model is made of: nodes, LiveViews with their scripts, and how many faults of each kind may happen.

use std::sync::Arc;

use durable_stash_machine::{Json, Key, Policy, Slot, TabId, View, Vsn};

use crate::bits::Bits;
use crate::content::{Change, Place};
use crate::plant::Bug;
use crate::reached::Reached;

/// One model.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, as it is given on the command line.
    pub name: &'static str,
    /// The nodes. Each one runs one engine at a time.
    pub nodes: u8,
    /// The LiveViews.
    pub lives: Vec<Script>,
    /// What may go wrong, and how often.
    pub faults: Faults,
    /// What the sessions keep to.
    pub policy: Arc<Policy>,
    /// How far apart mounts are, on clocks that agree.
    pub mount_ms: u64,
    /// What must be reachable in it.
    pub reaches: &'static [Reached],
    /// Every place that a value may stand at.
    pub(crate) places: Vec<Place>,
    /// Every operation of every script.
    pub(crate) ops: Vec<OpSpec>,
    /// The bug that is planted, if any.
    pub(crate) plant: Option<Bug>,
}

/// One LiveView: where it writes, and what it does, in this order, at any moment.
#[derive(Clone, Debug)]
pub struct Script {
    /// The node that it lives on.
    pub node: u8,
    /// Its slot.
    pub slot: Arc<Slot>,
    /// Its view has `:reconnect` keys.
    pub stores_tab: bool,
    /// What it does.
    pub steps: Vec<Step>,
}

/// One thing that a LiveView does. Keys are letters: `"ab"` names two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A connected mount.
    Claim {
        /// Not a rejoin.
        fresh: bool,
    },
    /// Its assigns change and it stashes them.
    Stash {
        /// `:session` keys.
        session: &'static str,
        /// `:reconnect` keys.
        tab: &'static str,
    },
    /// It stashes `:session` keys that nobody has set as far as it knows, and that it has not changed. Once per key: of two
    /// defaults of a LiveView in one batch the first one's value counts, whatever came between.
    Default(&'static str),
    /// It drops `:session` keys.
    Drop(&'static str),
    /// It empties its slice and its tab.
    Reset,
    /// Logout.
    Forget,
    /// It recovers.
    Read,
    /// It ends.
    Leave,
    /// Its node is told to stop.
    Drain,
}

/// How often each fault may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A client stops waiting: the request was lost or is late, or its answer was lost.
    pub timeouts: u8,
    /// A PUT reaches the store twice; the first or the second answer is heard.
    pub repeats: u8,
    /// A node is killed; another engine run takes its place.
    pub crashes: u8,
    /// The engine of a node is restarted, and its LiveViews live on.
    pub restarts: u8,
    /// 409.
    pub busy: u8,
    /// 403.
    pub denials: u8,
    /// 501.
    pub refusals: u8,
    /// A PUT is known never to have left.
    pub unsent: u8,
    /// A GET is answered with the revision before the present one.
    pub stale: u8,
    /// Time goes on to the next timer of any node.
    pub ticks: u8,
    /// So much time passes that all that stands in the store is past its time.
    pub ages: u8,
    /// The sweeper looks at the object.
    pub sweeps: u8,
    /// An idle session leaves memory.
    pub evictions: u8,
}

/// One operation of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpSpec {
    /// Whose.
    pub(crate) live: u8,
    /// Which step of the script.
    pub(crate) step: u8,
    /// The places that it changes.
    pub(crate) places: Bits,
    /// What it does to them.
    pub(crate) change: Change,
}

impl Script {
    /// A LiveView of the view `v`, in its first version.
    pub fn on(node: u8, tab: &str, steps: &[Step]) -> Self {
        let slot = Slot { view: View::new("v"), vsn: Vsn(1), tab: TabId::new(tab) };
        Self { node, slot: Arc::new(slot), stores_tab: false, steps: steps.to_vec() }
    }

    /// The same in another version of its code.
    pub fn vsn(mut self, vsn: u64) -> Self {
        self.slot = Arc::new(Slot { vsn: Vsn(vsn), ..(*self.slot).clone() });
        self
    }

    /// The same in a view that has `:reconnect` keys.
    pub fn stores_tab(mut self) -> Self {
        self.stores_tab = true;
        self
    }
}

impl Scenario {
    /// A scenario without faults.
    pub fn new(name: &'static str, nodes: u8, lives: Vec<Script>) -> Self {
        let places = places(&lives);
        let ops = ops(&lives, &places);
        let policy = Policy {
            ttl_ms: TTL_MS,
            tombstone_ms: TTL_MS / 10,
            flush_after_ms: 0,
            recover_timeout_ms: 3_000,
            max_unsaved_age_ms: 10_000,
            // Whoever waits could as well be waiting for a slow network: that the network is slow is in the model.
            backoff_base_ms: 0,
            backoff_cap_ms: 0,
            applied_age_ms: TTL_MS * 10,
            ..Policy::default()
        };
        Self {
            name,
            nodes,
            lives,
            faults: Faults::default(),
            policy: Arc::new(policy),
            mount_ms: 2_000,
            reaches: &[],
            places,
            ops,
            plant: None,
        }
    }

    /// With these faults.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// With mounts in one millisecond.
    pub fn at_once(mut self) -> Self {
        self.mount_ms = 0;
        self
    }

    /// With states that must be reached.
    pub fn reaches(mut self, reaches: &'static [Reached]) -> Self {
        self.reaches = reaches;
        self
    }

    /// With another policy.
    pub fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(Arc::make_mut(&mut self.policy));
        self
    }

    /// With this bug in the machine, the store or the client.
    #[cfg(feature = "planted-bugs")]
    pub fn planted(mut self, bug: Bug) -> Self {
        self.plant = Some(bug);
        self.policy(|policy| policy.planted = Some(bug))
    }

    /// The operation of this step, if it is one.
    pub(crate) fn op_at(&self, live: u8, step: u8) -> Option<u8> {
        let index = self.ops.iter().position(|op| op.live == live && op.step == step)?;
        u8::try_from(index).ok()
    }

    /// The number of this step among all reads.
    pub(crate) fn read_at(&self, live: u8, step: u8) -> u8 {
        let steps = self.lives.iter().enumerate().flat_map(|(index, script)| {
            script.steps.iter().enumerate().map(move |(at, step)| (index, at, *step == Step::Read))
        });
        let before = steps.take_while(|(index, at, _)| (*index, *at) != (usize::from(live), usize::from(step)));
        before.filter(|(_, _, is_read)| *is_read).fold(0, |count, _| count + 1)
    }

    /// The LiveView's places that are `:session` keys, or `:reconnect` keys.
    pub(crate) fn places_of(&self, live: u8, in_tab: bool) -> Bits {
        let slot = &self.lives[usize::from(live)].slot;
        self.places_where(|place| place.is_in(slot) && place.tab.is_some() == in_tab)
    }

    /// The places for which this holds.
    pub(crate) fn places_where(&self, holds: impl Fn(&Place) -> bool) -> Bits {
        (0u8..).zip(&self.places).filter(|(_, place)| holds(place)).map(|(index, _)| index).collect()
    }

    /// The text of the value that the operation sets: its own number, so that a value names its write.
    pub(crate) fn value(op: u8) -> Json {
        Json::from_encoded(op.to_string())
    }
}

fn places(lives: &[Script]) -> Vec<Place> {
    let mut places = Vec::new();
    for live in lives {
        for step in &live.steps {
            let (session, tab) = match step {
                Step::Stash { session, tab } => (*session, *tab),
                Step::Default(session) | Step::Drop(session) => (*session, ""),
                Step::Claim { .. } | Step::Reset | Step::Forget | Step::Read | Step::Leave | Step::Drain => continue,
            };
            let named = keys(session).map(|key| (None, key));
            let named = named.chain(keys(tab).map(|key| (Some(live.slot.tab.clone()), key)));
            for (tab, key) in named {
                let place = Place { view: live.slot.view.clone(), vsn: live.slot.vsn, tab, key };
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }
    places
}

fn ops(lives: &[Script], places: &[Place]) -> Vec<OpSpec> {
    let mut ops = Vec::new();
    for (live, script) in (0u8..).zip(lives) {
        let where_it = |is_meant: &dyn Fn(&Place) -> bool| -> Bits {
            (0u8..).zip(places).filter(|(_, place)| is_meant(place)).map(|(index, _)| index).collect()
        };
        let own = |place: &Place| place.is_in(&script.slot);
        for (step, kind) in (0u8..).zip(&script.steps) {
            let places = match kind {
                Step::Stash { session, tab } => where_it(&|place| {
                    let named = if place.tab.is_some() { tab } else { session };
                    own(place) && named.contains(place.key.as_str())
                }),
                Step::Default(session) | Step::Drop(session) => {
                    where_it(&|place| own(place) && place.tab.is_none() && session.contains(place.key.as_str()))
                }
                Step::Reset => where_it(&own),
                Step::Forget => where_it(&|_| true),
                Step::Claim { .. } | Step::Read | Step::Leave | Step::Drain => continue,
            };
            let change = match kind {
                Step::Stash { .. } => Change::Sets,
                Step::Default(_) => Change::Defaults,
                Step::Drop(_) | Step::Reset | Step::Forget => Change::Empties,
                Step::Claim { .. } | Step::Read | Step::Leave | Step::Drain => continue,
            };
            ops.push(OpSpec { live, step, places, change });
        }
    }
    ops
}

fn keys(letters: &str) -> impl Iterator<Item = Key> {
    letters.chars().map(|letter| Key::new(letter.to_string()))
}

/// Far above every other time in a scenario.
const TTL_MS: u64 = 1_000_000;
