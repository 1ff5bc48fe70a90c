//! What the connections of one worker share during a visit: buffers, counters, the way to the pool.
//!
//! A visit never waits, and a worker runs one task at a time, so the lock is always free. It is there
//! because a task could, as far as the compiler knows, run anywhere.

use crate::pool::{Errand, Pool};
use crate::socket::Socket;
use conn_core::connection::{Connection, Fate, Scratch, Turn};
use conn_core::stats::Stats;
use parking_lot::Mutex;
use std::mem;
use std::thread;
use std::time::Instant;

/// One worker's part of the server.
#[derive(Debug)]
pub(crate) struct Shard {
    turn: Mutex<Turn<Pool>>,
}

/// What a visit has left to do.
#[derive(Debug)]
pub(crate) struct Visited {
    pub(crate) fate: Fate,
    /// A task that was handed over: its outcome is to be awaited.
    pub(crate) errand: Option<Errand>,
    /// When this was.
    pub(crate) now: Instant,
    /// When the connection has to be looked at even if nothing happens.
    pub(crate) deadline: Option<Instant>,
}

impl Shard {
    pub(crate) fn new(turn: Turn<Pool>) -> Self {
        Self { turn: Mutex::new(turn) }
    }

    /// Visits a connection.
    pub(crate) fn visit(
        &self,
        conn: &mut Connection<Socket>,
        visit: impl FnOnce(&mut Connection<Socket>, &mut Turn<Pool>) -> Fate,
    ) -> Visited {
        let mut turn = self.turn.lock();
        turn.now = Instant::now();
        turn.executor.figures.begin();
        let turn = Settle { queued_before: conn.bytes_queued() as u64, turn: &mut turn };
        let fate = visit(conn, turn.turn);
        let deadline = conn.deadline(turn.turn.now, &turn.turn.limits);
        Visited { fate, errand: turn.turn.executor.take_errand(), now: turn.turn.now, deadline }
    }

    /// Counts something that concerns no connection.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Stats)) {
        let mut turn = self.turn.lock();
        count(&mut turn.stats);
        turn.executor.figures.publish(&turn.stats);
    }
}

/// The end of a visit, also if it panics: that is a bug, and must cost no more than its own client.
struct Settle<'a> {
    turn: &'a mut Turn<Pool>,
    queued_before: u64,
}

impl Drop for Settle<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // The visit had borrowed the buffers. Its connection is closed, with all that was queued.
            self.turn.scratch = Scratch::default();
            self.turn.stats.bytes_queued -= self.queued_before;
            drop(mem::take(&mut self.turn.executor.errand));
        }
        self.turn.executor.figures.publish(&self.turn.stats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::pool::Desk;
    use crate::stage::Life;
    use async_runtime::net::{TcpListener, TcpStream};
    use async_runtime::runtime::Runtime;
    use conn_core::executor::Executor;
    use conn_core::id::ConnId;
    use conn_core::policy::Limits;
    use conn_core::stats::ServerInfo;
    use conn_core::write_policy::{AnyPolicy, Queue, Verdict, WritePolicy};
    use std::net::Ipv4Addr;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use w05_handoff::options::{TaskOptions, WhenFull};

    /// A bug, in the middle of a visit.
    #[derive(Debug)]
    struct PanicsOnce(AtomicBool);

    impl WritePolicy for PanicsOnce {
        fn window(&self) -> Duration {
            Duration::MAX
        }

        fn long(&self) -> usize {
            0
        }

        fn decide(&self, _: &Queue) -> Verdict {
            assert!(self.0.swap(true, Ordering::Relaxed), "a bug");
            Verdict::GoOn
        }
    }

    fn shard(runtime: &Runtime) -> Shard {
        let now = Instant::now();
        let tasks = TaskOptions { queue_depth: 1, when_full: WhenFull::Wait, task_timeout: None };
        let executor = Pool {
            desk: Arc::new(Desk::new(&tasks)),
            figures: Figures::for_workers(1).next().unwrap(),
            life: Arc::new(Life::default()),
            metrics: runtime.metrics(),
            errand: None,
        };
        Shard::new(Turn {
            now,
            limits: Limits::default(),
            stats: Stats::default(),
            info: ServerInfo { pid: 1, started: now, mechanism: "epoll", threads: 1 },
            executor,
            write_policy: AnyPolicy::new(PanicsOnce(AtomicBool::new(false))),
            scratch: Scratch::default(),
        })
    }

    #[test]
    fn a_visit_that_panics_costs_its_own_client_only() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtime.block_on(async {
            let shard = shard(&runtime);
            let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut conns = Vec::new();
            for number in 1..=2 {
                let mut client = TcpStream::connect(address).await.unwrap();
                let (socket, _) = listener.accept().await.unwrap();
                client.write_all(b"echo 3\r\nabc\r\n").await.unwrap();
                let conn = Connection::new(ConnId(number), 0, Socket::new(socket), Instant::now());
                conns.push((client, conn));
            }
            let (_, first) = &mut conns[0];
            let panicked =
                catch_unwind(AssertUnwindSafe(|| shard.visit(first, Connection::on_readable)));
            assert!(panicked.is_err());
            let (client, second) = &mut conns[1];
            let visited = shard.visit(second, Connection::on_readable);
            assert_eq!(visited.fate, Fate::Wait);
            let mut reply = [0; 64];
            let length = client.read(&mut reply).await.unwrap();
            assert_eq!(&reply[..length], b"ECHO 3\r\nabc\r\n");
            // Nobody waits for the end of the visit that never ended.
            let visited = shard.visit(second, |_, turn| {
                let own = turn.stats.clone();
                assert_eq!(turn.executor.server_stats(&own).bytes_read, 26);
                Fate::Wait
            });
            assert_eq!(visited.fate, Fate::Wait);
        });
    }
}
