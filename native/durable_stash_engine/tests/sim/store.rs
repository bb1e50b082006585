//! The store: compare-and-swap as a store has it, and every version in the record.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use durable_stash_engine::store::{DeleteOutcome, ObjectName};
use durable_stash_machine::{ETag, Precondition, PutOutcome};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::random::Random;
use super::recorder::{Recorder, WALL_MS, quoted};
use super::weather::Weather;

/// One object.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) etag: ETag,
    pub(crate) body: Bytes,
    pub(crate) modified_ms: u64,
}

/// The store as it is at one moment, and the weather on the way to it.
pub(crate) struct Store {
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) recorder: Recorder,
    pub(crate) objects: BTreeMap<String, Object>,
    /// Earlier versions, the latest last.
    pub(crate) earlier: BTreeMap<String, Vec<Object>>,
    /// When each key was last written (fault 24).
    pub(crate) written_ms: BTreeMap<String, u64>,
    /// What has been spoilt on its way to a node: the second look is not.
    pub(crate) spoilt: BTreeSet<(usize, String, String)>,
    sessions: BTreeMap<String, String>,
    /// Of every document so far, by object and content without its header (fault 6).
    contents: BTreeSet<(String, Vec<u8>)>,
    /// Etags are hashes of the content, as S3's are.
    hashes: bool,
    next_etag: u64,
    planted: super::world::Planted,
}

impl Store {
    pub(crate) fn new(
        random: Random,
        weather: Weather,
        recorder: Recorder,
        hashes: bool,
        planted: super::world::Planted,
    ) -> Self {
        Self {
            random,
            weather,
            recorder,
            objects: BTreeMap::new(),
            earlier: BTreeMap::new(),
            written_ms: BTreeMap::new(),
            spoilt: BTreeSet::new(),
            sessions: BTreeMap::new(),
            contents: BTreeSet::new(),
            hashes,
            next_etag: 0,
            planted,
        }
    }

    /// Tells the record which object is whose.
    pub(crate) fn name_session(&mut self, secret: &[u8], sid: &str) {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
        mac.update(b"durable_stash:v1:");
        mac.update(sid.as_bytes());
        let name = ObjectName::document(&mac.finalize().into_bytes().into());
        self.recorder.line("session", &format!("\"s\":{},\"object\":\"{}\"", quoted(sid), name.as_str()));
        self.sessions.insert(name.as_str().to_owned(), sid.to_owned());
    }

    pub(crate) fn session(&self, name: &str) -> Option<&str> {
        self.sessions.get(name).map(String::as_str)
    }

    /// The point in time at which a PUT happens, or does not.
    pub(crate) fn apply(&mut self, name: &str, body: &Bytes, precondition: &Precondition) -> PutOutcome {
        let present = self.objects.get(name);
        let is_any = matches!(precondition, Precondition::Matches(etag) if self.planted.is_any(etag));
        let holds = match (precondition, present) {
            _ if is_any => true,
            (Precondition::Absent, None) => true,
            (Precondition::Matches(etag), Some(object)) => object.etag == *etag,
            (Precondition::Matches(_), None) => {
                self.recorder.fault(10);
                return PutOutcome::Gone;
            }
            (Precondition::Absent, Some(_)) => false,
        };
        if !holds {
            if let Some(present) = present.map(|present| present.body.clone()) {
                self.note_conflict(body, &present, precondition);
            }
            return PutOutcome::Moved;
        }
        let named = match precondition {
            Precondition::Absent => None,
            Precondition::Matches(etag) => Some(etag.as_str().to_owned()),
        };
        PutOutcome::Written(self.write(name, body.clone(), named.as_deref()))
    }

