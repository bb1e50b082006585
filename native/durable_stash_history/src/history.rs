//! The events of all files, put together: clients, writes, reads, and each session's chain of states.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;

use crate::event::{self, Line};
use crate::object;
use crate::state::{Content, State};

/// An index into one of the history's tables.
pub(crate) type Index = usize;

/// Text, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) u32);

/// One register: what the promises are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Register {
    pub(crate) session: Name,
    pub(crate) view: Name,
    pub(crate) vsn: u64,
    /// None for a `:session` key.
    pub(crate) tab: Option<Name>,
    pub(crate) key: Name,
}

/// Where a client writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) session: Name,
    pub(crate) view: Name,
    pub(crate) vsn: u64,
    pub(crate) tab: Name,
}

impl Slot {
    pub(crate) fn register(self, key: Name, of_tab: bool) -> Register {
        let Self { session, view, vsn, tab } = self;
        Register { session, view, vsn, tab: of_tab.then_some(tab), key }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mount {
    Dead,
    Fresh,
    Rejoin,
    Again,
}

/// One LiveView's hold on its session.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: Name,
    pub(crate) session: Name,
    pub(crate) node: Name,
    /// None for one that only forgets.
    pub(crate) slot: Option<Slot>,
    pub(crate) mount: Mount,
    pub(crate) stores_tab: bool,
    pub(crate) opened: u64,
    pub(crate) opened_end: Option<u64>,
    pub(crate) closed: Option<u64>,
    /// The client whose mount this one carries on; itself otherwise.
    pub(crate) root: Index,
    /// By number.
    pub(crate) writes: Vec<Index>,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Stash(Vec<(Register, Name)>),
    Remove(Vec<Register>),
    Reset,
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Saved,
    Failed,
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) client: Index,
    pub(crate) number: u64,
    pub(crate) invoked: u64,
    pub(crate) op: Op,
    pub(crate) end: Option<(Outcome, u64)>,
}

impl Write {
    pub(crate) fn saved_at(&self) -> Option<u64> {
        self.end.filter(|(outcome, _)| *outcome == Outcome::Saved).map(|(_, at)| at)
    }

    pub(crate) fn failed_at(&self) -> Option<u64> {
        self.end.filter(|(outcome, _)| *outcome == Outcome::Failed).map(|(_, at)| at)
    }
}

/// A client was told that everything it holds is saved.
#[derive(Debug)]
pub(crate) struct Flushed {
    pub(crate) client: Index,
    pub(crate) at: u64,
    pub(crate) state: Vec<(Register, Name)>,
}

/// A node has drained, and says that so many of its writes are not saved.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) node: Name,
    pub(crate) at: u64,
    pub(crate) unsaved: u64,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) at: u64,
    /// The version of the code that wrote the slice, and the tab's part of it; none if nothing was found.
    pub(crate) found: Option<(u64, u64)>,
    pub(crate) values: Vec<(Register, Name)>,
    /// It says nothing of `:reconnect` keys.
    pub(crate) is_tabless: bool,
    pub(crate) rev: Option<u64>,
    pub(crate) stale: bool,
}

#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) client: Index,
    pub(crate) number: u64,
    pub(crate) invoked: u64,
    pub(crate) answer: Option<Answer>,
}

/// What is known of one session's object.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// In the order in which they became the present one. The state before the first is "no object".
    pub(crate) states: Vec<State>,
    pub(crate) last: Option<State>,
    /// When somebody took the object away behind everybody's back.
    pub(crate) lost: Vec<u64>,
    /// When the store answered with an old revision, and to which node.
    pub(crate) stale: Vec<(u64, Option<Name>)>,
}

/// The numbers that the run was made with.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) ttl_ms: u64,
    pub(crate) skew_ms: u64,
    pub(crate) applied_age_ms: u64,
    pub(crate) applied_max: u64,
    pub(crate) tabs_per_view: u64,
    pub(crate) log: bool,
}

impl Default for Rules {
    /// The engine's defaults.
    fn default() -> Self {
        let hour = 3_600_000;
        let ttl_ms = 30 * 24 * hour;
        Self { ttl_ms, skew_ms: 0, applied_age_ms: hour, applied_max: 32, tabs_per_view: 32, log: true }
    }
}

/// Why the lines are no history. Nothing can be said of the promises then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAHistory(pub String);

impl fmt::Display for NotAHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a history: {}", self.0)
    }
}

