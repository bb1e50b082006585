//! A bench for directed tests: nodes around one faithful store, a clock that moves only when told to, and requests
//! that wait in the test's hand until it decides what becomes of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::slice::Epoch;
use durable_stash_machine::{
    ClaimId, Command, Effect, ErrorKind, Event, GetOutcome, Incident, Json, Key, Notice, Now, Outcome, Policy,
    PutOutcome, ReadAnswer, RequestId, Session, Slot, Start, TabId, Values, View, Vsn, WriterId,
};

use crate::store::{Store, flipped, named, numbered};

pub struct Lab {
    pub store: Store,
    pub now: Now,
    pub policy: Arc<Policy>,
    /// Which objects a session asks for, its home first, where the node has no list of its own.
    names: Vec<usize>,
    nodes: Vec<Node>,
    ops: BTreeMap<ClaimId, u64>,
    next_run: u64,
    next_number: u64,
}

struct Node {
    session: Session,
    writer: WriterId,
    names: Vec<usize>,
    /// Requests that the test has not decided about.
    requests: VecDeque<Effect>,
    outcomes: BTreeMap<(ClaimId, u64), Vec<Outcome>>,
    /// The highest operation of the claim that has an outcome.
    settled: BTreeMap<ClaimId, u64>,
    superseded: Vec<ClaimId>,
    answers: BTreeMap<RequestId, Result<ReadAnswer, ErrorKind>>,
    forgotten: BTreeMap<RequestId, Outcome>,
    incidents: Vec<Incident>,
    puts: usize,
    gets: usize,
}

/// One mounted LiveView.
#[derive(Clone)]
pub struct Live {
    pub node: usize,
    pub claim: ClaimId,
    pub slot: Arc<Slot>,
}

/// A request of a node that waits for its fate.
#[must_use]
#[derive(Clone, Debug)]
pub struct Request {
    pub node: usize,
    pub effect: Effect,
}

impl Lab {
    /// One node with the default policy.
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// One node with a policy that differs from the default.
    pub fn with(change: impl FnOnce(&mut Policy)) -> Self {
        Self::build(1, 1, change)
    }

    /// Several nodes.
    pub fn nodes(count: usize) -> Self {
        Self::build(count, 1, |_| ())
    }

    /// One node whose session has a name per secret.
    pub fn names(names: usize) -> Self {
        Self::build(1, names, |_| ())
    }

    pub fn build(nodes: usize, names: usize, change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::default();
        change(&mut policy);
        let mut lab = Self {
            store: Store::default(),
            now: Now { mono: 1_000_000, wall: 1_700_000_000_000 },
            policy: Arc::new(policy),
            names: (0..names).collect(),
            nodes: Vec::new(),
            ops: BTreeMap::new(),
            next_run: 0,
            next_number: 0,
        };
        for _ in 0..nodes {
            lab.boot();
        }
        lab
    }

    /// Starts one more node. Returns which.
    pub fn boot(&mut self) -> usize {
        self.boot_with(self.names.clone())
    }

