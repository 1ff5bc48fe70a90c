//! The model of one connection, with no socket in it.
//!
//! A server that serves many clients from one thread can never wait for one of them, so everything
//! it knows about a client has to be written down between two visits: how far a request has come,
//! what is still to be sent, since when nothing has moved. This crate is that record and the rules
//! by which it changes.
//!
//! Read it in this order:
//!
//! 1. [`state`]: the states, the events, and the one table that says what leads where;
//! 2. [`protocol`]: bytes to requests, and [`reply`]: replies to bytes;
//! 3. [`service`]: what a request means, and which requests are work for a CPU;
//! 4. [`connection`]: the state, the buffers and the clocks of one client, and the only two
//!    functions that ever meet a short count, `EAGAIN` or `EINTR`;
//! 5. [`registry`]: all connections by descriptor, and what the kernel should watch each of them for;
//! 6. [`write_policy`] and [`executor`]: the seams for backpressure and for CPU work;
//! 7. [`policy`] and [`stats`]: limits and counters as plain data.
//!
//! Nothing here opens a socket or asks a clock: streams and times are arguments, so that a test can
//! cut the input at every byte and move the time by hand.
#![forbid(unsafe_code)]

pub mod connection;
pub mod executor;
pub mod id;
pub mod policy;
pub mod protocol;
pub mod registry;
pub mod reply;
pub mod service;
pub mod state;
pub mod stats;
pub mod write_policy;

mod write_queue;
