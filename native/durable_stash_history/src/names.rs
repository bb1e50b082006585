//! Names, and values, by number: each text is kept once.

use std::borrow::Cow;
use std::collections::HashMap;

/// Text, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) u32);

impl Name {
    /// The view under which `:shared` keys stand, whichever views wrote them.
    pub(crate) const SHARED_VIEW: Self = Self(0);
}

/// Text that is met again and again, once.
#[derive(Debug)]
pub(crate) struct Names {
    numbers: HashMap<Box<str>, Name>,
    texts: Vec<Box<str>>,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self { numbers: HashMap::new(), texts: Vec::new() };
        names.of("*");
        names
    }
}

impl Names {
    pub(crate) fn of(&mut self, text: &str) -> Name {
        if let Some(name) = self.numbers.get(text) {
            return *name;
        }
        // Four billion names do not fit into memory.
        let name = Name(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(text.into());
        self.numbers.insert(text.into(), name);
        name
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        &self.texts[name.0 as usize]
    }
}

/// One text per value: a client and the engine may write the same string or object in different ways.
pub(crate) fn canonical(raw: &str) -> Cow<'_, str> {
    let is_plain_string = raw.starts_with('"') && !raw.contains('\\');
    if is_plain_string || raw.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(raw);
    }
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(raw);
    parsed.map_or(Cow::Borrowed(raw), |value| Cow::Owned(value.to_string()))
}
