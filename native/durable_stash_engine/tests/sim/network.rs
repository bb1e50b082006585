//! One node's way to the store: where requests are lost, late, doubled, refused, and answers spoilt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use durable_stash_engine::brake::Brake;
use durable_stash_engine::store::{self, Cursor, DeleteOutcome, Listed, ObjectName, Page, StoreError};
use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome, Refusal};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::recorder::{WALL_MS, quoted};
use super::store::Store;
use super::weather::Kind;

/// One engine run's way to the store. Clones are the same way.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) node: usize,
    /// The engine run's name in the record.
    pub(crate) run: String,
    /// The process was killed: what is on its way may get lost, or not (fault 5).
    pub(crate) is_dead: Arc<AtomicBool>,
    pub(crate) conditions: Conditions,
    pub(crate) probed: bool,
    /// The process stands still: no request leaves.
    pub(crate) brake: Brake,
}

/// What the store does with preconditions, towards this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conditions {
    Kept,
    /// Fault 13.
    Ignored,
    /// Fault 14.
    Refused,
}

/// What becomes of one PUT.
struct Plan {
    /// When it is applied, in ms; never if none.
    applied: Option<u64>,
    /// When it is applied once more: somebody on the way has doubled it.
    again: Option<u64>,
    answered: u64,
    answer: Answer,
}

enum Answer {
    Truth,
    Instead(PutOutcome),
    Never,
}

impl Link {
    fn plan_put(&self, name: &ObjectName) -> Plan {
        let mut guard = self.store.lock();
        let Store { random, weather, recorder, written_ms, .. } = &mut *guard;
        let (there, back) = (random.below(weather.latency_ms), random.below(weather.latency_ms));
        let answered = there + back;
        let unknown = |retry_after| Answer::Instead(PutOutcome::Unknown { retry_after });
        let dropped = |answer| Plan { applied: None, again: None, answered, answer };
        let plain = Plan { applied: Some(there), again: None, answered, answer: Answer::Truth };
        match self.conditions {
            Conditions::Kept => {}
            Conditions::Ignored => {
                recorder.fault(13);
                return plain;
            }
            Conditions::Refused => {
                recorder.fault(14);
                return dropped(Answer::Instead(PutOutcome::Refused(Refusal::Unsupported)));
            }
        }
        let now = recorder.now_ms();
        let has = |kind: Kind| {
            let has = weather.has(kind, self.node, now);
            if has {
                recorder.fault(kind.fault());
            }
            has
        };
        if has(Kind::Denied) || has(Kind::DeniedPuts) || has(Kind::Skewed) {
            return dropped(Answer::Instead(PutOutcome::Refused(Refusal::Denied)));
        }
        if has(Kind::Outage) || has(Kind::NoBucket) {
            return dropped(unknown(None));
        }
        if weather.has(Kind::BrownOut, self.node, now) && random.happens(300) {
            recorder.fault(20);
            // Refused for load, or cut off on either way.
            return match random.below(3) {
                0 => dropped(unknown(Some(1_000))),
                1 => dropped(unknown(None)),
                _ => Plan { answer: unknown(None), ..plain },
            };
        }
        if weather.has(Kind::SlowDown, self.node, now) && random.happens(700) {
            recorder.fault(25);
            return dropped(unknown(Some(random.pick(&[1_000, 2_000]))));
        }
        if name.is_scratch() {
            return plain;
        }
        let was_written = written_ms.get(name.as_str()).is_some_and(|at| at + 1_000 > now);
        if weather.has(Kind::Throttled, self.node, now) && was_written {
            recorder.fault(24);
            return dropped(unknown(Some(1_000)));
        }
        let rates = weather.rates.clone();
        let (number, plan) = if random.happens(rates.answer_lost) {
            (1, Plan { answer: unknown(None), ..plain })
        } else if random.happens(rates.put_lost) {
            (2, dropped(unknown(None)))
        } else if random.happens(rates.own_conflict) {
            // A client under us that tries again by itself hands on the second answer.
            (3, Plan { answer: Answer::Instead(PutOutcome::Moved), ..plain })
        } else if random.happens(rates.late) {
            let late = random.pick(&[100, 1_000, 10_000]);
            let late = answered + random.below(late);
            match random.happens(300) {
                true => (4, Plan { again: Some(late), ..plain }),
                false => (4, Plan { applied: Some(late), again: None, answered, answer: unknown(None) }),
            }
        } else if random.happens(rates.busy) {
            (9, dropped(Answer::Instead(PutOutcome::Busy)))
        } else if random.happens(rates.slow) {
            let there = 1_000 + random.below(6_000);
            (21, Plan { applied: Some(there), answered: there + random.below(1_000), ..plain })
        } else if random.happens(rates.silent) {
            let applied = random.happens(500).then(|| random.below(8_000));
            (22, Plan { applied, again: None, answered, answer: Answer::Never })
        } else if random.happens(rates.no_etag) {
            // The engine is told what it makes of a 200 without an etag.
            (23, Plan { answer: unknown(None), ..plain })
        } else {
            return plain;
        };
        recorder.fault(number);
        plan
    }

