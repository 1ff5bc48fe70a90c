//! The clocks of a connection: idle, slow request, stalled reader, graceful close.
//!
//! None of them needs a timer of its own: each is a time at which something last happened, compared
//! when the loop looks, which it does at the latest when [`Connection::deadline`] has passed.

use super::{Connection, Fate, Stream, Turn};
use crate::policy::{LINGER_TIME, Limits, STALL_CHECK};
use crate::service::Executor;
use crate::state::{ConnState, Event};
use std::time::Instant;
use tracing::info;

/// How much longer a closing connection is patient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linger {
    pub(super) since: Instant,
    pub(super) bytes_left: u64,
}

/// Since when the socket has been full, as far as the peer is to blame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    /// When the peer last took bytes, or the wait began.
    pub(super) since: Instant,
    /// How many of the bytes sent the peer had acknowledged when it was last asked about.
    pub(super) acknowledged: u64,
}

impl<S> Connection<S> {
    /// When the connection has to be looked at even if nothing happens; `None` for never.
    pub fn deadline(&self, now: Instant, limits: &Limits) -> Option<Instant> {
        let request = self.request_start.map(|start| start + limits.request_timeout);
        let earlier = |other: Instant| Some(request.map_or(other, |request| request.min(other)));
        match self.state {
            ConnState::Connecting | ConnState::ReadingHeader | ConnState::ReadingBody => {
                earlier(self.last_active + limits.idle_timeout)
            }
            ConnState::Processing => None,
            // What the peer acknowledges raises no event, so a stalled one has to be asked about.
            ConnState::Writing => {
                let timeout = self.stall.map(|stall| stall.since + limits.idle_timeout);
                earlier(timeout.map_or(now, |timeout| timeout.min(now + STALL_CHECK)))
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
                if self.stall.is_some_and(|stall| since(stall.since) >= limits.idle_timeout) =>
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
    /// Closes the connection if one of its clocks has run out.
    pub fn check_deadlines<E: Executor>(&mut self, turn: &mut Turn<E>) -> Fate {
        self.visit(turn, |conn, turn| {
            conn.note_acknowledged(turn.now);
            if let Some(event) = conn.overdue(turn.now, &turn.limits) {
                // A loop that was busy must not blame the client for what it has not read yet.
                if conn.interest().read
                    && event != Event::StallTimeout
                    && conn.stream.unread().is_ok_and(|unread| unread > 0)
                {
                    return;
                }
                if event != Event::LingerOver {
                    turn.stats.timeouts += 1;
                    info!(
                        conn = conn.id.0, fd = conn.fd, state = %conn.state, reason = %event,
                        bytes_queued = conn.bytes_queued(), "timed out"
                    );
                }
                conn.apply(event);
            }
        })
    }

    /// Asks how much the peer has taken. A full socket reports room only in large steps, so bytes
    /// accepted by `send` are no measure of a slow peer's progress.
    fn note_acknowledged(&mut self, now: Instant) {
        if let (Some(stall), Ok(unacknowledged)) = (&mut self.stall, self.stream.unacknowledged()) {
            let acknowledged = self.bytes_sent.saturating_sub(unacknowledged as u64);
            if stall.acknowledged != acknowledged {
                *stall = Stall { since: now, acknowledged };
            }
        }
    }
}
