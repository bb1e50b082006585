//! What may happen next.

use std::fmt;

use durable_stash_machine::Attempt;

use crate::bits::Bits;
use crate::node::Ask;
use crate::scenario::Scenario;
use crate::world::World;

/// One thing that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A LiveView does the next step of its script.
    Act {
        /// Which.
        live: u8,
    },
    /// A request reaches the store, and the answer is on its way.
    Reach(Asked),
    /// The same, but the answer is that of the revision before.
    ReachStale(Asked),
    /// The answer arrives.
    Answer(Asked),
    /// The node stops waiting. The request may still arrive; or it has, and the answer is lost.
    TimeOut(Asked),
    /// A PUT reaches the store, and a copy of it is still on its way. The first answer is heard.
    RepeatHeard(Asked),
    /// A PUT reaches the store, and is sent again on its way. The second answer is heard.
    RepeatUnheard(Asked),
    /// The store answers a PUT with 409.
    Busy(Asked),
    /// With 403.
    Deny(Asked),
    /// With 501.
    Refuse(Asked),
    /// The PUT does not leave its node.
    NotSend(Asked),
    /// A request that nobody waits for reaches the store.
    Land {
        /// Which of them.
        index: u8,
    },
    /// A node is killed.
    Crash {
        /// Which.
        node: u8,
    },
    /// The engine of a node is restarted under its LiveViews.
    Restart {
        /// On which node.
        node: u8,
    },
    /// An idle session leaves memory.
    Evict {
        /// On which node.
        node: u8,
    },
    /// Time goes on to the next timer.
    Tick,
    /// A timer that is due fires.
    Timer {
        /// On which node.
        node: u8,
    },
    /// All that stands in the store passes its time.
    Age,
    /// The sweeper looks at the object.
    Sweep,
}

/// One request of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The node.
    pub(crate) node: u8,
    /// The request.
    pub(crate) attempt: Attempt,
}

/// All that may happen next.
pub(crate) fn actions(scenario: &Scenario, world: &World, actions: &mut Vec<Action>) {
    let left = &world.left;
    for (live, script) in (0u8..).zip(&scenario.lives) {
        if usize::from(world.lives[usize::from(live)].next) < script.steps.len() {
            actions.push(Action::Act { live });
        }
    }
    for (node, state) in (0u8..).zip(&world.nodes) {
        for request in &state.requests {
            let asked = Asked { node, attempt: request.attempt };
            if request.answer.is_some() {
                actions.push(Action::Answer(asked));
            } else {
                actions.push(Action::Reach(asked));
                faults(world, asked, &request.ask, actions);
            }
            if left.timeouts > 0 {
                actions.push(Action::TimeOut(asked));
            }
        }
        if state.session.poll_timeout().is_some_and(|at| at <= world.time) {
            actions.push(Action::Timer { node });
        }
        if left.crashes > 0 && state.accepted > 0 {
            actions.push(Action::Crash { node });
        }
        if left.restarts > 0 && state.accepted > 0 {
            actions.push(Action::Restart { node });
        }
        // The driver leaves when the session is idle and every request has been answered.
        if left.evictions > 0 && state.session.is_idle() && state.requests.is_empty() && state.accepted > 0 {
            actions.push(Action::Evict { node });
        }
    }
    actions.extend((0u8..).zip(&world.loose).map(|(index, _)| Action::Land { index }));
    if left.ticks > 0 && next_timer(world).is_some() {
        actions.push(Action::Tick);
    }
    // No request is under way for as long as a document lives.
    if left.ages > 0 && world.nodes.iter().all(|node| node.requests.is_empty()) {
        actions.push(Action::Age);
    }
    if left.sweeps > 0 && world.object.stored.is_some() {
        actions.push(Action::Sweep);
    }
}

fn faults(world: &World, asked: Asked, ask: &Ask, actions: &mut Vec<Action>) {
    let left = &world.left;
    match ask {
        Ask::Get { .. } if left.stale > 0 && world.object.previous.is_some() => {
            actions.push(Action::ReachStale(asked));
        }
        Ask::Put(put) => {
            // A store that has applied it once does not refuse a copy of it as it stands (event.rs).
            let is_applied = !put.ops.is_empty() && put.ops.without(world.object.applied).is_empty();
            let refusals = |left: u8| if is_applied { 0 } else { left };
            let kinds = [
                (left.repeats, Action::RepeatHeard(asked)),
                (left.repeats, Action::RepeatUnheard(asked)),
                (left.busy, Action::Busy(asked)),
                (refusals(left.denials), Action::Deny(asked)),
                (refusals(left.refusals), Action::Refuse(asked)),
                (refusals(left.unsent), Action::NotSend(asked)),
            ];
            actions.extend(kinds.into_iter().filter(|(left, _)| *left > 0).map(|(_, action)| action));
        }
        Ask::Get { .. } | Ask::Quarantine => {}
    }
}

/// The next timer of any node that is not due yet.
pub(crate) fn next_timer(world: &World) -> Option<u64> {
    let timers = world.nodes.iter().filter_map(|node| node.session.poll_timeout());
    timers.filter(|at| *at > world.time).min()
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} of node {}", self.attempt.0, self.node)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act { live } => write!(f, "LiveView {live} goes on"),
            Self::Reach(asked) => write!(f, "{asked} reaches the store"),
            Self::ReachStale(asked) => write!(f, "{asked} reaches a replica that is behind"),
            Self::Answer(asked) => write!(f, "the answer to {asked} arrives"),
            Self::TimeOut(asked) => write!(f, "{asked} is given up by its sender"),
            Self::RepeatHeard(asked) => write!(f, "{asked} reaches the store, and a copy of it is still on its way"),
            Self::RepeatUnheard(asked) => {
                write!(f, "{asked} reaches the store; a proxy loses the answer, and will send it again")
            }
            Self::Busy(asked) => write!(f, "{asked} is answered with 409"),
            Self::Deny(asked) => write!(f, "{asked} is answered with 403"),
            Self::Refuse(asked) => write!(f, "{asked} is answered with 501"),
            Self::NotSend(asked) => write!(f, "{asked} does not leave its node"),
            Self::Land { index } => write!(f, "request {index} that nobody waits for reaches the store"),
            Self::Crash { node } => write!(f, "node {node} is killed, another run takes its place"),
            Self::Restart { node } => write!(f, "the engine of node {node} is restarted under its LiveViews"),
            Self::Evict { node } => write!(f, "the idle session of node {node} leaves memory"),
            Self::Tick => write!(f, "time goes on to the next timer"),
            Self::Timer { node } => write!(f, "the timer of node {node} fires"),
            Self::Age => write!(f, "the object passes its time"),
            Self::Sweep => write!(f, "the sweeper looks at the object"),
        }
    }
}

/// Names operations.
pub(crate) fn list(ops: Bits) -> String {
    let names: Vec<String> = ops.members().map(|op| format!("w{op}")).collect();
    if names.is_empty() { "nothing".into() } else { names.join(" ") }
}
