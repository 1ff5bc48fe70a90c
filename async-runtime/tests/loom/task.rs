//! A task on a thread of its own: polled when it is woken, and never otherwise.

use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

struct Woken {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}

/// Runs until `poll` is ready. If nobody ever wakes it, loom reports a deadlock.
pub(crate) fn run<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let woken = Arc::new(Woken { woken: Mutex::new(false), changed: Condvar::new() });
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        if let Poll::Ready(output) = poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut flag = woken.woken.lock();
        while !*flag {
            woken.changed.wait(&mut flag);
        }
        *flag = false;
    }
}
