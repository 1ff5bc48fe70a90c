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
