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

use crate::bugs::{Bug, bug};
use crate::options::{Options, WhenFull};
use crate::sys;
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
use std::time::{Duration, Instant};
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
#[derive(Clone, Debug)]
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
    for_the_loop: Condvar,
    completions: Mutex<Vec<Completion>>,
    /// Readable while completions wait.
    wakeup: EventFd,
    wakeups: AtomicU64,
    task_timeout: Option<Duration>,
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
        let mut flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        // BUG eventfd-blocks: the eventfd is a blocking one; the loop sleeps in its read as soon as
        // there is a wake-up less than it believes (notes/protocol.md section 3).
        flags.set(EfdFlags::EFD_NONBLOCK, !bug(Bug::EventfdBlocks));
        // BUG eventfd-not-close-on-exec: the eventfd is not close-on-exec; every program that the
        // server starts inherits it, and can wake the loop (notes/protocol.md section 3).
        flags.set(EfdFlags::EFD_CLOEXEC, !bug(Bug::EventfdNotCloseOnExec));
        // BUG workers-started-per-request: each task gets a thread of its own; a thread costs more
        // than most tasks, and a flood of requests is a flood of threads (the hand-off lesson, step
        // 4: a pool with 4 workers).
        let count = if bug(Bug::WorkersStartedPerRequest) { 0 } else { options.workers() };
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                depth: options.queue_depth(),
                peak: 0,
                closed: false,
                alive: count,
                busy: 0,
            }),
            for_workers: Condvar::new(),
            for_the_loop: Condvar::new(),
            completions: Mutex::default(),
            wakeup: EventFd::from_flags(flags).context("cannot make an eventfd")?,
            wakeups: AtomicU64::new(0),
            task_timeout: options.task_timeout,
        });
        let mut workers = Vec::new();
        for number in 1..=count {
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
        if bug(Bug::WorkersStartedPerRequest) {
            let shared = Arc::clone(&self.shared);
            lock(&self.shared.queue).busy += 1;
            thread::spawn(move || run(&shared, job));
            self.last_id = id;
            return Some(id);
        }
        // Those who wait come first.
        // BUG newcomer-overtakes-held: a new task is queued if there is room just now, whoever waits
        // for it; who came first starves while others keep coming (notes/protocol.md section 5,
        // w05-handoff).
        let nobody_waits = self.held.is_empty() || bug(Bug::NewcomerOvertakesHeld);
        let left = if nobody_waits { self.shared.try_push(job) } else { Some(job) };
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
        while let Some(job) = self.next_held() {
            if let Some(job) = self.shared.try_push(job) {
                if bug(Bug::HeldServedLastInFirstOut) {
                    self.held.push_back(job);
                } else {
                    self.held.push_front(job);
                }
                break;
            }
        }
        Ok(completions)
    }

    fn next_held(&mut self) -> Option<Job> {
        // BUG held-served-last-in-first-out: those who wait for room are kept on a stack; under load
        // the first to come is the last to be served, or never is (notes/protocol.md section 5,
        // w05-handoff).
        if bug(Bug::HeldServedLastInFirstOut) {
            self.held.pop_back()
        } else {
            self.held.pop_front()
        }
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

impl Shared {
    /// Queues a job, or gives it back if there is no room. Never waits: the loop calls this.
    fn try_push(&self, job: Job) -> Option<Job> {
        let mut queue = lock(&self.queue);
        // BUG blocking-push-on-the-loop: the loop uses the push that waits for room; while the queue
        // is full nobody is served, whatever he asks for (the hand-off lesson, Expected: the event
        // loop never blocks).
        while bug(Bug::BlockingPushOnTheLoop) && queue.jobs.len() >= queue.depth {
            queue = self.for_the_loop.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        // BUG unbounded-task-queue: the queue takes whatever comes; when tasks come faster than they
        // are done it takes all the memory, and every wait is for all that came before
        // (notes/protocol.md section 2, --queue-depth).
        if queue.jobs.len() >= queue.depth && !bug(Bug::UnboundedTaskQueue) {
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
            // BUG task-queue-is-a-stack: the newest task is taken first; under load the one that has
            // waited longest waits on (the hand-off lesson, step 4: a task queue).
            let stacked = bug(Bug::TaskQueueIsAStack);
            let job = if stacked { queue.jobs.pop_back() } else { queue.jobs.pop_front() };
            if let Some(job) = job {
                queue.busy += 1;
                if bug(Bug::BlockingPushOnTheLoop) {
                    self.for_the_loop.notify_one();
                }
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
        // BUG completion-list-unprotected: workers change the list without holding its lock; of two
        // results that are put there at the same time one is lost (the hand-off lesson, Common
        // mistakes).
        if bug(Bug::CompletionListUnprotected) {
            let read = completions.clone();
            drop(completions);
            // What another worker writes in this time is overwritten.
            thread::sleep(Duration::from_millis(5));
            completions = lock(&self.completions);
            *completions = read;
        }
        completions.push(completion);
        drop(completions);
        // BUG wakeup-only-when-list-was-not-empty: the test that saves wake-ups is the wrong way
        // round; the first result on an empty list lies there until a second one comes (eventfd(2)).
        if was_empty != bug(Bug::WakeupOnlyWhenListWasNotEmpty) {
            self.wake_loop();
        }
    }

    /// Takes all that is on the list.
    fn take(&self) -> Vec<Completion> {
        let mut completions = lock(&self.completions);
        // BUG one-result-per-wakeup: each wake-up is taken for one result; of results that come
        // together the first is sent, the others stay (the hand-off lesson, step 8: drain the results
        // queue).
        if bug(Bug::OneResultPerWakeup) {
            let first = completions.len().min(1);
            return completions.drain(..first).collect();
        }
        mem::take(&mut *completions)
    }

    fn wake_loop(&self) {
        if bug(Bug::ResultsPolledFor) {
            return;
        }
        self.wakeups.fetch_add(1, Ordering::Relaxed);
        // It can only fail with EAGAIN, at 2^64 - 1 wake-ups that nobody has read.
        let _ = self.wakeup.write(1);
    }
}

/// The life of a worker.
fn work(shared: &Shared) {
    while let Some(job) = shared.next() {
        let panicked = run(shared, job);
        // BUG panic-shrinks-the-pool: what catches a panic stands around the worker's loop, and not
        // around the task; each panic answers its client and ends a worker, until there are none (the
        // chapter Event Loops, Error Handling).
        if panicked && bug(Bug::PanicShrinksThePool) {
            break;
        }
    }
    lock(&shared.queue).alive -= 1;
    shared.for_the_loop.notify_one();
}

/// Runs a task and hands in what came of it; whether it panicked.
fn run(shared: &Shared, Job { id, fd, task }: Job) -> bool {
    debug!("worker={} task={id}", gettid().as_raw_nonzero());
    let began = Instant::now();
    // BUG queue-locked-while-working: a worker keeps the queue's lock while it works; one task runs at
    // a time, and the loop waits for the lock (pthread_mutex_lock(3), held for the pop alone).
    let locked = bug(Bug::QueueLockedWhileWorking).then(|| lock(&shared.queue));
    let mut outcome = task.run();
    drop(locked);
    // BUG time-out-told-by-the-worker: a worker looks at the clock when its task is done; the client
    // waits for all of a long task, to be told that it took too long (notes/protocol.md section 2,
    // --task-timeout).
    if bug(Bug::TimeOutToldByTheWorker)
        && shared.task_timeout.is_some_and(|limit| began.elapsed() > limit)
    {
        outcome = Outcome::Failed(b"task timed out".to_vec());
    }
    // Before the client can know that it is done.
    lock(&shared.queue).busy -= 1;
    // BUG task-error-swallowed: only results are handed in; the client of a task that failed waits for
    // ever (the hand-off lesson, Future Lock: the error must reach the event loop).
    if bug(Bug::TaskErrorSwallowed) && matches!(outcome, Outcome::Failed(_)) {
        return false;
    }
    // BUG worker-sends-on-the-socket: the worker sends the result itself; it lands in the middle of
    // what the loop is sending, a full socket loses it, and so does a client that has left (the
    // hand-off lesson, Common mistakes).
    if bug(Bug::WorkerSendsOnTheSocket) {
        sys::send_to_number(fd, &outcome.reply());
    }
    let panicked = matches!(outcome, Outcome::Panicked(_));
    shared.hand_in(Completion { id, fd, outcome });
    panicked
}

/// Nothing that holds one of these locks can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
