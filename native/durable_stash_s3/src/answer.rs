//! Answers that the store did not give: errors in S3's XML, and a page of a captive portal.

use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use s3s::Body;

use crate::fault::Instead;
use crate::wire::Ending;

/// What becomes of a request.
pub(crate) enum Outcome {
    /// An answer, good or bad.
    Answer(Response<Body>),
    /// The connection ends.
    End(Ending),
    /// Nothing, ever.
    Silence,
}

impl Instead {
    pub(crate) fn outcome(&self) -> Outcome {
        let (status, code, retry_after_s) = match self {
            Self::Reset => return Outcome::End(Ending::Reset),
            Self::HangUp => return Outcome::End(Ending::Close),
            Self::Silence => return Outcome::Silence,
            Self::Html => return Outcome::Answer(answer(StatusCode::OK, "text/html", PAGE.to_owned())),
            Self::SlowDown => (503, "SlowDown", None),
            Self::TooManyRequests { retry_after_s } => (429, "TooManyRequests", Some(*retry_after_s)),
            Self::Conflict => (409, "ConditionalRequestConflict", None),
            Self::InternalError => (500, "InternalError", None),
            Self::NotImplemented => (501, "NotImplemented", None),
            Self::ExpiredToken => (403, "ExpiredToken", None),
            Self::AccessDenied => (403, "AccessDenied", None),
            Self::RequestTimeTooSkewed => (403, "RequestTimeTooSkewed", None),
            Self::Status { status, code, retry_after_s } => (*status, code.as_str(), *retry_after_s),
        };
        let status = StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16()));
        let mut response = error(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code);
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Outcome::Answer(response)
    }
}

/// An error as S3 puts it.
pub(crate) fn error(status: StatusCode, code: &str) -> Response<Body> {
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let message = "This answer was planned.";
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    answer(status, "application/xml", xml)
}

/// Any answer.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const PAGE: &str = "<!DOCTYPE html><html><body>Please log in to the network.</body></html>";
