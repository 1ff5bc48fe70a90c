//! What an eventfd is to a loop that sleeps in epoll, level-triggered: a number, and a way to wait
//! until it is not 0.

use crate::sync::{Condvar, Mutex};
use std::io;

#[derive(Debug)]
pub(crate) struct Wakeup {
    counter: Mutex<u64>,
    readable: Condvar,
    works: bool,
}

impl Wakeup {
    pub(crate) fn new() -> Self {
        Self { counter: Mutex::new(0), readable: Condvar::new(), works: true }
    }

    pub(crate) fn broken() -> Self {
        Self { works: false, ..Self::new() }
    }

    pub(crate) fn notify(&self) -> io::Result<()> {
        if !self.works {
            return Err(io::ErrorKind::Other.into());
        }
        *self.counter.lock() += 1;
        self.readable.notify_all();
        Ok(())
    }

    pub(crate) fn clear(&self) -> io::Result<()> {
        *self.counter.lock() = 0;
        Ok(())
    }

    /// The loop's sleep. If nobody ever notifies, loom reports a deadlock.
    pub(crate) fn wait(&self) {
        let mut counter = self.counter.lock();
        while *counter == 0 {
            self.readable.wait(&mut counter);
        }
    }
}
