//! CPU work on the loop: simple, and the reason why a later day has worker threads.

use conn_core::executor::{Executor, Submitted};
use conn_core::id::ConnId;
use conn_core::service::Task;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Runs each task at once, on the loop's own thread. Everybody else waits meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Executor for Inline {
    fn submit(&mut self, _from: ConnId, task: Task<'_>, _now: Instant) -> Submitted {
        let outcome = task.run(thread_cpu_time);
        Submitted::Done(outcome, Instant::now())
    }
}

/// How much CPU time this thread has used so far.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // The clock starts at 0 with the thread and does not go back.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
