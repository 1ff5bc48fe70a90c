//! What an eventfd is to a loop that sleeps in epoll, level-triggered: a number, and a way to wait
//! until it is not 0. Each run of a model has one.

use crate::sync::{Condvar, Mutex};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

struct Counter {
    value: Mutex<u64>,
    not_zero: Condvar,
}

loom::lazy_static! {
    static ref COUNTER: Counter = Counter { value: Mutex::new(0), not_zero: Condvar::new() };
}

#[derive(Debug)]
pub(crate) struct Wakeup {
    works: bool,
}

impl Wakeup {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { works: true })
    }

    pub(crate) fn broken() -> Self {
        Self { works: false }
    }

    pub(crate) fn notify(&self) -> io::Result<()> {
        if !self.works {
            return Err(io::ErrorKind::Other.into());
        }
        *COUNTER.value.lock() += 1;
        COUNTER.not_zero.notify_all();
        Ok(())
    }

    pub(crate) fn clear(&self) -> io::Result<()> {
        *COUNTER.value.lock() = 0;
        Ok(())
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        unreachable!("a model has no descriptors: its loop sleeps in `wait_until_readable`")
    }
}

/// The loop's sleep. If nobody ever notifies, loom reports a deadlock.
pub(crate) fn wait_until_readable() {
    let mut value = COUNTER.value.lock();
    while *value == 0 {
        COUNTER.not_zero.wait(&mut value);
    }
}
