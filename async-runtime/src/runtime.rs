//! A runtime: some workers, each on its own thread, and a pool for what would block them.

use crate::blocking::BlockingPool;
use crate::clock::{Clock, ManualClock};
use crate::crew::{Crew, Living};
use crate::current::{self, NO_RUNTIME};
use crate::event_loop::EventLoop;
use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::sync::Mutex;
use crate::task::{JoinHandle, spawn_on};
use crate::worker::{Root, Worker, WorkerHandle};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// A worker that has this many tasks more than another one has a new task start there.
const IMBALANCE: usize = 2;

/// Settings of a runtime, to begin with [`Runtime::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    workers: usize,
    io_budget: usize,
    task_budget: usize,
    blocking_threads: usize,
    start_blocking_threads: Option<fn()>,
    clock: Option<ManualClock>,
}

impl Builder {
    /// How many workers there are, each with a thread. By default as many as there are cores.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// How many events a worker handles before it lets tasks run again. By default 16.
    #[must_use]
    pub fn io_budget(mut self, events: usize) -> Self {
        self.io_budget = events.max(1);
        self
    }

    /// How many tasks a worker runs before it asks for events again. By default 64.
    #[must_use]
    pub fn task_budget(mut self, tasks: usize) -> Self {
        self.task_budget = tasks.max(1);
        self
    }

    /// How many threads [`spawn_blocking`](crate::task::spawn_blocking) uses at the most. They are started
    /// when there is work. By default 16.
    #[must_use]
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads.max(1);
        self
    }

    /// Starts the threads of [`spawn_blocking`](crate::task::spawn_blocking) at once, instead of when there is
    /// work for them, and has each call `begin` first. All threads of the runtime inherit the signal mask of
    /// the one that [builds](Self::build) it.
    #[must_use]
    pub fn start_blocking_threads(mut self, begin: fn()) -> Self {
        self.start_blocking_threads = Some(begin);
        self
    }

    /// For tests: time passes when `clock` is moved, and not otherwise.
    #[must_use]
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// Descriptors, memory or threads have run out; what was started has been stopped.
    pub fn build(self) -> io::Result<Runtime> {
        let crew = Arc::new(Crew::default());
        let first_guest = Mutex::new(Some(new_worker(self.io_budget)?));
        let parts: Vec<_> =
            (0..self.workers).map(|_| new_worker(self.io_budget)).collect::<io::Result<_>>()?;
        let runtime = Runtime {
            shared: Arc::new(Shared {
                workers: parts.iter().map(|(handle, _)| Arc::clone(handle)).collect(),
                blocking: BlockingPool::new(self.blocking_threads, &crew),
                clock: self.clock.map_or_else(Clock::system, Clock::Manual),
                io_budget: self.io_budget,
                task_budget: self.task_budget,
            }),
            first_guest,
            crew,
        };
        for (number, (handle, event_loop)) in parts.into_iter().enumerate() {
            let shared = Arc::clone(&runtime.shared);
            let living = Living::new(&runtime.crew);
            // If this fails, dropping `runtime` stops those before it.
            thread::Builder::new().name(format!("worker-{}", number + 1)).spawn(move || {
                live(Worker::new(handle, event_loop, shared, None));
                drop(living);
            })?;
        }
        if let Some(begin) = self.start_blocking_threads {
            runtime.shared.blocking.start_all(begin)?;
        }
        Ok(runtime)
    }
}

/// The two halves of a new worker: what others know of it, and what is its own.
type WorkerParts = (Arc<WorkerHandle>, Box<EventLoop>);

pub(crate) fn new_worker(io_budget: usize) -> io::Result<WorkerParts> {
    let (event_loop, doorbell) = EventLoop::new(io_budget)?;
    let mailbox = Arc::new(Mailbox::new(doorbell));
    Ok((Arc::new(WorkerHandle::new(mailbox)), event_loop))
}

/// A worker's thread from beginning to end.
fn live(worker: Worker) {
    let worker = Rc::new(worker);
    let entered = current::enter(Rc::clone(&worker));
    let outcome = worker.run();
    worker.finish(None);
    drop(entered);
    // epoll_wait(2) can't fail with valid arguments: this is a bug, and its message should be seen.
    outcome.expect("a worker can wait for events");
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) workers: Vec<Arc<WorkerHandle>>,
    pub(crate) blocking: Arc<BlockingPool>,
    pub(crate) clock: Clock,
    pub(crate) io_budget: usize,
    pub(crate) task_budget: usize,
}

impl Shared {
    /// Where a new task goes: to the worker that starts it, unless another one has less to do. A task
    /// that stays costs no message; a server whose one task accepts all clients uses all workers.
    fn place(&self, here: Option<&Arc<WorkerHandle>>) -> &Arc<WorkerHandle> {
        let tasks = |worker: &WorkerHandle| worker.tasks.load(Ordering::Relaxed);
        let idlest = self.workers.iter().min_by_key(|worker| tasks(worker)).expect("never empty");
        let ours =
            here.and_then(|here| self.workers.iter().find(|worker| Arc::ptr_eq(worker, here)));
        match ours {
            Some(ours) if tasks(ours) < tasks(idlest) + IMBALANCE => ours,
            _ => idlest,
        }
    }
}

/// Runs futures. Dropping it ends all its tasks as soon as they give way, and does not wait.
pub struct Runtime {
    shared: Arc<Shared>,
    /// For the first `block_on`, which most programs have only one of: it can't fail.
    first_guest: Mutex<Option<WorkerParts>>,
    crew: Arc<Crew>,
}

