//! Which requests get which faults.
//!
//! A plan has a seed, a script and rules; all are optional. In JSON:
//!
//! ```
//! # let plan = r#"
//! {
//!   "seed": 7,
//!   "script": [
//!     { "on": { "operations": ["put_object"] }, "fault": { "after": "reset" } },
//!     { "on": { "operations": ["put_object"] }, "fault": {} },
//!     { "on": { "operations": ["put_object"] }, "fault": { "before": { "too_many_requests": { "retry_after_s": 1 } } } }
//!   ],
//!   "rules": [
//!     { "name": "latency", "fault": { "delay_before_ms": [1, 20] } },
//!     { "name": "brown-out", "chance": 0.1, "fault": { "after": "slow_down" } },
//!     { "name": "reads lag", "on": { "operations": ["get_object"], "key_lacks": "probe/" }, "chance": 0.02, "fault": { "stale": 1 } },
//!     { "name": "one write a second", "on": { "operations": ["put_object"] }, "min_interval_ms": 1000,
//!       "fault": { "before": { "too_many_requests": { "retry_after_s": 1 } } } },
//!     { "name": "outage", "between_ms": [30000, 60000], "fault": { "before": "reset" } }
//!   ]
//! }
//! # "#;
//! # assert_eq!(durable_stash_s3::Plan::from_json(plan.as_bytes()).unwrap().rules.len(), 5);
//! ```
//!
//! - **`script`**: of its steps a request takes the first that it fits, and uses it up.
//! - **`rules`**: every rule that a request fits throws its own die, and adds its fault to the request's. Where two fill
//!   the same slot, the script comes first, then the earlier rule.
//! - **`on`** (see [`On`]): what a request must be like. Left out, it fits every request.
//! - **`fault`** (see [`Fault`]): `delay_before_ms`, `before`, `conditions`, `stale`, `delay_after_ms`, `after`, `etag`, `body`.
//! - **`seed`**: the die that a rule throws for the nth such request on a key is the same in every run, whatever
//!   happens on other keys meanwhile.
//!
//! Requests for the control paths (`/_…`) meet no fault. A request without a valid signature meets them like any other:
//! its signature is the store's to check, and faults happen before it.

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::operation::{Head, Operation};

/// A fault plan. The default is a store without faults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// What the dice are thrown with.
    pub seed: u64,
    /// One-off faults, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub script: Vec<Step>,
    /// Standing faults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// A fault of the one request that takes it. An empty fault lets that request pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// What kind of request takes it.
    #[serde(skip_serializing_if = "On::is_anything")]
    pub on: On,
    /// What happens to it.
    pub fault: Fault,
}

/// A fault of all requests of a kind, with its own bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// For the reader.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What kind of request it is for.
    #[serde(skip_serializing_if = "On::is_anything")]
    pub on: On,
    /// How likely it is for one such request, from 0 to 1.
    pub chance: f64,
    /// This many such requests pass first.
    pub skip: u64,
    /// It happens this often at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// It happens in this span only, in milliseconds since the plan came into force; the second is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between_ms: Option<(u64, u64)>,
    /// It happens only to requests that come sooner than this after the last one on the same key that it spared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_interval_ms: Option<u64>,
    /// What happens.
    pub fault: Fault,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            name: String::new(),
            on: On::default(),
            chance: 1.0,
            skip: 0,
            times: None,
            between_ms: None,
            min_interval_ms: None,
            fault: Fault::default(),
        }
    }
}

/// A kind of request: all that is given must hold. The default fits every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct On {
    /// One of these operations; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// This bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// This very key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A key with this in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_contains: Option<String>,
    /// A key without this in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_lacks: Option<String>,
    /// With a condition, or without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditional: Option<bool>,
    /// Signed with temporary credentials of this session token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// What is wrong with it and where, in one sentence. Nothing unknown is passed over.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let plan: Self =
            serde_json::from_slice(json).map_err(|error| format!("the fault plan is not valid: {error}"))?;
        match plan.rules.iter().find(|rule| !(0.0..=1.0).contains(&rule.chance)) {
            Some(rule) => Err(format!("the fault plan is not valid: `chance` is from 0 to 1, not {}", rule.chance)),
            None => Ok(plan),
        }
    }
}

impl Rule {
    /// A rule for every such request.
    pub fn always(on: On, fault: Fault) -> Self {
        Self { on, fault, ..Self::default() }
    }

    /// A rule for such requests with this probability.
    pub fn with_chance(chance: f64, on: On, fault: Fault) -> Self {
        Self { chance, ..Self::always(on, fault) }
    }
}

impl On {
    /// Every request of this operation.
    pub fn operation(operation: Operation) -> Self {
        Self { operations: vec![operation], ..Self::default() }
    }

    /// Whether a request is of this kind.
    pub fn fits(&self, head: &Head) -> bool {
        (self.operations.is_empty() || self.operations.contains(&head.operation))
            && self.bucket.as_ref().is_none_or(|bucket| *bucket == head.bucket)
            && self.key.as_ref().is_none_or(|key| *key == head.key)
            && self.key_contains.as_ref().is_none_or(|part| head.key.contains(part))
            && self.key_lacks.as_ref().is_none_or(|part| !head.key.contains(part))
            && self.conditional.is_none_or(|conditional| conditional == head.conditional)
            && (self.session_token.is_none() || self.session_token == head.session_token)
    }

    fn is_anything(&self) -> bool {
        *self == Self::default()
    }
}
