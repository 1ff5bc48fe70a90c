//! Waiting for readiness, and calls that do not wait.

use crate::support::{HANGS, Wakes, listener, pair, with_workers};
use async_runtime::net::TcpStream;
use async_runtime::runtime::Runtime;
use async_runtime::task::yield_now;
use async_runtime::time::{ManualClock, timeout};
use rustix::net::{SendFlags, send, sockopt};
use std::future::poll_fn;
use std::io::ErrorKind::{ConnectionReset, TimedOut, WouldBlock};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Asks without waiting; whoever is woken later is counted.
fn ask<T>(poll: impl Fn(&mut Context<'_>) -> Poll<T>) -> (Poll<T>, Arc<Wakes>) {
    let wakes = Arc::new(Wakes::default());
    (poll(&mut Context::from_waker(&Waker::from(Arc::clone(&wakes)))), wakes)
}

async fn readable(stream: &TcpStream) {
    poll_fn(|cx| stream.poll_read_ready(cx)).await.unwrap();
}

async fn writable(stream: &TcpStream) {
    poll_fn(|cx| stream.poll_write_ready(cx)).await.unwrap();
}

#[test]
fn whoever_waits_until_it_can_read_reads() {
    with_workers(1, async {
        let (mut ours, theirs) = pair().await;
        let mut buffer = [0; 64];
        // Before anybody watches, a call is worth a try.
        readable(&theirs).await;
        assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), WouldBlock);
        for length in [1, 64, 100] {
            let (poll, _) = ask(|cx| theirs.poll_read_ready(cx));
            assert!(poll.is_pending(), "nothing is there");
            ours.write_all(&vec![7; length]).await.unwrap();
            let mut received = 0;
            while received < length {
                readable(&theirs).await;
                received += match theirs.try_read(&mut buffer) {
                    Ok(count) => count,
                    // The buffer was full, so there might have been more.
                    Err(error) => {
                        assert_eq!((error.kind(), received), (WouldBlock, 64));
                        0
                    }
                };
            }
            if length == 64 {
                assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), WouldBlock);
            }
        }
        drop(ours);
        readable(&theirs).await;
        assert_eq!(theirs.try_read(&mut buffer).unwrap(), 0);
        // An end stays one.
        readable(&theirs).await;
        assert_eq!(theirs.try_read(&mut buffer).unwrap(), 0);
    });
}

#[test]
fn a_call_finds_what_no_event_has_told_of_yet() {
    with_workers(1, async {
        let (mut ours, theirs) = pair().await;
        let mut buffer = [0; 64];
        assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), WouldBlock);
        let (poll, wakes) = ask(|cx| theirs.poll_read_ready(cx));
        assert!(poll.is_pending());
        ours.write_all(b"abc").await.unwrap();
        // Nobody has looked at the events since.
        assert_eq!(wakes.count(), 0);
        assert_eq!(theirs.try_read(&mut buffer).unwrap(), 3);
        // Now there is nothing to tell.
        yield_now().await;
        assert_eq!(wakes.count(), 0);
        assert!(ask(|cx| theirs.poll_read_ready(cx)).0.is_pending());
        ours.write_all(b"d").await.unwrap();
        readable(&theirs).await;
        assert_eq!(theirs.try_read(&mut buffer).unwrap(), 1);
    });
}

#[test]
fn whoever_waits_until_it_can_write_writes() {
    with_workers(1, async {
        let (ours, mut theirs) = pair().await;
        let bytes = vec![7; 1 << 20];
        let mut sent = 0;
        loop {
            match ours.try_write(&bytes) {
                Ok(count) => sent += count,
                Err(error) => break assert_eq!(error.kind(), WouldBlock),
            }
        }
        assert!(ask(|cx| ours.poll_write_ready(cx)).0.is_pending());
        let mut buffer = vec![0; 1 << 20];
        let mut received = 0;
        while received < sent {
            received += theirs.read(&mut buffer).await.unwrap();
        }
        assert_eq!(received, sent);
        writable(&ours).await;
        assert_eq!(ours.try_write(b"more").unwrap(), 4);
    });
}

/// A short count tells that there is no more, except where urgent data ends a call early.
#[test]
fn urgent_data_hides_nothing() {
    with_workers(1, async {
        let (ours, theirs) = pair().await;
        sockopt::set_socket_oobinline(&theirs, true).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), WouldBlock);
        for _ in 0..3 {
            send(&ours, b"be", SendFlags::NOSIGNAL).unwrap();
            send(&ours, b"f", SendFlags::NOSIGNAL | SendFlags::OOB).unwrap();
            send(&ours, b"ore", SendFlags::NOSIGNAL).unwrap();
            let mut text = Vec::new();
            while text.len() < 6 {
                timeout(HANGS, readable(&theirs)).await.expect("the rest is announced");
                if let Ok(count) = theirs.try_read(&mut buffer) {
                    text.extend_from_slice(&buffer[..count]);
                }
            }
            assert_eq!(text, b"before");
        }
    });
}

#[test]
fn a_breach_is_told_once_and_a_half_close_is_none() {
    with_workers(1, async {
        let (mut ours, theirs) = pair().await;
        ours.write_all(b"unread").await.unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let (poll, wakes) = ask(|cx| theirs.poll_hang_up(cx));
        assert!(poll.is_pending());
        yield_now().await;
        assert_eq!(wakes.count(), 0);
        assert!(ask(|cx| theirs.poll_hang_up(cx)).0.is_pending());
        // A close of this kind resets the connection.
        sockopt::set_socket_linger(&ours, Some(Duration::ZERO)).unwrap();
        drop(ours);
        poll_fn(|cx| theirs.poll_hang_up(cx)).await.unwrap();
        assert!(ask(|cx| theirs.poll_hang_up(cx)).0.is_pending(), "told twice");
        assert!(sockopt::socket_error(&theirs).unwrap().is_err());
    });
}

