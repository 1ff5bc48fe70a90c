//! Tasks that other threads wake: run after every wake that counts, and on one thread at a time.

use crate::doorbell::{Doorbell, Sleep};
use crate::explore::{every_interleaving, with_preemptions};
use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::sync::Mutex;
use async_task::Builder;
use loom::thread;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What the task waits for.
struct Signals {
    given: usize,
    waker: Option<Waker>,
}

/// A task with worker 1 waits until every other thread has given its signal.
fn woken_by(threads: usize) {
    let sleep = Sleep::new();
    let mailbox = Arc::new(Mailbox::new(Doorbell(Arc::clone(&sleep))));
    let signals = Arc::new(Mutex::new(Signals { given: 0, waker: None }));
    let running = Arc::new(Mutex::new(false));
    let future = {
        let (signals, running) = (Arc::clone(&signals), Arc::clone(&running));
        poll_fn(move |cx| {
            assert!(!std::mem::replace(&mut *running.lock(), true), "it runs twice");
            let mut signals = signals.lock();
            let done = signals.given == threads;
            signals.waker = (!done).then(|| cx.waker().clone());
            drop(signals);
            *running.lock() = false;
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
    };
    let home = Arc::clone(&mailbox);
    let (runnable, task) = Builder::new().spawn(
        |()| future,
        move |runnable| assert!(home.push(WorkerMessage::Run(runnable)).is_ok()),
    );
    runnable.schedule();
    let others: Vec<_> = (0..threads)
        .map(|_| {
            let signals = Arc::clone(&signals);
            thread::spawn(move || {
                let waker = {
                    let mut signals = signals.lock();
                    signals.given += 1;
                    // Left there: several threads wake the same task at once.
                    signals.waker.clone()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            })
        })
        .collect();
    let mut mail = Vec::new();
    while !task.is_finished() {
        mailbox.take_all(&mut mail);
        for message in mail.drain(..) {
            if let WorkerMessage::Run(runnable) = message {
                runnable.run();
            }
        }
        if !task.is_finished() && mailbox.fall_asleep() {
            sleep.wait(true);
        }
    }
    for thread in others {
        thread.join().unwrap();
    }
}

#[test]
fn a_task_that_is_woken_runs_once_more_and_never_twice_at_once() {
    every_interleaving("1 task, 1 waker", || woken_by(1));
    with_preemptions("1 task, 2 wakers", 3, || woken_by(2));
}
