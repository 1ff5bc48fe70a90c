//! The workers between two queues: every job is answered and every worker ends.

use crate::completion_queue::CompletionQueue;
use crate::explore::{every_interleaving, with_preemptions};
use crate::task_queue::TaskQueue;
use crate::wakeup::Wakeup;
use crate::worker_pool::{Job, StillRunning, WorkerPool};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Its result is its own number.
struct Number(u32);

impl Job for Number {
    type Result = u32;

    fn run(&self) -> u32 {
        self.0
    }

    fn panicked(&self) -> u32 {
        unreachable!("a number does not panic")
    }
}

struct Parts {
    jobs: Arc<TaskQueue<Number>>,
    results: Arc<CompletionQueue<u32>>,
    /// To drop it is to take a lock, which nobody can in a model that has just failed.
    pool: ManuallyDrop<WorkerPool<Number>>,
}

fn start(workers: usize, capacity: usize) -> Parts {
    let jobs = Arc::new(TaskQueue::new(capacity));
    let results = Arc::new(CompletionQueue::new(Wakeup::new().unwrap()));
    let pool = WorkerPool::start(workers, &jobs, &results, |error| panic!("{error}")).unwrap();
    Parts { jobs, results, pool: ManuallyDrop::new(pool) }
}

#[test]
fn finish_waits_for_queued_jobs_too() {
    with_preemptions("2 workers, 2 jobs queued, finish at once", 2, || {
        let mut parts = start(2, 2);
        parts.jobs.try_push(Number(1)).ok().unwrap();
        parts.jobs.try_push(Number(2)).ok().unwrap();
        assert_eq!(parts.pool.finish(None), Ok(()));
        let mut answers = Vec::new();
        parts.results.take_all(&mut answers).unwrap();
        answers.sort_unstable();
        assert_eq!(answers, [1, 2]);
    });
}

#[test]
fn finish_gives_up_at_its_deadline_and_the_workers_end_all_the_same() {
    with_preemptions("2 workers, finish with no time left", 2, || {
        let mut parts = start(2, 1);
        parts.jobs.try_push(Number(1)).ok().unwrap();
        match parts.pool.finish(Some(Instant::now())) {
            Ok(()) | Err(StillRunning(1 | 2)) => {}
            Err(StillRunning(count)) => panic!("{count} of 2 workers"),
        }
        // A model is over when every thread has ended.
        assert_eq!(parts.pool.finish(None), Ok(()));
    });
}

#[test]
fn a_pool_that_is_dropped_leaves_nobody_waiting() {
    with_preemptions("2 workers, dropped", 2, || drop(ManuallyDrop::into_inner(start(2, 1).pool)));
}

#[test]
fn a_worker_that_cannot_wake_the_loop_says_so_and_ends() {
    static LOST: AtomicUsize = AtomicUsize::new(0);
    every_interleaving("1 worker, a broken wakeup", || {
        LOST.store(0, Ordering::Relaxed);
        let jobs = Arc::new(TaskQueue::new(1));
        let results = Arc::new(CompletionQueue::new(Wakeup::broken()));
        let lost = |_| _ = LOST.fetch_add(1, Ordering::Relaxed);
        let pool = WorkerPool::start(1, &jobs, &results, lost).unwrap();
        let mut pool = ManuallyDrop::new(pool);
        jobs.try_push(Number(1)).ok().unwrap();
        assert_eq!(pool.finish(None), Ok(()));
        assert_eq!(LOST.load(Ordering::Relaxed), 1);
    });
}
