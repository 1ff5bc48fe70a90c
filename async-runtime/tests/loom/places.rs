//! The semaphore: nobody waits while a place is free, and no place is given twice.

use crate::explore::{every_interleaving, with_preemptions};
use crate::semaphore::{Permit, Semaphore};
use crate::sync::Mutex;
use crate::task;
use loom::thread;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

/// Waits for a place, as a task of its own thread.
fn acquire(semaphore: &Arc<Semaphore>) -> Permit {
    let mut acquire = pin!(semaphore.acquire());
    task::run(|cx| acquire.as_mut().poll(cx))
}

/// So many threads take one of the places, one after the other or not.
fn everybody_gets_one(places: usize, threads: usize) {
    let semaphore = Arc::new(Semaphore::new(places));
    let inside = Arc::new(Mutex::new(0));
    let visit = move |semaphore: &Arc<Semaphore>, inside: &Mutex<usize>| {
        let permit = acquire(semaphore);
        {
            let mut inside = inside.lock();
            *inside += 1;
            assert!(*inside <= places, "a place was given twice");
        }
        *inside.lock() -= 1;
        drop(permit);
    };
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let (semaphore, inside) = (Arc::clone(&semaphore), Arc::clone(&inside));
            thread::spawn(move || visit(&semaphore, &inside))
        })
        .collect();
    visit(&semaphore, &inside);
    others.into_iter().for_each(|other| other.join().unwrap());
    let all: Vec<_> = (0..places).map(|_| semaphore.try_acquire().expect("all are free")).collect();
    assert!(semaphore.try_acquire().is_none());
    drop(all);
}

#[test]
fn nobody_waits_in_vain() {
    every_interleaving("2 threads, 1 place", || everybody_gets_one(1, 2));
    with_preemptions("3 threads, 1 place", 2, || everybody_gets_one(1, 3));
    with_preemptions("3 threads, 2 places", 2, || everybody_gets_one(2, 3));
}

/// One leaves the line while its place may be on the way to it; the next one must not miss it.
#[test]
fn a_place_is_not_lost_with_who_leaves_the_line() {
    every_interleaving("1 place, given back, left and waited for", || {
        let semaphore = Arc::new(Semaphore::new(1));
        let held = semaphore.try_acquire().unwrap();
        let mut leaves = Box::pin(semaphore.acquire());
        assert!(leaves.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let gives_back = thread::spawn(move || drop(held));
        let waits = {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || drop(acquire(&semaphore)))
        };
        drop(leaves);
        gives_back.join().unwrap();
        waits.join().unwrap();
        assert!(semaphore.try_acquire().is_some());
    });
}
