//! A pool of threads for what would block a worker: long computations, and calls that wait.
//!
//! A worker that computes for a second leaves all its sockets alone for a second. Here a thread may
//! take as long as it likes; the result wakes the task that asked, as any event would.

use crate::crew::{Crew, Living};
use crate::current::{self, NO_RUNTIME};
use crate::doorbell;
use crate::sync::{Condvar, Mutex};
use crate::task::JoinHandle;
use async_task::{Builder, Runnable};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, mem, thread};

/// Runs `work` on a thread where it may block, and gives its result.
///
/// Dropping the handle does not stop it, and cancelling it does so only before it has begun: there is no
/// way to interrupt a thread.
///
/// # Panics
/// The thread is not one of a runtime's.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let pool = current::with(|worker| Arc::clone(&worker.runtime.blocking)).expect(NO_RUNTIME);
    pool.spawn(work)
}

/// Threads that are started when there is work for them, and end with the runtime.
#[derive(Debug)]
pub(crate) struct BlockingPool {
    state: Mutex<State>,
    /// There is work, or the pool is closed.
    changed: Condvar,
    /// How many threads there may be.
    limit: usize,
    wakeups: AtomicU64,
    crew: Arc<Crew>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Runnable>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl BlockingPool {
    pub(crate) fn new(limit: usize, crew: &Arc<Crew>) -> Arc<Self> {
        let (state, changed) = (Mutex::new(State::default()), Condvar::new());
        Arc::new(Self { state, changed, limit, wakeups: AtomicU64::new(0), crew: Arc::clone(crew) })
    }

    /// Starts all threads at once. Each calls `begin` first.
    pub(crate) fn start_all(self: &Arc<Self>, begin: fn()) -> io::Result<()> {
        let mut state = self.state.lock();
        while state.threads < self.limit {
            self.start_thread(&mut state, begin)?;
        }
        Ok(())
    }

    /// How often a thread of the pool has woken a worker that slept.
    pub(crate) fn wakeups(&self) -> u64 {
        self.wakeups.load(Ordering::Relaxed)
    }

    /// Queues `work`. It is a task like any other, but it is never pending, and runs where it may block.
    pub(crate) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let pool = Arc::clone(self);
        let (runnable, task) = Builder::new()
            .propagate_panic(true)
            .spawn(|()| async move { work() }, move |runnable| pool.push(runnable));
        runnable.schedule();
        JoinHandle::new(task)
    }

    fn push(self: &Arc<Self>, runnable: Runnable) {
        let refused = {
            let mut state = self.state.lock();
            if state.closed {
                Some(runnable)
            } else {
                state.queue.push_back(runnable);
                if state.queue.len() > state.idle && state.threads < self.limit {
                    // If that fails, the threads that there are have to do.
                    let _ = self.start_thread(&mut state, || {});
                }
                // Without any thread it would wait for ever: it is cancelled.
                if state.threads == 0 { state.queue.pop_back() } else { None }
            }
        };
        drop(refused);
        self.changed.notify_one();
    }

    fn start_thread(self: &Arc<Self>, state: &mut State, begin: fn()) -> io::Result<()> {
        let name = format!("blocking-{}", state.threads + 1);
        let (pool, living) = (Arc::clone(self), Living::new(&self.crew));
        thread::Builder::new().name(name).spawn(move || {
            begin();
            pool.work();
            drop(living);
        })?;
        state.threads += 1;
        Ok(())
    }

    /// The life of a thread.
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(runnable) = state.queue.pop_front() {
                drop(state);
                // A panic of the work is caught in there, for whoever joins it.
                let rung = doorbell::rung_by_this_thread();
                runnable.run();
                let rung = doorbell::rung_by_this_thread() - rung;
                self.wakeups.fetch_add(rung, Ordering::Relaxed);
                state = self.state.lock();
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                self.changed.wait(&mut state);
                state.idle -= 1;
            }
        }
    }

    /// Cancels what has not begun. Threads end when they are done with what has.
    pub(crate) fn close(&self) {
        let cancelled = {
            let mut state = self.state.lock();
            state.closed = true;
            mem::take(&mut state.queue)
        };
        self.changed.notify_all();
        drop(cancelled);
    }
}