impl std::error::Error for NotAHistory {}

/// What was recorded of a run.
#[derive(Debug, Default)]
pub struct History {
    pub(crate) names: Names,
    pub(crate) rules: Rules,
    pub(crate) clients: Vec<Client>,
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
    pub(crate) flushed: Vec<Flushed>,
    pub(crate) drained: Vec<Drained>,
    /// By session.
    pub(crate) chains: BTreeMap<Name, Chain>,
    /// Which write a value is of.
    pub(crate) write_of: HashMap<Name, Index>,
    /// Writes that were told two outcomes.
    pub(crate) told_twice: Vec<(Index, Outcome, Outcome)>,
    pub(crate) events: u64,
    pub(crate) torn: u64,
    /// What happened to nodes, and the faults, by name.
    pub(crate) counts: BTreeMap<String, u64>,
    client_of: HashMap<Name, Index>,
    session_of: HashMap<String, Name>,
    reads_of: HashMap<(Index, u64), Index>,
    written: HashMap<(Index, u64), Index>,
}

impl History {
    /// Takes in the lines of files, in any order of files. The lines of each client stand in its own order.
    ///
    /// # Errors
    /// A line that cannot be understood, unless it is the last of its file and not ended: the client was killed.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, NotAHistory> {
        let mut history = Self::default();
        let mut parsed = Vec::new();
        for (file, text) in files {
            for (number, line) in text.split_inclusive('\n').enumerate() {
                if line.trim().is_empty() {
                    continue;
                }
                let at = || format!("{file}, line {}", number + 1);
                match serde_json::from_str::<Line<'_>>(line) {
                    Ok(line) => parsed.push((at(), line)),
                    Err(_) if !line.ends_with('\n') => history.torn += 1,
                    Err(error) => return Err(NotAHistory(format!("{}: {error}", at()))),
                }
            }
        }
        // What others refer to comes first, wherever it stands.
        for pass in [Pass::Names, Pass::Clients, Pass::Invocations, Pass::Rest] {
            for (at, line) in &parsed {
                if pass == Pass::of(line) {
                    history.take(line).map_err(|reason| NotAHistory(format!("{at}: {reason}")))?;
                    history.events += 1;
                }
            }
        }
        Ok(history)
    }

    fn take(&mut self, line: &Line<'_>) -> Result<(), String> {
        match line.e.as_deref() {
            Some("run") => self.take_rules(line),
            Some("session") => {
                let session = self.session(line)?;
                let object = hash_of(line.object.as_deref().ok_or("`object` is missing")?);
                self.session_of.insert(object.to_owned(), session);
            }
            Some("open") => self.open(line)?,
            Some("opened") => {
                let client = self.client(line)?;
                self.clients[client].opened_end = Some(time(line)?);
            }
            Some("close") => {
                let client = self.client(line)?;
                self.clients[client].closed = Some(time(line)?);
            }
            Some("invoke") => self.invoke(line)?,
            Some("saved") => self.end(line, Outcome::Saved)?,
            Some("failed") => self.end(line, Outcome::Failed)?,
            Some("unknown") => self.end(line, Outcome::Unknown)?,
            Some("flushed") => {
                let (client, at) = (self.client(line)?, time(line)?);
                let state = self.values(client, line)?;
                self.flushed.push(Flushed { client, at, state });
            }
            Some("read") => {
                let (client, number, invoked) = (self.client(line)?, line.r.ok_or("`r` is missing")?, time(line)?);
                self.reads_of.insert((client, number), self.reads.len());
                self.reads.push(Read { client, number, invoked, answer: None });
            }
            Some("answer") => self.answer(line)?,
            Some(event @ ("kill" | "term" | "freeze" | "resume" | "start" | "drain")) => self.count(event),
            Some("drained") => {
                let node = self.names.of(line.node.as_deref().ok_or("`node` is missing")?);
                let unsaved = line.unsaved.ok_or("`unsaved` is missing")?;
                self.drained.push(Drained { node, at: time(line)?, unsaved });
            }
            Some("fault") => self.count(&format!("fault_{:02}", line.n.ok_or("`n` is missing")?)),
            Some("lost") => {
                let (session, at) = (self.session(line)?, time(line)?);
                self.count("lost");
                self.chains.entry(session).or_default().lost.push(at);
            }
            Some("stale") => {
                let (session, at) = (self.session(line)?, time(line)?);
                let node = line.node.as_deref().map(|node| self.names.of(node));
                self.count("stale");
                self.chains.entry(session).or_default().stale.push((at, node));
            }
            Some("version") => {
                let session = self.session(line)?;
                self.version(line, session, time(line)?, line.replaces.as_deref())?;
            }
            Some("final") => {
                let session = self.session(line)?;
                let content = self.content(line, session, line.missing == Some(true))?;
                let state = State { at: u64::MAX, until: u64::MAX, etag: None, replaces: None, content };
                self.chains.entry(session).or_default().last = Some(state);
            }
            Some(other) => return Err(format!("`{other}` is no event")),
            None => {
                // A version in the S3 fault server's own words. Objects of no session are the probe's and copies.
                let key = line.key.as_deref().ok_or("neither `e` nor `key`")?;
                if let Some(session) = self.session_of.get(hash_of(key)).copied() {
                    let named = match (line.if_match.as_deref(), line.if_none_match.as_deref()) {
                        (Some(named), _) => Some(named.trim_matches('"')),
                        (None, Some(_)) => None,
                        (None, None) => Some("(no condition)"),
                    };
                    self.version(line, session, line.at_us.ok_or("`at_us` is missing")?, named)?;
                }
            }
        }
        Ok(())
    }

    fn take_rules(&mut self, line: &Line<'_>) {
        let rules = &mut self.rules;
        let set = |rule: &mut u64, given: Option<u64>| *rule = given.unwrap_or(*rule);
        set(&mut rules.ttl_ms, line.ttl_ms);
        set(&mut rules.skew_ms, line.skew_ms);
        set(&mut rules.applied_age_ms, line.applied_age_ms);
        set(&mut rules.applied_max, line.applied_max);
        set(&mut rules.tabs_per_view, line.tabs_per_view);
        rules.log = line.log.unwrap_or(rules.log);
    }

    fn open(&mut self, line: &Line<'_>) -> Result<(), String> {
        let session = self.session(line)?;
        let tab = event::name(line.tab)?;
        let view = line.view.as_deref().ok_or("`view` is missing")?;
        let slot = Slot {
            session,
            view: self.names.of(view),
            vsn: line.vsn.ok_or("`vsn` is missing")?,
            tab: self.names.of(&tab),
        };
        let mount = match line.mount.as_deref() {
            Some("dead") => Mount::Dead,
            Some("fresh") => Mount::Fresh,
            Some("rejoin") => Mount::Rejoin,
            Some("again") => Mount::Again,
            other => return Err(format!("{other:?} is no mount")),
        };
        let client = self.add_client(line, session, Some(slot), mount)?;
        if let Some(earlier) = line.of.as_deref() {
            let earlier = self.names.of(earlier);
            let earlier = *self.client_of.get(&earlier).ok_or("`of` names nobody that opened before")?;
            self.clients[client].root = self.clients[earlier].root;
        }
        Ok(())
    }

    fn add_client(
        &mut self,
        line: &Line<'_>,
        session: Name,
        slot: Option<Slot>,
        mount: Mount,
    ) -> Result<Index, String> {
        let name = self.names.of(line.c.as_deref().ok_or("`c` is missing")?);
        let node = self.names.of(line.node.as_deref().ok_or("`node` is missing")?);
        let root = self.clients.len();
        if self.client_of.insert(name, root).is_some() {
            return Err(format!("{} opens twice", self.names.text(name)));
        }
        self.clients.push(Client {
            name,
            session,
            node,
            slot,
            mount,
            stores_tab: line.stores_tab.unwrap_or(true),
            opened: time(line)?,
            opened_end: None,
            closed: None,
            root,
            writes: Vec::new(),
        });
        self.chains.entry(session).or_default();
        Ok(root)
    }

    fn invoke(&mut self, line: &Line<'_>) -> Result<(), String> {
        let client = match self.client(line) {
            Ok(client) => client,
            Err(_) if line.op.as_deref() == Some("forget") => {
                let session = self.session(line)?;
                self.add_client(line, session, None, Mount::Dead)?
            }
            Err(reason) => return Err(reason),
        };
        let (number, invoked) = (line.w.ok_or("`w` is missing")?, time(line)?);
        let op = match line.op.as_deref() {
            Some("stash") => Op::Stash(self.values(client, line)?),
            Some("remove") => {
                let slot = self.clients[client].slot.ok_or("it has no slot")?;
                let mut registers = Vec::new();
                for (raw, of_tab) in [(line.session, false), (line.tab, true)] {
                    let keys = event::names(raw)?;
                    registers.extend(keys.iter().map(|key| slot.register(self.names.of(key), of_tab)));
                }
                Op::Remove(registers)
            }
            Some("reset") => Op::Reset,
            Some("forget") => Op::Forget,
            other => return Err(format!("{other:?} is no op")),
        };
        let index = self.writes.len();
        for (_, value) in op.sets() {
            if self.write_of.insert(*value, index).is_some_and(|other| other != index) {
                return Err(format!("{} was written before: values must be unique", self.names.text(*value)));
            }
        }
        let last = self.clients[client].writes.last().map_or(0, |last| self.writes[*last].number);
        if number <= last {
            return Err(format!("write {number} after write {last} of one client"));
        }
        self.written.insert((client, number), index);
        self.clients[client].writes.push(index);
        self.writes.push(Write { client, number, invoked, op, end: None });
        Ok(())
    }

    fn values(&mut self, client: Index, line: &Line<'_>) -> Result<Vec<(Register, Name)>, String> {
        let slot = self.clients[client].slot.ok_or("it has no slot")?;
        self.values_at(slot, slot.vsn, line.session, line.tab)
    }

    fn values_at(
        &mut self,
        slot: Slot,
        tab_vsn: u64,
        session: Option<&RawValue>,
        tab: Option<&RawValue>,
    ) -> Result<Vec<(Register, Name)>, String> {
        let mut values = Vec::new();
        for (raw, slot, of_tab) in [(session, slot, false), (tab, Slot { vsn: tab_vsn, ..slot }, true)] {
            for (key, value) in event::entries(raw)? {
                let register = slot.register(self.names.of(&key), of_tab);
                values.push((register, self.names.of(&canonical(value.get()))));
            }
        }
        Ok(values)
    }

    fn end(&mut self, line: &Line<'_>, outcome: Outcome) -> Result<(), String> {
        let (client, at) = (self.client(line)?, time(line)?);
        if let Some(upto) = line.upto {
            let writes = std::mem::take(&mut self.clients[client].writes);
            let until = writes.partition_point(|write| self.writes[*write].number <= upto);
            for write in writes[..until].iter().rev() {
                let write = &mut self.writes[*write];
                if write.end.is_none() && write.invoked <= at {
                    write.end = Some((outcome, at));
                }
            }
            self.clients[client].writes = writes;
            return Ok(());
        }
        let number = line.w.ok_or("neither `w` nor `upto`")?;
        let index = *self.written.get(&(client, number)).ok_or_else(|| format!("write {number} was never invoked"))?;
        match self.writes[index].end {
            Some((earlier, _)) => self.told_twice.push((index, earlier, outcome)),
            None => self.writes[index].end = Some((outcome, at)),
        }
        Ok(())
    }

    fn answer(&mut self, line: &Line<'_>) -> Result<(), String> {
        let (client, number, at) = (self.client(line)?, line.r.ok_or("`r` is missing")?, time(line)?);
        let read = *self.reads_of.get(&(client, number)).ok_or_else(|| format!("read {number} was never asked"))?;
        if line.error.is_some() {
            return Ok(());
        }
        let slot = self.clients[client].slot.ok_or("it has no slot")?;
        let is_tabless = match line.scope.as_deref() {
            None => false,
            Some("session") => true,
            Some(other) => return Err(format!("there is no scope {other}")),
        };
        let stale = line.stale == Some(true);
        let mut answer = Answer { at, found: None, values: Vec::new(), is_tabless, rev: line.rev, stale };
        if let Some(found) = &line.found {
            let vsn = found.vsn.unwrap_or(slot.vsn);
            let tab_vsn = found.tab_vsn.unwrap_or(vsn);
            answer.found = Some((vsn, tab_vsn));
            answer.values = self.values_at(Slot { vsn, ..slot }, tab_vsn, found.session, found.tab)?;
        }
        self.reads[read].answer = Some(answer);
        Ok(())
    }

    fn version(&mut self, line: &Line<'_>, session: Name, at: u64, replaces: Option<&str>) -> Result<(), String> {
        let content = self.content(line, session, line.deleted == Some(true))?;
        let etag = line.etag.as_deref().map(str::to_owned);
        let until = line.until.unwrap_or(at).max(at);
        let state = State { at, until, etag, replaces: replaces.map(str::to_owned), content };
        let states = &mut self.chains.entry(session).or_default().states;
        if states.last().is_some_and(|last| last.at > at) {
            return Err("versions must stand in the order of their effect".to_owned());
        }
        states.push(state);
        Ok(())
    }

    fn content(&mut self, line: &Line<'_>, session: Name, is_absent: bool) -> Result<Content, String> {
        if is_absent {
            return Ok(Content::Absent);
        }
        let text = match (&line.text, &line.body) {
            (Some(text), _) => text.clone(),
            (None, Some(body)) => {
                let bytes = BASE64.decode(body.as_bytes()).map_err(|error| format!("`body`: {error}"))?;
                Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
            }
            (None, None) => return Err("neither `text` nor `body`".to_owned()),
        };
        Ok(match object::read(&text) {
            Some(object) => Content::of(session, &object, &mut self.names),
            None => Content::Damaged,
        })
    }

    /// Whether one client's mount was certainly over before the other's began, on whichever clocks. Mounts are ordered by
    /// milliseconds. One that was never heard of, and carries on, stands behind all others.
    pub(crate) fn mounted_before(&self, first: Index, second: Index) -> bool {
        let (first, second) = (&self.clients[self.clients[first].root], &self.clients[self.clients[second].root]);
        if first.mount == Mount::Again || second.mount == Mount::Again {
            return false;
        }
        let skew = match (first.node == second.node, first.slot == second.slot) {
            (true, true) => 0,
            (true, false) => 1000,
            // Where clocks are apart, a claim that a mount finds stored from the future is taken for a clock's error.
            (false, _) if self.rules.skew_ms > 0 => self.rules.skew_ms.saturating_mul(2000) + RECOVER_TIMEOUT_US,
            (false, _) => 1000,
        };
        first.opened_end.is_some_and(|end| end.saturating_add(skew) < second.opened)
    }

    fn session(&mut self, line: &Line<'_>) -> Result<Name, String> {
        Ok(self.names.of(line.s.as_deref().ok_or("`s` is missing")?))
    }

    fn client(&mut self, line: &Line<'_>) -> Result<Index, String> {
        let name = line.c.as_deref().ok_or("`c` is missing")?;
        let known = self.client_of.get(&self.names.of(name)).copied();
        known.ok_or_else(|| format!("{name} has not opened"))
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }
}

