//! The pool as the loop sees it: worker threads for the tasks, so that the loop never computes.
//!
//! ```text
//! loop (this file)                            workers (worker.rs)
//! submit ──► queue (bounded) ───────────────► next, run
//! take_completions ◄── list of completions ◄─ hand_in
//!        ▲                                      │
//!        └────────── eventfd: wake up ◄─────────┘
//! ```
//!
//! Only the loop touches sockets. A completion names its task by a number that is never used again,
//! so one that comes too late can't be taken for another's.

use crate::bugs::{Bug, bug};
use crate::options::{Options, WhenFull};
use crate::task::{Outcome, Task};
use crate::worker::{self, Completion, Job, Shared, TaskId, lock};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
        let mut flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        // BUG eventfd-blocks: the eventfd is a blocking one; a loop that reads it once more than it was
        // written to sleeps there, until the next result (notes/protocol.md section 3).
        flags.set(EfdFlags::EFD_NONBLOCK, !bug(Bug::EventfdBlocks));
        // BUG eventfd-not-close-on-exec: the eventfd is not close-on-exec; every program that the
        // server starts inherits it, and can wake the loop (notes/protocol.md section 3).
        flags.set(EfdFlags::EFD_CLOEXEC, !bug(Bug::EventfdNotCloseOnExec));
        // BUG workers-started-per-request: each task gets a thread of its own; a thread costs more
        // than most tasks, and a flood of requests is a flood of threads (the hand-off lesson, step
        // 4: a pool with 4 workers).
        let count = if bug(Bug::WorkersStartedPerRequest) { 0 } else { options.workers() };
        let wakeup = EventFd::from_flags(flags).context("cannot make an eventfd")?;
        let shared = Arc::new(Shared::new(options, count, wakeup));
        let mut workers = Vec::new();
        for number in 1..=count {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            workers.push(
                thread.spawn(move || worker::work(&shared)).context("cannot start a worker")?,
            );
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
        if bug(Bug::WorkersStartedPerRequest) {
            let shared = Arc::clone(&self.shared);
            lock(&self.shared.queue).busy += 1;
            thread::spawn(move || worker::run(&shared, job));
            self.last_id = id;
            return Some(id);
        }
        // Those who wait come first.
        let left = if self.held.is_empty() { self.shared.try_push(job) } else { Some(job) };
        if let Some(job) = left {
            let shed = match self.when_full {
                // BUG wait-mode-sheds: a task that finds the queue full is refused, though its client
                // is to wait; a client has to ask again for what the server promised to do
                // (notes/protocol.md section 2, --when-full).
                WhenFull::Wait => bug(Bug::WaitModeSheds),
                // BUG shed-mode-waits: a task that finds the queue full waits, though it is to be
                // refused; under load every client waits, instead of some asking elsewhere
                // (notes/protocol.md section 2, --when-full).
                WhenFull::Shed => !bug(Bug::ShedModeWaits),
            };
            if shed {
                self.tasks_shed += 1;
                return None;
            }
            // BUG held-requests-lost: what the push on a full queue returns is not looked at; the
            // task is gone, and its client waits for ever (notes/protocol.md section 5, w05-handoff:
            // a full task queue loses nothing).
            if !bug(Bug::HeldRequestsLost) {
                self.held.push_back(job);
            }
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
        // BUG wakeup-lost: the list is taken before the eventfd is read; a result that comes between
        // the two has its wake-up read away, and lies there until the next one (the hand-off lesson,
        // step 8).
        let completions = if bug(Bug::WakeupLost) {
            let completions = self.shared.take();
            // The time that a larger loop needs between the two.
            thread::sleep(Duration::from_millis(5));
            self.clear_wakeup()?;
            completions
        } else {
            self.clear_wakeup()?;
            self.shared.take()
        };
        for completion in &completions {
            self.count(&completion.outcome);
        }
        // Whoever handed one in takes the next job from the queue.
        while let Some(at) = self.next_held() {
            let Some(job) = self.held.remove(at) else { break };
            if let Some(job) = self.shared.try_push(job) {
                self.held.insert(at, job);
                break;
            }
        }
        Ok(completions)
    }

    /// Where the one is that is to go next.
    fn next_held(&self) -> Option<usize> {
        // BUG held-served-last-in-first-out: those who wait for room are kept on a stack; under load
        // the first to come is the last to be served, or never is (notes/protocol.md section 5,
        // w05-handoff).
        if bug(Bug::HeldServedLastInFirstOut) {
            return self.held.len().checked_sub(1);
        }
        // BUG held-served-by-descriptor: when there is room again the connections are gone through
        // from the first to the last, and whoever waits is served; a newcomer with a low descriptor
        // overtakes all who have waited longer (notes/protocol.md section 5, w05-handoff).
        if bug(Bug::HeldServedByDescriptor) {
            return (0..self.held.len()).min_by_key(|at| self.held[*at].fd);
        }
        (!self.held.is_empty()).then_some(0)
    }

    fn clear_wakeup(&self) -> Result<()> {
        // BUG eventfd-never-read: nobody reads the eventfd; it stays readable, so that from the first
        // result on epoll_wait returns at once, for ever (the hand-off lesson, Common mistakes).
        if bug(Bug::EventfdNeverRead) {
            return Ok(());
        }
        match self.shared.wakeup.read() {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot read the eventfd"),
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        // BUG failures-not-counted-as-done: only tasks that went well are counted as done; the
        // figures show tasks that never end, where there are none (notes/protocol.md section 4,
        // tasks_done).
        if matches!(outcome, Outcome::Done(_)) || !bug(Bug::FailuresNotCountedAsDone) {
            self.tasks_done += 1;
        }
        match outcome {
            Outcome::Done(_) => {}
            Outcome::Failed(_) => self.tasks_failed += 1,
            Outcome::Panicked(_) => self.tasks_panicked += 1,
        }
    }

    /// Forgets all that is not being worked on.
    pub(crate) fn drop_queued(&mut self) {
        self.held.clear();
        lock(&self.shared.queue).jobs.clear();
    }

    /// No more tasks come: waits until the workers have done what is queued, but not for ever.
    pub(crate) fn finish(self, until: Instant) {
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        // BUG shutdown-wakes-only-one-worker: the end is told with notify_one; the other workers
        // sleep on, and whoever joins them waits (pthread_cond_broadcast(3)).
        if bug(Bug::ShutdownWakesOnlyOneWorker) {
            self.shared.for_workers.notify_one();
        } else {
            self.shared.for_workers.notify_all();
        }
        // BUG drain-waits-for-a-burning-worker: the workers are joined without a limit; a long task
        // holds up the end of the server past --drain-timeout (notes/protocol.md section 2,
        // SIGTERM).
        while queue.alive > 0 && !bug(Bug::DrainWaitsForABurningWorker) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The process ends, and they with it.
                return;
            }
            let ended = self.shared.for_the_loop.wait_timeout(queue, left);
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
        // BUG running-tasks-counted-as-queued: a task counts as queued until it is done; the queue
        // looks full while it is empty, and who sizes it by that figure makes it too large
        // (notes/protocol.md section 4, tasks_queued).
        let running = if bug(Bug::RunningTasksCountedAsQueued) { queue.busy } else { 0 };
        [
            ("tasks_done", self.tasks_done),
            ("tasks_failed", self.tasks_failed),
            ("tasks_panicked", self.tasks_panicked),
            ("tasks_shed", self.tasks_shed),
            ("tasks_timed_out", self.tasks_timed_out),
            ("tasks_queued", (queue.jobs.len() + running) as u64),
            ("peak_tasks_queued", queue.peak as u64),
            ("workers_busy", queue.busy as u64),
            ("wakeups", self.shared.wakeups.load(Ordering::Relaxed)),
        ]
    }
}