    /// A request arrives. None if it went down with its node.
    fn arrive(&self, name: &ObjectName, body: &Bytes, precondition: &Precondition) -> Option<PutOutcome> {
        let mut store = self.store.lock();
        let is_orphan = self.is_dead.load(Relaxed);
        if is_orphan && store.random.happens(400) {
            return None;
        }
        let outcome = match self.conditions {
            Conditions::Ignored => {
                assert!(name.is_scratch(), "a document was written to a store that ignores conditions");
                let present = store.objects.get(name.as_str()).map(|present| present.etag.clone());
                let holds = present.map_or(Precondition::Absent, Precondition::Matches);
                store.apply(name.as_str(), body, &holds)
            }
            Conditions::Kept | Conditions::Refused => store.apply(name.as_str(), body, precondition),
        };
        if is_orphan {
            store.recorder.fault(5);
        }
        Some(outcome)
    }

    fn plan_get(&self, name: &ObjectName) -> (u64, u64, Result<Spoil, GetOutcome>) {
        let mut guard = self.store.lock();
        let Store { random, weather, recorder, .. } = &mut *guard;
        let (there, back) = (random.below(weather.latency_ms), random.below(weather.latency_ms));
        let now = recorder.now_ms();
        let has = |kind: Kind| {
            let has = weather.has(kind, self.node, now);
            if has {
                recorder.fault(kind.fault());
            }
            has
        };
        let unavailable = |retry_after| Err(GetOutcome::Unavailable { retry_after });
        if has(Kind::Denied) || has(Kind::DeniedGets) || has(Kind::Skewed) {
            return (there, back, Err(GetOutcome::Denied));
        }
        if has(Kind::Outage) || has(Kind::NoBucket) {
            return (there, back, unavailable(None));
        }
        if weather.has(Kind::BrownOut, self.node, now) && random.happens(300) {
            recorder.fault(20);
            let retry_after = random.happens(500).then_some(1_000);
            return (there, back, unavailable(retry_after));
        }
        if name.is_scratch() {
            return (there, back, Ok(Spoil::Nothing));
        }
        let rates = weather.rates.clone();
        if random.happens(rates.get_lost) {
            (there, back, unavailable(None))
        } else if random.happens(rates.stale) {
            (there, back, Ok(Spoil::Stale))
        } else if random.happens(rates.slow) {
            recorder.fault(21);
            (there, 1_000 + random.below(6_000), Ok(Spoil::Nothing))
        } else if random.happens(rates.silent) {
            recorder.fault(22);
            (there, 600_000, unavailable(None))
        } else if random.happens(rates.spoilt) {
            (there, back, Ok(Spoil::Bytes))
        } else {
            (there, back, Ok(Spoil::Nothing))
        }
    }

