//! Time.

use crate::support::{HANGS, pair, with_workers};
use async_runtime::runtime::{Runtime, spawn};
use async_runtime::time::{Elapsed, ManualClock, interval, sleep, timeout};
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_sleep_is_never_too_short() {
    with_workers(1, async {
        for length in [0, 1, 2, 10, 65] {
            let start = Instant::now();
            sleep(ms(length)).await;
            assert!(start.elapsed() >= ms(length), "{length} ms");
        }
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    with_workers(1, async {
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sleepers: Vec<_> = [30, 10, 20, 5, 70]
            .into_iter()
            .map(|length| {
                let order = Arc::clone(&order);
                spawn(async move {
                    sleep(ms(length)).await;
                    order.lock().unwrap().push(length);
                })
            })
            .collect();
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [5, 10, 20, 30, 70]);
    });
}

#[test]
fn ten_thousand_tasks_sleep_at_once() {
    with_workers(2, async {
        let start = Instant::now();
        let sleepers: Vec<_> = (0..10_000_u64)
            .map(|number| {
                let length = ms(number % 250);
                spawn(async move {
                    let start = Instant::now();
                    sleep(length).await;
                    start.elapsed() >= length
                })
            })
            .collect();
        for sleeper in sleepers {
            assert!(sleeper.await.unwrap());
        }
        assert!(start.elapsed() < HANGS / 2, "one after the other would take 20 minutes");
    });
}

#[test]
fn what_takes_too_long_is_dropped() {
    with_workers(1, async {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let outcome = timeout(ms(5), async move {
            let _inside = inside;
            pending::<()>().await;
        })
        .await;
        assert_eq!(outcome, Err(Elapsed));
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(timeout(HANGS, async { 7 }).await, Ok(7));
    });
}

#[test]
fn a_future_that_is_done_has_its_result_even_with_no_time_left() {
    with_workers(1, async {
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
    });
}

/// Waits until `condition` holds, which it does as soon as other threads get there.
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANGS, "it hangs");
        std::thread::yield_now();
    }
}

#[test]
fn time_passes_when_the_test_says_so() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().workers(2).clock(clock.clone()).build().unwrap();
    let (started, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for hours in 1..=3 {
        let (started, ended) = (Arc::clone(&started), Arc::clone(&ended));
        runtime.spawn(async move {
            let mut sleep = std::pin::pin!(sleep(Duration::from_secs(3_600 * hours)));
            assert!(futures_lite::future::poll_once(sleep.as_mut()).await.is_none());
            started.fetch_add(1, Ordering::SeqCst);
            sleep.await;
            ended.fetch_add(1, Ordering::SeqCst);
        });
    }
    wait_until(|| started.load(Ordering::SeqCst) == 3);
    clock.advance(Duration::from_secs(3_599));
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    clock.advance(Duration::from_secs(1));
    wait_until(|| ended.load(Ordering::SeqCst) == 1);
    clock.advance(Duration::from_secs(7_200));
    wait_until(|| ended.load(Ordering::SeqCst) == 3);
}

#[test]
fn an_interval_leaves_out_what_was_missed_and_keeps_its_beat() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().workers(1).clock(clock.clone()).build().unwrap();
    runtime.block_on(async {
        let mut beat = interval(ms(100));
        let is_due = async |beat: &mut async_runtime::time::Interval| {
            // A worker looks at the clock once a turn.
            async_runtime::task::yield_now().await;
            futures_lite::future::poll_once(std::pin::pin!(beat.tick())).await.is_some()
        };
        assert!(!is_due(&mut beat).await);
        clock.advance(ms(100));
        assert!(is_due(&mut beat).await);
        assert!(!is_due(&mut beat).await);
        // Three of them pass, and the next is at 500.
        clock.advance(ms(350));
        assert!(is_due(&mut beat).await);
        clock.advance(ms(49));
        assert!(!is_due(&mut beat).await);
        clock.advance(ms(1));
        assert!(is_due(&mut beat).await);
    });
}

#[test]
fn a_wait_for_a_silent_peer_times_out() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().workers(1).clock(clock.clone()).build().unwrap();
    runtime.block_on(async {
        let (mut ours, mut theirs) = pair().await;
        // Moves the clock, and lets this thread's worker look at it.
        let pass = async |seconds| {
            clock.advance(Duration::from_secs(seconds));
            async_runtime::task::yield_now().await;
        };
        theirs.set_timeout(Some(Duration::from_secs(10)));
        let mut buffer = [0; 8];
        for _ in 0..3 {
            let mut read = theirs.read(&mut buffer);
            assert!(futures_lite::future::poll_once(&mut read).await.is_none());
            pass(9).await;
            // Bytes that move put it off.
            ours.write_all(b"x").await.unwrap();
            assert_eq!(read.await.unwrap(), 1);
        }
        let mut read = theirs.read(&mut buffer);
        assert!(futures_lite::future::poll_once(&mut read).await.is_none());
        pass(9).await;
        assert!(futures_lite::future::poll_once(&mut read).await.is_none());
        pass(2).await;
        assert_eq!(read.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // It is the wait that failed, not the connection.
        theirs.set_timeout(None);
        let mut read = theirs.read(&mut buffer);
        assert!(futures_lite::future::poll_once(&mut read).await.is_none());
        pass(3_600).await;
        assert!(futures_lite::future::poll_once(&mut read).await.is_none());
        ours.write_all(b"y").await.unwrap();
        assert_eq!(read.await.unwrap(), 1);
    });
}

#[test]
fn a_time_out_moves_along_with_its_socket() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().workers(2).clock(clock.clone()).build().unwrap();
    runtime.block_on(async {
        let (_ours, mut theirs) = pair().await;
        theirs.set_timeout(Some(Duration::from_secs(10)));
        assert!(futures_lite::future::poll_once(theirs.read(&mut [0; 8])).await.is_none());
        theirs.migrate_to(0);
        theirs.migrate_to(1);
        let mut buffer = [0; 8];
        let mut read = theirs.read(&mut buffer);
        assert!(futures_lite::future::poll_once(&mut read).await.is_none());
        // The new owner may hear of the socket after its clock was moved, and looks at it one tick later.
        let start = Instant::now();
        let outcome = loop {
            assert!(start.elapsed() < HANGS, "it hangs");
            clock.advance(Duration::from_secs(11));
            if let Some(outcome) = futures_lite::future::poll_once(&mut read).await {
                break outcome;
            }
            async_runtime::task::yield_now().await;
        };
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    });
}
