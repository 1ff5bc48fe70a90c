//! Tasks among each other.

use crate::support::{echo_server, pair, read_exactly, with_workers};
use async_runtime::net::TcpStream;
use async_runtime::runtime::{Runtime, spawn};
use async_runtime::task::{JoinError, spawn_blocking, yield_now};
use async_runtime::time::sleep;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;
use std::time::Duration;

#[test]
fn a_task_gives_its_result_to_whoever_joins_it() {
    with_workers(2, async {
        let numbers: Vec<_> =
            (0..1_000_u32).map(|number| spawn(async move { number * 2 })).collect();
        for (number, task) in (0..).zip(numbers) {
            assert_eq!(task.await.unwrap(), number * 2);
        }
    });
}

#[test]
fn a_task_that_panics_harms_nobody_else() {
    with_workers(1, async {
        let task = spawn(async {
            yield_now().await;
            panic!("on purpose")
        });
        let error: JoinError = match task.await {
            Ok(()) => unreachable!("it panics"),
            Err(error) => error,
        };
        assert_eq!(error.panic_message(), Some("on purpose"));
        assert_eq!(error.to_string(), "the task panicked: on purpose");
        // The one worker lives.
        assert_eq!(spawn(async { 7 }).await.unwrap(), 7);
    });
}

#[test]
fn a_destructor_that_panics_harms_nobody_else() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose, while it is dropped");
        }
    }
    with_workers(1, async {
        let bomb = Bomb;
        let task = spawn(async move {
            let _bomb = bomb;
            sleep(Duration::from_secs(3600)).await;
        });
        yield_now().await;
        task.cancel().await;
        assert_eq!(spawn(async { 7 }).await.unwrap(), 7);
    });
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("on purpose, while it is called");
        }
    }
    with_workers(1, async {
        let task = spawn(async {
            let bomb = Waker::from(Arc::new(Bomb));
            let (mut ours, mut theirs) = pair().await;
            let mut buffer = [0; 8];
            let mut read = theirs.read(&mut buffer);
            let poll = Pin::new(&mut read).poll(&mut Context::from_waker(&bomb));
            assert!(poll.is_pending());
            // Before and after one that is due at the same time.
            let mut bombed: Vec<_> = (0..8).map(|_| sleep(Duration::from_millis(5))).collect();
            let sleepers: Vec<_> = bombed
                .iter_mut()
                .map(|sleeping| {
                    let poll = Pin::new(sleeping).poll(&mut Context::from_waker(&bomb));
                    assert!(poll.is_pending());
                    spawn(sleep(Duration::from_millis(5)))
                })
                .collect();
            ours.write_all(b"x").await.unwrap();
            for sleeper in sleepers {
                sleeper.await.unwrap();
            }
            assert_eq!(read.await.unwrap(), 1);
        });
        task.await.unwrap();
    });
}

#[test]
fn a_task_that_wakes_itself_for_ever_does_not_starve_the_others() {
    with_workers(1, async {
        let address = echo_server().await;
        let ended = Arc::new(AtomicBool::new(false));
        let spinner = {
            let ended = Arc::clone(&ended);
            spawn(poll_fn(move |cx| {
                if ended.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }))
        };
        // A task, a timer and a socket of the same worker.
        let task = spawn(async {
            yield_now().await;
            sleep(Duration::from_millis(2)).await;
        });
        task.await.unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        for _ in 0..10 {
            client.write_all(b"x").await.unwrap();
            read_exactly(&mut client, &mut [0]).await;
        }
        assert!(!spinner.is_finished());
        ended.store(true, Ordering::Relaxed);
        spinner.await.unwrap();
    });
}

#[test]
fn a_wake_from_another_thread_is_never_lost() {
    with_workers(2, async {
        for _ in 0..2_000 {
            let ready = Arc::new(AtomicBool::new(false));
            let task = {
                let ready = Arc::clone(&ready);
                let mut thread = None;
                spawn(poll_fn(move |cx| {
                    if ready.load(Ordering::Acquire) {
                        return Poll::Ready(());
                    }
                    let (ready, waker) = (Arc::clone(&ready), cx.waker().clone());
                    thread.get_or_insert_with(|| {
                        spawn_blocking(move || {
                            ready.store(true, Ordering::Release);
                            waker.wake();
                        })
                    });
                    Poll::Pending
                }))
            };
            task.await.unwrap();
        }
    });
}

