//! The pool: worker threads for the tasks, so that the loop never computes.
//!
//! ```text
//! loop                                        workers
//! submit ──► queue (bounded) ───────────────► next, run
//! take_completions ◄── list of completions ◄─ hand_in
//!        ▲                                      │
//!        └────────── eventfd: wake up ◄─────────┘
//! ```
//!
//! Only the loop touches sockets. A completion names its task by a number that is never used again,
//! so one that comes too late can't be taken for another's.

use crate::options::{Options, WhenFull};
use crate::task::{Outcome, Task};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use rustix::thread::gettid;
use std::collections::VecDeque;
use std::mem;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tracing::debug;

/// The number of a task, from 1 on.
pub(crate) type TaskId = u64;

/// A task on its way to a worker.
struct Job {
    id: TaskId,
    /// Whose it is. By the time it is done the number may be another client's.
    fd: RawFd,
    task: Task,
}

/// A task on its way back.
pub(crate) struct Completion {
    pub(crate) id: TaskId,
    pub(crate) fd: RawFd,
    pub(crate) outcome: Outcome,
}

/// What the loop and the workers share.
struct Shared {
    queue: Mutex<Queue>,
    /// There is a job, or there will be none.
    for_workers: Condvar,
    /// A worker has ended.
    for_the_end: Condvar,
    completions: Mutex<Vec<Completion>>,
    /// Readable while completions wait.
    wakeup: EventFd,
    wakeups: AtomicU64,
}

struct Queue {
    jobs: VecDeque<Job>,
    depth: usize,
    peak: usize,
    /// No more jobs come.
    closed: bool,
    /// Workers that have not ended, and those of them that run a task.
    alive: usize,
    busy: usize,
}

pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    when_full: WhenFull,
    /// Tasks for which the queue had no room, in the order in which they came.
    held: VecDeque<Job>,
    last_id: TaskId,
    pub(crate) tasks_done: u64,
    pub(crate) tasks_failed: u64,
    pub(crate) tasks_panicked: u64,
    pub(crate) tasks_shed: u64,
    pub(crate) tasks_timed_out: u64,
}

