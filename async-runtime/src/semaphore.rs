//! A number of places, and a line of those who wait for one.
//!
//! # Contract
//!
//! - **First come, first served.** A place that becomes free while somebody waits is given to who came
//!   first, and [`try_acquire`](Semaphore::try_acquire) does not get in between.
//! - **Exactly once.** There are never more permits than places. A permit that is dropped, or that was given
//!   to a future which is dropped before it has seen it, goes to the next.
//! - **Nobody waits in vain.** While a place is free, the line is empty.

use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// So many permits can be held at a time. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Semaphore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Who waits, by number: the lowest came first.
    line: BTreeMap<u64, Waker>,
    next: u64,
}

/// Permission to take one of the places, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    semaphore: Arc<Semaphore>,
}

impl Semaphore {
    /// A semaphore with so many places, all free.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { state: Mutex::new(State { free: places, line: BTreeMap::new(), next: 0 }) }
    }

    /// Takes a place if one is free.
    pub fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        self.take(&mut self.state.lock())
    }

    /// Waits for a place. Whoever drops the future leaves the line, which begins with the first poll.
    pub fn acquire(self: &Arc<Self>) -> Acquire {
        Acquire { semaphore: Arc::clone(self), number: None }
    }

    fn take(self: &Arc<Self>, state: &mut State) -> Option<Permit> {
        state.free = state.free.checked_sub(1)?;
        Some(Permit { semaphore: Arc::clone(self) })
    }

    /// Gives a place to who came first, or back.
    fn release(&self) {
        let first = {
            let mut state = self.state.lock();
            let first = state.line.pop_first();
            state.free += usize::from(first.is_none());
            first
        };
        // Not under the lock: a waker runs code of others.
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.release();
    }
}

/// What [`Semaphore::acquire`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Acquire {
    semaphore: Arc<Semaphore>,
    /// Set from the first poll to the end. Who is not in the line any more has been given a place.
    number: Option<u64>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let semaphore = Arc::clone(&self.semaphore);
        let mut state = semaphore.state.lock();
        let Some(number) = self.number else {
            if let Some(permit) = semaphore.take(&mut state) {
                return Poll::Ready(permit);
            }
            let number = state.next;
            state.next += 1;
            state.line.insert(number, cx.waker().clone());
            self.number = Some(number);
            return Poll::Pending;
        };
        let Some(waker) = state.line.get_mut(&number) else {
            self.number = None;
            return Poll::Ready(Permit { semaphore: Arc::clone(&semaphore) });
        };
        let replaced = std::mem::replace(waker, cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let left = self.semaphore.state.lock().line.remove(&number);
        if left.is_none() {
            // It was given a place, and has not seen it.
            self.semaphore.release();
        }
    }
}
