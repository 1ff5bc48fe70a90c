//! What ends a test that hangs.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything here takes on the busiest machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Runs `test`; fails if it has not ended after [`LONG`].
pub(crate) fn not_for_ever(test: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        let _ = ended.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(LONG) {
        panic!("it hangs");
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Waits for what another thread is about to bring about.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let give_up = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < give_up, "it never happens");
        thread::yield_now();
    }
}
