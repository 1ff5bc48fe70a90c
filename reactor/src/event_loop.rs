//! Wait, dispatch, resume, deliver, expire, repeat.

use crate::deadlines::Deadlines;
use crate::listener::{Accepted, BACKLOG, Listener};
use crate::poller::{Poller, Ready, Watched};
use crate::signals::Signals;
use crate::socket::Socket;
use conn_core::connection::{Connection, Fate, Interest, Turn};
use conn_core::executor::{Completion, Executor};
use conn_core::id::ConnId;
use conn_core::policy::TASK_SLICE;
use conn_core::registry::{Change, ConnectionRegistry};
use std::collections::HashMap;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// How long the listener is left alone after descriptors have run out, if none becomes free.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The most that are accepted in one turn, so that a flood of them does not keep the others waiting.
const ACCEPT_BUDGET: usize = 1024;

/// What a client that can't be served is told.
pub const REFUSAL: &[u8] = b"SERVER_ERROR too many connections\r\n";

/// Whether newcomers are accepted.
#[derive(Clone, Copy, Debug)]
enum Accepting {
    Yes,
    /// Descriptors have run out: not before this time, unless one becomes free.
    NotBefore(Instant),
    /// They had run out, and it is time to try again.
    Again,
}

/// A server: one thread, one loop, any number of clients.
#[derive(Debug)]
pub struct EventLoop<P, E> {
    poller: P,
    signals: Signals,
    /// `None` once the server drains.
    listener: Option<Listener>,
    accepting: Accepting,
    /// What the poller was last told of the loop's own descriptors.
    told: [Interest; 3],
    registry: ConnectionRegistry<Socket>,
    max_connections: usize,
    deadlines: Deadlines,
    /// Connections with requests left from the last turn.
    again: Vec<RawFd>,
    /// Where to find the connections that a task has run for elsewhere, as long as they are there.
    clients: HashMap<ConnId, RawFd>,
    /// Results that have come, in memory that is used again.
    completions: Vec<Completion>,
    drain_timeout: Duration,
    /// Set once the server drains: when it gives up.
    drain_until: Option<Instant>,
    /// When it was last looked whether a signal had come.
    heeded_at: Instant,
    /// What a visit to a connection needs. Apart from the registry, so that both can be borrowed.
    turn: Turn<E>,
}

impl<P: Poller, E: Executor> EventLoop<P, E> {
    /// A loop that is ready to run.
    pub fn new(
        poller: P,
        signals: Signals,
        listener: Listener,
        max_connections: usize,
        drain_timeout: Duration,
        turn: Turn<E>,
    ) -> Self {
        Self {
            poller,
            signals,
            listener: Some(listener),
            accepting: Accepting::Yes,
            told: [Interest::NONE; 3],
            registry: ConnectionRegistry::default(),
            max_connections,
            deadlines: Deadlines::new(turn.now),
            again: Vec::new(),
            clients: HashMap::new(),
            completions: Vec::new(),
            drain_timeout,
            drain_until: None,
            heeded_at: turn.now,
            turn,
        }
    }

    /// Serves until a signal has come and every client that was owed something has been answered,
    /// or the time for that is over. Gives the executor back, with the time at which the drain ends.
    ///
    /// # Errors
    /// The listener, the poller or the signals' pipe failed. A client's failure ends that client.
    pub fn run(mut self) -> io::Result<(E, Instant)> {
        let mut ready = Vec::new();
        let mut due = Vec::new();
        let mut changes = Vec::new();
        while self.drain_until.is_none() || !self.registry.is_empty() {
            self.wait(&mut ready, &mut changes)?;
            self.turn.now = Instant::now();
            self.turn.stats.loop_iterations += 1;
            self.heeded_at = self.turn.now;

            self.dispatch(&ready)?;
            self.expire(&mut due)?;
        }
        info!("drained: every connection is closed");
        Ok((self.turn.executor, self.drain_until.unwrap_or(self.turn.now)))
    }

