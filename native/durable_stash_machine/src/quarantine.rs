//! A damaged object is copied aside before anything replaces it (fault 26).

use bytes::Bytes;

use crate::base::Base;
use crate::effect::{Attempt, Effect};
use crate::limits::Now;
use crate::notice::Incident;
use crate::session::Session;

/// A copy that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Quarantine {
    name: usize,
    body: Bytes,
    attempt: Option<Attempt>,
    retry_at: u64,
    failures: u32,
}

impl Quarantine {
    pub(crate) fn retry_at(&self) -> Option<u64> {
        self.attempt.is_none().then_some(self.retry_at)
    }
}

impl Session {
    pub(crate) fn copy_aside(&mut self, name: usize, body: Bytes) {
        self.quarantine = Some(Quarantine { name, body, attempt: None, retry_at: 0, failures: 0 });
    }

    pub(crate) fn retry_quarantine(&mut self, now: Now) {
        let attempt = match &self.quarantine {
            Some(quarantine) if quarantine.retry_at().is_some_and(|at| at <= now.mono) => self.next_attempt(),
            Some(_) | None => return,
        };
        let Some(quarantine) = &mut self.quarantine else { return };
        quarantine.attempt = Some(attempt);
        let effect = Effect::Quarantine { attempt, name: quarantine.name, body: quarantine.body.clone() };
        self.start(effect);
    }

    pub(crate) fn quarantined(&mut self, now: Now, attempt: Attempt, ok: bool) {
        let Some(mut quarantine) = self.quarantine.take_if(|quarantine| quarantine.attempt == Some(attempt)) else {
            return;
        };
        if !ok {
            quarantine.failures += 1;
            quarantine.attempt = None;
            quarantine.retry_at = now.mono.saturating_add(self.jitter.delay(quarantine.failures, None, &self.policy));
            // Whoever has something to write reads the object again and starts over; nobody else holds it in memory.
            self.quarantine = Some(quarantine).filter(|quarantine| quarantine.failures < MAX_FAILURES);
            return;
        }
        self.happened(Incident::Quarantined);
        if let Base::Damaged { copied, last, .. } = &mut self.base {
            *copied = true;
            // What this node knows is written back now: at the next eviction nobody might know it any more.
            if last.is_some() {
                self.pending.restore = true;
                self.pending.since.get_or_insert(now.mono);
            }
        }
    }
}

const MAX_FAILURES: u32 = 8;
