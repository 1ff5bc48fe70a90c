//! The locks and threads of this crate under one name: the model checker's tests put their own here.
//!
//! The locks are parking_lot's, which is compiled along with the server. std comes compiled already,
//! so ThreadSanitizer can't look into its locks and reports what they protect as races. And a panic
//! does not poison these: a queue is whole again before its lock is let go.

pub use parking_lot::{Condvar, Mutex};
pub use std::thread;

/// How much nicer a worker is than the loop (nice(2)).
const NICER: i32 = 10;

/// Lets the loop go first where there are more threads than cores: on Linux niceness is a thread's own
/// (sched(7)). Among equals, who wakes up waits until a computing thread has used up its time slice, and
/// a loop does little else than wake up.
pub fn give_way() {
    // Without it the server is slower, not wrong.
    let _ = rustix::process::nice(NICER);
}
