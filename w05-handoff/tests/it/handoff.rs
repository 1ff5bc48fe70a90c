//! The executor, as a loop uses it, with real workers.

use crate::support::{LONG, not_for_ever, until};
use conn_core::executor::{Completion, Executor, Submitted, TaskStats, Ticket};
use conn_core::id::{ConnId, TaskId};
use conn_core::service::{Outcome, Task};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::thread;
use std::time::{Duration, Instant};
use w05_handoff::handoff::Handoff;
use w05_handoff::options::{HandoffOptions, TaskOptions, WhenFull};

/// Of CPU time: longer than it takes to submit a few tasks behind it, and no longer than needed.
const PLUG: Task<'static> = Task::Burn(500);

fn options(workers: u32, queue_depth: u32) -> HandoffOptions {
    let tasks = TaskOptions { queue_depth, when_full: WhenFull::Wait, task_timeout: None };
    HandoffOptions { workers, tasks }
}

fn submit(handoff: &mut Handoff, task: Task<'_>) -> Ticket {
    match handoff.submit(ConnId(7), task, Instant::now()) {
        Submitted::Later(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn fail() -> Task<'static> {
    Task::Fail(b"no".into())
}

fn stats(handoff: &Handoff) -> TaskStats {
    handoff.stats().unwrap()
}

/// One worker that burns, and a queue of `queue_depth` that is empty.
fn plugged(options: &HandoffOptions) -> (Handoff, TaskId) {
    let mut handoff = Handoff::start(options).unwrap();
    let plug = submit(&mut handoff, PLUG).task;
    until(|| stats(&handoff).workers_busy == 1);
    (handoff, plug)
}

fn is_woken(handoff: &Handoff, timeout: PollTimeout) -> bool {
    let mut fds = [PollFd::new(handoff.wakeup().unwrap(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).unwrap() == 1
}

/// Takes what has come back, and sleeps until it is so much.
fn take(handoff: &mut Handoff, count: usize) -> Vec<Completion> {
    let (mut taken, mut batch) = (Vec::new(), Vec::new());
    loop {
        handoff.completed(&mut batch).unwrap();
        taken.append(&mut batch);
        if taken.len() >= count {
            return taken;
        }
        let timeout = PollTimeout::try_from(LONG).unwrap();
        assert!(is_woken(handoff, timeout), "nobody wakes the loop");
    }
}

fn tasks(completions: &[Completion]) -> Vec<TaskId> {
    completions.iter().map(|completion| completion.task).collect()
}

#[test]
fn each_outcome_comes_back_to_its_sender() {
    not_for_ever(|| {
        let mut handoff = Handoff::start(&options(2, 8)).unwrap();
        let sent = [Task::Compute(b"1".into()), fail(), Task::Burn(0)];
        for (task, id) in sent.into_iter().zip(1..) {
            let submitted = handoff.submit(ConnId(70 + id), task, Instant::now());
            let Submitted::Later(ticket) = submitted else { panic!("{submitted:?}") };
            assert_eq!(ticket, Ticket { task: TaskId(id), deadline: None, held: false });
        }
        let mut taken = take(&mut handoff, 3);
        taken.sort_unstable_by_key(|completion| completion.task);
        for (completion, id) in taken.iter().zip(1..) {
            assert_eq!((completion.conn, completion.task), (ConnId(70 + id), TaskId(id)));
        }
        assert!(matches!(taken[0].outcome, Outcome::Digest(_)));
        assert_eq!(taken[1].outcome, Outcome::Failed(b"no".to_vec()));
        assert_eq!(taken[2].outcome, Outcome::Burned(0));

        let figures = stats(&handoff);
        assert_eq!((figures.done, figures.failed, figures.panicked), (3, 1, 0));
        assert_eq!((figures.queued, figures.workers_busy), (0, 0));
        assert!((1..=3).contains(&figures.wakeups));
        assert_eq!(handoff.threads(), 2);
    });
}

#[test]
fn who_finds_the_queue_full_is_held_and_moves_on_in_order() {
    not_for_ever(|| {
        let (mut handoff, plug) = plugged(&options(1, 2));
        let tickets = [(); 5].map(|()| submit(&mut handoff, fail()));
        assert_eq!(tickets.map(|ticket| ticket.held), [false, false, true, true, true]);
        assert_eq!(stats(&handoff).queued, 2);
        let order: Vec<TaskId> =
            [plug].into_iter().chain(tickets.map(|ticket| ticket.task)).collect();
        assert_eq!(tasks(&take(&mut handoff, 6)), order);
        assert_eq!(stats(&handoff).peak_queued, 2);
    });
}

#[test]
fn a_newcomer_does_not_take_the_place_that_a_held_task_waits_for() {
    not_for_ever(|| {
        let (mut handoff, plug) = plugged(&options(1, 1));
        let [second, held] = [PLUG, fail()].map(|task| submit(&mut handoff, task).task);
        // There is room again, and the loop has not yet looked.
        until(|| stats(&handoff).queued == 0);
        let newcomer = submit(&mut handoff, fail());
        assert!(newcomer.held);
        assert_eq!(tasks(&take(&mut handoff, 4)), [plug, second, held, newcomer.task]);
    });
}

#[test]
fn held_tasks_find_idle_workers_before_any_result_comes() {
    not_for_ever(|| {
        // More workers than places, and all tasks at once.
        let mut handoff = Handoff::start(&options(3, 1)).unwrap();
        for _ in 0..3 {
            submit(&mut handoff, PLUG);
        }
        while stats(&handoff).workers_busy < 3 {
            if is_woken(&handoff, PollTimeout::ZERO) {
                let came = take(&mut handoff, 0);
                assert_eq!(came, [], "a worker idled while a task was held");
            }
            thread::yield_now();
        }
        take(&mut handoff, 3);
    });
}

#[test]
fn a_held_task_that_nobody_waits_for_is_never_run() {
    not_for_ever(|| {
        let (mut handoff, plug) = plugged(&options(1, 1));
        let [queued, held, last] = [(); 3].map(|()| submit(&mut handoff, fail()).task);
        handoff.cancel(held);
        assert_eq!(tasks(&take(&mut handoff, 3)), [plug, queued, last]);
    });
}

#[test]
fn a_queued_task_that_nobody_waits_for_comes_back_all_the_same() {
    not_for_ever(|| {
        let (mut handoff, plug) = plugged(&options(1, 1));
        let queued = submit(&mut handoff, fail()).task;
        handoff.cancel(plug);
        handoff.cancel(queued);
        assert_eq!(tasks(&take(&mut handoff, 2)), [plug, queued]);
    });
}

#[test]
fn a_server_that_sheds_holds_nobody() {
    not_for_ever(|| {
        let mut options = options(1, 1);
        options.tasks.when_full = WhenFull::Shed;
        let (mut handoff, plug) = plugged(&options);
        let queued = submit(&mut handoff, fail()).task;
        let refused = handoff.submit(ConnId(7), fail(), Instant::now());
        assert!(matches!(refused, Submitted::Busy), "{refused:?}");
        assert_eq!(tasks(&take(&mut handoff, 2)), [plug, queued]);
        handoff.finish(Instant::now() + LONG);
        assert_eq!(take(&mut handoff, 0), [], "who was told `busy` sends it again");
    });
}

#[test]
fn the_clock_of_a_task_starts_when_it_is_submitted() {
    let mut options = options(1, 1);
    options.tasks.task_timeout = Some(Duration::from_secs(5));
    let mut handoff = Handoff::start(&options).unwrap();
    let now = Instant::now();
    let Submitted::Later(ticket) = handoff.submit(ConnId(1), fail(), now) else { panic!() };
    assert_eq!(ticket.deadline, Some(now + Duration::from_secs(5)));
}

#[test]
fn a_task_whose_time_is_over_before_a_worker_takes_it_is_never_run() {
    not_for_ever(|| {
        let mut options = options(1, 1);
        options.tasks.task_timeout = Some(Duration::from_secs(5));
        let mut handoff = Handoff::start(&options).unwrap();
        // It was asked for a minute ago.
        let asked_at = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let submitted = handoff.submit(ConnId(1), Task::Burn(10_000), asked_at);
        let Submitted::Later(ticket) = submitted else { panic!("{submitted:?}") };
        let [late] = &take(&mut handoff, 1)[..] else { panic!("one was handed over") };
        assert_eq!((late.task, &late.outcome), (ticket.task, &Outcome::TimedOut));
        assert_eq!(stats(&handoff).done, 1);
    });
}

#[test]
fn finish_waits_for_tasks_but_not_beyond_its_deadline() {
    not_for_ever(|| {
        let (mut handoff, plug) = plugged(&options(1, 1));
        let queued = submit(&mut handoff, fail()).task;
        handoff.finish(Instant::now());
        assert_eq!(stats(&handoff).workers_busy, 1, "it should have given up");
        handoff.finish(Instant::now() + LONG);
        let mut back = Vec::new();
        handoff.completed(&mut back).unwrap();
        assert_eq!(tasks(&back), [plug, queued], "all were over when it returned");
    });
}