    fn look(&self, name: &ObjectName, unless: Option<&ETag>, spoil: Spoil) -> GetOutcome {
        let mut guard = self.store.lock();
        let store = &mut *guard;
        let mut found = store.objects.get(name.as_str()).cloned();
        let mut damaged = None;
        match spoil {
            Spoil::Nothing => {}
            Spoil::Stale => {
                if let Some(earlier) = store.earlier.get(name.as_str()).filter(|earlier| !earlier.is_empty()) {
                    let back = store.random.index(earlier.len().min(3)) + 1;
                    found = earlier.get(earlier.len() - back).cloned();
                    let session = store.session(name.as_str()).unwrap_or_default().to_owned();
                    store.recorder.line("stale", &format!("\"s\":{},\"node\":\"{}\"", quoted(&session), self.run));
                    store.recorder.fault(15);
                }
            }
            Spoil::Bytes => {
                if let Some(object) = &found {
                    let once = (self.node, name.as_str().to_owned(), object.etag.as_str().to_owned());
                    if store.spoilt.insert(once) && Some(&object.etag) != unless {
                        let mut bytes = object.body.to_vec();
                        let at = store.random.index(bytes.len());
                        match store.random.happens(500) {
                            true => bytes.truncate(at),
                            false => bytes[at] ^= 1 << store.random.below(8),
                        }
                        damaged = Some(Bytes::from(bytes));
                        store.recorder.fault(26);
                    }
                }
            }
        }
        match found {
            None => GetOutcome::Missing,
            Some(object) if Some(&object.etag) == unless => GetOutcome::NotModified,
            Some(object) => GetOutcome::Found { body: damaged.unwrap_or(object.body), etag: object.etag },
        }
    }

    fn is_out(&self) -> bool {
        let store = self.store.lock();
        let now = store.recorder.now_ms();
        [Kind::Outage, Kind::Denied, Kind::Skewed, Kind::NoBucket]
            .iter()
            .any(|kind| store.weather.has(*kind, self.node, now))
    }

    async fn travel(&self) {
        self.brake.pass().await;
        let ms = {
            let store = &mut *self.store.lock();
            store.random.below(store.weather.latency_ms)
        };
        sleep(Duration::from_millis(ms)).await;
    }
}

enum Spoil {
    Nothing,
    Stale,
    Bytes,
}

#[async_trait]
impl store::Store for Link {
    async fn get(&self, name: &ObjectName, unless: Option<&ETag>) -> GetOutcome {
        self.brake.pass().await;
        let (there, back, plan) = self.plan_get(name);
        sleep(Duration::from_millis(there)).await;
        let outcome = match plan {
            Ok(spoil) => self.look(name, unless, spoil),
            Err(outcome) => outcome,
        };
        sleep(Duration::from_millis(back)).await;
        outcome
    }

    async fn put(&self, name: &ObjectName, body: Bytes, precondition: &Precondition) -> PutOutcome {
        self.brake.pass().await;
        let Plan { applied, again, answered, answer } = self.plan_put(name);
        let (sender, truth) = oneshot::channel();
        if let Some(applied) = applied {
            // On its own: the request goes on when its node is gone, or does not wait any more.
            let (link, name, precondition) = (self.clone(), name.clone(), precondition.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(applied)).await;
                let outcome = link.arrive(&name, &body, &precondition);
                let _ = outcome.map(|outcome| sender.send(outcome));
                if let Some(again) = again {
                    sleep(Duration::from_millis(again)).await;
                    let _ = link.arrive(&name, &body, &precondition);
                }
            });
        }
        sleep(Duration::from_millis(answered)).await;
        match answer {
            Answer::Truth => truth.await.unwrap_or(PutOutcome::Unknown { retry_after: None }),
            Answer::Instead(outcome) => outcome,
            Answer::Never => std::future::pending().await,
        }
    }

    async fn list(&self, _cursor: Option<&Cursor>, _limit: usize) -> Result<Page, StoreError> {
        self.travel().await;
        if self.is_out() {
            return Err(StoreError("an outage".to_owned()));
        }
        let store = self.store.lock();
        let objects = store.objects.iter().filter_map(|(name, object)| {
            let name = ObjectName::parse(name)?;
            Some(Listed { name, last_modified_ms: object.modified_ms, bytes: object.body.len() as u64 })
        });
        Ok(Page { objects: objects.collect(), next: None })
    }

    async fn delete_if(&self, name: &ObjectName, etag: &ETag) -> DeleteOutcome {
        self.travel().await;
        if self.is_out() || self.is_dead.load(Relaxed) {
            return DeleteOutcome::Failed;
        }
        self.store.lock().delete_if(name.as_str(), etag)
    }

    async fn put_aside(&self, _name: &ObjectName, _body: Bytes) -> bool {
        self.travel().await;
        !self.is_out()
    }

    async fn remove_scratch(&self, name: &ObjectName) {
        self.travel().await;
        self.store.lock().objects.remove(name.as_str());
    }

    fn wants_probe(&self) -> bool {
        self.probed
    }

    fn describe(&self) -> String {
        format!("the simulated store, seen from {} at {}", self.run, WALL_MS)
    }
}
