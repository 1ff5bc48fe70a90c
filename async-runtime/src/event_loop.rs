//! The part of a worker that the kernel talks to: a poll, the sockets it watches, and their time-outs.

use crate::async_socket::AsyncSocketState;
use crate::doorbell::{DOORBELL, Doorbell};
use crate::message::SocketInterest;
use crate::timer_wheel::{TimerKey, TimerWheel};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

/// How finely socket time-outs are told apart; a sleeping task has a wheel with finer ticks.
const TIMEOUT_TICK_MS: u64 = 250;

/// Time-outs that are further away than `FAR` share every second tick, so that any number of idle
/// connections wakes the worker at most twice a second.
const FAR: Duration = Duration::from_secs(1);
const FAR_TICK: Duration = Duration::from_millis(2 * TIMEOUT_TICK_MS);

#[derive(Debug)]
pub(crate) struct EventLoop {
    poll: Poll,
    /// Has room for `io_budget` events: more than that are left to the kernel until the next turn.
    events: Events,
    sockets: Slab<WatchedSocket>,
    timeouts: TimerWheel<Token>,
    due: Vec<Token>,
}

#[derive(Debug)]
struct WatchedSocket {
    state: Arc<AsyncSocketState>,
    timeout: Option<TimerKey>,
}

impl EventLoop {
    /// A loop that handles at most `io_budget` events in a turn, and the bell that ends its wait.
    ///
    /// It is boxed: a worker is moved to its thread, and this is the large part of it.
    pub(crate) fn new(io_budget: usize) -> io::Result<(Box<Self>, Doorbell)> {
        let poll = Poll::new()?;
        let doorbell = Doorbell::new(poll.registry())?;
        let event_loop = Self {
            poll,
            events: Events::with_capacity(io_budget),
            sockets: Slab::new(),
            timeouts: TimerWheel::new(TIMEOUT_TICK_MS),
            due: Vec::new(),
        };
        Ok((Box::new(event_loop), doorbell))
    }

