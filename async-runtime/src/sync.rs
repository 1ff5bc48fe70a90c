//! The locks of this crate under one name: the model checker's tests put their own here.
//!
//! They are parking_lot's, which is compiled along with the crate. std comes compiled already, so
//! ThreadSanitizer can't look into its locks and reports what they protect as races. And a panic does
//! not poison these: what they protect is whole again before its lock is let go.

pub(crate) use parking_lot::{Condvar, Mutex};
