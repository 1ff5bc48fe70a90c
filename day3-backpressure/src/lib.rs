//! Day 3: what is queued for a client is bounded, whatever it asks for and however little it reads.
//!
//! New today: a policy for long write queues. At the high-water mark no more requests are taken from
//! that connection; at the low-water mark they are again. What is not taken stays in the kernel, the
//! kernel's window closes, and the sender has to wait: that is backpressure. Who keeps the queue
//! long and takes next to nothing is disconnected.
//!
//! A client can see that one that sends and never reads costs the server a bounded amount of memory
//! and the others nothing. One that reads in time gets every reply.
//!
//! Still missing: descriptors above 1023 (day 4), and a turn whose cost does not grow with the number
//! of idle connections (week 4).
#![forbid(unsafe_code)]

pub mod backpressure;
pub mod options;
