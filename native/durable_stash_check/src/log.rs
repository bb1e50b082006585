//! What a step did, in words, for whoever reads a counterexample.

/// A listener, or none.
#[derive(Debug, Default)]
pub(crate) struct Log(Option<Vec<String>>);

impl Log {
    /// Nobody listens: nothing is put into words.
    pub(crate) fn silent() -> Self {
        Self(None)
    }

    /// Keeps every line.
    pub(crate) fn listening() -> Self {
        Self(Some(Vec::new()))
    }

    /// One more line.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.push(line());
        }
    }

    /// What was said.
    pub(crate) fn lines(self) -> Vec<String> {
        self.0.unwrap_or_default()
    }
}
