//! Histories written by hand, line by line.
#![allow(dead_code)] // each test binary uses a part of it

use durable_stash_history::{History, Promise, Verdict, judge};
use serde_json::{Value, json};

pub(crate) const TTL_MS: u64 = 1_000_000;

/// A history under construction. Its clock moves on by a microsecond with each line.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) lines: Vec<String>,
    t: u64,
    rev: u64,
    seqs: std::collections::BTreeMap<String, u64>,
    etag: Option<String>,
    pub(crate) document: Value,
    pub(crate) header: Value,
}

impl Story {
    pub(crate) fn new() -> Self {
        let mut story = Self {
            lines: Vec::new(),
            t: 1_000_000,
            rev: 0,
            seqs: Default::default(),
            etag: None,
            document: json!({}),
            header: json!({}),
        };
        story.line(json!({"e": "run", "ttl_ms": TTL_MS}));
        story
    }

    pub(crate) fn without_log() -> Self {
        let mut story = Self::new();
        story.line(json!({"e": "run", "log": false}));
        story
    }

    pub(crate) fn line(&mut self, mut line: Value) -> u64 {
        self.t += 1;
        if line.get("t").is_none() {
            line["t"] = self.t.into();
        }
        self.lines.push(line.to_string() + "\n");
        self.t
    }