    fn wait(
        &mut self,
        ready: &mut Vec<Ready>,
        changes: &mut Vec<(RawFd, Change)>,
    ) -> io::Result<()> {
        self.registry.changes(changes);
        // Out of descriptors, a listener that is watched would be ready in every turn: a spin.
        let accepting = if self.accepts() { Interest::READ } else { Interest::NONE };
        let own = [
            Some((self.signals.as_fd(), Interest::READ)),
            self.listener.as_ref().map(|listener| (listener.as_fd(), accepting)),
            self.turn.executor.wakeup().map(|wakeup| (wakeup, Interest::READ)),
        ];
        for (told, own) in self.told.iter_mut().zip(&own) {
            let Some((fd, interest)) = own else { continue };
            let told = mem::replace(told, *interest);
            let change = Change::between(told, *interest);
            changes.extend(change.map(|change| (fd.as_raw_fd(), change)));
        }
        let watched = Watched { own: &own, registry: &self.registry, changes };
        let timeout = if self.again.is_empty() {
            let accept_at = match self.accepting {
                Accepting::NotBefore(at) => Some(at),
                Accepting::Yes | Accepting::Again => None,
            };
            [self.deadlines.next(), accept_at, self.drain_until]
                .into_iter()
                .flatten()
                .min()
                .map(|at| at.saturating_duration_since(self.turn.now))
        } else {
            Some(Duration::ZERO)
        };
        self.poller.wait(&watched, timeout, ready)
    }

    /// Visits whoever is ready. Connections come first and newcomers last, so that what was reported
    /// for a descriptor does not reach a newcomer who was given the same number. (A drain between two
    /// tasks may accept earlier; then a stale event costs a newcomer one `recv` that gives `EAGAIN`.)
    fn dispatch(&mut self, ready: &[Ready]) -> io::Result<()> {
        let signals = self.signals.as_fd().as_raw_fd();
        let listener = self.listener.as_ref().map(|listener| listener.as_fd().as_raw_fd());
        let wakeup = self.turn.executor.wakeup().map(|wakeup| wakeup.as_raw_fd());
        let (mut signalled, mut newcomers, mut results) = (false, false, false);
        let mut again = mem::take(&mut self.again);
        // A connection may have been visited more than once, but its share of a turn is one.
        again.sort_unstable();
        again.dedup();
        for event in ready {
            if event.fd == signals {
                signalled = true;
            } else if Some(event.fd) == listener {
                newcomers = true;
            } else if Some(event.fd) == wakeup {
                results = true;
            } else {
                self.visit(event.fd, |conn, turn| {
                    let fate = if event.writable { conn.on_writable(turn) } else { Fate::Wait };
                    match fate {
                        Fate::Wait | Fate::Again if event.readable => conn.on_readable(turn),
                        fate => fate,
                    }
                })?;
            }
        }
        for fd in again {
            self.visit(fd, Connection::resume)?;
        }
        if results {
            self.deliver()?;
        }
        if newcomers {
            self.accept(ACCEPT_BUDGET)?;
        }
        if signalled {
            self.heed_signals()?;
        }
        Ok(())
    }

    /// Visits one connection, if it is still there.
    fn visit(
        &mut self,
        fd: RawFd,
        visit: impl FnOnce(&mut Connection<Socket>, &mut Turn<E>) -> Fate,
    ) -> io::Result<()> {
        let Some(conn) = self.registry.get_mut(fd) else { return Ok(()) };
        let before = self.turn.now;
        let fate = visit(conn, &mut self.turn);
        self.settle(fd, fate);
        if self.turn.now != before {
            // Tasks kept the loop. An operator need not wait for the rest of the turn.
            if self.turn.now.saturating_duration_since(self.heeded_at) > TASK_SLICE {
                self.heeded_at = self.turn.now;
                self.heed_signals()?;
            }
            self.give_up_if_late();
        }
        Ok(())
    }

    /// Brings the results that have come to those who wait for them.
    fn deliver(&mut self) -> io::Result<()> {
        let mut completions = mem::take(&mut self.completions);
        self.turn.executor.completed(&mut completions)?;
        for Completion { conn, task, outcome } in completions.drain(..) {
            // Its client may have left, and another may have the same descriptor now.
            if let Some(&fd) = self.clients.get(&conn) {
                self.visit(fd, |conn, turn| conn.on_task_done(task, &outcome, turn))?;
            }
        }
        self.completions = completions;
        Ok(())
    }

    fn accepts(&self) -> bool {
        !matches!(self.accepting, Accepting::NotBefore(_))
    }