    /// Faults 7, 11 and 12 are met, not made.
    fn note_conflict(&mut self, body: &Bytes, present: &Bytes, precondition: &Precondition) {
        self.recorder.count("conflicts");
        if writer(body) != writer(present) {
            self.recorder.fault(7);
        }
        if *precondition == Precondition::Absent {
            self.recorder.fault(11);
        }
        if is_tombstone(body) || is_tombstone(present) {
            self.recorder.fault(12);
        }
    }

    fn write(&mut self, name: &str, body: Bytes, replaces: Option<&str>) -> ETag {
        self.next_etag += 1;
        let etag = match self.hashes {
            true => {
                let hash = Sha256::digest(self.planted.hashed(&body));
                hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
            }
            false => format!("e{}", self.next_etag),
        };
        let object = Object { etag: ETag::new(etag.as_str()), body, modified_ms: self.wall_ms() };
        if let Some(sid) = self.sessions.get(name) {
            let text = String::from_utf8_lossy(&object.body);
            let replaces = replaces.map_or_else(|| "null".to_owned(), quoted);
            self.recorder.line(
                "version",
                &format!(
                    "\"s\":{},\"object\":\"{name}\",\"etag\":\"{etag}\",\"replaces\":{replaces},\"text\":{}",
                    quoted(sid),
                    quoted(&text)
                ),
            );
            self.recorder.count("commits");
            let content = text.split_once('\n').map_or("", |(_, content)| content).as_bytes().to_vec();
            if !self.contents.insert((name.to_owned(), content)) && self.hashes {
                self.recorder.fault(6);
            }
        }
        self.written_ms.insert(name.to_owned(), self.recorder.now_ms());
        let etag = object.etag.clone();
        if let Some(before) = self.objects.insert(name.to_owned(), object) {
            self.earlier.entry(name.to_owned()).or_default().push(before);
        }
        etag
    }

    pub(crate) fn delete_if(&mut self, name: &str, etag: &ETag) -> DeleteOutcome {
        match self.objects.get(name) {
            None => DeleteOutcome::Missing,
            Some(object) if object.etag != *etag => {
                self.recorder.fault(12);
                DeleteOutcome::Changed
            }
            Some(_) => {
                self.recorder.count("deleted");
                self.delete(name);
                DeleteOutcome::Deleted
            }
        }
    }

    fn delete(&mut self, name: &str) {
        self.objects.remove(name);
        if let Some(sid) = self.sessions.get(name) {
            self.recorder.line("version", &format!("\"s\":{},\"object\":\"{name}\",\"deleted\":true", quoted(sid)));
        }
    }

    /// A lifecycle rule, or an operator, removes a document that is alive (fault 10).
    pub(crate) fn lose(&mut self, index: usize) {
        let names: Vec<String> =
            self.sessions.keys().filter(|name| self.objects.contains_key(*name)).cloned().collect();
        if let Some(name) = names.get(index % names.len().max(1)) {
            self.recorder.line("lost", &format!("\"s\":{}", quoted(&self.sessions[name])));
            self.recorder.count("lost");
            self.delete(name);
        }
    }

    /// What stands in the end.
    pub(crate) fn record_finals(&self) {
        for (name, sid) in &self.sessions {
            let what = match self.objects.get(name) {
                Some(object) => format!("\"text\":{}", quoted(&String::from_utf8_lossy(&object.body))),
                None => "\"missing\":true".to_owned(),
            };
            self.recorder.line("final", &format!("\"s\":{},\"object\":\"{name}\",{what}", quoted(sid)));
        }
    }

    fn wall_ms(&self) -> u64 {
        WALL_MS + self.recorder.now_ms()
    }
}

/// Who wrote the object, found as text.
fn writer(body: &Bytes) -> Option<&[u8]> {
    let mark = b"\"writer\":\"";
    let at = body.windows(mark.len()).position(|window| window == mark)? + mark.len();
    body.get(at..at + 32)
}

fn is_tombstone(body: &Bytes) -> bool {
    let mark = b"\"buried\":true";
    body.windows(mark.len()).any(|window| window == mark)
}
