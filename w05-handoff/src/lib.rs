//! Week 5: CPU work leaves the loop.
//!
//! ```text
//!            submit                       pop
//!   loop  ───────────►  TaskQueue  ───────────────►  worker-1 … worker-N
//!    ▲                                                   │
//!    │ take_all                                          │ run, then push
//!    └──────────────  CompletionQueue + eventfd  ◄───────┘
//! ```
//!
//! New today: a request that computes is handed to a worker thread and the loop goes on at once. The
//! result comes back through a list, and an eventfd, watched like any socket, says that there is one.
//! Workers never touch a socket, and the loop never computes.
//!
//! A client can see that nobody waits for somebody else's computation.
//!
//! Read [`task_queue`], [`completion_queue`] and [`worker_pool`], in this order: each stands alone.
//! [`handoff`] puts them together.
//!
//! Still missing: one loop can't use more than one core, and every visit is written as a state machine by hand.
#![forbid(unsafe_code)]

pub mod completion_queue;
pub mod handoff;
pub mod options;
pub mod sync;
pub mod task_queue;
pub mod wakeup;
pub mod worker_pool;
