//! What the loop and the workers share, and the life of a worker.

use crate::bugs::{Bug, bug};
use crate::options::Options;
use crate::sys;
use crate::task::{Outcome, Task};
use nix::sys::eventfd::EventFd;
use rustix::thread::gettid;
use std::collections::VecDeque;
use std::mem;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tracing::debug;

/// The number of a task, from 1 on.
pub(crate) type TaskId = u64;

/// A task on its way to a worker.
pub(crate) struct Job {
    pub(crate) id: TaskId,
    /// Whose it is. By the time it is done the number may be another client's.
    pub(crate) fd: RawFd,
    pub(crate) task: Task,
}

/// A task on its way back.
#[derive(Clone, Debug)]
pub(crate) struct Completion {
    pub(crate) id: TaskId,
    pub(crate) fd: RawFd,
    pub(crate) outcome: Outcome,
}

/// What the loop and the workers share.
pub(crate) struct Shared {
    pub(crate) queue: Mutex<Queue>,
    /// There is a job, or there will be none.
    pub(crate) for_workers: Condvar,
    /// A worker has ended.
    pub(crate) for_the_loop: Condvar,
    completions: Mutex<Vec<Completion>>,
    /// Readable while completions wait.
    pub(crate) wakeup: EventFd,
    pub(crate) wakeups: AtomicU64,
    task_timeout: Option<Duration>,
}

pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    depth: usize,
    pub(crate) peak: usize,
    /// No more jobs come.
    pub(crate) closed: bool,
    /// Workers that have not ended, and those of them that run a task.
    pub(crate) alive: usize,
    pub(crate) busy: usize,
}

impl Shared {
    /// For so many workers, which are yet to be started.
    pub(crate) fn new(options: &Options, workers: usize, wakeup: EventFd) -> Self {
        Self {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                depth: options.queue_depth(),
                peak: 0,
                closed: false,
                alive: workers,
                busy: 0,
            }),
            for_workers: Condvar::new(),
            for_the_loop: Condvar::new(),
            completions: Mutex::default(),
            wakeup,
            wakeups: AtomicU64::new(0),
            task_timeout: options.task_timeout,
        }
    }

    /// Queues a job, or gives it back if there is no room. Never waits: the loop calls this.
    pub(crate) fn try_push(&self, job: Job) -> Option<Job> {
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
            thread::sleep(Duration::from_millis(20));
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
    pub(crate) fn take(&self) -> Vec<Completion> {
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
pub(crate) fn work(shared: &Shared) {
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
pub(crate) fn run(shared: &Shared, Job { id, fd, task }: Job) -> bool {
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
    // what the loop is sending, is lost if the socket is full, and goes to whoever has the descriptor
    // by then (the hand-off lesson, Common mistakes).
    if bug(Bug::WorkerSendsOnTheSocket) {
        sys::send_to_number(fd, &outcome.reply());
    }
    let panicked = matches!(outcome, Outcome::Panicked(_));
    shared.hand_in(Completion { id, fd, outcome });
    panicked
}

/// Nothing that holds one of these locks can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
