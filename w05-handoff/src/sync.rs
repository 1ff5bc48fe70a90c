//! The locks and threads of this crate under one name: the model checker's tests put their own here.
//!
//! The locks are parking_lot's, which is compiled along with the server. std comes compiled already,
//! so ThreadSanitizer can't look into its locks and reports what they protect as races. And a panic
//! does not poison these: a queue is whole again before its lock is let go.

pub use parking_lot::{Condvar, Mutex};
pub use std::thread;
