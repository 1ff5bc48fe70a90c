//! Day 2: one thread serves many clients, on select(2).
//!
//! New today: the loop runs. Its question to the kernel, "who is ready?", is asked with `select`,
//! the oldest mechanism, and the one whose limits teach most.
//!
//! A client can see that 50 clients are served at once by one thread.
//!
//! Still missing: nothing bounds what is queued for a client that never reads (day 3), no
//! descriptor above 1023 can be watched, and each turn costs a step for every connection there is,
//! idle or not (day 4, week 4).
#![forbid(unsafe_code)]

pub mod select;
