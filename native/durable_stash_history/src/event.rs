//! One line of a history, as it is written. What the lines mean together is `history.rs`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Every field that any event has. Which of them an event needs is said where it is taken in.
#[derive(Deserialize)]
pub(crate) struct Line<'a> {
    #[serde(borrow)]
    pub(crate) e: Option<Cow<'a, str>>,
    /// Microseconds since the epoch.
    pub(crate) t: Option<u64>,
    pub(crate) until: Option<u64>,
    #[serde(borrow)]
    pub(crate) s: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) c: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) node: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) object: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) view: Option<Cow<'a, str>>,
    pub(crate) vsn: Option<u64>,
    #[serde(borrow, rename = "tab")]
    pub(crate) tab: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) session: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) shared: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) mount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) of: Option<Cow<'a, str>>,
    pub(crate) stores_tab: Option<bool>,
    pub(crate) w: Option<u64>,
    pub(crate) upto: Option<u64>,
    #[serde(borrow)]
    pub(crate) op: Option<Cow<'a, str>>,
    pub(crate) r: Option<u64>,
    #[serde(borrow)]
    pub(crate) found: Option<Found<'a>>,
    #[serde(borrow)]
    pub(crate) scope: Option<Cow<'a, str>>,
    pub(crate) rev: Option<u64>,
    pub(crate) stale: Option<bool>,
    #[serde(borrow)]
    pub(crate) error: Option<Cow<'a, str>>,
    pub(crate) n: Option<u64>,
    pub(crate) unsaved: Option<u64>,
    #[serde(borrow)]
    pub(crate) etag: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) replaces: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) body: Option<Cow<'a, str>>,
    pub(crate) deleted: Option<bool>,
    pub(crate) missing: Option<bool>,
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) skew_ms: Option<u64>,
    pub(crate) applied_age_ms: Option<u64>,
    pub(crate) applied_max: Option<u64>,
    pub(crate) tabs_per_view: Option<u64>,
    pub(crate) log: Option<bool>,
    // The S3 fault server's own words for a version.
    #[serde(borrow)]
    pub(crate) key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) if_match: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) if_none_match: Option<Cow<'a, str>>,
    pub(crate) at_us: Option<u64>,
}

/// What a read found.
#[derive(Deserialize)]
pub(crate) struct Found<'a> {
    pub(crate) vsn: Option<u64>,
    pub(crate) tab_vsn: Option<u64>,
    #[serde(borrow)]
    pub(crate) session: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) tab: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) shared: Option<&'a RawValue>,
}

/// Keys and values.
pub(crate) type Entries<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

pub(crate) fn entries(raw: Option<&RawValue>) -> Result<Entries<'_>, String> {
    parse(raw, "an object of keys and values")
}

pub(crate) fn names(raw: Option<&RawValue>) -> Result<Vec<String>, String> {
    parse(raw, "a list of keys")
}

pub(crate) fn name(raw: Option<&RawValue>) -> Result<String, String> {
    let raw = raw.ok_or("`tab` is missing")?;
    serde_json::from_str(raw.get()).map_err(|_| format!("`tab` is not a name: {raw}"))
}

fn parse<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>, wanted: &str) -> Result<T, String> {
    let Some(raw) = raw else { return Ok(T::default()) };
    serde_json::from_str(raw.get()).map_err(|_| format!("not {wanted}: {raw}"))
}
