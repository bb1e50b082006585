//! What a call takes of the heap, counted: a limit on time would fail on a busy machine.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What one call took.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// The most bytes held at one time, beyond what was held before.
    pub peak: usize,
    /// How often memory was asked for.
    pub allocations: usize,
}

/// Calls `work` and counts what this thread takes meanwhile.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Used) {
    let before = HELD.get();
    PEAK.set(before);
    ALLOCATIONS.set(0);
    let result = work();
    (result, Used { peak: (PEAK.get() - before).max(0) as usize, allocations: ALLOCATIONS.get() })
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    // Below zero where this thread frees what another has taken.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came; the counters are plain cells without a
// destructor, so that they can be used at any time of a thread's life.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.set(HELD.get() - layout.size() as isize);
        took(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn took(bytes: usize) {
    HELD.set(HELD.get() + bytes as isize);
    PEAK.set(PEAK.get().max(HELD.get()));
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}
