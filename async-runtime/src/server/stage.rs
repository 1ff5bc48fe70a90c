//! Serving, draining, giving up: what all tasks have to know at once.

use parking_lot::Mutex;
use slab::Slab;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// How far the server's life has come. There is no way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Newcomers are welcome.
    Serving,
    /// Nobody new is accepted, and only requests that had arrived are answered.
    Draining,
    /// The time for that is over.
    Abandoned,
}

/// The stage, and all who have to be told when it changes.
#[derive(Debug, Default)]
pub(crate) struct Life {
    stage: AtomicU8,
    listeners: Mutex<Slab<Waker>>,
    clients: AtomicUsize,
    /// Who wants to know when a client has left.
    watching_out: Mutex<Vec<Waker>>,
}

impl Life {
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Serving,
            1 => Stage::Draining,
            _ => Stage::Abandoned,
        }
    }

    /// Goes on to `stage`, and wakes everybody who listens.
    pub(crate) fn advance(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
        // Who begins to listen after this has been under the lock, and sees the new stage.
        let wakers: Vec<Waker> = self.listeners.lock().iter().map(|(_, w)| w.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Has the task of `cx` woken whenever the stage changes, until what is returned is dropped. It has to
    /// look at the stage after this.
    pub(crate) fn listen(self: &Arc<Self>, cx: &Context<'_>) -> Listening {
        let number = self.listeners.lock().insert(cx.waker().clone());
        Listening { life: Arc::clone(self), number }
    }

    /// How many clients there are, on all workers.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Acquire)
    }

    /// Counts a client until what is returned is dropped.
    pub(crate) fn count_client(self: &Arc<Self>) -> Counted {
        self.clients.fetch_add(1, Ordering::AcqRel);
        Counted(Arc::clone(self))
    }

    /// Has it noted, once the connection is closed, that its descriptor is free.
    pub(crate) fn note_departure(self: &Arc<Self>) -> Departure {
        Departure(Arc::clone(self))
    }

    /// Waits until a client leaves, from the first poll on.
    pub(crate) async fn departure(&self) {
        let mut asked = false;
        poll_fn(|cx| {
            if asked {
                return Poll::Ready(());
            }
            asked = true;
            self.watch_out(cx);
            Poll::Pending
        })
        .await;
    }

    /// Waits until all clients have left.
    pub(crate) async fn all_gone(&self) {
        poll_fn(|cx| {
            // First the waker, then the question: who leaves in between wakes us.
            self.watch_out(cx);
            if self.clients() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Has the task of `cx` woken when the next client leaves.
    fn watch_out(&self, cx: &Context<'_>) {
        let mut wakers = self.watching_out.lock();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }
}

/// A task that is told of changes.
#[derive(Debug)]
pub(crate) struct Listening {
    life: Arc<Life>,
    number: usize,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let waker = self.life.listeners.lock().try_remove(self.number);
        drop(waker);
    }
}

/// One of the clients that are counted.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Life>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Dropped when a client's descriptor has been closed.
#[derive(Debug)]
pub(crate) struct Departure(Arc<Life>);

impl Drop for Departure {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut *self.0.watching_out.lock());
        waiting.into_iter().for_each(Waker::wake);
    }
}
