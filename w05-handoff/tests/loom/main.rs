//! The hand-off under a model checker: every interleaving of a few threads, not a lucky one.
//!
//! The files below `src` are compiled a second time here, with loom's locks in place of parking_lot's
//! and a counter in place of the eventfd. A lost wakeup shows as a deadlock, since loom knows when no
//! thread can go on. What it does not try: wakeups without a reason (its condition variables have
//! none), and notifying anybody but the one who has waited longest.
//!
//! `cargo test -p w05-handoff --test loom -- --nocapture` says how many executions each model has.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sync;
mod wakeup;

#[expect(unreachable_pub, reason = "it is public in the crate")]
#[path = "../../src/completion_queue.rs"]
mod completion_queue;
#[expect(unreachable_pub, reason = "it is public in the crate")]
#[path = "../../src/handoff.rs"]
mod handoff;
#[expect(unreachable_pub, reason = "it is public in the crate")]
#[path = "../../src/options.rs"]
mod options;
#[expect(unreachable_pub, reason = "it is public in the crate")]
#[path = "../../src/task_queue.rs"]
mod task_queue;
#[expect(unreachable_pub, reason = "it is public in the crate")]
#[path = "../../src/worker_pool.rs"]
mod worker_pool;

mod completions;
mod explore;
mod pool;
mod tasks;
mod whole;
