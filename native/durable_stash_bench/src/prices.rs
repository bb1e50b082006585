//! What stores ask for requests: an input of the page, with its source and date (`bench/prices.json`).

use std::path::Path;

use serde::Deserialize;

/// A store's price list. Dollars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) store: String,
    pub(crate) dollars_per_million_puts: f64,
    pub(crate) dollars_per_million_gets: f64,
    pub(crate) dollars_per_gigabyte_month: f64,
    pub(crate) source: String,
    /// When it was looked up, and how.
    pub(crate) read: String,
}

pub(crate) fn read(path: &Path) -> Result<Vec<Price>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{} is no price list: {error}", path.display()))
}