/// So many threads of a runtime have not ended in time: a task or some blocking work does not give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillRunning(pub usize);

impl Runtime {
    /// A runtime's settings, all with their defaults.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            workers: thread::available_parallelism().map_or(1, usize::from),
            io_budget: 16,
            task_budget: 64,
            blocking_threads: 16,
            start_blocking_threads: None,
            clock: None,
        }
    }

    /// A runtime with the default settings.
    ///
    /// # Errors
    /// See [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Runs `future` on this thread until it is done. Tasks that it spawns run on the workers.
    ///
    /// The thread has a worker's event loop and timers of its own meanwhile. Sockets that outlive the
    /// future are handed to the other workers.
    ///
    /// # Panics
    /// This thread runs a future already. If the future panics, so does this.
    ///
    /// The event loop of the first call is made by [`Builder::build`]; a later one, or one beside it, needs
    /// two descriptors and panics if there are none.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let first = self.first_guest.lock().take();
        let (handle, event_loop) = first
            .map_or_else(|| new_worker(self.shared.io_budget), Ok)
            .unwrap_or_else(|error| panic!("cannot make an event loop: {error}"));
        let root = Arc::new(Root::new(Arc::clone(&handle)));
        let shared = Arc::clone(&self.shared);
        let worker = Rc::new(Worker::new(handle, event_loop, shared, Some(Arc::clone(&root))));
        let guest = Guest { _entered: current::enter(Rc::clone(&worker)), worker };
        let waker = Waker::from(Arc::clone(&root));
        // Dropped before the guest leaves.
        let mut future = pin!(future);
        loop {
            if root.take_woken() {
                guest.worker.refill_calls();
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return output;
                }
            }
            guest.worker.turn().expect("a worker can wait for events");
        }
    }

    /// Starts a task on the worker that has the fewest.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_on(self.shared.place(None), future)
    }

    /// Starts a task on the worker with this number, counted from 0.
    ///
    /// # Panics
    /// There is no such worker.
    pub fn spawn_on<F>(&self, worker: usize, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_on(&self.shared.workers[worker], future)
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers.len()
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.shared.workers.iter().map(|worker| worker.tasks.load(Ordering::Acquire)).sum()
    }

    /// What it has counted, for whoever wants to know while it runs.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics { shared: Arc::clone(&self.shared) }
    }

    /// Ends it: every task is cancelled the next time that it waits, every socket of a task is closed,
    /// blocking work that has not begun is dropped, and all threads are waited for.
    ///
    /// # Errors
    /// Some threads have not ended within `timeout`. They go on on their own, until they give way.
    pub fn shutdown(self, timeout: Duration) -> Result<(), StillRunning> {
        self.stop();
        match self.crew.wait_until_gone(Instant::now() + timeout) {
            0 => Ok(()),
            living => Err(StillRunning(living)),
        }
    }

    fn stop(&self) {
        for worker in &self.shared.workers {
            // One that has ended needs no telling.
            let _ = worker.mailbox.push(WorkerMessage::Shutdown);
        }
        self.shared.blocking.close();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("workers", &self.workers())
            .field("tasks", &self.tasks())
            .finish_non_exhaustive()
    }
}

/// What a runtime has counted. Clones are about the same one.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

impl Metrics {
    /// How many turns all workers have taken together.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.shared.workers.iter().map(|worker| worker.turns.load(Ordering::Relaxed)).sum()
    }

    /// How often a worker that slept was woken by a thread of [blocking work](crate::task::spawn_blocking),
    /// mostly because of a result: the eventfd's writes. A worker that is awake finds it without.
    #[must_use]
    pub fn wakeups(&self) -> u64 {
        self.shared.blocking.wakeups()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("turns", &self.turns())
            .field("wakeups", &self.wakeups())
            .finish()
    }
}

/// The thread of a `block_on`.
struct Guest {
    worker: Rc<Worker>,
    _entered: current::Entered,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let heir = Arc::clone(&self.worker.runtime.place(None).mailbox);
        self.worker.finish(Some(&heir));
    }
}

/// Starts a task: on the worker that runs the caller, unless another one has less to do.
///
/// # Panics
/// The thread is not one of a runtime's.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let home = current::with(|worker| Arc::clone(worker.runtime.place(Some(&worker.handle))));
    spawn_on(&home.expect(NO_RUNTIME), future)
}

/// The number of the worker that runs the caller, counted from 0. `None` on any other thread, that of
/// [`block_on`](Runtime::block_on) included.
#[must_use]
pub fn worker_number() -> Option<usize> {
    current::with(|worker| {
        let mut workers = worker.runtime.workers.iter();
        workers.position(|other| Arc::ptr_eq(other, &worker.handle))
    })
    .flatten()
}

/// The number of the worker with such a mailbox.
pub(crate) fn worker_with(
    mut such: impl FnMut(&Arc<Mailbox<WorkerMessage>>) -> bool,
) -> Option<usize> {
    let shared = current::with(|worker| Arc::clone(&worker.runtime)).expect(NO_RUNTIME);
    shared.workers.iter().position(|worker| such(&worker.mailbox))
}

/// The mailbox of the worker with this number.
pub(crate) fn worker_mailbox(number: usize) -> Option<Arc<Mailbox<WorkerMessage>>> {
    let shared = current::with(|worker| Arc::clone(&worker.runtime)).expect(NO_RUNTIME);
    shared.workers.get(number).map(|worker| Arc::clone(&worker.mailbox))
}
