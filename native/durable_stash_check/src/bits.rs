//! Small sets of small numbers.

/// A set of numbers below 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bits(u32);

impl Bits {
    /// The set of one.
    pub(crate) fn one(member: u8) -> Self {
        Self(1 << member)
    }

    /// Whether it is in there.
    pub(crate) fn has(self, member: u8) -> bool {
        self.0 & (1 << member) != 0
    }

    /// Whether nothing is in there.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    pub(crate) fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is here and not there.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Its members, upwards.
    pub(crate) fn members(self) -> impl Iterator<Item = u8> {
        (0..32).filter(move |member| self.has(*member))
    }
}

impl FromIterator<u8> for Bits {
    fn from_iter<I: IntoIterator<Item = u8>>(members: I) -> Self {
        members.into_iter().fold(Self::default(), |set, member| set.and(Self::one(member)))
    }
}
