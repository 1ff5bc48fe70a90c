//! One side of a socket, reading or writing: is it ready, and who waits until it is?
//!
//! This is where readiness becomes a waker. The poll is edge-triggered: it tells once that something
//! has changed, and never again that nothing has. So readiness is remembered here, until a system call
//! says that it is over.
//!
//! A system call and an event can cross. The call finds nothing; the event comes; then the caller
//! notes "not ready" and sleeps, with data before its eyes. Therefore each event counts up, a caller
//! gets the count together with the news that the side is ready, and a note that is older than the
//! latest event is ignored.

use crate::sync::Mutex;
use rustix::io::Errno;
use std::panic::{self, AssertUnwindSafe};
use std::task::{Context, Poll, Waker};
use std::{io, mem};

#[derive(Debug)]
pub(crate) struct Side {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ready: bool,
    /// A call that came short does not mean that the next one would block, for good: the stream has come to
    /// its end, of which no further event tells, or has urgent data in it.
    lasting: bool,
    /// How many events there have been.
    events: u32,
    /// Whoever waits has waited too long; said once.
    timed_out: bool,
    /// Why nobody should ever wait here again.
    failed: Option<Errno>,
    waker: Option<Waker>,
}

/// Calls all wakers. A waker may be code of others: one that panics, which the panic hook tells, keeps
/// neither the rest from being woken nor the worker from going on.
pub(crate) fn wake_all(woken: impl IntoIterator<Item = Waker>) {
    for waker in woken {
        let _ = panic::catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// As of which event the side was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u32);

impl Side {
    pub(crate) fn new(ready: bool) -> Self {
        Self {
            state: Mutex::new(State {
                ready,
                lasting: false,
                events: 0,
                timed_out: false,
                failed: None,
                waker: None,
            }),
        }
    }

    /// Ready if a system call is worth a try. If not, the caller's task is woken as soon as it is.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<io::Result<Seen>> {
        let mut state = self.state.lock();
        if let Some(errno) = state.failed {
            return Poll::Ready(Err(errno.into()));
        }
        if mem::take(&mut state.timed_out) {
            return Poll::Ready(Err(Errno::TIMEDOUT.into()));
        }
        if state.ready {
            return Poll::Ready(Ok(Seen(state.events)));
        }
        // The waker that is replaced may be the last trace of its task, whose end could lead back here:
        // it is dropped after the lock.
        let replaced = match &mut state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            waker => waker.replace(cx.waker().clone()),
        };
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// For a system call that is made whether or not anything was announced: what had been by now.
    pub(crate) fn seen(&self) -> Seen {
        Seen(self.state.lock().events)
    }

    /// A system call would have blocked: whatever had been announced is used up.
    pub(crate) fn would_block(&self, seen: Seen) {
        let mut state = self.state.lock();
        if state.events == seen.0 {
            state.ready = false;
        }
    }

    /// A system call got less than it asked for: the next one would block (epoll(7), the question about
    /// reading until EAGAIN). Except that the end of a stream is announced only once, and that a recv ends
    /// where urgent data does.
    pub(crate) fn came_short(&self, seen: Seen) {
        let mut state = self.state.lock();
        if state.events == seen.0 && !state.lasting {
            state.ready = false;
        }
    }

    /// An event has come. Gives the waker of whoever has waited for it, to be woken without a lock.
    #[must_use]
    pub(crate) fn set_ready(&self, lasting: bool) -> Option<Waker> {
        let mut state = self.state.lock();
        state.ready = true;
        state.lasting |= lasting;
        state.events = state.events.wrapping_add(1);
        state.waker.take()
    }

    /// If somebody waits, it has been too long.
    #[must_use]
    pub(crate) fn time_out(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.timed_out = state.waker.is_some();
        state.waker.take()
    }

    /// Nothing will come of waiting here, and that is why.
    #[must_use]
    pub(crate) fn fail(&self, errno: Errno) -> Option<Waker> {
        let mut state = self.state.lock();
        state.failed = Some(errno);
        state.waker.take()
    }

    /// Nobody waits here any more: a future was dropped.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.timed_out = false;
        let forgotten = state.waker.take();
        drop(state);
        drop(forgotten);
    }
}
