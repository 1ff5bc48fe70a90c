//! Futures that are dropped before they are done.

use crate::support::{
    DropAfter, Wakes, echo_server, listener, pair, poll_once, read_exactly, with_workers,
};
use async_runtime::net::TcpStream;
use async_runtime::process::Child;
use async_runtime::runtime::{Runtime, spawn};
use async_runtime::signal::Signal;
use async_runtime::task::{spawn_blocking, yield_now};
use async_runtime::time::{interval, sleep, timeout};
use signal_hook::consts::SIGUSR2;
use signal_hook::low_level::raise;
use std::future::{Future, pending};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
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

/// Polls `future` once and drops it. Its waker is left somewhere meanwhile, and nowhere after that.
fn poll_and_drop(future: impl Future) -> Arc<Wakes> {
    let mut future = Box::pin(future);
    let (poll, wakes) = poll_once(&mut future);
    assert!(poll.is_pending());
    assert!(Arc::strong_count(&wakes) > 1, "nobody would wake it");
    drop(future);
    assert_eq!(Arc::strong_count(&wakes), 1, "its waker is still somewhere");
    wakes
}

#[test]
fn a_read_that_was_dropped_wakes_nobody_and_takes_no_bytes() {
    with_workers(1, async {
        let (mut ours, mut theirs) = pair().await;
        let mut buffer = [0; 8];
        let wakes = poll_and_drop(theirs.read(&mut buffer));
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
        while let Some(bytes) = futures_lite::future::poll_once(ours.write(&[0; 65_536])).await {
            written += bytes.unwrap();
            // So that it is the socket that keeps the last one waiting, and not the budget of calls.
            yield_now().await;
        }
        let wakes = [poll_and_drop(ours.write(b"x")), poll_and_drop(ours.write_all(b"x"))];
        read_exactly(&mut theirs, &mut vec![0; written]).await;
        ours.write_all(b"room again").await.unwrap();
        assert!(wakes.iter().all(|wakes| wakes.count() == 0));
    });
}

#[test]
fn a_connect_that_was_dropped_closes_its_socket() {
    with_workers(1, async {
        let (mut listener, address) = listener().await;
        let wakes = poll_and_drop(TcpStream::connect(address));
        // The kernel may have established the connection, but then it has ended as well.
        let (mut accepted, _) = listener.accept().await.unwrap();
        assert!(matches!(accepted.read(&mut [0]).await, Ok(0) | Err(_)));
        assert_eq!(wakes.count(), 0);
    });
}

#[test]
fn timers_that_were_dropped_wake_nobody() {
    with_workers(1, async {
        let short = Duration::from_millis(1);
        let (_ours, mut theirs) = pair().await;
        let mut beat = interval(short);
        let wakes = [
            poll_and_drop(sleep(short)),
            poll_and_drop(timeout(short, pending::<()>())),
            poll_and_drop(timeout(short, theirs.read(&mut [0]))),
            poll_and_drop(beat.tick()),
        ];
        sleep(Duration::from_millis(20)).await;
        assert!(wakes.iter().all(|wakes| wakes.count() == 0));
        beat.tick().await;
    });
}

#[test]
fn a_join_that_was_dropped_is_not_told_of_the_end() {
    with_workers(1, async {
        let (released, release) = channel::<()>();
        let (ended, end) = channel();
        let wakes = [
            poll_and_drop(spawn(sleep(Duration::from_millis(1)))),
            poll_and_drop(spawn_blocking(move || {
                let _ = release.recv();
                ended.send(()).unwrap();
            })),
        ];
        drop(released);
        spawn_blocking(move || end.recv()).await.unwrap().unwrap();
        sleep(Duration::from_millis(20)).await;
        assert!(wakes.iter().all(|wakes| wakes.count() == 0));
    });
}

#[test]
fn a_signal_and_a_child_that_nobody_waits_for_any_more_wake_nobody() {
    with_workers(1, async {
        let mut usr2 = Signal::new(SIGUSR2).unwrap();
        let mut child = Child::spawn(Command::new("sleep").arg("60")).unwrap();
        let wakes = [poll_and_drop(usr2.recv()), poll_and_drop(child.wait())];
        raise(SIGUSR2).unwrap();
        usr2.recv().await.unwrap();
        child.kill().unwrap();
        child.wait().await.unwrap();
        assert!(wakes.iter().all(|wakes| wakes.count() == 0));
    });
}

#[test]
fn an_accept_that_was_dropped_leaves_its_client_to_the_next_one() {
    with_workers(1, async {
        let (mut listener, address) = listener().await;
        let wakes = poll_and_drop(listener.accept());
        let client = TcpStream::connect(address).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        assert_eq!(wakes.count(), 0);
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
            spawn(async move {
                sleep(Duration::from_secs(3600)).await;
                drop(held);
            })
        };
        yield_now().await;
        assert_eq!(task.cancel().await, None);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}