#[test]
fn a_reset_ends_every_wait() {
    with_workers(1, async {
        let (ours, theirs) = pair().await;
        let mut buffer = [0; 8];
        assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), WouldBlock);
        sockopt::set_socket_linger(&ours, Some(Duration::ZERO)).unwrap();
        drop(ours);
        readable(&theirs).await;
        assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), ConnectionReset);
    });
}

#[test]
fn a_wait_for_readiness_times_out_whatever_calls_have_moved() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().workers(1).clock(clock.clone()).build().unwrap();
    runtime.block_on(async {
        let (mut ours, theirs) = pair().await;
        let mut buffer = [0; 8];
        let pass = async |seconds| {
            clock.advance(Duration::from_secs(seconds));
            yield_now().await;
        };
        assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), WouldBlock);
        theirs.set_timeout(Some(Duration::from_secs(10)));
        let waits = || ask(|cx| theirs.poll_read_ready(cx)).0.is_pending();
        assert!(waits());
        pass(9).await;
        ours.write_all(b"x").await.unwrap();
        readable(&theirs).await;
        assert_eq!(theirs.try_read(&mut buffer).unwrap(), 1);
        assert!(waits());
        pass(2).await;
        let (poll, _) = ask(|cx| theirs.poll_read_ready(cx));
        assert!(matches!(poll, Poll::Ready(Err(error)) if error.kind() == TimedOut));
        // Told once. Whoever wants to be told again says when.
        assert!(waits());
        theirs.set_timeout(Some(Duration::from_secs(2)));
        pass(3).await;
        let (poll, _) = ask(|cx| theirs.poll_read_ready(cx));
        assert!(matches!(poll, Poll::Ready(Err(error)) if error.kind() == TimedOut));
        // It concerns every wait, also one for a breach.
        theirs.set_timeout(Some(Duration::from_secs(2)));
        assert!(ask(|cx| theirs.poll_hang_up(cx)).0.is_pending());
        pass(3).await;
        let (poll, _) = ask(|cx| theirs.poll_hang_up(cx));
        assert!(matches!(poll, Poll::Ready(Err(error)) if error.kind() == TimedOut));
    });
}

#[test]
fn a_time_out_that_nobody_waited_for_is_told_to_who_comes_next() {
    let clock = ManualClock::new();
    let runtime = Runtime::builder().workers(1).clock(clock.clone()).build().unwrap();
    runtime.block_on(async {
        let (_ours, mut theirs) = pair().await;
        let mut buffer = [0; 8];
        theirs.set_timeout(Some(Duration::from_secs(3_600)));
        // Watched, and left alone.
        assert!(futures_lite::future::poll_once(theirs.read(&mut buffer)).await.is_none());
        clock.advance(Duration::from_secs(3_601));
        yield_now().await;
        let mut read = theirs.read(&mut buffer);
        assert!(futures_lite::future::poll_once(&mut read).await.is_none());
        clock.advance(Duration::from_secs(1));
        yield_now().await;
        assert_eq!(read.await.unwrap_err().kind(), TimedOut);
    });
}

#[test]
fn a_listener_can_be_asked_without_waiting() {
    with_workers(1, async {
        let (listener, address) = listener().await;
        assert_eq!(listener.try_accept().unwrap_err().kind(), WouldBlock);
        let ours = TcpStream::connect(address).await.unwrap();
        let (theirs, peer) = listener.try_accept().unwrap();
        assert_eq!(peer, ours.local_addr().unwrap());
        assert_eq!(theirs.local_addr().unwrap(), address);
        assert_eq!(listener.try_accept().unwrap_err().kind(), WouldBlock);
    });
}

#[test]
fn a_listener_from_elsewhere_keeps_its_options() {
    with_workers(1, async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        sockopt::set_tcp_nodelay(&listener, true).unwrap();
        let mut listener = async_runtime::net::TcpListener::from_std(listener).unwrap();
        assert_eq!(listener.try_accept().unwrap_err().kind(), WouldBlock, "it would block us");
        let _ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        assert!(sockopt::tcp_nodelay(&theirs).unwrap(), "its clients inherit them");
    });
}

/// Otherwise each event would be found only after a whole budget, 64 turns, of the one that never waits.
#[test]
fn who_gives_way_lets_events_come_first() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (turns, done) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    runtime.block_on(async {
        let (ours, theirs) = pair().await;
        let (counted, stop) = (Arc::clone(&turns), Arc::clone(&done));
        let busy = runtime.spawn_on(0, async move {
            while stop.count() == 0 {
                std::task::Wake::wake(Arc::clone(&counted));
                yield_now().await;
            }
        });
        let (counted, stop) = (Arc::clone(&turns), Arc::clone(&done));
        let rounds = runtime.spawn_on(0, async move {
            let mut buffer = [0; 8];
            let before = counted.count();
            assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), WouldBlock);
            for _ in 0..1_000 {
                assert_eq!(ours.try_write(b"x").unwrap(), 1);
                readable(&theirs).await;
                assert_eq!(theirs.try_read(&mut buffer).unwrap(), 1);
            }
            std::task::Wake::wake(stop);
            counted.count() - before
        });
        let turns = rounds.await.unwrap();
        assert!(turns <= 20_000, "{turns} turns of the other one for 1000 events");
        busy.await.unwrap();
    });
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
}
