//! The task of one connection: await what concerns it, visit it, do what the visit says.
//!
//! The registry, the deadlines and the dispatch of the days before are gone. Who is ready, whose time is
//! over and whose result has come is what the worker's event loop wakes tasks for.

use crate::pool::Errand;
use crate::serve::Server;
use crate::shard::Shard;
use crate::socket::Socket;
use crate::stage::{Counted, Departure, Life, Listening, Stage};
use async_runtime::net::TcpStream;
use async_runtime::runtime::worker_number;
use async_runtime::task::yield_now;
use conn_core::connection::{Connection, Fate};
use conn_core::id::{ConnId, TaskId};
use conn_core::service::Outcome;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tracing::{debug, warn};

/// Serves one client to its end.
pub(crate) async fn serve(stream: TcpStream, id: ConnId, counted: Counted, server: Arc<Server>) {
    let mut client = Client::new(stream, id, counted, &server);
    drop(server);
    // Nothing is due yet: this says when to look for the first time.
    client.visit(Event::Deadline);
    loop {
        let event = client.next_event().await;
        match client.visit(event) {
            Fate::Wait => client.again = false,
            Fate::Again => client.again = true,
            Fate::Close => return client.close(),
        }
    }
}

/// What can concern a connection.
enum Event {
    /// The server drains, or gives up.
    Stage(Stage),
    /// Its task has come to an end.
    TaskDone(TaskId, Outcome),
    /// There is room for replies.
    Writable,
    /// There is input, an end of it, or an error.
    Readable,
    /// It has requests left from its last turn.
    Again,
    /// It is time to look at its clocks.
    Deadline,
    /// Nobody can watch its socket.
    Unwatchable(io::Error),
}

/// A connection and what is awaited for it. Dropped from top to bottom: it is not counted any more when its
/// peer sees the end, and its descriptor is free when its departure is noted.
struct Client {
    counted: Counted,
    conn: Connection<Socket>,
    departure: Departure,
    shard: Arc<Shard>,
    life: Arc<Life>,
    listening: Option<Listening>,
    /// The stage that the connection knows of.
    stage: Stage,
    errand: Option<Errand>,
    again: bool,
    /// Until when the socket's time-out is set. Only an earlier deadline sets it anew: most of the time, a
    /// request touches no timer.
    look_at: Option<Instant>,
}

impl Client {
    fn new(stream: TcpStream, id: ConnId, counted: Counted, server: &Server) -> Self {
        let fd = stream.as_fd().as_raw_fd();
        debug!(conn = id.0, fd, "accepted");
        let here = worker_number().expect("clients are tasks of workers");
        // Who has said nothing yet stays in CONNECTING, as on the days before.
        stream.assume_no_input();
        Self {
            counted,
            conn: Connection::new(id, fd, Socket::new(stream), Instant::now()),
            departure: server.life.note_departure(),
            shard: Arc::clone(&server.shards[here]),
            life: Arc::clone(&server.life),
            listening: None,
            stage: Stage::Serving,
            errand: None,
            again: false,
            look_at: None,
        }
    }

    /// Waits for the next event. One that has come at once lets the other tasks go first: the share of one
    /// connection is one visit at a time.
    async fn next_event(&mut self) -> Event {
        let mut waited = false;
        let event = poll_fn(|cx| {
            let poll = self.poll_event(cx);
            waited |= poll.is_pending();
            poll
        })
        .await;
        if !waited {
            yield_now().await;
        }
        event
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.listening.is_none() {
            self.listening = Some(self.life.listen(cx));
        }
        let stage = self.life.stage();
        if stage != self.stage {
            self.stage = stage;
            return Poll::Ready(Event::Stage(stage));
        }
        if let Some(errand) = &mut self.errand
            && let Poll::Ready(outcome) = errand.outcome.as_mut().poll(cx)
        {
            let task = errand.task;
            self.errand = None;
            return Poll::Ready(Event::TaskDone(task, outcome));
        }
        let (socket, interest) = (self.conn.stream(), self.conn.interest());
        if interest.write
            && let Poll::Ready(ready) = socket.poll_write_ready(cx)
        {
            return Poll::Ready(Event::of_socket(ready, Event::Writable));
        }
        if interest.read
            && let Poll::Ready(ready) = socket.poll_read_ready(cx)
        {
            return Poll::Ready(Event::of_socket(ready, Event::Readable));
        }
        if interest.hang_up
            && let Poll::Ready(broken) = socket.poll_hang_up(cx)
        {
            return Poll::Ready(Event::of_socket(broken, Event::Readable));
        }
        if self.again { Poll::Ready(Event::Again) } else { Poll::Pending }
    }

    fn visit(&mut self, event: Event) -> Fate {
        if matches!(event, Event::Deadline) {
            self.look_at = None;
        }
        let look_at = self.look_at;
        let visited = self.shard.visit(&mut self.conn, |conn, turn| {
            let fate = match event {
                Event::Stage(Stage::Abandoned) => conn.abandon(turn),
                Event::Stage(_) => conn.begin_drain(turn),
                Event::TaskDone(task, outcome) => conn.on_task_done(task, &outcome, turn),
                Event::Writable => conn.on_writable(turn),
                Event::Readable => conn.on_readable(turn),
                Event::Again => conn.resume(turn),
                Event::Deadline => conn.check_deadlines(turn),
                Event::Unwatchable(error) => {
                    warn!(conn = conn.id().0, fd = conn.fd(), %error, "cannot be watched");
                    conn.abandon(turn)
                }
            };
            // Who always has something to do never waits, and is never told.
            let overdue = look_at.is_some_and(|at| at <= turn.now);
            if overdue && fate != Fate::Close { conn.check_deadlines(turn) } else { fate }
        });
        if self.stage != Stage::Serving {
            self.counted.drains();
        }
        if visited.errand.is_some() || !self.conn.awaits_task() {
            self.errand = visited.errand;
        }
        self.look_again_at(visited.deadline, visited.now);
        visited.fate
    }

    /// Makes sure that there is a [`Event::Deadline`] soon after `deadline`.
    fn look_again_at(&mut self, deadline: Option<Instant>, now: Instant) {
        let set = self.look_at.filter(|at| *at > now);
        if set.is_some_and(|set| deadline.is_none_or(|deadline| set <= deadline)) {
            return;
        }
        if deadline.is_some() || self.look_at.is_some() {
            let timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
            self.conn.stream().set_timeout(timeout);
            self.look_at = deadline;
        }
    }

    fn close(self) {
        drop(self.counted);
        self.conn.close();
        drop(self.departure);
    }
}

impl Event {
    /// What a socket's readiness means, or that there is none.
    fn of_socket(ready: io::Result<()>, event: Self) -> Self {
        match ready {
            Ok(()) => event,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Self::Deadline,
            Err(error) => Self::Unwatchable(error),
        }
    }
}
