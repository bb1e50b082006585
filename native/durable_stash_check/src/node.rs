//! One node: the production session, and the requests that it waits for.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use durable_stash_machine::{
    Attempt, Command, ETag, Effect, Event, Fence, Notice, Now, Precondition, Session, Start, WriterId,
};

use crate::bits::Bits;
use crate::fingerprint::fingerprint;
use crate::object::Stored;
use crate::scenario::Scenario;

/// One engine run on one node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Which run. Each has a writer id of its own.
    pub(crate) run: u8,
    /// The machine.
    pub(crate) session: Session,
    /// What it waits for, in the order of asking.
    pub(crate) requests: Vec<Request>,
    /// How many operations and claims it has accepted: their order.
    pub(crate) accepted: u8,
    /// Its newest batch.
    pub(crate) batch: Batch,
    hash: u64,
}

/// The batch of a PUT: its number, the operations in it, and what its bytes were built on last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    seq: u64,
    ops: Bits,
    ground: Option<Precondition>,
}

/// A request that its node waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// Names the answer.
    pub(crate) attempt: Attempt,
    /// What is asked.
    pub(crate) ask: Ask,
    /// The store's answer, once it is on its way back.
    pub(crate) answer: Option<Event>,
}

/// What is asked of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// Read.
    Get {
        /// Unless it still is this one.
        unless: Option<ETag>,
    },
    /// Write.
    Put(Put),
    /// Copy aside.
    Quarantine,
}

/// A PUT, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Put {
    /// The object.
    pub(crate) object: Arc<Stored>,
    /// When it may be applied.
    pub(crate) precondition: Precondition,
    /// The operations that its batch was made of when it was frozen, as far as they are not settled.
    pub(crate) ops: Bits,
    /// The batch was built on another revision before.
    pub(crate) is_rebased: bool,
}

/// What a session is given.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// By a LiveView.
    Command(Command),
    /// By the store.
    Event(Event),
    /// By the clock.
    Timeout,
}

impl Node {
    /// A run that knows nothing.
    pub(crate) fn new(scenario: &Scenario, run: u8) -> Self {
        Self {
            run,
            session: session(scenario, run, 0, Fence::default()),
            requests: Vec::new(),
            accepted: 0,
            batch: Batch::default(),
            hash: 0,
        }
    }

    /// The session leaves memory and comes back.
    pub(crate) fn evict(&mut self, scenario: &Scenario) {
        let fence = self.session.fence().clone();
        self.session = session(scenario, self.run, self.session.last_seq(), fence);
    }

    /// One turn of the driver. What the session asks for is still to be taken up.
    pub(crate) fn turn(&mut self, now: Now, input: Input) -> (Vec<Notice>, Vec<Effect>) {
        match input {
            Input::Command(command) => self.session.command(now, command),
            Input::Event(event) => self.session.handle(now, event),
            Input::Timeout => self.session.timeout(now),
        }
        let effects = std::iter::from_fn(|| self.session.poll_effect()).collect();
        let notices = std::iter::from_fn(|| self.session.poll_notice()).collect();
        (notices, effects)
    }

    /// Takes up a request. `open` are this run's operations without an outcome. False if what it would write cannot be
    /// read.
    pub(crate) fn ask(&mut self, scenario: &Scenario, effect: Effect, open: Bits) -> bool {
        let (attempt, ask) = match effect {
            Effect::Get { attempt, unless, .. } => (attempt, Ask::Get { unless }),
            Effect::Put { attempt, body, precondition, .. } => {
                let Some(object) = Stored::of(&body, scenario) else { return false };
                let seq = object.header.write.seq;
                let is_known = self.batch.seq == seq;
                // What is frozen is what was open at the first PUT of that number; nothing may be added to it.
                let ops = if is_known { self.batch.ops.both(open) } else { open };
                let is_rebased = is_known && self.batch.ground.as_ref() != Some(&precondition);
                self.batch = Batch { seq, ops, ground: Some(precondition.clone()) };
                (attempt, Ask::Put(Put { object, precondition, ops, is_rebased }))
            }
            Effect::Quarantine { attempt, .. } => (attempt, Ask::Quarantine),
        };
        self.requests.push(Request { attempt, ask, answer: None });
        true
    }

    /// Stops waiting for the request.
    pub(crate) fn take(&mut self, attempt: Attempt) -> Option<Request> {
        let index = self.requests.iter().position(|request| request.attempt == attempt)?;
        Some(self.requests.remove(index))
    }

    /// Takes its fingerprint.
    pub(crate) fn seal(&mut self) {
        self.hash = fingerprint(&(self.run, &self.session, &self.requests, self.accepted, &self.batch));
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (self.run, self.accepted, &self.batch) == (other.run, other.accepted, &other.batch)
            && self.requests == other.requests
            && self.session == other.session
    }
}

impl Eq for Node {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

/// The writer id of a run.
pub(crate) fn writer(run: u8) -> WriterId {
    WriterId(u128::from(run) + 1)
}

fn session(scenario: &Scenario, run: u8, seq_floor: u64, fence: Fence) -> Session {
    let start = Start { seed: 1, seq_floor, minted: false, fence, ..Start::default() };
    Session::new(writer(run), scenario.policy.clone(), start)
}