    /// Waits for events, at most for `timeout`, and finds out whom they wake.
    pub(crate) fn poll_once(
        &mut self,
        timeout: Option<Duration>,
        woken: &mut Vec<Waker>,
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            // A signal handler ran meanwhile; the next turn asks again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in &self.events {
            if event.token() == DOORBELL {
                continue;
            }
            if let Some(socket) = self.sockets.get(event.token().0) {
                dispatch(event, &socket.state, woken);
            }
        }
        Ok(())
    }

    /// Starts to watch a socket. If it is ready already, that is the first event.
    pub(crate) fn register(
        &mut self,
        socket: Arc<AsyncSocketState>,
        now: Duration,
    ) -> io::Result<()> {
        let Some(interest) = socket.interest() else { return Ok(()) };
        let entry = self.sockets.vacant_entry();
        let token = entry.key();
        let fd = socket.as_fd().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), Token(token), interest.into())?;
        socket.token.store(token, Ordering::Relaxed);
        entry.insert(WatchedSocket { state: socket, timeout: None });
        self.update_timeout(token, now);
        Ok(())
    }

    /// Watches a socket for what is its interest by now. If that is so already, an event says it again.
    pub(crate) fn modify(&mut self, socket: &Arc<AsyncSocketState>) -> io::Result<()> {
        let Some(token) = self.find(socket) else { return Ok(()) };
        let Some(interest) = socket.interest() else { return Ok(()) };
        let fd = socket.as_fd().as_raw_fd();
        self.poll.registry().reregister(&mut SourceFd(&fd), Token(token), interest.into())
    }

    /// Stops watching a socket, for another worker to do so.
    #[must_use]
    pub(crate) fn deregister(
        &mut self,
        socket: &Arc<AsyncSocketState>,
    ) -> Option<Arc<AsyncSocketState>> {
        let socket = self.forget(socket)?;
        let fd = socket.as_fd().as_raw_fd();
        // epoll_ctl(2) names no failure for a descriptor that is watched, and there would be no remedy.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        Some(socket)
    }

    /// Forgets a socket that nobody will use any more. The kernel forgets it when its descriptor is closed
    /// (epoll(7)), so that a call is saved; should an event come before that, it finds nobody, or somebody
    /// else tries in vain. The caller drops what is returned: it may be the last owner, and this loop should
    /// not be in use then.
    #[must_use]
    pub(crate) fn forget(
        &mut self,
        socket: &Arc<AsyncSocketState>,
    ) -> Option<Arc<AsyncSocketState>> {
        let token = self.find(socket)?;
        let watched = self.sockets.remove(token);
        if let Some(key) = watched.timeout {
            self.timeouts.cancel(key);
        }
        Some(watched.state)
    }

    /// Arms or disarms a socket's time-out, whichever the socket says.
    pub(crate) fn set_timeout(&mut self, socket: &Arc<AsyncSocketState>, now: Duration) {
        if let Some(token) = self.find(socket) {
            self.update_timeout(token, now);
        }
    }

    /// When the next socket may have been idle for too long.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.timeouts.next()
    }

    /// Finds out whom the time-outs that are due wake. Bytes that move do not touch the wheel: an entry
    /// says when to look at a socket, and only then is its last activity asked for.
    pub(crate) fn expire_timeouts(&mut self, now: Duration, woken: &mut Vec<Waker>) {
        let mut due = std::mem::take(&mut self.due);
        self.timeouts.advance(now, &mut due);
        for Token(token) in due.drain(..) {
            let socket = &mut self.sockets[token];
            socket.timeout = None;
            let Some(timeout) = socket.state.timeout() else { continue };
            let idle_since = socket.state.active();
            let deadline = if idle_since + timeout > now {
                idle_since + timeout
            } else {
                let told = woken.len();
                socket.state.handler.on_timeout(woken);
                // Whoever is about to wait again has waited too long, and is told then.
                if woken.len() > told { now + timeout } else { now }
            };
            socket.timeout = Some(self.timeouts.insert(coarse(deadline, now), Token(token)));
        }
        self.due = due;
    }

    /// Any socket that is watched.
    pub(crate) fn any_socket(&self) -> Option<Arc<AsyncSocketState>> {
        self.sockets.iter().next().map(|(_, socket)| Arc::clone(&socket.state))
    }

    /// How many sockets are watched.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    fn find(&self, socket: &Arc<AsyncSocketState>) -> Option<usize> {
        let token = socket.token.load(Ordering::Relaxed);
        let found = self.sockets.get(token)?;
        Arc::ptr_eq(&found.state, socket).then_some(token)
    }

    fn update_timeout(&mut self, token: usize, now: Duration) {
        let socket = &mut self.sockets[token];
        if let Some(key) = socket.timeout.take() {
            self.timeouts.cancel(key);
        }
        if let Some(timeout) = socket.state.timeout() {
            // Not in the past: a socket that has moved here keeps its last activity.
            let deadline = (socket.state.active() + timeout).max(now);
            socket.timeout = Some(self.timeouts.insert(coarse(deadline, now), Token(token)));
        }
    }
}

/// The tick that a far deadline shares with others.
fn coarse(deadline: Duration, now: Duration) -> Duration {
    if deadline <= now + FAR {
        return deadline;
    }
    let ticks = deadline.as_nanos().div_ceil(FAR_TICK.as_nanos());
    FAR_TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// An event to its sides. A hang-up or an error concerns both: whoever waits tries, and learns more.
fn dispatch(event: &Event, socket: &AsyncSocketState, woken: &mut Vec<Waker>) {
    let failed = event.is_error();
    if event.is_readable() || event.is_read_closed() || failed {
        // A recv ends at the mark of urgent data, with more behind it (tcp(7)).
        let lasting = event.is_read_closed() || failed || event.is_priority();
        socket.handler.on_readable(lasting, woken);
    }
    if event.is_writable() || event.is_write_closed() || failed {
        socket.handler.on_writable(event.is_write_closed() || failed, woken);
    }
    if event.is_write_closed() || failed {
        socket.handler.on_hang_up(woken);
    }
}

impl From<SocketInterest> for Interest {
    fn from(interest: SocketInterest) -> Self {
        match interest {
            SocketInterest::Readable => Self::READABLE | Self::PRIORITY,
            SocketInterest::Writable => Self::WRITABLE,
            SocketInterest::ReadWrite => Self::READABLE | Self::PRIORITY | Self::WRITABLE,
        }
    }
}
