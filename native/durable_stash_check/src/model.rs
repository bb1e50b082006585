//! A scenario, as the checker wants it.

use stateright::{Model, Property};

use crate::action::{Action, actions};
use crate::log::Log;
use crate::promises;
use crate::scenario::Scenario;
use crate::step::step;
use crate::world::World;

/// The model of one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// Which.
    pub(crate) scenario: Scenario,
}

impl Model for Check {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.scenario)]
    }

    fn actions(&self, world: &World, found: &mut Vec<Action>) {
        actions(&self.scenario, world, found);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        step(&self.scenario, world, action, &mut Log::silent())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises::always();
        properties.extend(self.scenario.reaches.iter().map(|reached| reached.sometimes()));
        properties
    }
}
