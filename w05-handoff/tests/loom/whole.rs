//! The whole of it, as the loop uses it: what is submitted comes back, whatever the queue holds.

use crate::explore::with_preemptions;
use crate::handoff::Handoff;
use crate::options::{HandoffOptions, TaskOptions, WhenFull};
use crate::wakeup;
use conn_core::executor::{Executor, Submitted};
use conn_core::id::{ConnId, TaskId};
use conn_core::service::Task;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// To drop it is to take a lock, which nobody can in a model that has just failed.
type Kept = ManuallyDrop<Handoff>;

fn start(workers: u32, queue_depth: u32, when_full: WhenFull) -> Kept {
    let tasks = TaskOptions { queue_depth, when_full, task_timeout: None };
    let options = HandoffOptions { workers, tasks };
    ManuallyDrop::new(Handoff::start(&options).unwrap())
}

/// Submits a task that costs nothing; its number, or `None` if there was no room.
fn submit(handoff: &mut Kept) -> Option<TaskId> {
    match handoff.submit(ConnId(1), Task::Fail(b"".into()), Instant::now()) {
        Submitted::Later(ticket) => Some(ticket.task),
        Submitted::Busy => None,
        Submitted::Done(..) => panic!("a task ran on the loop"),
    }
}

/// Sleeps and takes what has come back, until so many have; nothing else wakes this loop.
fn take(handoff: &mut Kept, count: usize) -> Vec<TaskId> {
    let (mut taken, mut batch) = (Vec::new(), Vec::new());
    while taken.len() < count {
        wakeup::wait_until_readable();
        handoff.completed(&mut batch).unwrap();
        taken.extend(batch.drain(..).map(|completion| completion.task));
    }
    assert_eq!(handoff.stats().unwrap().workers_busy, 0, "all have been answered");
    taken
}

fn finish(handoff: &mut Kept) {
    handoff.finish(Instant::now() + Duration::from_secs(3600));
}

#[test]
fn held_tasks_move_on_in_order() {
    for (submitted, preemptions) in [(2, 3), (3, 2)] {
        let name = format!("hand-off to 1 worker, a queue of 1, {submitted} tasks");
        with_preemptions(&name, preemptions, move || {
            let mut handoff = start(1, 1, WhenFull::Wait);
            let tasks: Vec<TaskId> = (0..submitted).filter_map(|_| submit(&mut handoff)).collect();
            assert_eq!(take(&mut handoff, submitted), tasks);
            assert_eq!(handoff.stats().unwrap().peak_queued, 1);
            finish(&mut handoff);
        });
    }
}

#[test]
fn two_workers_share_a_queue_of_one() {
    with_preemptions("hand-off to 2 workers, a queue of 1, 2 tasks", 2, || {
        let mut handoff = start(2, 1, WhenFull::Wait);
        let tasks = [(); 2].map(|()| submit(&mut handoff).unwrap());
        let mut taken = take(&mut handoff, 2);
        taken.sort_unstable();
        assert_eq!(taken, tasks);
        finish(&mut handoff);
    });
}

#[test]
fn what_is_shed_is_never_run() {
    with_preemptions("hand-off to 1 worker, a queue of 1, 3 tasks or busy", 3, || {
        let mut handoff = start(1, 1, WhenFull::Shed);
        let tasks: Vec<TaskId> = (0..3).filter_map(|_| submit(&mut handoff)).collect();
        assert!(!tasks.is_empty());
        assert_eq!(take(&mut handoff, tasks.len()), tasks);
        finish(&mut handoff);
    });
}

#[test]
fn who_leaves_while_held_is_forgotten() {
    with_preemptions(
        "hand-off to 1 worker, a queue of 1, the last of 3 tasks cancelled",
        2,
        || {
            let mut handoff = start(1, 1, WhenFull::Wait);
            let tasks = [(); 3].map(|()| submit(&mut handoff).unwrap());
            handoff.cancel(tasks[2]);
            // It may have been handed over before; then it comes back as well.
            let taken = take(&mut handoff, 2);
            assert_eq!(taken[..2], tasks[..2]);
            finish(&mut handoff);
        },
    );
}
