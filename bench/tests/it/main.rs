//! The benchmark's own tests, against a small server that keeps count, and that lies when told to.

#![expect(clippy::unwrap_used, reason = "a test's helpers may")]

mod load;
mod load_command;
mod run;
mod scripted;
