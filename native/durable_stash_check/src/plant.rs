//! Where the model itself has to play along with a planted bug: the ones that are the store's or the client's. Without
//! the feature `planted-bugs` there is no bug to plant.

#[cfg(feature = "planted-bugs")]
pub use durable_stash_machine::planted::Bug;
#[cfg(feature = "planted-bugs")]
pub(crate) use durable_stash_machine::planted::hashed;
#[cfg(feature = "planted-bugs")]
pub(crate) use with::{etags_return, forgets_failures, is_unconditional};
#[cfg(not(feature = "planted-bugs"))]
pub(crate) use without::{Bug, etags_return, forgets_failures, hashed, is_unconditional};

#[cfg(not(feature = "planted-bugs"))]
mod without {
    use durable_stash_machine::Precondition;

    /// There is none.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Bug {}

    /// Whether the PUT is to be applied whatever stands there.
    pub(crate) fn is_unconditional(_: &Precondition) -> bool {
        false
    }

    /// What of an object its etag is a hash of.
    pub(crate) fn hashed(body: &[u8], _: Option<Bug>) -> &[u8] {
        body
    }

    /// Whether a precondition that does not hold may hold later.
    pub(crate) fn etags_return(_: Option<Bug>) -> bool {
        false
    }

    /// Whether the client takes what was accepted for saved.
    pub(crate) fn forgets_failures(_: Option<Bug>) -> bool {
        false
    }
}

#[cfg(feature = "planted-bugs")]
mod with {
    use durable_stash_machine::Precondition;
    use durable_stash_machine::planted::{ANY, Bug};

    /// Whether the PUT is to be applied whatever stands there.
    pub(crate) fn is_unconditional(precondition: &Precondition) -> bool {
        matches!(precondition, Precondition::Matches(etag) if etag.as_str() == ANY)
    }

    /// Whether a precondition that does not hold may hold later.
    pub(crate) fn etags_return(planted: Option<Bug>) -> bool {
        planted == Some(Bug::EtagWithoutRev)
    }

    /// Whether the client takes what was accepted for saved.
    pub(crate) fn forgets_failures(planted: Option<Bug>) -> bool {
        planted == Some(Bug::KeptTermsAdvance)
    }
}
