//! Panics on demand, in this library's own tests (fault 46). Without the feature `fault-hooks` nothing of it is left.

use rustler::{Atom, Encoder, Env, NifResult, Term};

use crate::atoms;

/// Where a panic can be asked for. Entry points carry their own name.
#[inline]
pub(crate) fn pass(place: &'static str) {
    #[cfg(feature = "fault-hooks")]
    armed::pass(place);
    #[cfg(not(feature = "fault-hooks"))]
    let _ = place;
}

/// Lets the next call that passes `place` panic.
#[rustler::nif]
fn fault_hook<'a>(env: Env<'a>, place: &str, fault: Atom) -> NifResult<Term<'a>> {
    if fault != atoms::panic() {
        return Err(rustler::Error::BadArg);
    }
    #[cfg(feature = "fault-hooks")]
    {
        armed::arm(place);
        Ok(atoms::ok().encode(env))
    }
    #[cfg(not(feature = "fault-hooks"))]
    {
        let _ = place;
        Ok((atoms::error(), (atoms::refused(), "The library was built without the feature fault-hooks.")).encode(env))
    }
}

#[cfg(feature = "fault-hooks")]
mod armed {
    use std::sync::atomic::{AtomicBool, Ordering};

    use parking_lot::Mutex;

    static PLACES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static ANY: AtomicBool = AtomicBool::new(false);

    pub(super) fn arm(place: &str) {
        PLACES.lock().push(place.to_owned());
        ANY.store(true, Ordering::Release);
    }

    pub(super) fn pass(place: &'static str) {
        if ANY.load(Ordering::Acquire) && disarm(place) {
            panic!("asked for at {place}");
        }
    }

    fn disarm(place: &str) -> bool {
        let mut places = PLACES.lock();
        let armed = places.iter().position(|other| other == place).map(|at| places.remove(at)).is_some();
        ANY.store(!places.is_empty(), Ordering::Release);
        armed
    }
}
