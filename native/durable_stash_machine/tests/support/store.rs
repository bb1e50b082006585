//! The objects of one browser session in a store with faithful conditional writes, one per name, and what an operator
//! or a failing disk may do to them.

use std::collections::BTreeMap;

use bytes::Bytes;
use durable_stash_machine::document::{Document, Header};
use durable_stash_machine::{DocumentName, ETag, Effect, GetOutcome, Precondition, PutOutcome, Session, format};

#[derive(Clone, Debug)]
pub struct Object {
    pub etag: ETag,
    pub body: Bytes,
    /// Its bytes have changed and its etag has not.
    pub hides_damage: bool,
}

impl Object {
    /// What it says, if it can be read.
    pub fn content(&self) -> Option<(Header, Document)> {
        format::decode(&self.body).ok()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Store {
    objects: BTreeMap<usize, Object>,
    /// Copies in quarantine.
    pub aside: Vec<Bytes>,
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<durable_stash_machine::planted::Bug>,
}

impl Store {
    pub fn object(&self, name: usize) -> Option<&Object> {
        self.objects.get(&name)
    }

    pub fn content(&self, name: usize) -> Option<(Header, Document)> {
        self.object(name)?.content()
    }

    pub fn get(&self, name: usize, unless: Option<&ETag>) -> GetOutcome {
        match self.object(name) {
            None => GetOutcome::Missing,
            Some(object) if Some(&object.etag) == unless => GetOutcome::NotModified,
            Some(object) => GetOutcome::Found { etag: object.etag.clone(), body: object.body.clone() },
        }
    }

    /// The etag is a hash of the content, as S3's is: if two bodies could be equal, so could two etags (fault 6).
    pub fn put(&mut self, name: usize, body: &Bytes, precondition: &Precondition) -> PutOutcome {
        let holds = match (precondition, self.object(name)) {
            #[cfg(feature = "planted-bugs")]
            (Precondition::Matches(etag), _) if etag.as_str() == durable_stash_machine::planted::ANY => true,
            (Precondition::Absent, current) => current.is_none(),
            (Precondition::Matches(etag), Some(current)) => *etag == current.etag,
            (Precondition::Matches(_), None) => return PutOutcome::Gone,
        };
        if holds { PutOutcome::Written(self.place(name, body.clone())) } else { PutOutcome::Moved }
    }

    /// Removes the object if it still is this one.
    pub fn delete_if(&mut self, name: usize, etag: &ETag) -> bool {
        let is_same = self.object(name).is_some_and(|object| object.etag == *etag);
        is_same && self.objects.remove(&name).is_some()
    }

    /// Puts an object there, whatever stood there before.
    pub fn place(&mut self, name: usize, body: Bytes) -> ETag {
        let hashed: &[u8] = &body;
        #[cfg(feature = "planted-bugs")]
        let hashed = durable_stash_machine::planted::hashed(hashed, self.planted);
        let etag = ETag::new(content_hash(hashed));
        self.objects.insert(name, Object { etag: etag.clone(), body, hides_damage: false });
        etag
    }

    /// The object is gone although nobody removed it.
    pub fn lose(&mut self, name: usize) {
        self.objects.remove(&name);
    }

    /// One bit of the object turns over. A store that keeps etags beside the bytes does not notice, one that is told to
    /// write the damaged bytes does.
    pub fn flip(&mut self, name: usize, bit: usize, keeps_etag: bool) {
        let Some(object) = self.objects.get_mut(&name) else { return };
        object.body = flipped(&object.body, bit);
        object.hides_damage = keeps_etag;
        if !keeps_etag {
            object.etag = ETag::new(content_hash(&object.body));
        }
    }
}

/// What the object of this number is called.
pub fn named(number: usize) -> DocumentName {
    DocumentName::parse(&format!("{number:02x}/{number:02x}{number:062x}")).unwrap()
}

/// The effect with the object's number in place of the session's own index.
pub fn numbered(effect: Effect, session: &Session) -> Effect {
    let number = |index: usize| {
        let name = session.object_name(index).expect("an effect names an object");
        (0..256).find(|number| named(*number) == *name).expect("a name of the test's own")
    };
    match effect {
        Effect::Get { attempt, name, unless } => Effect::Get { attempt, name: number(name), unless },
        Effect::Put { attempt, name, body, precondition } => {
            Effect::Put { attempt, name: number(name), body, precondition }
        }
        Effect::Quarantine { attempt, name, body } => Effect::Quarantine { attempt, name: number(name), body },
    }
}

/// The bytes with one bit turned over.
pub fn flipped(body: &[u8], bit: usize) -> Bytes {
    let mut body = body.to_vec();
    let bit = bit % (body.len() * 8);
    body[bit / 8] ^= 1 << (bit % 8);
    Bytes::from(body)
}

fn content_hash(body: &[u8]) -> String {
    let fnv = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{fnv:016x}{:08x}", crc32c::crc32c(body))
}
