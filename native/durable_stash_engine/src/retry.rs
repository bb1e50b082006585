//! From what a store said to what the machine is told.
//!
//! Every judgement about a status or an I/O error is a named predicate here, and nowhere else. When to try again is
//! the machine's; the writing client's own retries are off, since they report conflicts with one's own write.

use std::{fmt, io};

use durable_stash_machine::{ETag, GetOutcome, Precondition, PutOutcome, Refusal};

/// What is known of one HTTP exchange, beside the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `<Code>` of an S3 error document.
    pub(crate) code: Option<String>,
    pub(crate) retry_after_ms: Option<u64>,
}

/// The outcome of a PUT. No answer at all is unknown: the request may have arrived.
pub(crate) fn put_outcome(
    answer: Option<&Answer>,
    etag: Option<&str>,
    precondition: Option<&Precondition>,
) -> PutOutcome {
    let Some(answer) = answer else { return PutOutcome::Unknown { retry_after: None } };
    let unknown = PutOutcome::Unknown { retry_after: answer.retry_after_ms };
    if answer.is_success() {
        // A commit whose etag is not told is settled by reading it back (fault 23).
        return etag.and_then(normalised_etag).map_or(unknown, PutOutcome::Written);
    }
    if answer.is_transient() || answer.is_about_the_bucket() || answer.is_redirect() {
        unknown
    } else if answer.is_lost_race(precondition) {
        PutOutcome::Moved
    } else if answer.is_vanished(precondition) {
        PutOutcome::Gone
    } else if answer.is_contended() {
        PutOutcome::Busy
    } else if answer.is_denied() {
        PutOutcome::Refused(Refusal::Denied)
    } else if answer.is_too_large() {
        PutOutcome::Refused(Refusal::TooLarge)
    } else if answer.is_unsupported() {
        PutOutcome::Refused(Refusal::Unsupported)
    } else {
        unknown
    }
}

/// The outcome of a GET that brought no body.
pub(crate) fn get_failure(answer: Option<&Answer>) -> GetOutcome {
    let Some(answer) = answer else { return GetOutcome::Unavailable { retry_after: None } };
    if answer.is_not_modified() {
        GetOutcome::NotModified
    } else if answer.is_missing_object() {
        GetOutcome::Missing
    } else if answer.is_denied() {
        GetOutcome::Denied
    } else {
        GetOutcome::Unavailable { retry_after: answer.retry_after_ms }
    }
}

impl fmt::Display for Answer {
    /// Status and code, and what they mean where an operator can do something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answered {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        let hint = match self.code.as_deref() {
            Some("NoSuchBucket") => "the bucket does not exist",
            Some("RequestTimeTooSkewed") => "this machine's clock is wrong",
            Some("InvalidAccessKeyId" | "SignatureDoesNotMatch") => "the credentials are wrong",
            _ if self.is_expired() => "the credentials have expired",
            _ if self.is_redirect() || self.is_about_the_bucket() => "the bucket is in another region; set `region`",
            _ if self.is_denied() => "the credentials do not allow it",
            _ => return Ok(()),
        };
        write!(f, " ({hint})")
    }
}

