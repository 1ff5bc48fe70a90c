//! Threads that take jobs from a queue and deliver what comes of them.

use crate::completion_queue::CompletionQueue;
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Condvar, Mutex, give_way};
use crate::task_queue::TaskQueue;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What a worker does.
pub trait Job: Send + 'static {
    /// What comes of it, address included.
    type Result: Send + 'static;

    /// Does it, on the worker's thread.
    fn run(&self) -> Self::Result;

    /// What is delivered if `run` panics: whoever waits for a result gets one.
    fn panicked(&self) -> Self::Result;
}

/// A fixed number of threads, `worker-1` and so on. Each pops a job, runs it, pushes the result, and
/// ends when the queue is closed and empty. A job that panics costs its worker nothing.
///
/// Workers give way to the thread that started the pool, in which SIGTERM and SIGINT arrive: they are
/// nicer, and block these signals.
///
/// A pool that is dropped without [`finish`](Self::finish) closes the queue and does not wait.
#[derive(Debug)]
pub struct WorkerPool<J: Job> {
    jobs: Arc<TaskQueue<J>>,
    threads: Vec<JoinHandle<()>>,
    staff: Arc<Staff>,
}

/// What the workers tell about themselves.
#[derive(Debug)]
struct Staff {
    /// How many have not ended, and a way to wait until fewer are left.
    living: Mutex<usize>,
    ended: Condvar,
    busy: AtomicUsize,
}

/// Some workers have not ended in time: so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillRunning(pub usize);

impl<J: Job> WorkerPool<J> {
    /// Starts `workers` threads between the two queues. `lost` is called, by a worker that ends then,
    /// if a result can't be announced.
    ///
    /// # Errors
    /// A thread can't be started; those that were have ended again.
    pub fn start(
        workers: usize,
        jobs: &Arc<TaskQueue<J>>,
        results: &Arc<CompletionQueue<J::Result>>,
        lost: fn(io::Error),
    ) -> io::Result<Self> {
        let mut pool = Self {
            jobs: Arc::clone(jobs),
            threads: Vec::with_capacity(workers),
            staff: Arc::new(Staff {
                living: Mutex::new(0),
                ended: Condvar::new(),
                busy: AtomicUsize::new(0),
            }),
        };
        // A thread inherits the mask of the one that starts it.
        let ours = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let added = (1..=workers).try_for_each(|number| pool.start_worker(number, results, lost));
        ours.thread_set_mask()?;
        let Err(error) = added else { return Ok(pool) };
        let message = format!("thread {} of {workers}: {error}", pool.workers() + 1);
        // Nobody has given the others anything to do.
        let _ = pool.finish(None);
        Err(io::Error::new(error.kind(), message))
    }

    fn start_worker(
        &mut self,
        number: usize,
        results: &Arc<CompletionQueue<J::Result>>,
        lost: fn(io::Error),
    ) -> io::Result<()> {
        let (jobs, results) = (Arc::clone(&self.jobs), Arc::clone(results));
        let member = Member::of(&self.staff);
        let thread = Builder::new().name(format!("worker-{number}")).spawn(move || {
            give_way();
            if let Err(error) = work(&jobs, &results, &member.0.busy) {
                lost(error);
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// How many threads were started.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.threads.len()
    }

    /// How many run a job. Whoever has a result finds nobody busy with it any more.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.staff.busy.load(Ordering::Relaxed)
    }

    /// Closes the queue, waits until the workers have emptied it and ended, and joins them.
    ///
    /// # Errors
    /// `deadline` came first. Who still runs a job can't be interrupted; it ends after that job, or
    /// with the process.
    pub fn finish(&mut self, deadline: Option<Instant>) -> Result<(), StillRunning> {
        self.jobs.close();
        self.staff.wait_until_gone(deadline)?;
        for thread in self.threads.drain(..) {
            // A worker can't panic: its job may, and that is caught.
            let _ = thread.join();
        }
        Ok(())
    }
}

impl<J: Job> Drop for WorkerPool<J> {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

/// The life of a worker.
fn work<J: Job>(
    jobs: &TaskQueue<J>,
    results: &CompletionQueue<J::Result>,
    busy: &AtomicUsize,
) -> io::Result<()> {
    while let Some(job) = jobs.pop() {
        busy.fetch_add(1, Ordering::Relaxed);
        // There is room again, and the loop holds a job that found none.
        if jobs.take_refused() {
            results.wakeup().notify()?;
        }
        // The job is only borrowed, and after a panic it is only asked for its address.
        let result = panic::catch_unwind(AssertUnwindSafe(|| job.run()));
        // The lock in `push` makes this visible together with the result.
        busy.fetch_sub(1, Ordering::Relaxed);
        results.push(result.unwrap_or_else(|_| job.panicked()))?;
    }
    Ok(())
}

impl Staff {
    fn wait_until_gone(&self, deadline: Option<Instant>) -> Result<(), StillRunning> {
        let mut living = self.living.lock();
        while *living > 0 {
            match deadline {
                None => self.ended.wait(&mut living),
                Some(at) => {
                    if self.ended.wait_until(&mut living, at).timed_out() && *living > 0 {
                        return Err(StillRunning(*living));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Counts as living as long as it exists, however its thread ends.
struct Member(Arc<Staff>);

impl Member {
    fn of(staff: &Arc<Staff>) -> Self {
        *staff.living.lock() += 1;
        Self(Arc::clone(staff))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        *self.0.living.lock() -= 1;
        self.0.ended.notify_all();
    }
}
