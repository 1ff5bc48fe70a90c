//! The loop's side of the hand-off: the executor that has every task run by a worker.
//!
//! A task that finds the queue full is held back, on this side, until there is room; whoever comes
//! later goes behind it. There is one task a connection at most, so what is held is bounded too.
//!
//! What is held always moves on. It is held because the queue was full, and in a full queue there is
//! a task that some worker will take. That worker then finds that somebody was refused and wakes the
//! loop, which fills the queue again. A result wakes it as well, but alone it would not do: when the
//! loop comes, its worker may not have taken its next task yet, so that the queue is still full; and
//! with fewer places than workers, some would idle until one of the others has a result.

use crate::completion_queue::CompletionQueue;
use crate::options::{HandoffOptions, WhenFull};
use crate::task_queue::{TaskQueue, TryPushError};
use crate::wakeup::Wakeup;
use crate::worker_pool::{Job, StillRunning, WorkerPool};
use conn_core::executor::{Completion, Executor, Submitted, TaskStats, Ticket};
use conn_core::id::{ConnId, TaskId};
use conn_core::service::{Outcome, Task};
use reactor::cli;
use reactor::inline::thread_cpu_time;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// Idle workers need only a moment to end, and have it even if the time for the drain is over.
const MOMENT: Duration = Duration::from_millis(100);

/// A task on its way to a worker, with its sender's address.
#[derive(Debug)]
struct TaskJob {
    from: ConnId,
    id: TaskId,
    task: Task<'static>,
    /// When it is not waited for any longer; `None` for never.
    deadline: Option<Instant>,
}

/// Hands tasks to workers and brings their outcomes back.
#[derive(Debug)]
pub struct Handoff {
    queue: Arc<TaskQueue<TaskJob>>,
    results: Arc<CompletionQueue<Completion>>,
    pool: WorkerPool<TaskJob>,
    when_full: WhenFull,
    task_timeout: Option<Duration>,
    /// Tasks that found the queue full: by number, which is the order in which they came.
    held: BTreeMap<TaskId, TaskJob>,
    submitted: u64,
    /// Counted here, where results come back; the gauges are the queue's.
    counted: TaskStats,
}

impl Handoff {
    /// Starts the workers.
    ///
    /// # Errors
    /// Descriptors, threads or memory have run out.
    pub fn start(options: &HandoffOptions) -> io::Result<Self> {
        let queue = Arc::new(TaskQueue::new(options.tasks.queue_depth as usize));
        let results = Arc::new(CompletionQueue::new(Wakeup::new()?));
        let pool = WorkerPool::start(options.workers as usize, &queue, &results, end_the_server)?;
        Ok(Self {
            queue,
            results,
            pool,
            when_full: options.tasks.when_full,
            task_timeout: options.tasks.task_timeout,
            held: BTreeMap::new(),
            submitted: 0,
            counted: TaskStats::default(),
        })
    }

    /// Moves held tasks into the queue, first come first served, as far as there is room.
    fn move_up(&mut self) {
        while let Some((_, first)) = self.held.pop_first() {
            if let Err(TryPushError::Full(job) | TryPushError::Closed(job)) =
                self.queue.try_push(first)
            {
                self.held.insert(job.id, job);
                return;
            }
        }
    }
}

impl Executor for Handoff {
    fn submit(&mut self, from: ConnId, task: Task<'_>, now: Instant) -> Submitted {
        self.submitted += 1;
        let id = TaskId(self.submitted);
        let deadline = self.task_timeout.and_then(|timeout| now.checked_add(timeout));
        let job = TaskJob { from, id, task: task.into_owned(), deadline };
        // Whoever is held has come earlier.
        let accepted = if self.held.is_empty() {
            self.queue.try_push(job)
        } else {
            Err(TryPushError::Full(job))
        };
        let held = match accepted {
            Ok(()) => false,
            Err(_) if self.when_full == WhenFull::Shed => return Submitted::Busy,
            Err(TryPushError::Full(job) | TryPushError::Closed(job)) => {
                self.held.insert(id, job);
                true
            }
        };
        Submitted::Later(Ticket { task: id, deadline, held })
    }

    fn cancel(&mut self, task: TaskId) {
        // What is in the queue stays there: to look for it would keep the workers waiting. If its
        // time is over, the worker that pops it does not begin with it.
        self.held.remove(&task);
    }

    fn wakeup(&self) -> Option<BorrowedFd<'_>> {
        Some(self.results.wakeup().as_fd())
    }

    fn completed(&mut self, into: &mut Vec<Completion>) -> io::Result<()> {
        self.results.take_all(into)?;
        for completion in into.iter() {
            self.counted.done += 1;
            match completion.outcome {
                Outcome::Failed(_) => self.counted.failed += 1,
                Outcome::Panicked(_) => self.counted.panicked += 1,
                _ => {}
            }
        }
        self.move_up();
        Ok(())
    }

    fn threads(&self) -> usize {
        self.pool.workers()
    }

    fn stats(&self) -> Option<TaskStats> {
        let queue = self.queue.figures();
        Some(TaskStats {
            queued: queue.len as u64,
            peak_queued: queue.peak as u64,
            workers_busy: self.pool.busy() as u64,
            wakeups: self.results.wakeups(),
            ..self.counted
        })
    }

    fn finish(&mut self, deadline: Instant) {
        let deadline = deadline.max(Instant::now() + MOMENT);
        match self.pool.finish(Some(deadline)) {
            Ok(()) => info!("workers joined"),
            Err(StillRunning(workers)) => {
                warn!(workers, "out of time: not waiting for tasks that run")
            }
        }
    }
}

impl Job for TaskJob {
    type Result = Completion;

    fn run(&self) -> Completion {
        // Once tasks wait for longer than their clients do, workers that began with them all the
        // same would work for nobody, and go on so as long as clients keep asking.
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return self.completion(Outcome::TimedOut);
        }
        debug!(worker = rustix::thread::gettid().as_raw_nonzero(), task = self.id.0, "task");
        self.completion(self.task.run(thread_cpu_time))
    }

    /// The task's own panic is an outcome. This is for whatever else may panic, such as the log line.
    fn panicked(&self) -> Completion {
        self.completion(Outcome::Panicked(b"outside of the task, see the server's log".to_vec()))
    }
}

impl TaskJob {
    fn completion(&self, outcome: Outcome) -> Completion {
        Completion { conn: self.from, task: self.id, outcome }
    }
}

/// Clients would wait for results that nobody fetches.
fn end_the_server(error: io::Error) {
    let _ = cli::failure(format_args!("cannot wake the loop: {error}"));
    process::exit(1);
}
