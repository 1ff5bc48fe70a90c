//! The events that are not sockets and timers: signals, children, files.

use crate::support::with_workers;
use async_runtime::process::Child;
use async_runtime::runtime::spawn;
use async_runtime::signal::Signal;
use async_runtime::{fs, signal};
use signal_hook::consts::{SIGTERM, SIGUSR1};
use signal_hook::low_level::raise;
use std::process::{Command, Stdio};

#[test]
fn a_signal_is_an_event() {
    with_workers(2, async {
        let mut usr1 = Signal::new(SIGUSR1).unwrap();
        for _ in 0..3 {
            raise(SIGUSR1).unwrap();
            usr1.recv().await.unwrap();
        }
        // One that comes while somebody waits.
        let waiting = spawn(async move { usr1.recv().await });
        async_runtime::task::yield_now().await;
        raise(SIGUSR1).unwrap();
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn every_listener_hears_a_signal_of_its_own() {
    with_workers(1, async {
        // Noted from here on, so that the test is not ended by it.
        let mut first = Signal::new(SIGTERM).unwrap();
        let mut second = std::pin::pin!(signal::terminate());
        assert!(futures_lite::future::poll_once(second.as_mut()).await.is_none());
        raise(SIGTERM).unwrap();
        first.recv().await.unwrap();
        second.await.unwrap();
    });
}

#[test]
fn a_signal_that_cannot_be_caught_is_an_error() {
    with_workers(1, async {
        assert!(Signal::new(signal_hook::consts::SIGKILL).is_err());
    });
}

#[test]
fn the_end_of_a_child_is_an_event() {
    with_workers(1, async {
        let mut child = Child::spawn(Command::new("sh").args(["-c", "exit 7"])).unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
        // As often as one likes.
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
        // One that waits for its input is told that there is none.
        let mut child = Child::spawn(Command::new("cat").stdin(Stdio::piped())).unwrap();
        assert!(child.wait().await.unwrap().success());
        let mut child = Child::spawn(Command::new("sleep").arg("3600")).unwrap();
        assert!(futures_lite::future::poll_once(std::pin::pin!(child.wait())).await.is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().await.unwrap().code(), None);
        assert!(Child::spawn(&mut Command::new("/nonexistent")).is_err());
    });
}

#[test]
fn a_file_is_read_and_written_in_the_pool() {
    with_workers(1, async {
        let path = std::env::temp_dir().join(format!("async-runtime-{}", std::process::id()));
        fs::write(&path, "some text").await.unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"some text");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(fs::read(&path).await.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    });
}