impl Pool {
    /// Starts all the workers, once.
    pub(crate) fn start(options: &Options) -> Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                depth: options.queue_depth(),
                peak: 0,
                closed: false,
                alive: options.workers(),
                busy: 0,
            }),
            for_workers: Condvar::new(),
            for_the_end: Condvar::new(),
            completions: Mutex::default(),
            wakeup: EventFd::from_flags(flags).context("cannot make an eventfd")?,
            wakeups: AtomicU64::new(0),
        });
        let mut workers = Vec::new();
        for number in 1..=options.workers() {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            workers.push(thread.spawn(move || work(&shared)).context("cannot start a worker")?);
        }
        Ok(Self {
            shared,
            workers,
            when_full: options.when_full(),
            held: VecDeque::new(),
            last_id: 0,
            tasks_done: 0,
            tasks_failed: 0,
            tasks_panicked: 0,
            tasks_shed: 0,
            tasks_timed_out: 0,
        })
    }

    /// What the loop watches for input.
    pub(crate) fn wakeup(&self) -> &EventFd {
        &self.shared.wakeup
    }

    /// Takes a task of this client; its number, or None if there is no room and it is not to wait.
    pub(crate) fn submit(&mut self, fd: RawFd, task: Task) -> Option<TaskId> {
        let id = self.last_id + 1;
        let job = Job { id, fd, task };
        // Those who wait come first.
        let left = if self.held.is_empty() { self.shared.try_push(job) } else { Some(job) };
        if let Some(job) = left {
            if self.when_full == WhenFull::Shed {
                self.tasks_shed += 1;
                return None;
            }
            self.held.push_back(job);
        }
        self.last_id = id;
        Some(id)
    }

    /// Nobody waits for this task any more: if it has not reached the queue it never will.
    pub(crate) fn cancel(&mut self, id: TaskId) {
        self.held.retain(|job| job.id != id);
    }

    /// Takes all that the workers have done.
    pub(crate) fn take_completions(&mut self) -> Result<Vec<Completion>> {
        // First the eventfd, then the list: a completion that comes between the two wakes the loop
        // once more, and none is left behind.
        self.clear_wakeup()?;
        let completions = mem::take(&mut *lock(&self.shared.completions));
        for completion in &completions {
            self.count(&completion.outcome);
        }
        // Whoever handed one in takes the next job from the queue.
        while let Some(job) = self.held.pop_front() {
            if let Some(job) = self.shared.try_push(job) {
                self.held.push_front(job);
                break;
            }
        }
        Ok(completions)
    }

    fn clear_wakeup(&self) -> Result<()> {
        match self.shared.wakeup.read() {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot read the eventfd"),
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        self.tasks_done += 1;
        match outcome {
            Outcome::Done(_) => {}
            Outcome::Failed(_) => self.tasks_failed += 1,
            Outcome::Panicked(_) => self.tasks_panicked += 1,
        }
    }

    /// No more tasks come: waits until the workers have done what is queued, but not for ever.
    pub(crate) fn finish(self, until: Instant) {
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        self.shared.for_workers.notify_all();
        while queue.alive > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The process ends, and they with it.
                return;
            }
            let ended = self.shared.for_the_end.wait_timeout(queue, left);
            queue = ended.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(queue);
        for worker in self.workers {
            // A worker catches all panics of its tasks.
            let _ = worker.join();
        }
    }

    pub(crate) fn threads(&self) -> u64 {
        self.workers.len() as u64
    }

    /// What `stats` tells.
    pub(crate) fn figures(&self) -> [(&'static str, u64); 9] {
        let queue = lock(&self.shared.queue);
        [
            ("tasks_done", self.tasks_done),
            ("tasks_failed", self.tasks_failed),
            ("tasks_panicked", self.tasks_panicked),
            ("tasks_shed", self.tasks_shed),
            ("tasks_timed_out", self.tasks_timed_out),
            ("tasks_queued", queue.jobs.len() as u64),
            ("peak_tasks_queued", queue.peak as u64),
            ("workers_busy", queue.busy as u64),
            ("wakeups", self.shared.wakeups.load(Ordering::Relaxed)),
        ]
    }
}

impl Shared {
    /// Queues a job, or gives it back if there is no room. Never waits: the loop calls this.
    fn try_push(&self, job: Job) -> Option<Job> {
        let mut queue = lock(&self.queue);
        if queue.jobs.len() >= queue.depth {
            return Some(job);
        }
        queue.jobs.push_back(job);
        queue.peak = queue.peak.max(queue.jobs.len());
        self.for_workers.notify_one();
        None
    }

    /// The next job, as soon as there is one; None once the queue is closed and empty.
    fn next(&self) -> Option<Job> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                queue.busy += 1;
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.for_workers.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts a completion on the list, and wakes the loop unless it is to be woken already.
    fn hand_in(&self, completion: Completion) {
        let mut completions = lock(&self.completions);
        let was_empty = completions.is_empty();
        completions.push(completion);
        drop(completions);
        if was_empty {
            self.wake_loop();
        }
    }

    fn wake_loop(&self) {
        self.wakeups.fetch_add(1, Ordering::Relaxed);
        // It can only fail with EAGAIN, at 2^64 - 1 wake-ups that nobody has read.
        let _ = self.wakeup.write(1);
    }
}

/// The life of a worker.
fn work(shared: &Shared) {
    while let Some(Job { id, fd, task }) = shared.next() {
        debug!("worker={} task={id}", gettid().as_raw_nonzero());
        let outcome = task.run();
        // Before the client can know that it is done.
        lock(&shared.queue).busy -= 1;
        shared.hand_in(Completion { id, fd, outcome });
    }
    lock(&shared.queue).alive -= 1;
    shared.for_the_end.notify_one();
}

/// Nothing that holds one of these locks can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