    /// Lets time pass, in ms.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.t += ms * 1000;
    }

    pub(crate) fn open(&mut self, client: &str, node: &str, tab: &str, mount: &str) {
        self.open_vsn(client, node, tab, mount, 1);
    }

    pub(crate) fn open_vsn(&mut self, client: &str, node: &str, tab: &str, mount: &str, vsn: u64) {
        self.line(json!({
            "e": "open", "c": client, "s": "s", "node": node, "view": "V", "vsn": vsn, "tab": tab, "mount": mount
        }));
        self.line(json!({"e": "opened", "c": client}));
    }

    /// Asks to set a `:session` key.
    pub(crate) fn stash(&mut self, client: &str, number: u64, key: &str, value: &str) {
        self.line(json!({
            "e": "invoke", "c": client, "w": number, "op": "stash", "session": {key: value}
        }));
    }

    pub(crate) fn stash_tab(&mut self, client: &str, number: u64, key: &str, value: &str) {
        self.line(json!({"e": "invoke", "c": client, "w": number, "op": "stash", "tab": {key: value}}));
    }

    /// Asks to set a `:shared` key, and sets it in the document.
    pub(crate) fn share(&mut self, client: &str, number: u64, key: &str, value: &str) {
        self.line(json!({"e": "invoke", "c": client, "w": number, "op": "stash", "shared": {key: value}}));
        let touched_at = self.t / 1000;
        self.document["*"]["1"] = json!({"touched_at": touched_at, "data": {key: value}, "tabs": {}});
    }

    pub(crate) fn op(&mut self, client: &str, number: u64, op: &str) {
        self.line(json!({"e": "invoke", "c": client, "w": number, "op": op}));
    }

    pub(crate) fn end(&mut self, client: &str, number: u64, outcome: &str) {
        self.line(json!({"e": outcome, "c": client, "w": number}));
    }

    /// Sets a `:session` key of vsn 1 in the document that the next commit stores.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.set_vsn(1, key, Some(value));
    }

    pub(crate) fn set_vsn(&mut self, vsn: u64, key: &str, value: Option<&str>) {
        let slice = self.slice(vsn);
        match value {
            Some(value) => slice["data"][key] = value.into(),
            None => drop(slice["data"].as_object_mut().unwrap().remove(key)),
        }
    }

    pub(crate) fn set_tab(&mut self, tab: &str, key: &str, value: Option<&str>) {
        let tabs = &mut self.slice(1)["tabs"];
        if tabs.get(tab).is_none() {
            tabs[tab] = json!({"epoch": 1, "touched_at": 0, "data": {}});
        }
        match value {
            Some(value) => tabs[tab]["data"][key] = value.into(),
            None => drop(tabs[tab]["data"].as_object_mut().unwrap().remove(key)),
        }
    }

    pub(crate) fn slice(&mut self, vsn: u64) -> &mut Value {
        let touched_at = self.t / 1000;
        let slices = &mut self.document["V"];
        if slices.get(vsn.to_string()).is_none() {
            slices[vsn.to_string()] = json!({"touched_at": touched_at, "data": {}, "tabs": {}});
        }
        let slice = &mut slices[vsn.to_string()];
        slice["touched_at"] = touched_at.into();
        slice
    }

    /// Stores the document as the next revision, by this writer.
    pub(crate) fn commit(&mut self, writer: &str) {
        self.commit_with(writer, |_| ());
    }

    /// The same, with the header or the line changed before it is written.
    pub(crate) fn commit_with(&mut self, writer: &str, spoil: impl FnOnce(&mut Commit)) {
        self.rev += 1;
        let seq = self.seqs.entry(writer.to_owned()).or_default();
        *seq += 1;
        let now = self.t / 1000;
        let mut applied = self.header.get("applied").cloned().unwrap_or(json!({}));
        applied[writer] = json!({"seq": *seq, "at": now});
        let header = json!({
            "format": 1, "rev": self.rev, "write": {"writer": writer, "seq": *seq}, "applied": applied,
            "touched_at": now, "expires_at": now + TTL_MS
        });
        let etag = Some(format!("etag {}", self.rev));
        let replaces = self.etag.clone();
        let mut commit = Commit { header, etag, replaces, object: None, spoilt: false };
        spoil(&mut commit);
        let text = object(&commit.header, &self.document, commit.spoilt);
        let mut line =
            json!({"e": "version", "s": "s", "etag": commit.etag, "replaces": commit.replaces, "text": text});
        if let Some(object) = commit.object {
            line["object"] = object.into();
        }
        self.line(line);
        (self.header, self.etag) = (commit.header, commit.etag);
    }

    /// Stores it under one of the session's names; the first time as a new object.
    pub(crate) fn commit_under(&mut self, object: &'static str, writer: &str) {
        let is_new = !self.lines.iter().any(|line| line.contains(&format!("\"object\":\"{object}\",\"replaces\"")));
        self.commit_with(writer, |commit| {
            commit.object = Some(object);
            commit.replaces = commit.replaces.take().filter(|_| !is_new);
        });
    }

    /// What stands under the name says from now on that the document has moved.
    pub(crate) fn seal(&mut self, object: &'static str, writer: &str, to: &str) {
        let applied = self.header["applied"].clone();
        self.commit_with(writer, |commit| {
            commit.object = Some(object);
            commit.header["applied"] = applied;
            commit.header["moved_to"] = to.into();
        });
    }

    pub(crate) fn finish(&mut self) {
        let text = object(&self.header.clone(), &self.document, false);
        self.line(json!({"e": "final", "s": "s", "text": text}));
    }

    pub(crate) fn read(&mut self, client: &str, number: u64) {
        self.line(json!({"e": "read", "c": client, "r": number}));
    }

    pub(crate) fn answer(&mut self, client: &str, number: u64, session: Value, tab: Value) {
        self.line(json!({
            "e": "answer", "c": client, "r": number, "found": {"vsn": 1, "session": session, "tab": tab}
        }));
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let text: String = self.lines.concat();
        judge(&History::read([("story", text.as_str())]).unwrap())
    }

    #[track_caller]
    pub(crate) fn is_sound(&self) {
        let verdict = self.verdict();
        assert!(verdict.is_sound(), "{:#?}", verdict.broken);
    }

    /// Broken is this promise, and what is said of it names all of these.
    #[track_caller]
    pub(crate) fn breaks(&self, promise: Promise, named: &[&str]) {
        let verdict = self.verdict();
        let says = |broken: &durable_stash_history::Broken| {
            broken.promise == promise && named.iter().all(|name| broken.how.contains(name))
        };
        assert!(verdict.broken.iter().any(says), "not {promise:?} with {named:?}, but {:#?}", verdict.broken);
    }
}

/// What can be spoilt in a commit.
pub(crate) struct Commit {
    pub(crate) header: Value,
    pub(crate) etag: Option<String>,
    pub(crate) replaces: Option<String>,
    /// The bytes are damaged.
    /// Under which name, if the session has several.
    pub(crate) object: Option<&'static str>,
    pub(crate) spoilt: bool,
}

pub(crate) fn object(header: &Value, views: &Value, spoilt: bool) -> String {
    let body = json!({"views": views}).to_string();
    let mut header = header.clone();
    let fields = header.as_object_mut().unwrap();
    fields.insert("len".into(), (body.len() + usize::from(spoilt)).into());
    let mut line = header.to_string();
    line.truncate(line.len() - 1);
    line.push_str(",\"crc32c\":\"");
    let checksum = crc32c::crc32c_append(crc32c::crc32c(line.as_bytes()), body.as_bytes());
    format!("{line}{checksum:08x}\"}}\n{body}")
}
