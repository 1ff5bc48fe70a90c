//! Messages about sockets, one by one: two workers that take their turns when the test says so.

use super::*;
use crate::async_socket::AsyncSocket;
use crate::blocking::BlockingPool;
use crate::clock::Clock;
use crate::crew::Crew;
use crate::current;
use crate::net::{TcpListener, TcpStream};
use crate::runtime::new_worker;
use crate::time::ManualClock;
use std::future::Future;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Two workers on one thread, and a connection whose other end is an ordinary one.
struct Bench {
    workers: [Rc<Worker>; 2],
    clock: ManualClock,
    ours: TcpStream,
    peer: std::net::TcpStream,
    wakes: Arc<Wakes>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new();
        let parts = [new_worker(16).unwrap(), new_worker(16).unwrap()];
        let shared = Arc::new(Shared {
            workers: parts.iter().map(|(handle, _)| Arc::clone(handle)).collect(),
            blocking: BlockingPool::new(1, &Arc::new(Crew::default())),
            clock: Clock::Manual(clock.clone()),
            io_budget: 16,
            task_budget: 16,
        });
        let workers = parts.map(|(handle, event_loop)| {
            Rc::new(Worker::new(handle, event_loop, Arc::clone(&shared), None))
        });
        let mut listener = ready(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let entered = current::enter(Rc::clone(&workers[0]));
        let (ours, _) = ready(listener.accept()).unwrap();
        drop(listener);
        drop(entered);
        Self { workers, clock, ours, peer, wakes: Arc::default() }
    }

    /// Does something as a task of this worker would.
    fn on<T>(
        &mut self,
        worker: usize,
        act: impl FnOnce(&mut TcpStream, &mut Context<'_>) -> T,
    ) -> T {
        let _entered = current::enter(Rc::clone(&self.workers[worker]));
        self.workers[worker].refill_calls();
        let waker = Waker::from(Arc::clone(&self.wakes));
        act(&mut self.ours, &mut Context::from_waker(&waker))
    }

    /// Has a task of this worker wait for bytes.
    fn wait_on(&mut self, worker: usize) {
        self.on(worker, |ours, cx| assert!(ours.poll_recv(cx, &mut [0; 8]).is_pending()));
    }

    /// One turn that does not sleep.
    fn turn(&self, worker: usize) {
        let worker = &self.workers[worker];
        let _entered = current::enter(Rc::clone(worker));
        assert!(worker.handle.mailbox.push(WorkerMessage::Wake).is_ok());
        worker.read_mail();
        assert!(worker.handle.mailbox.push(WorkerMessage::Wake).is_ok());
        worker.poll_once().unwrap();
    }

    /// How many sockets each worker watches.
    fn watched(&self) -> [usize; 2] {
        [0, 1].map(|worker| self.workers[worker].event_loop.borrow().len())
    }
}

/// The result of a future that has no reason to wait.
fn ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn a_socket_is_registered_when_a_task_first_waits_for_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.watched(), [0, 0]);
    bench.wait_on(0);
    assert_eq!(bench.watched(), [1, 0]);
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 0);
    bench.peer.write_all(b"x").unwrap();
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 1);
    bench.on(0, |ours, cx| assert!(ours.poll_recv(cx, &mut [0; 8]).is_ready()));
}

#[test]
fn whoever_waits_for_a_descriptor_that_cannot_be_watched_is_told() {
    let bench = Bench::new();
    let waker = Waker::from(Arc::clone(&bench.wakes));
    let mut cx = Context::from_waker(&waker);
    let _entered = current::enter(Rc::clone(&bench.workers[0]));
    // epoll_ctl(2), EPERM: a file. Others are ENOSPC and ENOMEM, which can't be had on demand.
    let file = AsyncSocket::new(std::fs::File::open("/proc/self/exe").unwrap().into(), true);
    assert!(file.poll_read::<()>(&mut cx, |_| Err(Errno::AGAIN)).is_pending());
    assert_eq!(bench.wakes.count(), 1);
    let read = file.poll_read::<()>(&mut cx, |_| panic!("it is not asked"));
    assert!(
        matches!(read, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied)
    );
    assert_eq!(bench.watched(), [0, 0]);
}

#[test]
fn the_sides_of_a_socket_wake_apart() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    let mut written = 0;
    while let Poll::Ready(sent) = bench.on(0, |ours, cx| ours.poll_send(cx, &[0; 65_536])) {
        written += sent.unwrap();
    }
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 0, "neither bytes nor room");
    bench.peer.read_exact(&mut vec![0; written]).unwrap();
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 1, "room, and no bytes");
    bench.on(0, |ours, cx| {
        assert!(ours.poll_send(cx, b"x").is_ready());
        assert!(ours.poll_recv(cx, &mut [0; 8]).is_pending());
    });
}

#[test]
fn another_worker_asks_the_owner_by_message() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    // Its interest changes there, and takes effect here.
    while bench.on(1, |ours, cx| ours.poll_send(cx, &[0; 65_536])).is_ready() {}
    assert_eq!(bench.watched(), [1, 0]);
    bench.turn(0);
    bench.peer.set_nonblocking(true).unwrap();
    while bench.peer.read(&mut [0; 65_536]).is_ok() {}
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 1);
}

#[test]
fn a_socket_that_is_dropped_elsewhere_is_closed_by_its_owner() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    let Bench { workers, ours, mut peer, .. } = bench;
    let entered = current::enter(Rc::clone(&workers[1]));
    drop(ours);
    drop(entered);
    assert_eq!(workers[0].event_loop.borrow().len(), 1);
    let entered = current::enter(Rc::clone(&workers[0]));
    workers[0].read_mail();
    drop(entered);
    assert_eq!(workers[0].event_loop.borrow().len(), 0);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the peer sees the end");
}

