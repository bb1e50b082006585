//! Does the store keep to conditions? Found out on a scratch object, before the first write of a session leaves.
//!
//! Some stores answer 200 to a stale `If-Match`, some let two of a race win, some answer 501 (faults 13 and 14). On
//! each of them compare-and-swap would lose writes without a word, so that nothing is written instead.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome, Refusal};
use tokio::time::timeout;

use crate::engine::Shared;
use crate::requests::trouble_sentence;
use crate::store::{ObjectName, Store};

/// What the probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// The store keeps to conditions.
    Sound,
    /// It does not, in this way: "ignores `If-Match`: …".
    Ignores(&'static str),
    /// It refuses requests with conditions.
    Refuses,
    /// Nothing can be said yet.
    Inconclusive(String),
}

/// Probes until there is a verdict, and settles the gate by it.
pub(crate) async fn establish(shared: Arc<Shared>, attempt_timeout: Duration) {
    let store = shared.requests.store.clone();
    let gate = &shared.requests.gate;
    let mut pause = FIRST_PAUSE;
    let mut refused = false;
    loop {
        let probe = Probe { store: &*store, attempt_timeout, name: ObjectName::scratch(shared.seeds.next_u128()) };
        let finding = probe.run().await;
        store.remove_scratch(&probe.name).await;
        match finding {
            Finding::Sound => return gate.open(None),
            Finding::Ignores(what) => refused = unfit(&shared, &format!("{} {what}", store.describe())),
            Finding::Refuses => {
                let sentence = format!("{} refuses conditional writes", store.describe());
                if shared.policy.single_writer {
                    store.drop_conditions();
                }
                refused = unfit(&shared, &sentence);
            }
            // What was refused stays so until the store is seen to keep to conditions.
            Finding::Inconclusive(_) if refused => {}
            Finding::Inconclusive(reason) => gate.degrade(reason),
        }
        if gate.is_open() {
            return;
        }
        // An operator may change the store, or what stands before it: then the engine goes on by itself.
        tokio::time::sleep(if refused { RECHECK_PAUSE } else { pause }).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The store does not keep to conditions: nothing is written, unless the operator has said that nobody else writes.
/// Whether it was refused.
fn unfit(shared: &Shared, finding: &str) -> bool {
    let gate = &shared.requests.gate;
    if shared.policy.single_writer {
        gate.open(Some(format!("{finding}; accepted because of `single_writer: true`.")));
        false
    } else {
        gate.refuse(&format!(
            "{finding}, so that two nodes could overwrite each other's writes, and nothing is written. Use a store \
             with conditional writes, or set `single_writer: true` if exactly one node uses it."
        ));
        true
    }
}

struct Probe<'a> {
    store: &'a dyn Store,
    attempt_timeout: Duration,
    name: ObjectName,
}

impl Probe<'_> {
    async fn run(&self) -> Finding {
        self.steps().await.err().unwrap_or(Finding::Sound)
    }

    /// The error is what ends the probe early.
    async fn steps(&self) -> Result<(), Finding> {
        self.nothing_there().await?;
        let created = self.written(self.put("created", &Precondition::Absent).await)?;
        match self.put("created again", &Precondition::Absent).await {
            PutOutcome::Moved | PutOutcome::Busy => {}
            PutOutcome::Written(_) => {
                return Err(Finding::Ignores("ignores `If-None-Match`: a second create went through"));
            }
            other => return Err(self.unexpected(other)),
        }
        let updated = self.written(self.put("updated", &Precondition::Matches(created.clone())).await)?;
        match self.put("updated again", &Precondition::Matches(created)).await {
            PutOutcome::Moved | PutOutcome::Busy => {}
            PutOutcome::Written(_) => return Err(Finding::Ignores("ignores `If-Match`: a stale update went through")),
            other => return Err(self.unexpected(other)),
        }
        let mut etag = updated;
        for round in 0..RACES {
            etag = self.race(round, etag).await?;
        }
        self.reads_back(&etag).await
    }

    /// Reading what is not there must say so. S3 says 403 to whoever may not list the bucket.
    async fn nothing_there(&self) -> Result<(), Finding> {
        match self.get().await {
            GetOutcome::Missing => Ok(()),
            GetOutcome::Denied => Err(Finding::Inconclusive(format!(
                "{} denies reading. The credentials need the right to read and to write objects, and S3 answers 403 \
                 for objects that are not there unless they may list the bucket, too (s3:ListBucket).{}",
                self.store.describe(),
                self.trouble(),
            ))),
            GetOutcome::Found { .. }
            | GetOutcome::NotModified
            | GetOutcome::TooLarge
            | GetOutcome::Unavailable { .. } => Err(Finding::Inconclusive(trouble_sentence(self.store))),
        }
    }

    /// Several updates of one version at one time: one must win, and only one.
    async fn race(&self, round: usize, etag: ETag) -> Result<ETag, Finding> {
        let precondition = Precondition::Matches(etag);
        let bodies: Vec<String> = (0..RACERS).map(|racer| format!("race {round}, {racer}")).collect();
        let racers = bodies.iter().map(|body| self.put(body, &precondition));
        let mut winner = None;
        let mut inconclusive = None;
        for outcome in futures_util::future::join_all(racers).await {
            match outcome {
                PutOutcome::Written(_) if winner.is_some() => {
                    return Err(Finding::Ignores("lets more than one of several concurrent updates win"));
                }
                PutOutcome::Written(etag) => winner = Some(etag),
                PutOutcome::Moved | PutOutcome::Busy => {}
                other => inconclusive = Some(self.unexpected(other)),
            }
        }
        match (winner, inconclusive) {
            (_, Some(inconclusive)) => Err(inconclusive),
            (Some(etag), None) => Ok(etag),
            // All gave way to each other, which is allowed; try once more from what is there.
            (None, None) => self.written(self.put("after the race", &precondition).await),
        }
    }

    /// The last write must be what is read, under the etag that the write was given.
    async fn reads_back(&self, etag: &ETag) -> Result<(), Finding> {
        match self.get().await {
            GetOutcome::Found { etag: read, .. } if read == *etag => Ok(()),
            GetOutcome::Found { .. } => Err(Finding::Inconclusive(format!(
                "{} reads back another version than was just written: a cache on the way, or reads that lag behind. \
                 The engine keeps trying.",
                self.store.describe(),
            ))),
            GetOutcome::NotModified
            | GetOutcome::Missing
            | GetOutcome::TooLarge
            | GetOutcome::Denied
            | GetOutcome::Unavailable { .. } => Err(Finding::Inconclusive(trouble_sentence(self.store))),
        }
    }

    fn written(&self, outcome: PutOutcome) -> Result<ETag, Finding> {
        match outcome {
            PutOutcome::Written(etag) => Ok(etag),
            other => Err(self.unexpected(other)),
        }
    }

    fn unexpected(&self, outcome: PutOutcome) -> Finding {
        let described = self.store.describe();
        match outcome {
            PutOutcome::Refused(Refusal::Unsupported) => Finding::Refuses,
            PutOutcome::Refused(Refusal::Denied) => Finding::Inconclusive(format!(
                "{described} denies writing: check the credentials and their rights.{} The engine keeps trying.",
                self.trouble()
            )),
            // On an object of our own: somebody sweeps it away, or the answers come from several places.
            PutOutcome::Moved
            | PutOutcome::Gone
            | PutOutcome::Busy
            | PutOutcome::Written(_)
            | PutOutcome::Refused(Refusal::TooLarge | Refusal::NotSent)
            | PutOutcome::Unknown { .. } => Finding::Inconclusive(trouble_sentence(self.store)),
        }
    }

    fn trouble(&self) -> String {
        self.store.trouble().map_or_else(String::new, |trouble| format!(" It said: {trouble}."))
    }

    async fn get(&self) -> GetOutcome {
        let answer = timeout(self.attempt_timeout, self.store.get(&self.name, None)).await;
        answer.unwrap_or(GetOutcome::Unavailable { retry_after: None })
    }

    async fn put(&self, body: &str, precondition: &Precondition) -> PutOutcome {
        // The name makes the bodies unique, as every body must be.
        let body = Bytes::from(format!("durable_stash probe {}: {body}\n", self.name.as_str()));
        let answer = timeout(self.attempt_timeout, self.store.put(&self.name, body, precondition)).await;
        answer.unwrap_or(PutOutcome::Unknown { retry_after: None })
    }
}

const RACES: usize = 2;
const RACERS: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A store that was refused is asked again after this.
const RECHECK_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
