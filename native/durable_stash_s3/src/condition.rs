//! What a request makes its effect depend on: `If-Match` and `If-None-Match`.

pub use s3s::dto::{ETag, ETagCondition};

/// The conditions of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`.
    pub if_match: Option<ETagCondition>,
    /// `If-None-Match`.
    pub if_none_match: Option<ETagCondition>,
}

/// Why the store did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// 404.
    NoSuchBucket,
    /// 404, also as the answer to an `If-Match` on a key that does not exist (S3 user guide, "Conditional writes" and
    /// "Conditional deletes").
    NoSuchKey,
    /// 304: a reader has this version already.
    NotModified,
    /// 412.
    PreconditionFailed,
}

impl Conditions {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Whether a write or a delete may replace what is there: an object with this etag, or none.
    pub(crate) fn allow_write(&self, present: Option<&str>) -> Result<(), Rejection> {
        if let Some(condition) = &self.if_match {
            let present = present.ok_or(Rejection::NoSuchKey)?;
            if !matches_strongly(condition, present) {
                return Err(Rejection::PreconditionFailed);
            }
        }
        match (&self.if_none_match, present) {
            (Some(condition), Some(present)) if matches_weakly(condition, present) => {
                Err(Rejection::PreconditionFailed)
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Whether a reader is to get the object with this etag.
    pub(crate) fn allow_read(&self, present: &str) -> Result<(), Rejection> {
        if self.if_match.as_ref().is_some_and(|condition| !matches_strongly(condition, present)) {
            return Err(Rejection::PreconditionFailed);
        }
        if self.if_none_match.as_ref().is_some_and(|condition| matches_weakly(condition, present)) {
            return Err(Rejection::NotModified);
        }
        Ok(())
    }
}

/// `If-Match` compares strongly: a weak etag matches nothing (RFC 9110 §13.1.1).
fn matches_strongly(condition: &ETagCondition, present: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.as_strong() == Some(present),
    }
}

/// `If-None-Match` compares weakly (RFC 9110 §13.1.2).
fn matches_weakly(condition: &ETagCondition, present: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_if(etag: ETag) -> Conditions {
        Conditions { if_match: Some(ETagCondition::ETag(etag)), if_none_match: None }
    }

    fn unless(condition: ETagCondition) -> Conditions {
        Conditions { if_match: None, if_none_match: Some(condition) }
    }

    #[test]
    fn an_update_needs_the_present_etag_and_a_present_object() {
        let update = only_if(ETag::Strong("a".into()));
        assert_eq!(update.allow_write(Some("a")), Ok(()));
        assert_eq!(update.allow_write(Some("b")), Err(Rejection::PreconditionFailed));
        assert_eq!(update.allow_write(None), Err(Rejection::NoSuchKey));
    }

    #[test]
    fn a_create_needs_absence() {
        let create = unless(ETagCondition::Any);
        assert_eq!(create.allow_write(None), Ok(()));
        assert_eq!(create.allow_write(Some("a")), Err(Rejection::PreconditionFailed));
    }

    #[test]
    fn a_weak_etag_matches_for_readers_only() {
        let weak = ETag::Weak("a".into());
        assert_eq!(only_if(weak.clone()).allow_write(Some("a")), Err(Rejection::PreconditionFailed));
        assert_eq!(unless(ETagCondition::ETag(weak)).allow_read("a"), Err(Rejection::NotModified));
    }
}