#[test]
fn a_task_runs_on_one_thread_at_a_time_however_often_it_is_woken() {
    with_workers(2, async {
        let (running, polls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let wakers: Arc<std::sync::Mutex<Option<Waker>>> = Arc::default();
        let task = {
            let (running, polls, wakers) =
                (Arc::clone(&running), Arc::clone(&polls), Arc::clone(&wakers));
            spawn(poll_fn(move |cx| {
                assert!(!running.swap(true, Ordering::SeqCst), "it runs twice");
                *wakers.lock().unwrap() = Some(cx.waker().clone());
                let polls = polls.fetch_add(1, Ordering::SeqCst);
                running.store(false, Ordering::SeqCst);
                if polls < 5_000 { Poll::Pending } else { Poll::Ready(()) }
            }))
        };
        let task = Arc::new(std::sync::Mutex::new(Some(task)));
        let hammers: Vec<_> = (0..3)
            .map(|_| {
                let (wakers, polls) = (Arc::clone(&wakers), Arc::clone(&polls));
                spawn_blocking(move || {
                    while polls.load(Ordering::SeqCst) <= 5_000 {
                        let waker = wakers.lock().unwrap().clone();
                        if let Some(waker) = waker {
                            waker.wake();
                        }
                    }
                })
            })
            .collect();
        for hammer in hammers {
            hammer.await.unwrap();
        }
        let task = task.lock().unwrap().take().unwrap();
        task.await.unwrap();
    });
}

#[test]
fn tasks_are_spread_over_the_workers_and_stay_there() {
    with_workers(2, async {
        async fn thread() -> ThreadId {
            std::thread::current().id()
        }
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                spawn(async {
                    let first = thread().await;
                    for _ in 0..10 {
                        sleep(Duration::from_millis(1)).await;
                        assert_eq!(thread().await, first);
                    }
                    first
                })
            })
            .collect();
        let mut threads = Vec::new();
        for task in tasks {
            threads.push(task.await.unwrap());
        }
        let first = threads.iter().filter(|thread| **thread == threads[0]).count();
        assert!((40..=60).contains(&first), "{first} of 100 on one of two workers");
    });
}

#[test]
fn the_connections_of_one_accepting_task_are_spread_over_the_workers() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (mut listener, address) = runtime.block_on(crate::support::listener());
    let accepted = runtime.spawn(async move {
        let mut handlers = Vec::new();
        for _ in 0..40 {
            let (mut client, _) = listener.accept().await.unwrap();
            handlers.push(spawn(async move {
                read_exactly(&mut client, &mut [0]).await;
                std::thread::current().id()
            }));
        }
        handlers
    });
    runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..40 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let handlers = accepted.await.unwrap();
        let mut threads = Vec::new();
        for (client, handler) in clients.iter_mut().zip(handlers) {
            client.write_all(b"x").await.unwrap();
            threads.push(handler.await.unwrap());
        }
        let first = threads.iter().filter(|thread| **thread == threads[0]).count();
        assert!((15..=25).contains(&first), "{first} of 40 on one of two workers");
    });
}

#[test]
fn blocking_work_does_not_hold_up_a_worker() {
    with_workers(1, async {
        let (released, release) = std::sync::mpsc::channel();
        let blocked = spawn_blocking(move || release.recv().unwrap());
        let (mut ours, mut theirs) = pair().await;
        ours.write_all(b"x").await.unwrap();
        read_exactly(&mut theirs, &mut [0]).await;
        released.send(7).unwrap();
        assert_eq!(blocked.await.unwrap(), 7);
        let panics = spawn_blocking(|| panic!("on purpose"));
        assert_eq!(panics.await.unwrap_err().panic_message(), Some("on purpose"));
    });
}
