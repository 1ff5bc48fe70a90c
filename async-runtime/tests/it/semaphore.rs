//! A bound on how many do something at once.

use crate::support::{poll_once, with_workers};
use async_runtime::runtime::spawn;
use async_runtime::semaphore::Semaphore;
use async_runtime::task::{spawn_blocking, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn places_are_given_in_the_order_in_which_they_were_asked_for() {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = semaphore.try_acquire().unwrap();
    assert!(semaphore.try_acquire().is_none());
    let (mut first, mut second) = (semaphore.acquire(), semaphore.acquire());
    let (poll, first_wakes) = poll_once(&mut first);
    assert!(poll.is_pending());
    let (poll, second_wakes) = poll_once(&mut second);
    assert!(poll.is_pending());
    drop(held);
    assert_eq!((first_wakes.count(), second_wakes.count()), (1, 0));
    // It belongs to the first already.
    assert!(semaphore.try_acquire().is_none());
    assert!(poll_once(&mut second).0.is_pending());
    let (poll, _) = poll_once(&mut first);
    assert!(poll.is_ready());
    drop(poll);
    assert!(poll_once(&mut second).0.is_ready());
    assert!(semaphore.try_acquire().is_some(), "and all are free again");
}

#[test]
fn who_leaves_the_line_takes_no_place() {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = semaphore.try_acquire().unwrap();
    let (mut first, mut second, mut third) =
        (semaphore.acquire(), semaphore.acquire(), semaphore.acquire());
    let (_, first_wakes) = poll_once(&mut first);
    let (_, second_wakes) = poll_once(&mut second);
    let (_, third_wakes) = poll_once(&mut third);
    drop(first);
    drop(held);
    assert_eq!((first_wakes.count(), second_wakes.count()), (0, 1));
    // It was given the place, and leaves before it has seen it.
    drop(second);
    assert_eq!(third_wakes.count(), 1);
    assert!(poll_once(&mut third).0.is_ready());
    // One that was never polled has never stood in line.
    drop(semaphore.acquire());
    assert!(semaphore.try_acquire().is_some());
}

#[test]
fn there_are_never_more_than_places() {
    const PLACES: usize = 3;
    with_workers(2, async {
        let semaphore = Arc::new(Semaphore::new(PLACES));
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let semaphore = Arc::clone(&semaphore);
                let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
                spawn(async move {
                    let permit = semaphore.acquire().await;
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    if number % 2 == 0 {
                        // Given back by another thread.
                        spawn_blocking(move || drop(permit)).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), PLACES);
        let all: Vec<_> = (0..PLACES).map(|_| semaphore.try_acquire().unwrap()).collect();
        assert!(semaphore.try_acquire().is_none());
        drop(all);
    });
}
