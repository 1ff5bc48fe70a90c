//! Threads that take jobs from a queue and deliver what comes of them.

use crate::completion_queue::CompletionQueue;
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Condvar, Mutex};
use crate::task_queue::TaskQueue;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
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
/// SIGTERM and SIGINT are blocked in the workers, so they reach the thread that started the pool.
///
/// A pool that is dropped without [`finish`](Self::finish) closes the queue and does not wait.
#[derive(Debug)]
pub struct WorkerPool<J: Job> {
    jobs: Arc<TaskQueue<J>>,
    threads: Vec<JoinHandle<()>>,
    living: Arc<Living>,
}

/// How many workers have not ended, and a way to wait for that.
#[derive(Debug)]
struct Living {
    count: Mutex<usize>,
    ended: Condvar,
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
        let living = Arc::new(Living { count: Mutex::new(0), ended: Condvar::new() });
        let mut pool =
            Self { jobs: Arc::clone(jobs), threads: Vec::with_capacity(workers), living };
        // A thread inherits the mask of the one that starts it.
        let ours = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
            .thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let started = (1..=workers).try_for_each(|number| pool.start_worker(number, results, lost));
        ours.thread_set_mask()?;
        if let Err(error) = started {
            let started = pool.threads.len();
            // They have had nothing to do.
            let _ = pool.finish(None);
            return Err(io::Error::new(
                error.kind(),
                format!("only {started} of {workers} threads could be started: {error}"),
            ));
        }
        Ok(pool)
    }

    fn start_worker(
        &mut self,
        number: usize,
        results: &Arc<CompletionQueue<J::Result>>,
        lost: fn(io::Error),
    ) -> io::Result<()> {
        let (jobs, results) = (Arc::clone(&self.jobs), Arc::clone(results));
        let alive = Alive::one_of(&self.living);
        self.threads.push(Builder::new().name(format!("worker-{number}")).spawn(move || {
            if let Err(error) = work(&jobs, &results) {
                lost(error);
            }
            drop(alive);
        })?);
        Ok(())
    }

    /// How many threads were started.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.threads.len()
    }

    /// Closes the queue, waits until the workers have emptied it and ended, and joins them.
    ///
    /// # Errors
    /// `deadline` came first. Who still runs a job can't be interrupted; it ends after that job, or
    /// with the process.
    pub fn finish(&mut self, deadline: Option<Instant>) -> Result<(), StillRunning> {
        self.jobs.close();
        self.living.wait_for_none(deadline)?;
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
fn work<J: Job>(jobs: &TaskQueue<J>, results: &CompletionQueue<J::Result>) -> io::Result<()> {
    while let Some(job) = jobs.pop() {
        // The job is only borrowed, and after a panic it is only asked for its address.
        let result = panic::catch_unwind(AssertUnwindSafe(|| job.run()));
        results.push(result.unwrap_or_else(|_| job.panicked()))?;
    }
    Ok(())
}

impl Living {
    fn wait_for_none(&self, deadline: Option<Instant>) -> Result<(), StillRunning> {
        let mut count = self.count.lock();
        while *count > 0 {
            match deadline {
                None => self.ended.wait(&mut count),
                Some(at) => {
                    if self.ended.wait_until(&mut count, at).timed_out() && *count > 0 {
                        return Err(StillRunning(*count));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Counts as living as long as it exists, however its thread ends.
struct Alive(Arc<Living>);

impl Alive {
    fn one_of(living: &Arc<Living>) -> Self {
        *living.count.lock() += 1;
        Self(Arc::clone(living))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.ended.notify_all();
    }
}
