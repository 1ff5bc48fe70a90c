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
    /// How many of these have not begun to drain.
    undrained: AtomicUsize,
    /// Who wants to know when a client has left, or all have begun to drain.
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
        self.undrained.fetch_add(1, Ordering::AcqRel);
        Counted { life: Arc::clone(self), drains: false }
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
        self.until_zero(&self.clients).await;
    }

    /// Waits until all clients have begun to drain.
    pub(crate) async fn all_drain(&self) {
        self.until_zero(&self.undrained).await;
    }

    async fn until_zero(&self, count: &AtomicUsize) {
        poll_fn(|cx| {
            // First the waker, then the question: who leaves in between wakes us.
            self.watch_out(cx);
            if count.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn wake_watchers(&self) {
        let waiting = std::mem::take(&mut *self.watching_out.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Has the task of `cx` woken by the next news of a client.
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
pub(crate) struct Counted {
    life: Arc<Life>,
    drains: bool,
}

impl Counted {
    /// It has begun to drain: nothing that it sends from now on counts.
    pub(crate) fn drains(&mut self) {
        if !self.drains {
            self.drains = true;
            if self.life.undrained.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.life.wake_watchers();
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drains();
        self.life.clients.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Dropped when a client's descriptor has been closed.
#[derive(Debug)]
pub(crate) struct Departure(Arc<Life>);

impl Drop for Departure {
    fn drop(&mut self) {
        self.0.wake_watchers();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::poll_once;
    use std::pin::pin;

    #[test]
    fn who_waits_for_the_clients_learns_that_they_drain_and_that_they_are_gone() {
        let runtime = async_runtime::runtime::Runtime::builder().workers(1).build().unwrap();
        runtime.block_on(async {
            let life = Arc::new(Life::default());
            let [mut first, second] = [(); 2].map(|()| life.count_client());
            let departure = life.note_departure();
            let (mut drain, mut gone) = (pin!(life.all_drain()), pin!(life.all_gone()));
            assert!(poll_once(drain.as_mut()).await.is_none());
            first.drains();
            // Saying it again changes nothing.
            first.drains();
            assert!(poll_once(drain.as_mut()).await.is_none());
            // One that leaves has no more to say.
            drop(second);
            drain.await;
            assert!(poll_once(gone.as_mut()).await.is_none());
            assert_eq!(life.clients(), 1);
            drop(first);
            drop(departure);
            gone.await;
        });
    }

    #[test]
    fn whoever_listens_is_woken_by_each_stage() {
        let runtime = async_runtime::runtime::Runtime::builder().workers(2).build().unwrap();
        runtime.block_on(async {
            let life = Arc::new(Life::default());
            let tasks: Vec<_> = (0..100)
                .map(|_| {
                    let life = Arc::clone(&life);
                    runtime.spawn(async move {
                        let mut listening = None;
                        poll_fn(|cx| {
                            listening.get_or_insert_with(|| life.listen(cx));
                            match life.stage() {
                                Stage::Abandoned => Poll::Ready(()),
                                _ => Poll::Pending,
                            }
                        })
                        .await;
                    })
                })
                .collect();
            life.advance(Stage::Draining);
            life.advance(Stage::Abandoned);
            for task in tasks {
                task.await.unwrap();
            }
            assert!(life.listeners.lock().is_empty());
        });
    }
}
