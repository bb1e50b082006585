//! What the store and the way to it do to requests: rates of single faults, and episodes that last a while.

use super::random::Random;

/// Of a thousand requests so many meet this.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) answer_lost: u16,
    pub(crate) put_lost: u16,
    pub(crate) own_conflict: u16,
    pub(crate) late: u16,
    pub(crate) busy: u16,
    pub(crate) stale: u16,
    pub(crate) slow: u16,
    pub(crate) silent: u16,
    pub(crate) no_etag: u16,
    pub(crate) spoilt: u16,
    pub(crate) get_lost: u16,
}

/// Something that lasts.
#[derive(Clone, Debug)]
pub(crate) struct Episode {
    pub(crate) kind: Kind,
    /// For this node; for all if none.
    pub(crate) node: Option<usize>,
    pub(crate) until_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Fault 16: the bucket is not there.
    NoBucket,
    /// Fault 17: 403 to both, to GETs, to PUTs.
    Denied,
    DeniedGets,
    DeniedPuts,
    /// Fault 18: the node's clock is wrong, so that its signatures are refused.
    Skewed,
    /// Fault 19.
    Outage,
    /// Fault 20.
    BrownOut,
    /// Fault 24: one write a second for each key.
    Throttled,
    /// Fault 25: 503 with `Retry-After` to most writes.
    SlowDown,
}

impl Kind {
    pub(crate) fn fault(self) -> u8 {
        match self {
            Self::NoBucket => 16,
            Self::Denied | Self::DeniedGets | Self::DeniedPuts => 17,
            Self::Skewed => 18,
            Self::Outage => 19,
            Self::BrownOut => 20,
            Self::Throttled => 24,
            Self::SlowDown => 25,
        }
    }

    fn any(random: &mut Random) -> Self {
        random.pick(&[
            Self::Denied,
            Self::DeniedGets,
            Self::DeniedPuts,
            Self::Outage,
            Self::Outage,
            Self::BrownOut,
            Self::BrownOut,
            Self::Throttled,
            Self::SlowDown,
        ])
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) rates: Rates,
    /// The longest way of a request to the store, or of an answer back, in ms.
    pub(crate) latency_ms: u64,
    pub(crate) episodes: Vec<Episode>,
}

impl Weather {
    /// Each seed has its own mix: most faults now and then, some often, some never.
    pub(crate) fn of(random: &mut Random) -> Self {
        let mut rate = || random.pick(&[0, 10, 30, 100]);
        let rates = Rates {
            answer_lost: rate(),
            put_lost: rate(),
            own_conflict: rate(),
            late: rate(),
            busy: rate(),
            stale: rate() / 5,
            slow: rate() / 5,
            silent: rate() / 5,
            no_etag: rate() / 2,
            spoilt: rate() / 5,
            get_lost: rate(),
        };
        Self { rates, latency_ms: random.pick(&[2, 20, 200, 800]), episodes: Vec::new() }
    }

    /// From now on nothing goes wrong.
    pub(crate) fn clear(&mut self) {
        *self = Self { latency_ms: self.latency_ms.min(20), ..Self::default() };
    }

    pub(crate) fn begin(&mut self, random: &mut Random, nodes: usize, now_ms: u64) {
        let kind = Kind::any(random);
        let node = random.happens(500).then(|| random.index(nodes));
        let longest = random.pick(&[300, 2_000, 8_000, 30_000]);
        self.episodes.push(Episode { kind, node, until_ms: now_ms + random.below(longest) });
    }

    pub(crate) fn has(&self, kind: Kind, node: usize, now_ms: u64) -> bool {
        let concerns = |episode: &Episode| {
            episode.kind == kind && episode.node.is_none_or(|other| other == node) && episode.until_ms > now_ms
        };
        self.episodes.iter().any(concerns)
    }
}
