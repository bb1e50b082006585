//! Stops an engine's tasks as SIGSTOP stops a process, and lets them go on: for this workspace's own tests.
//!
//! Clocks run on and requests that are under way are answered meanwhile; the engine finds all that when it goes on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Holds the tasks of one engine, or lets them run. Clones are the same brake.
#[derive(Clone, Debug, Default)]
pub struct Brake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    is_on: bool,
    waiting: Vec<Waker>,
}

impl Brake {
    /// No task takes another turn from now on.
    pub fn freeze(&self) {
        self.0.lock().is_on = true;
    }

    /// Every task goes on, in the order in which they were stopped.
    pub fn resume(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.is_on = false;
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    /// Waits until the tasks may run: for what does not run as one of them.
    pub async fn pass(&self) {
        std::future::poll_fn(|context| self.poll_pass(context)).await;
    }

    fn poll_pass(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.is_on {
            state.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    pub(crate) fn hold(&self, task: impl Future<Output = ()> + Send + 'static) -> Held {
        Held { task: Box::pin(task), brake: self.clone() }
    }
}

/// A task under a brake.
pub(crate) struct Held {
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
    brake: Brake,
}

impl Future for Held {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.brake.poll_pass(context) {
            Poll::Ready(()) => self.task.as_mut().poll(context),
            Poll::Pending => Poll::Pending,
        }
    }
}
