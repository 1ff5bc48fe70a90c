//! The parts on real threads. One binary, a line for each part.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod completion_queue;
mod handoff;
mod start;
mod support;
mod task_queue;
mod worker_pool;
