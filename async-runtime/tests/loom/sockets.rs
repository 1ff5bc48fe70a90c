//! Sockets and their workers: registered, migrated and closed by other threads, with no event lost and
//! nothing left behind.

use crate::async_socket::{AsyncSocket, Progress};
use crate::current::{self, Current};
use crate::event_loop::{self, EventLoop};
use crate::explore::{every_interleaving, with_preemptions};
use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::sync::{Condvar, Mutex};
use crate::{socket_messages, task};
use loom::thread::{self, JoinHandle};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

struct Worker {
    mailbox: Arc<Mailbox<WorkerMessage>>,
    /// Whether its event loop was empty at its end.
    thread: JoinHandle<bool>,
}

impl Worker {
    fn start() -> Self {
        Self::start_with(|| {})
    }

    /// A worker with a task, which runs each time that the worker is told to wake.
    fn start_with(task: impl Fn() + Send + 'static) -> Self {
        let (event_loop, doorbell) = EventLoop::new();
        let mailbox = Arc::new(Mailbox::new(doorbell));
        let me = Arc::clone(&mailbox);
        let thread = thread::spawn(move || {
            let worker = Current { mailbox: me, event_loop: Rc::new(RefCell::new(event_loop)) };
            current::enter(&worker);
            turn(&worker, task)
        });
        Self { mailbox, thread }
    }

    fn end(self) {
        assert!(self.mailbox.push(WorkerMessage::Shutdown).is_ok());
        assert!(self.thread.join().unwrap(), "a socket is still watched");
    }
}

/// The turns of `src/worker.rs`, without timers and with one task.
fn turn(Current { mailbox: me, event_loop }: &Current, task: impl Fn()) -> bool {
    let (mut mail, mut woken) = (Vec::new(), Vec::new());
    loop {
        me.take_all(&mut mail);
        let mut task_is_woken = false;
        for message in mail.drain(..) {
            match socket_messages::apply(event_loop, me, Duration::ZERO, message) {
                Some(WorkerMessage::Wake) => task_is_woken = true,
                Some(WorkerMessage::Shutdown) => return event_loop.borrow().is_empty(),
                _ => {}
            }
        }
        if task_is_woken {
            task();
        }
        let may_sleep = me.fall_asleep();
        event_loop.borrow_mut().poll_once(may_sleep, &mut woken);
        woken.drain(..).for_each(Waker::wake);
    }
}

fn socket() -> AsyncSocket {
    // A descriptor that nothing is ever asked of.
    AsyncSocket::new(File::open("/dev/null").unwrap().into(), true)
}

fn receive(socket: &AsyncSocket) -> usize {
    let received = task::run(|cx| {
        socket.poll_read(cx, |_| event_loop::recv().map(Progress::Short).ok_or(Errno::AGAIN))
    });
    received.unwrap()
}

#[test]
fn a_byte_wakes_the_task_that_waits_for_it() {
    with_preemptions("1 worker, register, 1 byte, close", 3, || {
        let worker = Worker::start();
        current::set_mailbox(&worker.mailbox);
        let socket = socket();
        let peer = thread::spawn(event_loop::send);
        assert_eq!(receive(&socket), 1);
        peer.join().unwrap();
        drop(socket);
        worker.end();
    });
}

#[test]
fn no_byte_is_lost_to_a_migration() {
    with_preemptions("2 workers, register, 1 byte, migrate, close", 2, || {
        let (first, second) = (Worker::start(), Worker::start());
        current::set_mailbox(&first.mailbox);
        let socket = Arc::new(socket());
        let other = {
            let (socket, to) = (Arc::clone(&socket), Arc::clone(&second.mailbox));
            thread::spawn(move || {
                socket.migrate(to);
                event_loop::send();
            })
        };
        assert_eq!(receive(&socket), 1);
        other.join().unwrap();
        drop(socket);
        // What the first has not handed on, it hands on before it ends.
        first.end();
        second.end();
    });
}

#[test]
fn a_socket_that_is_closed_while_it_moves_is_watched_by_nobody() {
    with_preemptions("2 workers, migrate, close", 2, || {
        let (first, second) = (Worker::start(), Worker::start());
        current::set_mailbox(&first.mailbox);
        let socket = socket();
        event_loop::send();
        assert_eq!(receive(&socket), 1);
        // It has been registered only if the first call found nothing: have it so.
        let waker = Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        assert!(socket.poll_read::<()>(&mut cx, |_| Err(Errno::AGAIN)).is_pending());
        socket.migrate(Arc::clone(&second.mailbox));
        socket.set_timeout(Some(Duration::from_secs(1)));
        drop(socket);
        first.end();
        second.end();
    });
}

#[test]
fn a_socket_that_is_closed_by_a_task_of_its_new_worker_is_watched_by_nobody() {
    with_preemptions("2 workers, migrate, close on the new one", 2, || {
        let socket = socket();
        let first = Worker::start();
        current::set_mailbox(&first.mailbox);
        let mut cx = std::task::Context::from_waker(Waker::noop());
        assert!(socket.poll_read::<()>(&mut cx, |_| Err(Errno::AGAIN)).is_pending());
        let held = Arc::new((Mutex::new(Some(socket)), Condvar::new()));
        let second = {
            let held = Arc::clone(&held);
            Worker::start_with(move || {
                let socket = held.0.lock().take();
                drop(socket);
                held.1.notify_one();
            })
        };
        let mut socket = held.0.lock();
        socket.as_ref().unwrap().migrate(Arc::clone(&second.mailbox));
        assert!(second.mailbox.push(WorkerMessage::Wake).is_ok());
        while socket.is_some() {
            held.1.wait(&mut socket);
        }
        drop(socket);
        first.end();
        second.end();
    });
}

#[test]
fn no_byte_is_lost_to_an_interest_that_changes_while_a_socket_moves() {
    with_preemptions("2 workers, register, migrate, modify, 1 byte, close", 2, || {
        let (first, second) = (Worker::start(), Worker::start());
        current::set_mailbox(&first.mailbox);
        let socket = Arc::new(socket());
        let mut cx = std::task::Context::from_waker(Waker::noop());
        assert!(socket.poll_read::<()>(&mut cx, |_| Err(Errno::AGAIN)).is_pending());
        let other = {
            let (socket, to) = (Arc::clone(&socket), Arc::clone(&second.mailbox));
            thread::spawn(move || {
                socket.migrate(to);
                event_loop::send();
            })
        };
        assert!(socket.poll_write::<()>(&mut cx, |_| Err(Errno::AGAIN)).is_pending());
        assert_eq!(receive(&socket), 1);
        other.join().unwrap();
        drop(socket);
        first.end();
        second.end();
    });
}

#[test]
fn a_task_that_waits_for_a_worker_that_ends_is_told() {
    every_interleaving("1 worker, register, end", || {
        let (_event_loop, doorbell) = EventLoop::new();
        let mailbox = Arc::new(Mailbox::new(doorbell));
        current::set_mailbox(&mailbox);
        let ends = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                // As `Worker::finish` does with what it finds there.
                for message in mailbox.close() {
                    if let WorkerMessage::RegisterSocket(socket) = message {
                        socket.fail(Errno::SHUTDOWN);
                    }
                }
            })
        };
        let socket = socket();
        let read = task::run(|cx| socket.poll_read::<()>(cx, |_| Err(Errno::AGAIN)));
        assert!(read.is_err());
        ends.join().unwrap();
    });
}
