//! Futures that are dropped before they are done.

use crate::support::{
    DropAfter, echo_server, listener, pair, poll_once, read_exactly, with_workers,
};
use async_runtime::net::TcpStream;
use async_runtime::runtime::Runtime;
use async_runtime::task::yield_now;
use async_runtime::time::{sleep, timeout};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Everything that can be awaited on a connection, in a row.
async fn conversation(address: std::net::SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"hello").await.unwrap();
        read_exactly(&mut stream, &mut [0; 5]).await;
        sleep(Duration::from_millis(1)).await;
        let never = timeout(Duration::from_millis(1), stream.read(&mut [0; 1])).await;
        assert!(never.is_err(), "nothing was sent");
    }
}

#[test]
fn a_conversation_can_be_dropped_at_every_await_point() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let address = runtime.block_on(echo_server());
    // On the thread of `block_on`, and as a task.
    let mut points = 0;
    while runtime.block_on(DropAfter::new(points, conversation(address))).is_none() {
        points += 1;
    }
    assert!(points >= 9, "only {points} points to wait at");
    for point in 0..points {
        runtime.block_on(async {
            runtime.spawn(DropAfter::new(point, conversation(address))).await.unwrap();
        });
    }
    // And the server is as good as new.
    runtime.block_on(conversation(address));
}

#[test]
fn a_read_that_was_dropped_wakes_nobody_and_takes_no_bytes() {
    with_workers(1, async {
        let (mut ours, mut theirs) = pair().await;
        let mut buffer = [0; 8];
        let mut read = theirs.read(&mut buffer);
        let (poll, wakes) = poll_once(&mut read);
        assert!(poll.is_pending());
        assert_eq!(Arc::strong_count(&wakes), 2, "its waker is with the socket");
        drop(read);
        assert_eq!(Arc::strong_count(&wakes), 1, "and has left with the future");
        ours.write_all(b"x").await.unwrap();
        assert_eq!(theirs.read(&mut buffer).await.unwrap(), 1);
        assert_eq!(wakes.count(), 0);
    });
}

#[test]
fn a_write_that_was_dropped_wakes_nobody() {
    with_workers(1, async {
        let (mut ours, mut theirs) = pair().await;
        let mut written = 0;
        let wakes = loop {
            // So that it is the socket that keeps the write waiting, and not the budget of calls.
            yield_now().await;
            let mut write = ours.write(&[0; 65_536]);
            match poll_once(&mut write) {
                (Poll::Ready(bytes), _) => written += bytes.unwrap(),
                (Poll::Pending, wakes) => break wakes,
            }
        };
        assert_eq!(Arc::strong_count(&wakes), 1);
        read_exactly(&mut theirs, &mut vec![0; written]).await;
        ours.write_all(b"room again").await.unwrap();
        assert_eq!(wakes.count(), 0);
    });
}

#[test]
fn an_accept_that_was_dropped_leaves_its_client_to_the_next_one() {
    with_workers(1, async {
        let (mut listener, address) = listener().await;
        let mut accept = listener.accept();
        let (poll, wakes) = poll_once(&mut accept);
        assert!(poll.is_pending());
        drop(accept);
        let client = TcpStream::connect(address).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        assert_eq!((wakes.count(), Arc::strong_count(&wakes)), (0, 1));
    });
}

#[test]
fn a_sleep_that_was_dropped_wakes_nobody() {
    with_workers(1, async {
        let mut dropped = sleep(Duration::from_millis(1));
        let (poll, wakes) = poll_once(&mut dropped);
        assert!(poll.is_pending());
        drop(dropped);
        sleep(Duration::from_millis(20)).await;
        assert_eq!((wakes.count(), Arc::strong_count(&wakes)), (0, 1));
    });
}

#[test]
fn a_sleep_that_goes_to_another_worker_rings_there() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (sleep, wakes) = runtime.block_on(async {
        let mut sleep = sleep(Duration::from_millis(5));
        let (poll, wakes) = poll_once(&mut sleep);
        assert!(poll.is_pending());
        (sleep, wakes)
    });
    let moved = runtime.spawn_on(1, sleep);
    runtime.block_on(async { moved.await.unwrap() });
    assert_eq!(wakes.count(), 0);
}

#[test]
fn a_task_that_is_cancelled_drops_what_it_holds() {
    with_workers(2, async {
        let held = Arc::new(());
        let task = {
            let held = Arc::clone(&held);
            async_runtime::runtime::spawn(async move {
                sleep(Duration::from_secs(3600)).await;
                drop(held);
            })
        };
        yield_now().await;
        assert_eq!(task.cancel().await, None);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}