impl Answer {
    /// Whether an operator would want to hear of it: races and missing objects are no trouble.
    pub(crate) fn is_trouble(&self) -> bool {
        !(self.is_success() || self.is_not_modified() || self.is_missing_object() || matches!(self.status, 409 | 412))
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn is_not_modified(&self) -> bool {
        self.status == 304
    }

    /// 301 and 307 are S3's way to say "wrong region". They are never followed: after a redirected PUT one could not
    /// tell who answered.
    fn is_redirect(&self) -> bool {
        (300..400).contains(&self.status) && !self.is_not_modified()
    }

    /// 412; some stores answer a create that lost with 304.
    fn is_lost_race(&self, precondition: Option<&Precondition>) -> bool {
        self.status == 412 || (self.is_not_modified() && precondition == Some(&Precondition::Absent))
    }

    /// S3 answers 404 and not 412 to an `If-Match` on an object that is gone.
    fn is_vanished(&self, precondition: Option<&Precondition>) -> bool {
        self.status == 404 && self.names_the_object() && matches!(precondition, Some(Precondition::Matches(_)))
    }

    /// 409 ConditionalRequestConflict: another conditional write is under way, on update and on create (fault 9).
    fn is_contended(&self) -> bool {
        self.status == 409
    }

    fn is_missing_object(&self) -> bool {
        self.status == 404 && self.names_the_object()
    }

    /// Said by the store, of the object. A 404 without its code is a proxy's word, and that knows nothing of objects.
    fn names_the_object(&self) -> bool {
        self.code.as_deref() == Some("NoSuchKey")
    }

    /// A bucket that is missing says nothing about objects: it may be made while we wait (fault 16).
    pub(crate) fn is_about_the_bucket(&self) -> bool {
        matches!(self.code.as_deref(), Some("NoSuchBucket" | "PermanentRedirect" | "TemporaryRedirect"))
    }

    /// Time and load, and credentials whose successors are on their way. S3 sends some of these as 400.
    fn is_transient(&self) -> bool {
        let by_code = matches!(
            self.code.as_deref(),
            Some("RequestTimeout" | "SlowDown" | "IncompleteBody" | "BadDigest" | "OperationAborted")
        ) || self.is_expired();
        let by_status = matches!(self.status, 408 | 425 | 429) || (self.status >= 500 && self.status != 501);
        // A contended write has an outcome of its own, whatever code it comes with.
        (by_code && self.status != 409) || by_status
    }

    /// The token is not good any more, or not yet. S3 says so before it looks at anything else of the request.
    pub(crate) fn is_expired(&self) -> bool {
        matches!(self.code.as_deref(), Some("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired"))
    }

    fn is_denied(&self) -> bool {
        matches!(self.status, 401 | 403 | 407)
    }

    fn is_too_large(&self) -> bool {
        self.status == 413 || self.code.as_deref() == Some("EntityTooLarge")
    }

    /// The store does not understand the request, or not its conditions: it will not as it stands (fault 14).
    fn is_unsupported(&self) -> bool {
        self.status == 501 || ((400..500).contains(&self.status) && self.status != 404)
    }
}

/// The etag in the one form that `If-Match` compares: strong and quoted (fault 23).
///
/// A proxy on the way may have weakened it or taken its quotes. What cannot be a token is none.
pub(crate) fn normalised_etag(raw: &str) -> Option<ETag> {
    let raw = raw.trim();
    let strong = raw.strip_prefix("W/").or_else(|| raw.strip_prefix("w/")).unwrap_or(raw);
    let bare = strong.trim_matches('"');
    let sound = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    sound.then(|| ETag::new(format!("\"{bare}\"")))
}

/// `Retry-After` in ms: seconds, as every store sends it. A date is left to the machine's own backoff.
pub(crate) fn retry_after_ms(header: &str) -> Option<u64> {
    let seconds: u64 = header.trim().parse().ok()?;
    Some(seconds.min(LONGEST_RETRY_AFTER_S) * 1000)
}

/// `<Code>…</Code>` of an S3 error document. Found as text: an error body is never parsed (fault 72).
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| code.to_owned())
}

/// The outcome of a write to disk that failed before the new content had the object's name: it is not applied.
pub(crate) fn disk_write_failure(error: &io::Error) -> PutOutcome {
    if is_forbidden_by_the_system(error) {
        PutOutcome::Refused(Refusal::Denied)
    } else if error.kind() == io::ErrorKind::FileTooLarge {
        PutOutcome::Refused(Refusal::TooLarge)
    } else {
        // A full disk or an I/O error may pass: "unknown" has the machine look and try again.
        PutOutcome::Unknown { retry_after: None }
    }
}

/// The outcome of a read from disk that failed.
pub(crate) fn disk_read_failure(error: &io::Error) -> GetOutcome {
    if is_absent(error) {
        GetOutcome::Missing
    } else if is_forbidden_by_the_system(error) {
        GetOutcome::Denied
    } else {
        GetOutcome::Unavailable { retry_after: None }
    }
}

