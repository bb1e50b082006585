//! What can go wrong with one request. A [`Fault`] has a slot for each point on a request's way; `tests/faults.rs` shows
//! what a client sees of each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What goes wrong with one request, in the order in which it passes the slots. An empty fault is what S3 does.
///
/// In JSON the slots go by their names here, and empty ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// The whole request is there; this long nothing happens. The client may well be gone when it goes on: then the
    /// write lands behind its back. Its signature is looked at when it goes on, and is good for 15 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_before_ms: Option<Millis>,
    /// This happens instead of the request: the store never hears of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Instead>,
    /// What the store makes of conditions on a write or a delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<ConditionFault>,
    /// A GET or HEAD sees the object as it was this many versions ago, its conditions too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<usize>,
    /// The store has done it; this long the answer is held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_after_ms: Option<Millis>,
    /// The store has done it, whatever came of it; this happens instead of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Instead>,
    /// What becomes of the answer's `ETag` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<ETagFault>,
    /// What becomes of the answer's body, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyFault>,
}

/// What a client gets in place of an answer. In JSON: `"reset"`, `{"too_many_requests":{"retry_after_s":1}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Instead {
    /// The connection is reset: a TCP RST.
    Reset,
    /// The connection is closed without a word: a TCP FIN.
    HangUp,
    /// Nothing, for as long as the client cares to wait.
    Silence,
    /// 200 and an HTML page without an etag, as a captive portal has it.
    Html,
    /// 503 `SlowDown`.
    SlowDown,
    /// 429 with `Retry-After`, in seconds.
    TooManyRequests {
        /// What `Retry-After` says.
        retry_after_s: u64,
    },
    /// 409 `ConditionalRequestConflict`.
    Conflict,
    /// 500 `InternalError`.
    InternalError,
    /// 501 `NotImplemented`.
    NotImplemented,
    /// 403 `ExpiredToken`.
    ExpiredToken,
    /// 403 `AccessDenied`.
    AccessDenied,
    /// 403 `RequestTimeTooSkewed`. (A request that is signed more than 15 minutes off gets it without any fault.)
    RequestTimeTooSkewed,
    /// Any other answer.
    Status {
        /// 200 to 599. Anything else becomes a 500.
        status: u16,
        /// The `<Code>` of the error.
        code: String,
        /// What `Retry-After` says, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
    },
}

/// What a store makes of conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConditionFault {
    /// It does not look at them: a stale `If-Match` gets its 200.
    Ignored,
    /// It answers 501 to any request that has one.
    Refused,
    /// It checks, waits, and then writes in any case: two that check at once both win.
    Racy {
        /// How long it waits.
        window_ms: u64,
    },
}

/// What becomes of an `ETag` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ETagFault {
    /// It is not there.
    Omitted,
    /// `W/"…"`.
    Weak,
    /// Without quotes.
    Bare,
}

/// What becomes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BodyFault {
    /// `Content-Length` tells the truth, the connection is closed (FIN) after a part of it.
    Truncated {
        /// How much is sent, at least one byte less than all.
        percent: u8,
    },
    /// All of it, one byte at a time.
    Dripping {
        /// From one byte to the next.
        every_ms: u64,
    },
    /// All of it and then spaces without an end, a KiB at a time; `Content-Length` says a terabyte.
    Endless {
        /// From one KiB to the next.
        every_ms: u64,
    },
}

/// A time in milliseconds: `200`, or `[50, 300]` for one drawn anew for each request, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Millis {
    /// Always this.
    Exactly(u64),
    /// From the first to the second.
    Between(u64, u64),
}

impl Fault {
    /// Instead of the request.
    pub fn before(instead: Instead) -> Self {
        Self { before: Some(instead), ..Self::default() }
    }

    /// Instead of the answer, when the store has done what was asked.
    pub fn after(instead: Instead) -> Self {
        Self { after: Some(instead), ..Self::default() }
    }

    /// A request that reaches the store late.
    pub fn delay_before(time: Duration) -> Self {
        Self { delay_before_ms: Some(Millis::of(time)), ..Self::default() }
    }

    /// An answer that comes late.
    pub fn delay_after(time: Duration) -> Self {
        Self { delay_after_ms: Some(Millis::of(time)), ..Self::default() }
    }

    /// A store that treats conditions so.
    pub fn conditions(fault: ConditionFault) -> Self {
        Self { conditions: Some(fault), ..Self::default() }
    }

    /// A read of the version this many versions ago.
    pub fn stale(versions: usize) -> Self {
        Self { stale: Some(versions), ..Self::default() }
    }

    /// An answer with such an `ETag` header.
    pub fn etag(fault: ETagFault) -> Self {
        Self { etag: Some(fault), ..Self::default() }
    }

    /// An answer with such a body.
    pub fn body(fault: BodyFault) -> Self {
        Self { body: Some(fault), ..Self::default() }
    }

    /// Both: where both fill a slot, this one does.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            delay_before_ms: self.delay_before_ms.or(other.delay_before_ms),
            before: self.before.or(other.before),
            conditions: self.conditions.or(other.conditions),
            stale: self.stale.or(other.stale),
            delay_after_ms: self.delay_after_ms.or(other.delay_after_ms),
            after: self.after.or(other.after),
            etag: self.etag.or(other.etag),
            body: self.body.or(other.body),
        }
    }

    /// Whether nothing goes wrong.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Millis {
    fn of(time: Duration) -> Self {
        Self::Exactly(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// The one time that a die's throw makes of it.
    pub(crate) fn drawn(self, throw: u64) -> Self {
        match self {
            Self::Exactly(_) => self,
            Self::Between(one, other) => {
                let (least, most) = (one.min(other), one.max(other));
                Self::Exactly(least + throw % (most - least).saturating_add(1))
            }
        }
    }

    pub(crate) fn duration(self) -> Duration {
        match self {
            Self::Exactly(millis) | Self::Between(millis, _) => Duration::from_millis(millis),
        }
    }
}
