//! Week 4: the same server on epoll(7), where an idle connection costs nothing.
//!
//! New today: the kernel keeps the interest list. It is told only what changed since the last turn,
//! and it answers only with those that are ready, so a turn costs what its events cost and not what
//! its clients are many.
//!
//! A client can see that ten thousand idle neighbours slow nobody down.
//!
//! Still missing: CPU work still keeps everybody waiting (week 5).
#![forbid(unsafe_code)]

pub mod epoll;

mod edge;
