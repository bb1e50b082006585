//! What can go wrong: few kinds outside, the reasons inside.

use thiserror::Error;

/// The kinds of failure a caller can act upon (design §10). A kind is added only if a caller would do something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The value cannot be stored as JSON.
    InvalidValue,
    /// The value or the document is over its limit.
    TooLarge,
    /// The tab has mounted again; this LiveView changes nothing any more.
    Superseded,
    /// Too much is accepted and unsaved; try again with the next write.
    Overloaded,
    /// The store does not answer.
    Unavailable,
    /// The caller's own time ran out; the outcome is open.
    Timeout,
    /// The store refuses: bucket, credentials or conditions need the operator.
    Refused,
    /// The stored object is not a sound document.
    Corrupt,
    /// The stored object was written by a newer release.
    NewerFormat,
    /// The engine is stopped or was restarted.
    EngineDown,
}

impl ErrorKind {
    /// The name that crosses the NIF as an atom.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidValue => "invalid_value",
            Self::TooLarge => "too_large",
            Self::Superseded => "superseded",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Corrupt => "corrupt",
            Self::NewerFormat => "newer_format",
            Self::EngineDown => "engine_down",
        }
    }
}

/// Why bytes are not a document of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum FormatError {
    /// There is no header line.
    #[error("the object has no header line")]
    NoHeader,
    /// The header line is not the JSON we write.
    #[error("the header cannot be read: {0}")]
    Header(String),
    /// A later release wrote it; it is left alone.
    #[error("the object has format {0}, which this release does not know")]
    Newer(u64),
    /// The body is shorter or longer than the header says.
    #[error("the body has {found} bytes, the header says {expected}")]
    Length {
        /// What the header says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The body is not the one that the header was written for.
    #[error("the body's checksum does not match the header's")]
    Checksum,
    /// The body is not the JSON we write.
    #[error("the body cannot be read: {0}")]
    Body(String),
    /// The object is larger than any document may be.
    #[error("the object is over the size limit")]
    TooLarge,
}

impl FormatError {
    /// The kind that callers see.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Newer(_) => ErrorKind::NewerFormat,
            Self::NoHeader
            | Self::Header(_)
            | Self::Length { .. }
            | Self::Checksum
            | Self::Body(_)
            | Self::TooLarge => ErrorKind::Corrupt,
        }
    }
}
