//! A runtime from beginning to end.

use crate::support::{HANGS, echo_server, pair, with_workers};
use async_runtime::net::TcpStream;
use async_runtime::runtime::{Runtime, StillRunning, spawn, worker_number};
use async_runtime::task::{JoinError, spawn_blocking, yield_now};
use async_runtime::time::sleep;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

#[test]
fn shutdown_cancels_tasks_wherever_they_wait() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let held = Arc::new(());
    let address = runtime.block_on(echo_server());
    let waiting = Arc::new(AtomicUsize::new(0));
    let on = |what: usize| {
        let (held, waiting) = (Arc::clone(&held), Arc::clone(&waiting));
        async move {
            let _held = held;
            let mut connection = TcpStream::connect(address).await.unwrap();
            waiting.fetch_add(1, Ordering::SeqCst);
            match what {
                0 => pending().await,
                1 => sleep(Duration::from_secs(3600)).await,
                2 => drop(connection.read(&mut [0]).await),
                3 => drop(spawn(pending::<()>()).await),
                _ => loop {
                    yield_now().await;
                },
            }
        }
    };
    let tasks: Vec<_> = (0..20).map(|number| runtime.spawn(on(number % 5))).collect();
    while waiting.load(Ordering::SeqCst) < 20 {
        std::thread::yield_now();
    }
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
    assert_eq!(Arc::strong_count(&held), 1, "a task was not dropped");
    assert!(tasks.iter().all(async_runtime::task::JoinHandle::is_finished));
    // The listener is closed as well.
    let refused = std::net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn shutdown_says_who_does_not_give_way() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (release, released) = channel::<()>();
    let (started, has_started) = channel();
    runtime.block_on(async move {
        let work = spawn_blocking(move || {
            started.send(()).unwrap();
            released.recv()
        });
        drop(work);
    });
    has_started.recv().unwrap();
    assert_eq!(runtime.shutdown(Duration::from_millis(10)), Err(StillRunning(1)));
    drop(release);
}

#[test]
fn a_task_that_is_started_too_late_is_cancelled() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let handle = runtime.block_on(async {
        let (spawned, late) = channel();
        // Its destructor runs while the worker ends, and starts another task.
        struct StartsAnother(std::sync::mpsc::Sender<async_runtime::task::JoinHandle<()>>);
        impl Drop for StartsAnother {
            fn drop(&mut self) {
                self.0.send(spawn(async {})).unwrap();
            }
        }
        let starts = StartsAnother(spawned);
        spawn(async move {
            let _starts = starts;
            pending::<()>().await;
        });
        late
    });
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
    let late = handle.recv().unwrap();
    let second = Runtime::builder().workers(1).build().unwrap();
    second.block_on(async {
        assert!(matches!(late.await, Err(JoinError::Cancelled)));
    });
}

#[test]
fn whoever_joins_a_task_of_a_runtime_that_ends_is_told() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let task = runtime.spawn(pending::<()>());
    let (waits, wait) = channel();
    let joins = std::thread::spawn(move || {
        with_workers(1, async {
            let mut task = task;
            assert!(futures_lite::future::poll_once(&mut task).await.is_none());
            waits.send(()).unwrap();
            assert!(matches!(task.await, Err(JoinError::Cancelled)));
        });
    });
    wait.recv().unwrap();
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
    joins.join().unwrap();
}

#[test]
fn a_socket_that_outlives_its_runtime_is_an_error_and_not_a_hang() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (_ours, mut theirs) = runtime.block_on(async {
        let (ours, mut theirs) = pair().await;
        assert!(futures_lite::future::poll_once(theirs.read(&mut [0])).await.is_none());
        (ours, theirs)
    });
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
    with_workers(1, async move {
        assert!(theirs.read(&mut [0]).await.is_err());
    });
}

#[test]
#[should_panic(expected = "block_on was called inside of a task")]
fn block_on_inside_of_block_on_is_refused() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.block_on(async { runtime.block_on(async {}) });
}

#[test]
#[should_panic(expected = "call this from inside of Runtime::block_on or a spawned task")]
fn a_sleep_without_a_runtime_says_so() {
    futures_lite::future::block_on(sleep(Duration::ZERO));
}

#[test]
fn block_on_lets_a_panic_through_and_can_be_called_again() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { panic!("on purpose") });
    }));
    assert!(panicked.is_err());
    assert_eq!(runtime.block_on(async { 7 }), 7);
}

#[test]
fn several_threads_can_block_on_one_runtime() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let address = runtime.block_on(echo_server());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                runtime.block_on(async {
                    let mut client = TcpStream::connect(address).await.unwrap();
                    for _ in 0..50 {
                        client.write_all(b"x").await.unwrap();
                        assert_eq!(client.read(&mut [0]).await.unwrap(), 1);
                    }
                });
            });
        }
    });
}

#[test]
fn a_task_can_tell_its_worker() {
    let runtime = Runtime::builder().workers(3).build().unwrap();
    runtime.block_on(async {
        assert_eq!(worker_number(), None, "the thread of block_on is none of them");
        for worker in 0..3 {
            let number = runtime.spawn_on(worker, async { worker_number() });
            assert_eq!(number.await.unwrap(), Some(worker));
        }
        assert_eq!(spawn_blocking(worker_number).await.unwrap(), None);
    });
}

#[test]
fn blocking_threads_can_be_there_from_the_start() {
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    let begin = || {
        BEGUN.fetch_add(1, Ordering::SeqCst);
    };
    let builder = Runtime::builder().workers(1).blocking_threads(3).start_blocking_threads(begin);
    let runtime = builder.build().unwrap();
    // Without any work; and then work starts no more of them.
    while BEGUN.load(Ordering::SeqCst) < 3 {
        std::thread::yield_now();
    }
    runtime.block_on(async {
        let works: Vec<_> = (0..20).map(|_| spawn_blocking(|| ())).collect();
        for work in works {
            work.await.unwrap();
        }
    });
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
    assert_eq!(BEGUN.load(Ordering::SeqCst), 3);
}

#[test]
fn turns_and_wakeups_are_counted() {
    const RESULTS: u64 = 20;
    let runtime = Runtime::builder().workers(1).blocking_threads(1).build().unwrap();
    let metrics = runtime.metrics();
    runtime.block_on(async {
        let results = runtime.spawn_on(0, async {
            for _ in 0..RESULTS {
                spawn_blocking(|| ()).await.unwrap();
            }
        });
        results.await.unwrap();
    });
    let before = metrics.turns();
    assert!(before > 0);
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
    // At most one for each result, whose worker may have been awake.
    assert!(metrics.wakeups() <= RESULTS, "{metrics:?}");
    assert!(metrics.turns() > before, "the last one, {metrics:?}");
}