impl Op {
    pub(crate) fn sets(&self) -> &[(Register, Name)] {
        match self {
            Self::Stash(sets) => sets,
            Self::Remove(_) | Self::Reset | Self::Forget => &[],
        }
    }
}

/// Ends refer to invocations, those to clients, those and versions to sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Names,
    Clients,
    Invocations,
    Rest,
}

impl Pass {
    fn of(line: &Line<'_>) -> Self {
        match line.e.as_deref() {
            Some("run" | "session") => Self::Names,
            Some("open") => Self::Clients,
            Some("invoke" | "read") => Self::Invocations,
            _ => Self::Rest,
        }
    }
}

/// Text that is met again and again, once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    numbers: HashMap<Box<str>, Name>,
    texts: Vec<Box<str>>,
}

impl Names {
    pub(crate) fn of(&mut self, text: &str) -> Name {
        if let Some(name) = self.numbers.get(text) {
            return *name;
        }
        // Four billion names do not fit into memory.
        let name = Name(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(text.into());
        self.numbers.insert(text.into(), name);
        name
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        &self.texts[name.0 as usize]
    }
}

/// One text per value: a client and the engine may write the same string or object in different ways.
pub(crate) fn canonical(raw: &str) -> Cow<'_, str> {
    let is_plain_string = raw.starts_with('"') && !raw.contains('\\');
    if is_plain_string || raw.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(raw);
    }
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(raw);
    parsed.map_or(Cow::Borrowed(raw), |value| Cow::Owned(value.to_string()))
}

fn time(line: &Line<'_>) -> Result<u64, String> {
    line.t.ok_or_else(|| "`t` is missing".to_owned())
}

/// The last segment of an object's name: its prefix does not matter.
fn hash_of(object: &str) -> &str {
    object.rsplit('/').next().unwrap_or(object)
}

/// How long after a mount its look at the document may leave.
const RECOVER_TIMEOUT_US: u64 = 3_000_000;