#[test]
fn a_time_out_is_set_and_cancelled_from_anywhere() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    bench.on(1, |ours, _| ours.set_timeout(Some(Duration::from_secs(5))));
    bench.turn(0);
    bench.clock.advance(Duration::from_secs(4));
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 0);
    bench.clock.advance(Duration::from_secs(1));
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 1);
    let read = bench.on(0, |ours, cx| ours.poll_recv(cx, &mut [0; 8]));
    assert!(matches!(read, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut));
    // And once more, but cancelled in time.
    bench.wait_on(0);
    bench.on(1, |ours, _| ours.set_timeout(None));
    bench.turn(0);
    assert_eq!(bench.workers[0].event_loop.borrow().next_timeout(), None);
    bench.clock.advance(Duration::from_secs(60));
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 1);
}

#[test]
fn a_socket_that_migrates_is_watched_by_one_worker_and_then_by_the_other() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    bench.on(1, |ours, _| ours.migrate_to(1));
    assert_eq!(bench.watched(), [1, 0]);
    bench.turn(0);
    assert_eq!(bench.watched(), [0, 0], "on its way");
    // This happens while nobody watches.
    bench.peer.write_all(b"x").unwrap();
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 0);
    bench.turn(1);
    assert_eq!(bench.watched(), [0, 1]);
    assert_eq!(bench.wakes.count(), 1);
}

#[test]
fn a_message_to_the_old_owner_follows_the_socket() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    // All of these go to the first worker, which has not read the first of them yet.
    bench.on(1, |ours, _| {
        ours.migrate_to(1);
        ours.set_timeout(Some(Duration::from_secs(5)));
        ours.set_timeout(None);
        ours.set_timeout(Some(Duration::from_secs(7)));
    });
    bench.turn(0);
    // This one goes to the second, and overtakes nothing that counts.
    bench.on(0, |ours, _| ours.set_timeout(Some(Duration::from_secs(9))));
    bench.turn(1);
    assert_eq!(bench.watched(), [0, 1]);
    bench.clock.advance(Duration::from_secs(8));
    bench.turn(1);
    assert_eq!(bench.wakes.count(), 0, "the last word was 9 s");
    bench.clock.advance(Duration::from_secs(1));
    bench.turn(1);
    assert_eq!(bench.wakes.count(), 1);
}

#[test]
fn a_socket_that_is_closed_on_its_way_is_closed_by_its_new_owner() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    bench.on(1, |ours, _| ours.migrate_to(1));
    // The first worker has not heard of it, and is told to close the socket as well.
    let Bench { workers, ours, mut peer, .. } = bench;
    drop(ours);
    for worker in &workers {
        let _entered = current::enter(Rc::clone(worker));
        worker.read_mail();
    }
    assert!(workers.iter().all(|worker| worker.event_loop.borrow().len() == 0));
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the peer sees the end");
}

#[test]
fn a_socket_that_has_not_arrived_is_closed_by_the_worker_that_awaits_it() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    bench.on(0, |ours, _| ours.migrate_to(1));
    // A task of the new owner acts before that has read its mail: what it wants must not come first.
    let Bench { workers, ours, mut peer, .. } = bench;
    let entered = current::enter(Rc::clone(&workers[1]));
    drop(ours);
    workers[1].read_mail();
    drop(entered);
    assert!(workers.iter().all(|worker| worker.event_loop.borrow().len() == 0));
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the peer sees the end");
}

#[test]
fn a_socket_that_has_not_arrived_can_be_sent_on() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    bench.on(0, |ours, _| ours.migrate_to(1));
    bench.on(1, |ours, _| ours.migrate_to(0));
    bench.turn(1);
    bench.turn(0);
    assert_eq!(bench.watched(), [1, 0]);
    bench.peer.write_all(b"x").unwrap();
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 1);
}

#[test]
fn a_socket_that_is_to_move_to_a_worker_that_has_ended_stays() {
    let mut bench = Bench::new();
    bench.wait_on(0);
    drop(bench.workers[1].handle.mailbox.close());
    bench.on(0, |ours, _| ours.migrate_to(1));
    assert_eq!(bench.watched(), [1, 0]);
    bench.peer.write_all(b"x").unwrap();
    bench.turn(0);
    assert_eq!(bench.wakes.count(), 1);
}

#[test]
fn no_more_events_than_the_budget_are_handled_in_a_turn() {
    let (handle, event_loop) = new_worker(3).unwrap();
    let shared = Arc::new(Shared {
        workers: vec![Arc::clone(&handle)],
        blocking: BlockingPool::new(1, &Arc::new(Crew::default())),
        clock: Clock::system(),
        io_budget: 3,
        task_budget: 1,
    });
    let worker = Rc::new(Worker::new(handle, event_loop, shared, None));
    let _entered = current::enter(Rc::clone(&worker));
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut connections: Vec<_> = (0..10)
        .map(|_| {
            let mut connect = TcpStream::connect(listener.local_addr().unwrap());
            let mut cx = Context::from_waker(&waker);
            let connected = loop {
                if let Poll::Ready(connected) = Pin::new(&mut connect).poll(&mut cx) {
                    break connected.unwrap();
                }
                worker.poll_once().unwrap();
            };
            (connected, listener.accept().unwrap().0)
        })
        .collect();
    for (ours, peer) in &mut connections {
        assert!(ours.poll_recv(&mut Context::from_waker(&waker), &mut [0; 8]).is_pending());
        peer.write_all(b"x").unwrap();
    }
    let before = wakes.count();
    let turns: Vec<usize> = (0..4)
        .map(|_| {
            worker.poll_once().unwrap();
            wakes.count() - before
        })
        .collect();
    assert_eq!(turns, [3, 6, 9, 10]);
}
