//! What native/durable_stash_schedules needs of these sources beside the tokio and parking_lot that its Cargo.toml replaces:
//! shuttle decides there which thread runs next. Everywhere else this file is std.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic;
#[cfg(shuttle)]
pub(crate) use shuttled::{HashMap, since};
#[cfg(not(shuttle))]
pub(crate) use std::{collections::HashMap, sync::atomic};

#[cfg(not(shuttle))]
pub(crate) fn since(origin: tokio::time::Instant) -> std::time::Duration {
    origin.elapsed()
}

/// `planted!(Bug)`: whether a test has planted the bug, to see itself find it. Outside of shuttle that is `false`.
#[cfg(not(shuttle))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(shuttle)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::sync::bugs::is($crate::sync::bugs::Bug::$bug)
    };
}

#[cfg(shuttle)]
mod shuttled {
    use std::hash::{BuildHasherDefault, DefaultHasher};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    /// Maps have one order, so that a schedule can be repeated.
    pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

    shuttle::lazy_static! {
        static ref LOOKS: AtomicU64 = AtomicU64::new(0);
    }

    /// Time passes by being looked at, 1 ms each time, for the same reason.
    pub(crate) fn since(_: tokio::time::Instant) -> Duration {
        Duration::from_millis(LOOKS.fetch_add(1, Relaxed))
    }
}

/// Bugs that tests plant, to see themselves find them.
#[cfg(shuttle)]
pub mod bugs {
    use std::cell::Cell;

    /// A bug that somebody could write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Bug {
        /// A driver leaves without a last look at its inputs.
        LeavesUnseen,
        /// A session that nobody holds stays in the map when its driver leaves.
        CellStays,
        /// A session is woken although the engine is closed.
        WokenWhenClosed,
        /// A drain tells the sessions, and closes the registry when they have ended.
        ClosedTooLate,
        /// A stop does not tell the handles of sessions that nobody drives.
        DormantUntold,
        /// A write's turn is taken before the session has it, and others may come between.
        TurnTakenEarly,
    }

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug for this thread's schedules, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

pub(crate) use planted;
