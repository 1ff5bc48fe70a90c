//! The seam for CPU work: where a task runs.
//!
//! A connection hands each task to its server's [`Executor`]. One that runs it on the spot is done
//! when the call returns (the first days). One that has it run elsewhere gives a [`Ticket`] instead,
//! and the loop brings the outcome later: it watches [`wakeup`](Executor::wakeup), takes what has
//! come back with [`completed`](Executor::completed), and finds the client by its number.

use crate::id::{ConnId, TaskId};
use crate::service::{Outcome, Task};
use crate::stats::Stats;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// What became of a task that was handed over.
#[derive(Debug)]
pub enum Submitted {
    /// It ran at once and ended at this time: the loop's clock must follow, for work takes time.
    Done(Outcome, Instant),
    /// It runs elsewhere; its outcome will be delivered to the connection later.
    Later(Ticket),
    /// There is no room for it, and it is not to wait for any.
    Busy,
}

/// What a connection keeps of a task that runs elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// The task's number.
    pub task: TaskId,
    /// When the client is told that it has taken too long; `None` for never.
    pub deadline: Option<Instant>,
    /// There was no room for it: it waits, and meanwhile nothing more is read from its client.
    pub held: bool,
}

/// A task has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Who waits for it; perhaps nobody does any more.
    pub conn: ConnId,
    /// Which task it was.
    pub task: TaskId,
    /// How it ended.
    pub outcome: Outcome,
}

/// What an executor with workers counts. Gauges go up and down; all others only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskStats {
    /// Tasks whose outcome has come back, whatever it was and whether or not somebody still waited.
    pub done: u64,
    /// Of these, tasks that returned an error.
    pub failed: u64,
    /// Of these, tasks that panicked.
    pub panicked: u64,
    /// Gauge: tasks that wait in the queue for a worker.
    pub queued: u64,
    /// The longest that the queue has been.
    pub peak_queued: u64,
    /// Gauge: workers that run a task.
    pub workers_busy: u64,
    /// Times that the loop was woken for results.
    pub wakeups: u64,
}

/// Where CPU work runs. All but [`submit`](Self::submit) has a default that suits an executor that
/// runs each task on the spot.
pub trait Executor {
    /// Takes over `task` for the connection `from`. Never waits for another task's end.
    fn submit(&mut self, from: ConnId, task: Task<'_>, now: Instant) -> Submitted;

    /// Nobody waits for this task any more. If it has not begun it need not; if it has, its outcome
    /// comes back and is dropped.
    fn cancel(&mut self, _task: TaskId) {}

    /// A descriptor that is readable while there is something to take with
    /// [`completed`](Self::completed).
    fn wakeup(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Clears the wakeup and puts everything that has come to its end into `into`, in place of what
    /// was there.
    ///
    /// # Errors
    /// The wakeup descriptor failed, which ends the server.
    fn completed(&mut self, _into: &mut Vec<Completion>) -> io::Result<()> {
        Ok(())
    }

    /// How many threads it has beside the loop's.
    fn threads(&self) -> usize {
        0
    }

    /// What it has counted, if it has workers.
    fn stats(&self) -> Option<TaskStats> {
        None
    }

    /// What the whole server has counted, where its clients are divided among several loops and `own` is
    /// only this one's part.
    fn server_stats(&mut self, own: &Stats) -> Stats {
        own.clone()
    }

    /// Called once, after the last client has left: lets the workers finish and joins them. Gives up
    /// at `deadline`: a task that runs can't be interrupted.
    fn finish(&mut self, _deadline: Instant) {}
}
