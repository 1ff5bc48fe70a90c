//! Workers that outlive their jobs' mistakes, and end when they are told to.

use crate::support::{not_for_ever, until};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};
use std::{fs, thread};
use w05_handoff::completion_queue::CompletionQueue;
use w05_handoff::task_queue::{TaskQueue, TryPushError};
use w05_handoff::wakeup::Wakeup;
use w05_handoff::worker_pool::{Job, StillRunning, WorkerPool};

/// Any function is a job.
struct Call(Box<dyn Fn() -> String + Send>);

impl Job for Call {
    type Result = String;

    fn run(&self) -> String {
        (self.0)()
    }

    fn panicked(&self) -> String {
        "panicked".to_owned()
    }
}

struct Parts {
    jobs: Arc<TaskQueue<Call>>,
    results: Arc<CompletionQueue<String>>,
    pool: WorkerPool<Call>,
}

fn start(workers: usize) -> Parts {
    let jobs = Arc::new(TaskQueue::new(100));
    let results = Arc::new(CompletionQueue::new(Wakeup::new().unwrap()));
    let pool = WorkerPool::start(workers, &jobs, &results, |error| panic!("{error}")).unwrap();
    Parts { jobs, results, pool }
}

impl Parts {
    fn submit(&self, job: impl Fn() -> String + Send + 'static) {
        self.jobs.push(Call(Box::new(job))).ok().unwrap();
    }

    /// Ends the workers and returns what they delivered.
    fn finish(mut self) -> Vec<String> {
        assert_eq!(self.pool.finish(None), Ok(()));
        // Each thread had a share of the queue.
        assert_eq!(Arc::strong_count(&self.jobs), 2, "threads are left");
        let mut results = Vec::new();
        self.results.take_all(&mut results).unwrap();
        results
    }
}

fn own_name() -> String {
    thread::current().name().unwrap_or("none").to_owned()
}

#[test]
fn workers_have_names_and_work_at_the_same_time() {
    not_for_ever(|| {
        let parts = start(3);
        assert_eq!(parts.pool.workers(), 3);
        let all_here = Arc::new(Barrier::new(3));
        for _ in 0..3 {
            let all_here = Arc::clone(&all_here);
            parts.submit(move || {
                all_here.wait();
                own_name()
            });
        }
        let mut names = parts.finish();
        names.sort_unstable();
        assert_eq!(names, ["worker-1", "worker-2", "worker-3"]);
    });
}

#[test]
fn a_job_that_panics_is_answered_and_costs_no_worker() {
    not_for_ever(|| {
        let parts = start(2);
        for _ in 0..10 {
            // Without a message on standard error: the panic hook is not asked.
            parts.submit(|| std::panic::resume_unwind(Box::new("a job's mistake")));
        }
        // If one of the two were gone, the other would wait here for ever.
        let both_here = Arc::new(Barrier::new(2));
        for _ in 0..2 {
            let both_here = Arc::clone(&both_here);
            parts.submit(move || {
                both_here.wait();
                "fine".to_owned()
            });
        }
        let mut results = parts.finish();
        results.sort_unstable();
        assert_eq!(results, [vec!["fine"; 2], vec!["panicked"; 10]].concat());
    });
}

#[test]
fn finish_runs_what_is_queued() {
    not_for_ever(|| {
        let parts = start(2);
        for number in 0..100 {
            parts.submit(move || number.to_string());
        }
        let mut results: Vec<u32> =
            parts.finish().iter().map(|number| number.parse().unwrap()).collect();
        results.sort_unstable();
        assert!(results.into_iter().eq(0..100));
    });
}

#[test]
fn finish_gives_up_on_a_job_that_takes_too_long() {
    not_for_ever(|| {
        let mut parts = start(3);
        let (end, ended) = mpsc::channel::<()>();
        parts.submit(move || {
            let _ = ended.recv();
            "at last".to_owned()
        });
        until(|| parts.jobs.figures().len == 0);
        let deadline = Instant::now() + Duration::from_millis(50);
        let Err(StillRunning(still)) = parts.pool.finish(Some(deadline)) else {
            panic!("nobody has told the job to end");
        };
        assert!((1..=3).contains(&still) && Instant::now() >= deadline);
        drop(end);
        assert_eq!(parts.finish(), ["at last"]);
    });
}

#[test]
fn finish_does_not_wait_for_its_deadline() {
    not_for_ever(|| {
        let mut parts = start(3);
        let far_away = Instant::now() + Duration::from_secs(24 * 3600);
        assert_eq!(parts.pool.finish(Some(far_away)), Ok(()));
    });
}

#[test]
fn a_dropped_pool_ends_its_workers() {
    not_for_ever(|| {
        let Parts { jobs, pool, .. } = start(3);
        drop(pool);
        until(|| Arc::strong_count(&jobs) == 1);
        let late = jobs.try_push(Call(Box::new(String::new)));
        assert!(matches!(late, Err(TryPushError::Closed(_))));
    });
}

#[test]
fn workers_give_way_to_the_loop() {
    /// This thread's niceness (proc_pid_stat(5), field 19; the name in field 2 may hold spaces).
    fn niceness() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let behind_the_name = stat.rsplit_once(") ").unwrap().1;
        behind_the_name.split(' ').nth(19 - 3).unwrap().parse().unwrap()
    }

    not_for_ever(|| {
        let before = niceness();
        let parts = start(1);
        assert_eq!(niceness(), before, "the loop stays what it was");
        parts.submit(|| niceness().to_string());
        let worker: i32 = parts.finish()[0].parse().unwrap();
        assert!(worker > before, "{worker}");
    });
}

#[test]
fn signals_that_end_the_server_are_not_for_workers() {
    /// A bit for each signal that this thread blocks (proc_pid_status(5)), from that of signal 1 on.
    fn blocked() -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    }

    not_for_ever(|| {
        let before = blocked();
        let parts = start(1);
        assert_eq!(blocked(), before, "the loop's thread must go on receiving them");
        parts.submit(|| format!("{:x}", blocked()));
        let results = parts.finish();
        let worker = u64::from_str_radix(&results[0], 16).unwrap();
        let (sigint, sigterm) = (1 << (2 - 1), 1 << (15 - 1));
        assert_eq!(worker & !before, sigint | sigterm);
    });
}
