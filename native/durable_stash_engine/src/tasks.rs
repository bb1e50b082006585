//! The engine's running tasks, counted, so that a stop can wait for the last one (fault 45).

use std::sync::Arc;

use tokio::sync::watch;

/// A count of running tasks that can be waited for.
#[derive(Clone, Debug)]
pub(crate) struct Tasks(Arc<watch::Sender<usize>>);

/// One task; ends when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Task(Arc<watch::Sender<usize>>);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::channel(0).0))
    }

    pub(crate) fn begin(&self) -> Task {
        self.0.send_modify(|count| *count += 1);
        Task(self.0.clone())
    }

    /// Waits until none runs.
    pub(crate) async fn all_ended(&self) {
        // The sender lives in `self`, so that this ends by the count only.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }

    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
