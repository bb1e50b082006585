//! Reads the events of all files into one history.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;

use crate::event::{self, Line};
use crate::history::{
    Answer, Client, Drained, Flushed, History, Index, Mount, NotAHistory, Op, Outcome, Read, Register, Slot, Write,
};
use crate::names::{Name, canonical};
use crate::object;
use crate::state::{Content, State};

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
        history.join();
        Ok(history)
    }

    fn take(&mut self, line: &Line<'_>) -> Result<(), String> {
        match line.e.as_deref() {
            Some("run") => self.take_rules(line),
            Some("session") => {
                let session = self.session(line)?;
                let object = hash_of(line.object.as_deref().ok_or("`object` is missing")?);
                let rank = self.object_of.values().filter(|(other, _)| *other == session).count();
                self.object_of.entry(object.to_owned()).or_insert((session, rank));
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
                let piece = self.piece(line)?;
                self.version(line, piece, time(line)?, line.replaces.as_deref())?;
            }
            Some("final") => {
                let piece = self.piece(line)?;
                let content = self.content(line, piece.0, line.missing == Some(true))?;
                let (at, until) = (u64::MAX, u64::MAX);
                let state = State { at, until, etag: None, replaces: None, content, has_moved: false };
                self.pieces.entry(piece).or_default().last = Some(state);
            }
            Some(other) => return Err(format!("`{other}` is no event")),
            None => {
                // A version in the S3 fault server's own words. Objects of no session are the probe's and copies.
                let key = line.key.as_deref().ok_or("neither `e` nor `key`")?;
                if let Some(piece) = self.object_of.get(hash_of(key)).copied() {
                    let named = match (line.if_match.as_deref(), line.if_none_match.as_deref()) {
                        (Some(named), _) => Some(named.trim_matches('"')),
                        (None, Some(_)) => None,
                        (None, None) => Some("(no condition)"),
                    };
                    self.version(line, piece, line.at_us.ok_or("`at_us` is missing")?, named)?;
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
        let mut values = self.values_at(slot, slot.vsn, line.session, line.tab)?;
        values.extend(self.shared_values(slot, line.shared)?);
        Ok(values)
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

    fn shared_values(&mut self, slot: Slot, shared: Option<&RawValue>) -> Result<Vec<(Register, Name)>, String> {
        let entries = event::entries(shared)?;
        let values = entries.iter().map(|(key, value)| {
            let register = Register::shared(slot.session, self.names.of(key));
            (register, self.names.of(&canonical(value.get())))
        });
        Ok(values.collect())
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
            answer.values.extend(self.shared_values(slot, found.shared)?);
        }
        self.reads[read].answer = Some(answer);
        Ok(())
    }

    fn version(
        &mut self,
        line: &Line<'_>,
        piece: (Name, usize),
        at: u64,
        replaces: Option<&str>,
    ) -> Result<(), String> {
        let content = self.content(line, piece.0, line.deleted == Some(true))?;
        let etag = line.etag.as_deref().map(str::to_owned);
        let until = line.until.unwrap_or(at).max(at);
        let state = State { at, until, etag, replaces: replaces.map(str::to_owned), content, has_moved: false };
        let states = &mut self.pieces.entry(piece).or_default().states;
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

    /// Whose object the line is about, and which of the session's; the first if it does not say.
    fn piece(&mut self, line: &Line<'_>) -> Result<(Name, usize), String> {
        match line.object.as_deref() {
            None => Ok((self.session(line)?, 0)),
            Some(object) => {
                let known = self.object_of.get(hash_of(object)).copied();
                known.ok_or_else(|| format!("the object {object} is nobody's"))
            }
        }
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

fn time(line: &Line<'_>) -> Result<u64, String> {
    line.t.ok_or_else(|| "`t` is missing".to_owned())
}

/// The last segment of an object's name: its prefix does not matter.
fn hash_of(object: &str) -> &str {
    object.rsplit('/').next().unwrap_or(object)
}
