//! The threads of this library: one runtime and one outbox for the whole VM, however many engines come and go (fault
//! 45).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::reply::Outbox;

/// Started with the first engine, and never stopped.
pub(crate) struct Threads {
    runtime: Runtime,
    outbox: Outbox,
}

impl Threads {
    /// The VM's threads. `workers`, how many of them do I/O, counts when they are started, which is with the first
    /// engine.
    pub(crate) fn get_or_start(workers: usize) -> io::Result<&'static Threads> {
        static THREADS: OnceCell<Threads> = OnceCell::new();
        THREADS.get_or_try_init(|| Ok(Threads { runtime: start_runtime(workers)?, outbox: Outbox::start()? }))
    }

    pub(crate) fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }
}

fn start_runtime(workers: usize) -> io::Result<Runtime> {
    let started = AtomicUsize::new(0);
    Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .thread_name_fn(move || format!("dstash-io-{}", started.fetch_add(1, Ordering::Relaxed)))
        .enable_all()
        .build()
}