    /// Does what a visit said is to be done next.
    fn settle(&mut self, fd: RawFd, fate: Fate) {
        match fate {
            Fate::Wait => {}
            Fate::Again => self.again.push(fd),
            Fate::Close => {
                if let Some(conn) = self.registry.remove(fd) {
                    self.clients.remove(&conn.id());
                    conn.close();
                    self.turn.stats.curr_connections -= 1;
                    // A descriptor has become free: somebody may be waiting for it.
                    if !self.accepts() {
                        self.accepting = Accepting::Again;
                    }
                }
                return;
            }
        }
        if let Some(conn) = self.registry.get(fd) {
            if conn.awaits_task() {
                self.clients.insert(conn.id(), fd);
            }
            if let Some(at) = conn.deadline(self.turn.now, &self.turn.limits) {
                self.deadlines.arm(fd, at);
            }
        }
    }

    /// Accepts who waits, until `EAGAIN`, but at most so many.
    fn accept(&mut self, most: usize) -> io::Result<()> {
        for _ in 0..most {
            let Some(listener) = &self.listener else { break };
            match listener.accept()? {
                Accepted::Client(socket) => self.admit(socket),
                Accepted::Gone => {}
                Accepted::WouldBlock => break,
                Accepted::Exhausted(error) => {
                    if matches!(self.accepting, Accepting::Yes) {
                        warn!(%error, "cannot accept: newcomers wait until a descriptor is free");
                    }
                    self.accepting = Accepting::NotBefore(self.turn.now + ACCEPT_PAUSE);
                    return Ok(());
                }
            }
        }
        self.accepting = Accepting::Yes;
        Ok(())
    }

    fn admit(&mut self, mut socket: Socket) {
        let fd = socket.as_fd().as_raw_fd();
        self.turn.stats.total_connections += 1;
        let unwatchable = P::FD_LIMIT.is_some_and(|limit| fd >= limit);
        if unwatchable || self.registry.len() >= self.max_connections {
            self.turn.stats.rejected_connections += 1;
            warn!(fd, connections = self.registry.len(), "refused: too many connections");
            // Best effort: the socket is new, so its buffer has room for one line.
            let _ = socket.write(REFUSAL);
            return;
        }
        let id = ConnId(self.turn.stats.total_connections);
        debug!(conn = id.0, fd, "accepted");
        self.registry.add(Connection::new(id, fd, socket, self.turn.now));
        self.turn.stats.curr_connections += 1;
        self.settle(fd, Fate::Wait);
    }

    /// Looks at the clocks that are due. Comes after dispatch: what had arrived in time has been
    /// read by now.
    fn expire(&mut self, due: &mut Vec<RawFd>) -> io::Result<()> {
        self.deadlines.expire(self.turn.now, due);
        for fd in due.drain(..) {
            self.visit(fd, Connection::check_deadlines)?;
        }
        if matches!(self.accepting, Accepting::NotBefore(at) if at <= self.turn.now) {
            // Watched again from the next turn on; if nothing is free, that costs one accept.
            self.accepting = Accepting::Again;
        }
        self.give_up_if_late();
        Ok(())
    }

    /// Begins to drain if a signal has come.
    fn heed_signals(&mut self) -> io::Result<()> {
        match self.signals.take()? {
            Some(came) if self.drain_until.is_none() => self.drain(came),
            _ => Ok(()),
        }
    }

    /// Takes no more clients and no more input, and goes on until nobody is owed anything.
    fn drain(&mut self, signalled: Instant) -> io::Result<()> {
        self.drain_until = Some(signalled + self.drain_timeout);
        info!(connections = self.registry.len(), "signal received: draining");
        // Who has connected is served, even if nobody has had the time to accept; but not those who
        // keep coming while we accept. Idle connections may have to make room for them first.
        for _ in 0..2 {
            self.accept(BACKLOG.into())?;
            self.visit_all(Connection::begin_drain);
            if matches!(self.accepting, Accepting::Yes) {
                break;
            }
        }
        self.listener = None;
        self.accepting = Accepting::Yes;
        Ok(())
    }

    fn give_up_if_late(&mut self) {
        if self.drain_until.is_some_and(|until| until <= self.turn.now) && !self.registry.is_empty()
        {
            warn!(connections = self.registry.len(), "drain timed out: giving up on the rest");
            self.visit_all(Connection::abandon);
        }
    }

    fn visit_all(&mut self, visit: impl Fn(&mut Connection<Socket>, &mut Turn<E>) -> Fate) {
        let fds: Vec<RawFd> = self.registry.iter().map(Connection::fd).collect();
        for fd in fds {
            if let Some(conn) = self.registry.get_mut(fd) {
                let fate = visit(conn, &mut self.turn);
                self.settle(fd, fate);
            }
        }
    }
}
