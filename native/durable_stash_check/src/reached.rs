//! The states that make a model worth checking: each must be reachable, or the promises hold for want of trouble.

use stateright::Property;

use crate::bits::Bits;
use crate::model::Check;
use crate::world::World;

/// Something interesting that the last step has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// A PUT met a moved object.
    Conflict,
    /// An unknown outcome was found to be saved.
    ResolvedSaved,
    /// An unknown outcome was found not to be saved.
    ResolvedUnsaved,
    /// A write was told saved.
    ToldSaved,
    /// A write was told failed.
    ToldFailed,
    /// A write was told unknown.
    ToldUnknown,
    /// A superseded LiveView wrote on the node where it was superseded, and was refused.
    ZombieRefused,
    /// What a superseded LiveView had written on another node was taken out of its batch.
    ZombieFenced,
    /// A batch was applied to a newer revision than it was first built on, and a foreign value stayed.
    RebaseKeptForeign,
    /// A default was committed where something stood already, and changed nothing there.
    DefaultGaveWay,
    /// A PUT of a node that had died meanwhile was applied.
    OrphanLanded,
    /// A PUT was applied after its sender had stopped waiting.
    LatePutLanded,
    /// A PUT met its own earlier copy.
    MetItself,
    /// The sweeper buried an object.
    SweepBuried,
    /// The sweeper came too late.
    SweepLost,
    /// A tombstone was removed.
    TombstoneRemoved,
    /// A write was built on a tombstone.
    WroteOnTombstone,
    /// Slices of two versions stood side by side, and one was written.
    TwoVersions,
    /// A read showed a value that was accepted and not committed.
    ReadOwnUncommitted,
    /// A read was answered with what stood there when it was asked, although a newer revision stands there now.
    ReadOlder,
    /// A read was answered from the cache.
    StaleServed,
    /// The store showed less than it had shown before.
    StaleRead,
    /// What had failed was stashed again.
    StashedAgain,
    /// A fresh mount emptied its tab.
    TabEmptied,
    /// A document was forgotten.
    Forgotten,
}

impl Reached {
    /// That it is reached at all.
    pub(crate) fn sometimes(self) -> Property<Check> {
        match self {
            Self::Conflict => some::<{ Self::Conflict as u8 }>("a conflict"),
            Self::ResolvedSaved => some::<{ Self::ResolvedSaved as u8 }>("an unknown outcome resolved as saved"),
            Self::ResolvedUnsaved => {
                some::<{ Self::ResolvedUnsaved as u8 }>("an unknown outcome resolved as not saved")
            }
            Self::ToldSaved => some::<{ Self::ToldSaved as u8 }>("told saved"),
            Self::ToldFailed => some::<{ Self::ToldFailed as u8 }>("told failed"),
            Self::ToldUnknown => some::<{ Self::ToldUnknown as u8 }>("told unknown"),
            Self::ZombieRefused => some::<{ Self::ZombieRefused as u8 }>("a zombie refused on its own node"),
            Self::ZombieFenced => some::<{ Self::ZombieFenced as u8 }>("a zombie fenced by the store"),
            Self::RebaseKeptForeign => some::<{ Self::RebaseKeptForeign as u8 }>("a rebase that kept a foreign value"),
            Self::DefaultGaveWay => some::<{ Self::DefaultGaveWay as u8 }>("a default that gave way"),
            Self::OrphanLanded => some::<{ Self::OrphanLanded as u8 }>("a dead node's PUT landed"),
            Self::LatePutLanded => some::<{ Self::LatePutLanded as u8 }>("a late PUT landed"),
            Self::MetItself => some::<{ Self::MetItself as u8 }>("a PUT met its own copy"),
            Self::SweepBuried => some::<{ Self::SweepBuried as u8 }>("a sweep that buried"),
            Self::SweepLost => some::<{ Self::SweepLost as u8 }>("a sweep that lost to a write"),
            Self::TombstoneRemoved => some::<{ Self::TombstoneRemoved as u8 }>("a tombstone removed"),
            Self::WroteOnTombstone => some::<{ Self::WroteOnTombstone as u8 }>("a write on a tombstone"),
            Self::TwoVersions => some::<{ Self::TwoVersions as u8 }>("two versions side by side"),
            Self::ReadOwnUncommitted => some::<{ Self::ReadOwnUncommitted as u8 }>("a read of an uncommitted write"),
            Self::ReadOlder => some::<{ Self::ReadOlder as u8 }>("a read overtaken by a write"),
            Self::StaleServed => some::<{ Self::StaleServed as u8 }>("a read served from the cache"),
            Self::StaleRead => some::<{ Self::StaleRead as u8 }>("a store that is behind"),
            Self::StashedAgain => some::<{ Self::StashedAgain as u8 }>("a failed write stashed again"),
            Self::TabEmptied => some::<{ Self::TabEmptied as u8 }>("a fresh mount's emptying"),
            Self::Forgotten => some::<{ Self::Forgotten as u8 }>("a document forgotten"),
        }
    }
}

fn some<const REACHED: u8>(name: &'static str) -> Property<Check> {
    Property::sometimes(name, |_, world: &World| world.just.has(REACHED))
}

impl World {
    pub(crate) fn reach(&mut self, reached: Reached) {
        self.just = self.just.and(Bits::one(reached as u8));
    }
}
