//! The clocks of a connection: idle, slow request, stalled reader, graceful close.
//!
//! None of them needs a timer of its own: each is a time at which something last happened, compared
//! when the loop looks, which it does at the latest when [`Connection::deadline`] has passed.

use super::{Connection, Fate, Stream, Turn};
use crate::executor::Executor;
use crate::policy::{LINGER_TIME, Limits, STALL_CHECK};
use crate::service::Outcome;
use crate::state::{ConnState, Event};
use std::time::Instant;
use tracing::info;

/// How much longer a closing connection is patient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linger {
    pub(super) since: Instant,
    pub(super) bytes_left: u64,
}

impl<S> Connection<S> {
    /// When the connection has to be looked at even if nothing happens; `None` for never.
    pub fn deadline(&self, now: Instant, limits: &Limits) -> Option<Instant> {
        let request = self.request_start.map(|start| start + limits.request_timeout);
        // What the peer acknowledges raises no event, so whoever has not taken everything yet has
        // to be asked about from time to time.
        let ask = self.unconfirmed.map(|_| now + STALL_CHECK);
        let task = self.task.and_then(|ticket| ticket.deadline);
        let earliest = |timeout: Instant| {
            [request, ask, task].into_iter().flatten().fold(timeout, Instant::min)
        };
        match self.state {
            ConnState::Connecting | ConnState::ReadingHeader | ConnState::ReadingBody => {
                Some(earliest(self.last_active + limits.idle_timeout))
            }
            ConnState::Processing => task,
            // Between visits replies only wait if the socket was full, and then since some time.
            ConnState::Writing => {
                let stalled = self.stalled_since.map_or(now, |since| since + limits.idle_timeout);
                let window = self.pressure.window.map_or(stalled, |window| window.ends);
                Some(earliest(stalled.min(window)))
            }
            ConnState::Closing => self.linger.map(|linger| linger.since + LINGER_TIME),
            ConnState::Closed => None,
        }
    }

    /// The clock that has run out, if one has.
    fn overdue(&self, now: Instant, limits: &Limits) -> Option<Event> {
        let since = |start: Instant| now.saturating_duration_since(start);
        match self.state {
            ConnState::Processing | ConnState::Closed => return None,
            ConnState::Closing => {
                let over = self.linger.is_some_and(|linger| since(linger.since) >= LINGER_TIME);
                return over.then_some(Event::LingerOver);
            }
            ConnState::Writing
                if self.stalled_since.is_some_and(|start| since(start) >= limits.idle_timeout) =>
            {
                return Some(Event::StallTimeout);
            }
            ConnState::Connecting | ConnState::ReadingHeader | ConnState::ReadingBody
                if since(self.last_active) >= limits.idle_timeout =>
            {
                return Some(Event::IdleTimeout);
            }
            _ => {}
        }
        self.request_start
            .filter(|start| since(*start) >= limits.request_timeout)
            .map(|_| Event::RequestTimeout)
    }
}

impl<S: Stream> Connection<S> {
    /// Looks at what the peer has taken, and closes the connection if it is too slow a reader or one
    /// of its clocks has run out.
    pub fn check_deadlines<E: Executor>(&mut self, turn: &mut Turn<E>) -> Fate {
        self.visit(turn, |conn, turn| {
            conn.note_acknowledged(turn.now);
            conn.check_task(turn);
            if conn.state == ConnState::Writing {
                conn.regulate(turn);
            }
            if conn.overdue(turn.now, &turn.limits).is_some() {
                // A loop that was busy must not blame the client for what it has not read yet.
                conn.catch_up(turn);
            }
            let Some(event) = conn.overdue(turn.now, &turn.limits) else { return };
            if event != Event::LingerOver {
                turn.stats.timeouts += 1;
                info!(
                    conn = conn.id.0, fd = conn.fd, state = %conn.state, reason = %event,
                    bytes_queued = conn.bytes_queued(), "timed out"
                );
            }
            if event == Event::StallTimeout {
                conn.drop_what_the_kernel_holds();
            }
            conn.apply(event);
        })
    }

    /// Waits no longer for a task that has taken too long. Its outcome may still come, and is dropped.
    fn check_task<E: Executor>(&mut self, turn: &mut Turn<E>) {
        if let Some(ticket) = self.task
            && ticket.deadline.is_some_and(|deadline| deadline <= turn.now)
        {
            info!(conn = self.id.0, fd = self.fd, task = ticket.task.0, "task timed out");
            turn.executor.cancel(ticket.task);
            self.go_on_after_task(&Outcome::TimedOut, turn);
        }
    }

    /// Receives what the kernel holds at this moment, and no more: a client that keeps sending must
    /// not put off its time-out for ever.
    fn catch_up<E: Executor>(&mut self, turn: &mut Turn<E>) {
        let waiting = self.stream.unread().unwrap_or(0) as u64;
        let end = turn.stats.bytes_read + waiting;
        while turn.stats.bytes_read < end && self.takes_requests() {
            let before = turn.stats.bytes_read;
            self.apply(Event::Readable);
            self.receive(turn);
            if turn.stats.bytes_read == before {
                break;
            }
        }
    }

    /// Asks how much the peer has taken. A full socket reports room only in large steps, so bytes
    /// accepted by `send` are no measure of a slow peer's progress.
    pub(super) fn note_acknowledged(&mut self, now: Instant) {
        if let Some(before) = self.unconfirmed
            && let Ok(unacknowledged) = self.stream.unacknowledged()
        {
            let acknowledged = self.bytes_sent.saturating_sub(unacknowledged as u64);
            if acknowledged != before {
                self.last_active = now;
                self.stalled_since = self.stalled_since.map(|_| now);
            }
            let all = unacknowledged == 0 && self.write_buf.is_empty();
            self.unconfirmed = if all { None } else { Some(acknowledged) };
        }
    }

    /// How many bytes the peer had acknowledged when it was last asked about.
    pub(super) fn bytes_acknowledged(&self) -> u64 {
        self.unconfirmed.unwrap_or(self.bytes_sent)
    }
}
