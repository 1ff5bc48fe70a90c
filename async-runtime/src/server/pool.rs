//! CPU work goes to the runtime's blocking pool, and the client's task awaits its result.
//!
//! What bounds the queue is a semaphore: a task needs a place to wait in, and gives it back when a thread
//! begins with it. Who finds no place stands in line for one, first come first served, and leaves the
//! line when it is dropped.

use crate::figures::Figures;
use crate::stage::Life;
use async_runtime::runtime::Metrics;
use async_runtime::semaphore::{Permit, Semaphore};
use async_runtime::task::spawn_blocking;
use conn_core::executor::{Executor, Submitted, TaskStats, Ticket};
use conn_core::id::{ConnId, TaskId};
use conn_core::service::{Outcome, Task};
use conn_core::stats::Stats;
use parking_lot::Mutex;
use reactor::inline::thread_cpu_time;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::debug;
use w05_handoff::options::{TaskOptions, WhenFull};

/// What all workers know of the pool.
#[derive(Debug)]
pub(crate) struct Desk {
    places: Arc<Semaphore>,
    when_full: WhenFull,
    task_timeout: Option<Duration>,
    submitted: AtomicU64,
    counted: Mutex<TaskStats>,
}

impl Desk {
    pub(crate) fn new(options: &TaskOptions) -> Self {
        Self {
            places: Arc::new(Semaphore::new(options.queue_depth as usize)),
            when_full: options.when_full,
            task_timeout: options.task_timeout,
            submitted: AtomicU64::new(0),
            counted: Mutex::default(),
        }
    }
}

/// The way of one worker's connections to the pool.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) desk: Arc<Desk>,
    pub(crate) figures: Figures,
    pub(crate) life: Arc<Life>,
    pub(crate) metrics: Metrics,
    /// What the visit under way has handed over.
    pub(crate) errand: Option<Errand>,
}

/// A task that is out: the future of its outcome. Dropping it means that nobody waits for it any more.
pub(crate) struct Errand {
    pub(crate) task: TaskId,
    pub(crate) outcome: Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

impl Pool {
    pub(crate) fn take_errand(&mut self) -> Option<Errand> {
        self.errand.take()
    }
}

impl Executor for Pool {
    fn submit(&mut self, _from: ConnId, task: Task<'_>, now: Instant) -> Submitted {
        let place = self.desk.places.try_acquire();
        let held = place.is_none();
        if held && self.desk.when_full == WhenFull::Shed {
            return Submitted::Busy;
        }
        let id = TaskId(self.desk.submitted.fetch_add(1, Ordering::Relaxed) + 1);
        let deadline = self.desk.task_timeout.and_then(|timeout| now.checked_add(timeout));
        let job = Job { id, task: task.into_owned(), deadline, desk: Arc::clone(&self.desk) };
        let place = place.map(|permit| job.queue(permit));
        self.errand = Some(Errand { task: id, outcome: Box::pin(job.outcome(place)) });
        Submitted::Later(Ticket { task: id, deadline, held })
    }

    fn stats(&self) -> Option<TaskStats> {
        Some(TaskStats { wakeups: self.metrics.wakeups(), ..*self.desk.counted.lock() })
    }

    fn server_stats(&mut self, own: &Stats) -> Stats {
        Stats {
            curr_connections: self.life.clients() as u64,
            loop_iterations: self.metrics.turns(),
            ..self.figures.sum(own)
        }
    }
}

/// A task on its way to a thread.
struct Job {
    id: TaskId,
    task: Task<'static>,
    /// When it is not waited for any longer; `None` for never.
    deadline: Option<Instant>,
    desk: Arc<Desk>,
}

impl Job {
    async fn outcome(self, place: Option<Queued>) -> Outcome {
        let place = match place {
            Some(place) => place,
            None => {
                let permit = self.desk.places.acquire().await;
                self.queue(permit)
            }
        };
        // The task's own panic is an outcome. An error is for whatever else may panic, such as the log line.
        spawn_blocking(move || self.run(place)).await.unwrap_or_else(|_| {
            Outcome::Panicked(b"outside of the task, see the server's log".to_vec())
        })
    }

    /// Takes a place in the queue.
    fn queue(&self, permit: Permit) -> Queued {
        let mut counted = self.desk.counted.lock();
        counted.queued += 1;
        counted.peak_queued = counted.peak_queued.max(counted.queued);
        Queued { desk: Arc::clone(&self.desk), _permit: permit }
    }

    /// Runs the task, on a thread of the pool.
    fn run(self, place: Queued) -> Outcome {
        let _busy = Busy::instead_of(place);
        // Once tasks wait for longer than their clients do, threads that began with them all the same
        // would work for nobody, and go on so as long as clients keep asking.
        let late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        let outcome = if late {
            Outcome::TimedOut
        } else {
            debug!(worker = rustix::thread::gettid().as_raw_nonzero(), task = self.id.0, "task");
            self.task.run(thread_cpu_time)
        };
        let mut counted = self.desk.counted.lock();
        match outcome {
            Outcome::Failed(_) => counted.failed += 1,
            Outcome::Panicked(_) => counted.panicked += 1,
            _ => {}
        }
        outcome
    }
}

/// Counts as queued until it is dropped, and has a place.
#[derive(Debug)]
struct Queued {
    desk: Arc<Desk>,
    _permit: Permit,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.desk.counted.lock().queued -= 1;
    }
}

/// Counts as busy until it is dropped, and as done from then on: whoever has the result finds both.
struct Busy(Arc<Desk>);

impl Busy {
    fn instead_of(place: Queued) -> Self {
        let desk = Arc::clone(&place.desk);
        desk.counted.lock().workers_busy += 1;
        drop(place);
        Self(desk)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut counted = self.0.counted.lock();
        counted.workers_busy -= 1;
        counted.done += 1;
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errand").field("task", &self.task).finish_non_exhaustive()
    }
}
