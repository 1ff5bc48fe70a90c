//! What is measured, in whichever runtime the program around it takes its tasks and timers from.
//!
//! A measurement is one line: its name, how many operations it had, and how many nanoseconds they took.

use super::{Sleep, sleep, spawn, yield_now};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

const OPERATIONS: usize = 1_000_000;

/// How many sleeps there are at once where there are many.
const ALIVE: usize = 100_000;

/// How many tasks are started before the first one is joined where there are many.
const BATCH: usize = 1_000;

/// After how many timers the measuring task lets others run, as a task would that also waits for something.
const TURN: usize = 64;

/// Further away than the end of a measurement: every sleep is cancelled.
const FAR: Duration = Duration::from_secs(60);

pub(super) async fn measure(name: &str, only: Option<&str>, operations: impl Future<Output = ()>) {
    if only.is_none_or(|only| only == name) {
        let start = Instant::now();
        operations.await;
        println!("{name} {OPERATIONS} {}", start.elapsed().as_nanos());
    }
}

/// Has the timer started, which happens when a sleep is first polled.
async fn start(mut sleep: Pin<&mut Sleep>) {
    poll_fn(|cx| {
        assert!(sleep.as_mut().poll(cx).is_pending(), "no measurement takes so long");
        Poll::Ready(())
    })
    .await;
}

pub(super) async fn sleep_and_cancel() {
    for number in 0..OPERATIONS {
        start(pin!(sleep(FAR))).await;
        if number % TURN == 0 {
            yield_now().await;
        }
    }
}

pub(super) async fn sleep_and_cancel_among_many() {
    let mut sleeps: Vec<_> = (0..ALIVE).map(|_| Box::pin(sleep(FAR))).collect();
    for number in 0..OPERATIONS {
        let one = &mut sleeps[number % ALIVE];
        one.set(sleep(FAR));
        start(one.as_mut()).await;
        if number % TURN == 0 {
            yield_now().await;
        }
    }
}

pub(super) async fn spawn_and_join() {
    for number in 0..OPERATIONS {
        let joined = spawn(async move { number }).await;
        assert!(joined.is_ok_and(|result| result == number));
    }
}

pub(super) async fn spawn_and_join_batches() {
    for _ in 0..OPERATIONS / BATCH {
        let tasks: Vec<_> = (0..BATCH).map(|number| spawn(async move { number })).collect();
        for (number, task) in tasks.into_iter().enumerate() {
            assert!(task.await.is_ok_and(|result| result == number));
        }
    }
}
