//! Runs a check and says what it found.

use std::fmt::{self, Write};
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use crate::action::Action;
use crate::log::Log;
use crate::model::Check;
use crate::scenario::Scenario;
use crate::step::step;
use crate::world::World;

/// What a check found.
#[derive(Debug)]
pub struct Verdict {
    /// How much there was to check.
    pub figures: Figures,
    /// Promises that are broken, each with the way there.
    pub broken: Vec<(&'static str, String)>,
    /// States that should have been reached.
    pub missed: Vec<&'static str>,
}

/// The size of a check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// States met, with repeats.
    pub states: usize,
    /// Different ones.
    pub unique: usize,
    /// Steps of the longest way.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Properties checked in every state.
    pub always: usize,
    /// Properties that some state has to show.
    pub sometimes: usize,
}

/// Visits every state of the scenario, on so many threads. Ends early only if a promise is broken.
pub fn check(scenario: Scenario, threads: usize) -> Verdict {
    let model = Check { scenario };
    let started = Instant::now();
    let checker = model.clone().checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    verdict(&model, &checker, started.elapsed())
}

/// Looks for the shortest way to a broken promise: the nearest states come first, which takes far more memory than
/// `check`.
pub fn explain(scenario: Scenario) -> Verdict {
    let model = Check { scenario };
    let started = Instant::now();
    let checker = model.clone().checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    verdict(&model, &checker, started.elapsed())
}

fn verdict(model: &Check, checker: &impl Checker<Check>, took: Duration) -> Verdict {
    let (states, unique, depth) = (checker.state_count(), checker.unique_state_count(), checker.max_depth());
    let mut figures = Figures { states, unique, depth, took, ..Figures::default() };
    let discoveries = checker.discoveries();
    let (mut broken, mut missed) = (Vec::new(), Vec::new());
    for property in model.properties() {
        let found = discoveries.get(property.name);
        match property.expectation {
            Expectation::Sometimes => {
                figures.sometimes += 1;
                missed.extend(found.is_none().then_some(property.name));
            }
            Expectation::Always | Expectation::Eventually => {
                figures.always += 1;
                broken.extend(found.map(|path| (property.name, narrate(&model.scenario, path))));
            }
        }
    }
    Verdict { figures, broken, missed }
}

/// The way to a state, step by step.
fn narrate(scenario: &Scenario, path: &Path<World, Action>) -> String {
    let mut text = String::new();
    for (number, (world, action)) in (1..).zip(path.clone().into_vec()) {
        let Some(action) = action else { break };
        let mut log = Log::listening();
        // The state is the path's own; what is wanted is what is said on the way to the next.
        let _ = step(scenario, &world, action, &mut log);
        let _ = writeln!(text, "{number:>4}. {action}");
        for line in log.lines() {
            let _ = writeln!(text, "        {line}");
        }
    }
    text
}

impl Verdict {
    /// Whether every promise holds and everything was reached.
    pub fn holds(&self) -> bool {
        self.broken.is_empty() && self.missed.is_empty()
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.states += other.states;
        self.unique += other.unique;
        self.depth = self.depth.max(other.depth);
        self.took += other.took;
        self.always = self.always.max(other.always);
        self.sometimes += other.sometimes;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, unique, depth, took, always, sometimes } = self;
        let seconds = took.as_secs_f64();
        write!(f, "{states} states, {unique} unique, depth {depth}, {seconds:.1} s, ")?;
        write!(f, "{always} promises kept in all of them, {sometimes} kinds of trouble reached")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for missed in &self.missed {
            writeln!(f, "  never reached: {missed}")?;
        }
        for (promise, way) in &self.broken {
            writeln!(f, "  BROKEN: {promise}\n{way}")?;
        }
        Ok(())
    }
}
