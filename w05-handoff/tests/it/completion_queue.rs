//! The way back, with the eventfd that a server has.

use crate::support::{LONG, not_for_ever};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::thread;
use w05_handoff::completion_queue::CompletionQueue;
use w05_handoff::wakeup::Wakeup;

fn results() -> CompletionQueue<u32> {
    CompletionQueue::new(Wakeup::new().unwrap())
}

/// Whether the loop's wait would return, at once or within `timeout`.
fn wakes(results: &CompletionQueue<u32>, timeout: PollTimeout) -> bool {
    let mut fds = [PollFd::new(results.wakeup().as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).unwrap() == 1
}

#[test]
fn only_the_first_result_of_a_batch_wakes_the_loop() {
    let (results, mut batch) = (results(), Vec::new());
    assert!(!wakes(&results, PollTimeout::ZERO));
    for round in 1..=3 {
        for result in 0..10 {
            results.push(result).unwrap();
            assert!(wakes(&results, PollTimeout::ZERO));
        }
        assert_eq!(results.wakeups(), round);

        results.take_all(&mut batch).unwrap();
        assert!(batch.iter().copied().eq(0..10));
        assert!(!wakes(&results, PollTimeout::ZERO), "the loop would spin");
    }
}

#[test]
fn taking_replaces_what_was_taken_before() {
    let (results, mut batch) = (results(), Vec::new());
    results.push(1).unwrap();
    results.take_all(&mut batch).unwrap();
    results.push(2).unwrap();
    results.take_all(&mut batch).unwrap();
    assert_eq!(batch, [2]);
    results.take_all(&mut batch).unwrap();
    assert_eq!(batch, []);
}

#[test]
fn two_lists_take_turns_and_nothing_is_allocated() {
    let (results, mut batch) = (results(), Vec::new());
    let mut lists = Vec::new();
    for _ in 0..4 {
        for result in 0..10 {
            results.push(result).unwrap();
        }
        results.take_all(&mut batch).unwrap();
        lists.push(batch.as_ptr());
    }
    assert_eq!(lists[..2], lists[2..]);
}

#[test]
fn many_workers_and_a_loop_lose_and_double_nothing() {
    const WORKERS: u32 = 4;
    const RESULTS: u32 = 5000;
    not_for_ever(|| {
        let results = results();
        let (mut taken, mut batch) = (Vec::new(), Vec::new());
        thread::scope(|scope| {
            let results = &results;
            for number in 0..WORKERS {
                let own = number * RESULTS..(number + 1) * RESULTS;
                scope.spawn(move || own.for_each(|result| results.push(result).unwrap()));
            }
            while taken.len() < (WORKERS * RESULTS) as usize {
                let timeout = PollTimeout::try_from(LONG).unwrap();
                assert!(wakes(results, timeout), "asleep after {} results", taken.len());
                results.take_all(&mut batch).unwrap();
                taken.append(&mut batch);
            }
        });
        for number in 0..WORKERS {
            assert!(taken.iter().filter(|result| *result / RESULTS == number).is_sorted());
        }
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..WORKERS * RESULTS));
    });
}