    /// Starts one more node, whose secrets lead to these objects.
    pub fn boot_with(&mut self, names: Vec<usize>) -> usize {
        let node = self.start(names);
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Kills the node; another engine run takes its place. What was on its way stays on its way.
    pub fn crash(&mut self, node: usize) {
        self.nodes[node] = self.start(self.nodes[node].names.clone());
    }

    /// The session leaves memory and comes back with its next input.
    pub fn evict(&mut self, node: usize) {
        let old = &self.nodes[node];
        assert!(old.session.is_idle(), "only an idle session is evicted: {:#?}", old.session);
        let names = old.names.iter().map(|name| named(*name)).collect();
        self.nodes[node].session = old.session.leave().unpark(old.writer, self.policy.clone(), names);
    }

    /// The session starts anew as one whose id was minted in this very request.
    pub fn mint(&mut self, node: usize) {
        let Node { writer, names, .. } = &self.nodes[node];
        self.nodes[node].session = self.session(*writer, names, Start { minted: true, ..Start::default() });
    }

    fn start(&mut self, names: Vec<usize>) -> Node {
        self.next_run += 1;
        let writer = WriterId(u128::from(self.next_run) << 96 | u128::from(self.next_run));
        Node {
            session: self.session(writer, &names, Start::default()),
            writer,
            names,
            requests: VecDeque::new(),
            outcomes: BTreeMap::new(),
            settled: BTreeMap::new(),
            superseded: Vec::new(),
            answers: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            incidents: Vec::new(),
            puts: 0,
            gets: 0,
        }
    }

    fn session(&self, writer: WriterId, names: &[usize], start: Start) -> Session {
        let names = names.iter().map(|number| named(*number)).collect();
        Session::new(writer, self.policy.clone(), Start { seed: self.next_run, names, ..start })
    }

    // What LiveViews do.

    /// A LiveView that has not claimed its tab: a dead mount.
    pub fn open(&mut self, node: usize, slot: &Arc<Slot>) -> Live {
        let claim = ClaimId(self.number());
        Live { node, claim, slot: slot.clone() }
    }

    /// Where the LiveView's claim stands.
    pub fn epoch(&self, live: &Live) -> Epoch {
        self.nodes[live.node].session.epoch(live.claim).unwrap()
    }

    /// A fresh connected mount of a view with `:reconnect` keys.
    pub fn mount(&mut self, node: usize, slot: &Arc<Slot>) -> Live {
        self.claim(node, slot, true, true)
    }

    /// A rejoin of a view with `:reconnect` keys.
    pub fn rejoin(&mut self, node: usize, slot: &Arc<Slot>) -> Live {
        self.claim(node, slot, false, true)
    }

    /// The LiveView opens its session again after a restart of the engine under it.
    pub fn reclaim(&mut self, live: &Live, epoch: Epoch) -> Live {
        let again = self.open(live.node, &live.slot);
        let (claim, slot) = (again.claim, live.slot.clone());
        self.command(live.node, Command::Reclaim { claim, slot, stores_tab: true, epoch });
        again
    }

    /// A mount that lives on opens the slot for the first time.
    pub fn claim_late(&mut self, node: usize, slot: &Arc<Slot>, fresh: bool, epoch: Epoch) -> Live {
        let live = self.open(node, slot);
        let (claim, slot) = (live.claim, slot.clone());
        self.command(node, Command::ClaimLate { claim, slot, fresh, stores_tab: true, epoch });
        live
    }

    pub fn claim(&mut self, node: usize, slot: &Arc<Slot>, fresh: bool, stores_tab: bool) -> Live {
        let live = self.open(node, slot);
        self.command(node, Command::Claim { claim: live.claim, slot: slot.clone(), fresh, stores_tab });
        live
    }

    /// Writes `:session` keys. Returns the write's number.
    pub fn stash(&mut self, live: &Live, session: &[(&str, &str)]) -> u64 {
        self.write(live, session, &[])
    }

    /// Writes `:reconnect` keys.
    pub fn stash_tab(&mut self, live: &Live, tab: &[(&str, &str)]) -> u64 {
        self.write(live, &[], tab)
    }

    pub fn write(&mut self, live: &Live, session: &[(&str, &str)], tab: &[(&str, &str)]) -> u64 {
        self.write_and_share(live, session, tab, &[])
    }

    /// Writes `:shared` keys.
    pub fn share(&mut self, live: &Live, shared: &[(&str, &str)]) -> u64 {
        self.write_and_share(live, &[], &[], shared)
    }

    pub fn write_and_share(
        &mut self,
        live: &Live,
        session: &[(&str, &str)],
        tab: &[(&str, &str)],
        shared: &[(&str, &str)],
    ) -> u64 {
        self.merge(live, values(session, tab, shared), Values::default())
    }

    /// Writes `:session` keys where nothing stands.
    pub fn default(&mut self, live: &Live, session: &[(&str, &str)]) -> u64 {
        self.merge(live, Values::default(), values(session, &[], &[]))
    }

    pub fn merge(&mut self, live: &Live, values: Values, defaults: Values) -> u64 {
        let op = self.next_op(live);
        let (claim, slot) = (live.claim, live.slot.clone());
        let Values { session, tab, shared } = values;
        self.command(live.node, Command::Merge { claim, slot, op, session, tab, shared, defaults });
        op
    }

    pub fn remove(&mut self, live: &Live, session: &[&str], tab: &[&str]) -> u64 {
        let op = self.next_op(live);
        let keys = |keys: &[&str]| keys.iter().map(|key| Key::new(*key)).collect();
        let (session, tab) = (keys(session), keys(tab));
        self.command(live.node, Command::Drop { claim: live.claim, slot: live.slot.clone(), op, session, tab });
        op
    }

    pub fn reset(&mut self, live: &Live) -> u64 {
        let op = self.next_op(live);
        self.command(live.node, Command::Reset { claim: live.claim, slot: live.slot.clone(), op });
        op
    }

    /// Asks as this LiveView.
    pub fn read(&mut self, live: &Live) -> RequestId {
        let request = RequestId(self.number());
        self.command(live.node, Command::Read { request, slot: live.slot.clone(), claim: Some(live.claim) });
        request
    }

    /// Asks as a dead mount.
    pub fn peek(&mut self, node: usize, slot: &Arc<Slot>) -> RequestId {
        let request = RequestId(self.number());
        self.command(node, Command::Read { request, slot: slot.clone(), claim: None });
        request
    }

    pub fn forget(&mut self, node: usize) -> RequestId {
        let request = RequestId(self.number());
        self.command(node, Command::Forget { request });
        request
    }

    pub fn release(&mut self, live: &Live) {
        self.command(live.node, Command::Release { claim: live.claim });
    }

    pub fn drain(&mut self, node: usize) {
        self.command(node, Command::Drain);
    }

    pub fn command(&mut self, node: usize, command: Command) {
        self.nodes[node].session.command(self.now, command);
        self.turn(node);
    }

    // What becomes of requests.

    /// The node's oldest undecided request.
    #[track_caller]
    pub fn take(&mut self, node: usize) -> Request {
        let effect = self.nodes[node].requests.pop_front();
        Request { node, effect: effect.unwrap_or_else(|| panic!("node {node} asks for nothing")) }
    }

    /// The same, when it must be a PUT.
    #[track_caller]
    pub fn take_put(&mut self, node: usize) -> Request {
        let request = self.take(node);
        assert!(matches!(request.effect, Effect::Put { .. }), "a PUT was due, not {:?}", request.effect);
        request
    }

    /// The same, when it must be a GET.
    #[track_caller]
    pub fn take_get(&mut self, node: usize) -> Request {
        let request = self.take(node);
        assert!(matches!(request.effect, Effect::Get { .. }), "a GET was due, not {:?}", request.effect);
        request
    }

    pub fn asks_nothing(&self, node: usize) -> bool {
        self.nodes[node].requests.is_empty()
    }

    /// It reaches the store and is answered.
    pub fn serve(&mut self, request: Request) {
        let event = self.reach(&request);
        self.answer(request.node, event);
    }

    /// The node's oldest undecided request is served.
    #[track_caller]
    pub fn serve_next(&mut self, node: usize) {
        let request = self.take(node);
        self.serve(request);
    }

    /// Serves the node's requests, and those that follow from them, for as long as it has any.
    pub fn serve_node(&mut self, node: usize) {
        while !self.asks_nothing(node) {
            self.serve_next(node);
        }
    }

    /// It reaches the store, and the answer is lost on the way back. The node learns nothing of this.
    pub fn reach(&mut self, request: &Request) -> Event {
        match &request.effect {
            Effect::Get { attempt, name, unless } => {
                Event::Got { attempt: *attempt, outcome: self.store.get(*name, unless.as_ref()) }
            }
            Effect::Put { attempt, name, body, precondition } => {
                Event::Put { attempt: *attempt, outcome: self.store.put(*name, body, precondition) }
            }
            Effect::Quarantine { attempt, body, .. } => {
                self.store.aside.push(body.clone());
                Event::Quarantined { attempt: *attempt, ok: true }
            }
        }
    }

    /// It reaches the store, and one bit of the answer's body turns over on the way back.
    #[track_caller]
    pub fn serve_spoilt(&mut self, request: Request, bit: usize) {
        let mut event = self.reach(&request);
        let Event::Got { outcome: GetOutcome::Found { body, .. }, .. } = &mut event else {
            panic!("no body: {event:?}")
        };
        *body = flipped(body, bit);
        self.answer(request.node, event);
    }

    /// The node is told that nobody knows what became of it.
    pub fn time_out(&mut self, request: &Request) {
        self.put_answer(request, PutOutcome::Unknown { retry_after: None }, || GetOutcome::Unavailable {
            retry_after: None,
        });
    }

    /// The node's PUT is answered so.
    pub fn refuse(&mut self, request: &Request, outcome: PutOutcome) {
        self.put_answer(request, outcome, || panic!("not a PUT"));
    }

    /// The node's GET is answered so.
    pub fn fail_get(&mut self, request: &Request, outcome: GetOutcome) {
        let Effect::Get { attempt, .. } = request.effect else { panic!("not a GET: {:?}", request.effect) };
        self.answer(request.node, Event::Got { attempt, outcome });
    }

    fn put_answer(&mut self, request: &Request, put: PutOutcome, get: impl FnOnce() -> GetOutcome) {
        let event = match request.effect {
            Effect::Put { attempt, .. } => Event::Put { attempt, outcome: put },
            Effect::Get { attempt, .. } => Event::Got { attempt, outcome: get() },
            Effect::Quarantine { attempt, .. } => Event::Quarantined { attempt, ok: false },
        };
        self.answer(request.node, event);
    }

    pub fn answer(&mut self, node: usize, event: Event) {
        self.nodes[node].session.handle(self.now, event);
        self.turn(node);
    }

    // Time.

    /// Time passes; requests stay undecided, timers run.
    pub fn wait(&mut self, ms: u64) {
        self.pass(ms, |_| ());
    }

    /// Time passes; every request is served at once, timers run.
    pub fn run(&mut self, ms: u64) {
        self.pass(ms, Self::serve_all);
    }

    /// Everything comes to its end, and nothing is left to do anywhere.
    #[track_caller]
    pub fn settle(&mut self) {
        self.serve_all();
        for _ in 0..10_000 {
            let Some(at) = self.next_timer() else { break };
            self.run(at.saturating_sub(self.now.mono).max(1));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            assert!(node.session.is_idle(), "node {index} does not come to rest: {:#?}", node.session);
            assert_eq!(node.session.unsaved_bytes(), 0);
        }
    }

    /// The wall clock alone moves, as an operator or a time server may have it.
    pub fn step_wall(&mut self, ms: i64) {
        self.now.wall = self.now.wall.saturating_add_signed(ms);
    }

    fn pass(&mut self, ms: u64, mut each: impl FnMut(&mut Self)) {
        let until = self.now.mono + ms;
        each(self);
        while let Some(at) = self.next_timer().filter(|at| *at <= until) {
            self.advance_to(at);
            for index in 0..self.nodes.len() {
                if self.nodes[index].session.poll_timeout().is_some_and(|at| at <= self.now.mono) {
                    self.nodes[index].session.timeout(self.now);
                    self.turn(index);
                }
            }
            each(self);
        }
        self.advance_to(until);
    }

    fn advance_to(&mut self, mono: u64) {
        self.now.wall += mono - self.now.mono;
        self.now.mono = mono;
    }

    fn next_timer(&self) -> Option<u64> {
        self.nodes.iter().filter_map(|node| node.session.poll_timeout()).min()
    }

    fn serve_all(&mut self) {
        while let Some(node) = (0..self.nodes.len()).find(|node| !self.asks_nothing(*node)) {
            let request = self.take(node);
            self.serve(request);
        }
    }

    // What is known.

    /// The one outcome of this write, if it has one.
    #[track_caller]
    pub fn outcome(&self, live: &Live, op: u64) -> Option<Outcome> {
        match self.nodes[live.node].outcomes.get(&(live.claim, op)).map(Vec::as_slice) {
            None | Some([]) => None,
            Some([outcome]) => Some(*outcome),
            Some(more) => panic!("write {op} of {:?} has several outcomes: {more:?}", live.claim),
        }
    }

    #[track_caller]
    pub fn is_saved(&self, live: &Live, op: u64) -> bool {
        matches!(self.outcome(live, op), Some(Outcome::Saved { .. }))
    }

    pub fn forgotten(&self, node: usize, request: RequestId) -> Option<Outcome> {
        self.nodes[node].forgotten.get(&request).copied()
    }

    pub fn answered(&self, node: usize, request: RequestId) -> Option<&Result<ReadAnswer, ErrorKind>> {
        self.nodes[node].answers.get(&request)
    }

    /// What the read found: `key=value` of the session and then of the tab, or why there is nothing.
    #[track_caller]
    pub fn shown(&self, node: usize, request: RequestId) -> String {
        let answer = match self.answered(node, request) {
            None => return "no answer".to_owned(),
            Some(Err(kind)) => return kind.as_str().to_owned(),
            Some(Ok(answer)) => answer,
        };
        let Some(found) = &answer.found else { return "not found".to_owned() };
        let pairs = found.session.iter().chain(&found.tab);
        let own = pairs.map(|(key, json)| format!("{}={}", key.as_str(), json.as_str()));
        let shared = found.shared.iter().map(|(key, json)| format!("{}*={}", key.as_str(), json.as_str()));
        own.chain(shared).collect::<Vec<_>>().join(" ")
    }

    pub fn is_superseded(&self, live: &Live) -> bool {
        self.nodes[live.node].superseded.contains(&live.claim)
    }

    pub fn incidents(&self, node: usize, which: impl Fn(&Incident) -> bool) -> usize {
        self.nodes[node].incidents.iter().filter(|incident| which(incident)).count()
    }

    pub fn puts(&self, node: usize) -> usize {
        self.nodes[node].puts
    }

    pub fn gets(&self, node: usize) -> usize {
        self.nodes[node].gets
    }

    pub fn session_of(&self, node: usize) -> &Session {
        &self.nodes[node].session
    }

    pub fn writer_of(&self, node: usize) -> WriterId {
        self.nodes[node].writer
    }

    #[track_caller]
    pub fn header(&self) -> Header {
        self.store.content(0).expect("a readable object").0
    }

    pub fn document(&self) -> Document {
        self.store.content(0).map(|(_, document)| document).unwrap_or_default()
    }

    /// A `:session` key as stored.
    pub fn stored(&self, slot: &Slot, key: &str) -> Option<String> {
        let document = self.document();
        let slice = document.views.get(&slot.view)?.get(&slot.vsn)?;
        slice.data.get(&Key::new(key)).map(|json| json.as_str().to_owned())
    }

    /// A `:reconnect` key as stored.
    pub fn stored_tab(&self, slot: &Slot, key: &str) -> Option<String> {
        let document = self.document();
        let tab = document.views.get(&slot.view)?.get(&slot.vsn)?.tabs.get(&slot.tab)?;
        tab.data.get(&Key::new(key)).map(|json| json.as_str().to_owned())
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn next_op(&mut self, live: &Live) -> u64 {
        let op = self.ops.entry(live.claim).or_default();
        *op += 1;
        *op
    }

    /// The driver's part of a turn: requests go to the test's hand, notices into the books.
    fn turn(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        while let Some(effect) = node.session.poll_effect() {
            let effect = numbered(effect, &node.session);
            match effect {
                Effect::Put { .. } => node.puts += 1,
                Effect::Get { .. } => node.gets += 1,
                Effect::Quarantine { .. } => {}
            }
            node.requests.push_back(effect);
        }
        while let Some(notice) = node.session.poll_notice() {
            node.note(notice);
        }
        let timer = node.session.poll_timeout();
        assert!(timer.is_none_or(|at| at > self.now.mono), "a timer in the past: {timer:?}: {:#?}", node.session);
    }
}

impl Node {
    fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Settled { claim, op, outcome } => {
                let settled = self.settled.entry(claim).or_default();
                for op in *settled + 1..=op {
                    let outcomes = self.outcomes.entry((claim, op)).or_default();
                    // A rejected write has had its outcome.
                    if outcomes.is_empty() {
                        outcomes.push(outcome);
                    }
                }
                assert!(op > *settled, "{claim:?} is told twice of {op}");
                *settled = op;
            }
            Notice::Rejected { claim, op, kind } => {
                self.outcomes.entry((claim, op)).or_default().push(Outcome::Failed(kind));
            }
            Notice::Superseded { claim } => self.superseded.push(claim),
            Notice::Read { request, answer } => {
                let before = self.answers.insert(request, answer);
                assert!(before.is_none(), "{request:?} is answered twice");
            }
            Notice::Forgotten { request, outcome } => {
                let before = self.forgotten.insert(request, outcome);
                assert!(before.is_none(), "{request:?} is answered twice");
            }
            Notice::Happened(incident) => self.incidents.push(incident),
        }
    }
}

/// Keys with their values, by scope.
pub fn values(session: &[(&str, &str)], tab: &[(&str, &str)], shared: &[(&str, &str)]) -> Values {
    let entries = |entries: &[(&str, &str)]| {
        entries.iter().map(|(key, json)| (Key::new(*key), Json::from_encoded(*json))).collect()
    };
    Values { session: entries(session), tab: entries(tab), shared: entries(shared) }
}

/// A view at a version in a tab.
pub fn slot(view: &str, vsn: u64, tab: &str) -> Arc<Slot> {
    Arc::new(Slot { view: View::new(view), vsn: Vsn(vsn), tab: TabId::new(tab) })
}
