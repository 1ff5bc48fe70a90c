//! What makes another thread's `poll_once` return.

use mio::{Registry, Token, Waker};
use std::cell::Cell;
use std::io;

/// The token under which a poll reports its doorbell. Sockets are numbered from 0.
pub(crate) const DOORBELL: Token = Token(usize::MAX);

/// An eventfd in the worker's own poll (eventfd(2)): a ring is one more event among those of the sockets.
#[derive(Debug)]
pub(crate) struct Doorbell(Waker);

impl Doorbell {
    pub(crate) fn new(registry: &Registry) -> io::Result<Self> {
        Ok(Self(Waker::new(registry, DOORBELL)?))
    }

    /// Makes the wait that is going on return, or else the next one.
    pub(crate) fn ring(&self) {
        // mio resets a counter that is at its end and tries again; write(2) names no other failure for
        // an open eventfd. A worker that can't be woken any more has lost its own descriptor: a bug.
        self.0.wake().expect("an open eventfd can be written to");
        RUNG.set(RUNG.get() + 1);
    }
}

thread_local! {
    static RUNG: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has rung any bell.
pub(crate) fn rung_by_this_thread() -> u64 {
    RUNG.get()
}
