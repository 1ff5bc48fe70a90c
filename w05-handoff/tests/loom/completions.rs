//! The way back: each result once, and no sleep while one waits.

use crate::completion_queue::CompletionQueue;
use crate::explore::{every_interleaving, with_preemptions};
use crate::sync::thread;
use crate::wakeup::{self, Wakeup};
use std::sync::Arc;

/// `workers` push their results; the loop sleeps and takes until it has them all.
fn all_results_arrive(workers: &'static [&'static [u32]]) {
    let results = Arc::new(CompletionQueue::new(Wakeup::new().unwrap()));
    let expected: usize = workers.iter().map(|pushed| pushed.len()).sum();
    let threads: Vec<_> = workers
        .iter()
        .map(|pushed| {
            let results = Arc::clone(&results);
            thread::spawn(move || pushed.iter().for_each(|result| results.push(*result).unwrap()))
        })
        .collect();
    let (mut taken, mut batch) = (Vec::new(), Vec::new());
    while taken.len() < expected {
        wakeup::wait_until_readable();
        results.take_all(&mut batch).unwrap();
        taken.append(&mut batch);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    for pushed in workers {
        let of_this_worker: Vec<u32> =
            taken.iter().copied().filter(|result| pushed.contains(result)).collect();
        assert_eq!(of_this_worker, *pushed, "all of {taken:?}");
    }
    assert_eq!(taken.len(), expected);
    // One for each batch at the most, and a worker can't start more batches than it has results.
    assert!((1..=expected as u64).contains(&results.wakeups()));
}

#[test]
fn one_worker() {
    every_interleaving("1 worker, 2 results", || all_results_arrive(&[&[1, 2]]));
    every_interleaving("1 worker, 3 results", || all_results_arrive(&[&[1, 2, 3]]));
}

#[test]
fn two_workers() {
    every_interleaving("2 workers, 1 result each", || all_results_arrive(&[&[1], &[11]]));
    with_preemptions("2 workers, 2 results each", 3, || all_results_arrive(&[&[1, 2], &[11, 12]]));
}

#[test]
fn three_workers() {
    with_preemptions("3 workers, 1 result each", 2, || all_results_arrive(&[&[1], &[11], &[21]]));
}

#[test]
fn results_of_one_batch_cost_one_wakeup() {
    every_interleaving("2 workers while the loop is busy", || {
        let results = Arc::new(CompletionQueue::new(Wakeup::new().unwrap()));
        let workers = [1, 2].map(|result| {
            let results = Arc::clone(&results);
            thread::spawn(move || results.push(result).unwrap())
        });
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(results.wakeups(), 1);
    });
}
