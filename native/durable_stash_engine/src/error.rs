//! What can go wrong in the engine: rich reasons inside, one kind and one sentence outside (design §10).

use std::path::PathBuf;

use durable_stash_machine::ErrorKind;

/// What callers get: a kind to act upon and a sentence to read. Nobody matches on the sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What to act upon.
    pub kind: ErrorKind,
    /// What happened and what to do, in full sentences. Never a secret, a sid or a value.
    pub message: String,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.kind(), message: failure.to_string() }
    }
}

impl From<ErrorKind> for Error {
    /// The sentence for what the machine says in one word.
    fn from(kind: ErrorKind) -> Self {
        let message = match kind {
            ErrorKind::InvalidValue => "The value cannot be stored as JSON.",
            ErrorKind::TooLarge => {
                "The session's document would be larger than `max_document_bytes`; store less, or raise the limit."
            }
            ErrorKind::Superseded => "The tab has mounted again: this LiveView changes nothing any more.",
            ErrorKind::Overloaded => "Too much is accepted and not yet saved; it is sent again with the next stash.",
            ErrorKind::Unavailable => "The store did not answer, or not usably.",
            ErrorKind::Timeout => "The time ran out before the outcome was known.",
            ErrorKind::Refused => "The store refused: check the bucket, the credentials and the engine's health.",
            ErrorKind::Corrupt => "The stored object is not a sound document; it was left as it is or copied aside.",
            ErrorKind::NewerFormat => {
                "The stored document was written by a newer release, so this one leaves it alone."
            }
            ErrorKind::EngineDown => "The engine is stopped, or this session was lost with an internal error.",
        };
        Self { kind, message: message.to_owned() }
    }
}

/// Why the engine does not do what it was asked, as it knows it itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("The option `{option}` {problem}.")]
    Config { option: &'static str, problem: String },
    #[error(
        "The disk backend cannot use the directory `{}`: {reason}. Give `path:` a directory that this system user may \
         create and write.", path.display()
    )]
    Directory { path: PathBuf, reason: String },
    #[error(
        "The HTTP client for the S3 backend could not be built: {reason}. Most often this machine has no CA \
         certificates, which are needed even for a plain http endpoint; on Debian: apt-get install ca-certificates."
    )]
    HttpClient { reason: String },
    #[error("The operating system gave no randomness: {reason}.")]
    Randomness { reason: String },
    #[error("{sentence}")]
    Conditions { sentence: String },
    #[error(
        "{unsaved} bytes are accepted and not yet saved, and `max_unsaved_bytes` is {limit}; the state is kept and \
         sent again with the next stash."
    )]
    Overloaded { unsaved: usize, limit: usize },
    #[error("The write has {bytes} bytes, and `max_document_bytes` is {limit}.")]
    TooLarge { bytes: usize, limit: usize },
    #[error("The tab has mounted again: this LiveView changes nothing any more.")]
    Superseded,
    #[error("The engine is stopped.")]
    EngineDown,
    #[error("The engine lost this session with an internal error; open it again.")]
    SessionDown,
    #[error("It is not known whether the write was saved: the store did not answer in time. It may yet be applied.")]
    OutcomeUnknown,
    #[error("What was recovered was not saved at the time, and may never be; the next stash sends everything again.")]
    RecoveredLost,
}

impl Failure {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. } | Self::Directory { .. } | Self::HttpClient { .. } | Self::Conditions { .. } => {
                ErrorKind::Refused
            }
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Superseded => ErrorKind::Superseded,
            Self::OutcomeUnknown | Self::RecoveredLost => ErrorKind::Unavailable,
            Self::Randomness { .. } | Self::EngineDown | Self::SessionDown => ErrorKind::EngineDown,
        }
    }
}