pub(crate) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn is_forbidden_by_the_system(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// A store that asks for more than a minute is asked again after one: a wrong header must not park a session.
const LONGEST_RETRY_AFTER_S: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    fn coded(status: u16, code: &str) -> Answer {
        Answer { status, code: Some(code.into()), retry_after_ms: None }
    }

    fn put(answer: &Answer) -> PutOutcome {
        put_outcome(Some(answer), None, Some(&Precondition::Matches(ETag::new("\"a\""))))
    }

    fn create(answer: &Answer) -> PutOutcome {
        put_outcome(Some(answer), None, Some(&Precondition::Absent))
    }

    const UNKNOWN: PutOutcome = PutOutcome::Unknown { retry_after: None };

    #[test]
    fn every_status_of_a_put_has_its_outcome() {
        assert_eq!(put(&answer(412)), PutOutcome::Moved);
        assert_eq!(create(&answer(412)), PutOutcome::Moved);
        assert_eq!(create(&answer(304)), PutOutcome::Moved);
        assert_eq!(put(&coded(404, "NoSuchKey")), PutOutcome::Gone);
        assert_eq!(put(&answer(409)), PutOutcome::Busy);
        assert_eq!(create(&coded(409, "OperationAborted")), PutOutcome::Busy);
        for status in [401, 403] {
            assert_eq!(put(&answer(status)), PutOutcome::Refused(Refusal::Denied));
        }
        assert_eq!(put(&answer(413)), PutOutcome::Refused(Refusal::TooLarge));
        for status in [400, 405, 501] {
            assert_eq!(put(&answer(status)), PutOutcome::Refused(Refusal::Unsupported));
        }
        for status in [301, 307, 408, 429, 500, 502, 503, 504] {
            assert_eq!(put(&answer(status)), UNKNOWN, "{status}");
            assert_eq!(create(&answer(status)), UNKNOWN, "{status}");
        }
        assert_eq!(put_outcome(None, None, None), UNKNOWN);
    }

    #[test]
    fn what_passes_by_itself_is_never_refused() {
        assert_eq!(put(&coded(400, "RequestTimeout")), UNKNOWN);
        assert_eq!(put(&coded(400, "ExpiredToken")), UNKNOWN);
        assert_eq!(put(&coded(403, "ExpiredToken")), UNKNOWN);
        assert_eq!(put(&coded(400, "InvalidToken")), UNKNOWN);
        assert_eq!(put(&coded(404, "NoSuchBucket")), UNKNOWN);
    }

    #[test]
    fn fault_16_a_missing_bucket_is_no_missing_object() {
        assert_eq!(get_failure(Some(&coded(404, "NoSuchKey"))), GetOutcome::Missing);
        assert_eq!(get_failure(Some(&coded(404, "NoSuchBucket"))), GetOutcome::Unavailable { retry_after: None });
        assert_eq!(get_failure(Some(&coded(301, "PermanentRedirect"))), GetOutcome::Unavailable { retry_after: None });
    }

    #[test]
    fn fault_22_a_404_that_the_store_did_not_sign_says_nothing() {
        assert_eq!(get_failure(Some(&answer(404))), GetOutcome::Unavailable { retry_after: None });
        assert_eq!(put(&answer(404)), UNKNOWN);
        assert_eq!(create(&answer(404)), UNKNOWN);
    }

    #[test]
    fn fault_23_etags_have_one_form() {
        for raw in ["\"abc-2\"", "abc-2", "W/\"abc-2\"", " w/\"abc-2\" "] {
            assert_eq!(normalised_etag(raw), Some(ETag::new("\"abc-2\"")), "{raw}");
        }
        for raw in ["", "\"\"", "W/\"\"", "a b", "a\"b"] {
            assert_eq!(normalised_etag(raw), None, "{raw}");
        }
        assert_eq!(put_outcome(Some(&answer(200)), None, None), UNKNOWN);
        assert_eq!(put_outcome(Some(&answer(200)), Some("W/\"x\""), None), PutOutcome::Written(ETag::new("\"x\"")));
    }

    #[test]
    fn retry_after_is_seconds_and_bounded() {
        assert_eq!(retry_after_ms("2"), Some(2_000));
        assert_eq!(retry_after_ms("999999999999"), Some(60_000));
        assert_eq!(retry_after_ms("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }

    #[test]
    fn fault_31_every_error_of_a_disk_has_its_outcome() {
        let write = |errno| disk_write_failure(&io::Error::from_raw_os_error(errno));
        let read = |errno| disk_read_failure(&io::Error::from_raw_os_error(errno));
        const ENOENT: i32 = 2;
        const EIO: i32 = 5;
        const EACCES: i32 = 13;
        const EFBIG: i32 = 27;
        const ENOSPC: i32 = 28;
        const EROFS: i32 = 30;
        for errno in [EROFS, EACCES] {
            assert_eq!(write(errno), PutOutcome::Refused(Refusal::Denied), "it waits, and says what is wrong");
            assert_eq!(read(errno), GetOutcome::Denied);
        }
        for errno in [EIO, ENOSPC] {
            assert_eq!(write(errno), UNKNOWN, "the machine looks and tries again");
            assert_eq!(read(errno), GetOutcome::Unavailable { retry_after: None }, "never a missing object");
        }
        assert_eq!(write(EFBIG), PutOutcome::Refused(Refusal::TooLarge));
        assert_eq!(read(ENOENT), GetOutcome::Missing);
    }

    #[test]
    fn fault_72_an_error_body_is_text_and_no_more() {
        assert_eq!(error_code(b"<?xml?><Error><Code>NoSuchBucket</Code>").as_deref(), Some("NoSuchBucket"));
        assert_eq!(error_code(b"<!ENTITY a 'x'><Code>&a;</Code>"), None);
        assert_eq!(error_code(&[0xff; 10]), None);
    }
}
