//! The runtime as its users see it: real sockets on the loopback, real threads.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cancel;
mod echo;
mod examples;
mod migration;
mod other_events;
mod readiness;
mod runtime;
mod semaphore;
mod support;
mod tasks;
mod timers;
