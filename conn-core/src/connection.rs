//! One client: its state, its buffers, its clocks.
//!
//! The loop calls a connection with one of few verbs, and each visit ends without having waited for
//! anything: [`on_readable`](Connection::on_readable), [`on_writable`](Connection::on_writable),
//! [`resume`](Connection::resume) (requests already read, whose turn had been over),
//! [`on_task_done`](Connection::on_task_done), [`check_deadlines`](Connection::check_deadlines),
//! [`begin_drain`](Connection::begin_drain) and [`abandon`](Connection::abandon). The answer is a
//! [`Fate`]. Between visits [`interest`](Connection::interest) says what to watch for, computed
//! from the state and never remembered beside it.
//!
//! An idle connection holds no buffers: a visit borrows the loop's [`Scratch`] and gives it back.

mod clocks;
mod pressure;
mod visit;

use crate::executor::Ticket;
use crate::id::ConnId;
use crate::policy::Limits;
use crate::protocol::{Decoder, Frame};
use crate::state::{ALWAYS, ANY, Action, ConnState, Event, Pending, Row, lookup};
use crate::stats::{ServerInfo, Stats};
use crate::write_policy::AnyPolicy;
use crate::write_queue::WriteQueue;
use clocks::Linger;
use pressure::Pressure;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, trace};

/// The most that one `recv` takes, and with one `recv` a visit all that a connection may take of a
/// turn, in bytes.
pub const READ_BUDGET: usize = 64 * 1024;

/// A non-blocking byte stream: what a connection needs of its socket.
pub trait Stream: Read + Write {
    /// Shuts the sending side down; the peer sees the end of the replies (shutdown(2), `SHUT_WR`).
    ///
    /// # Errors
    /// The socket is not connected any more.
    fn shutdown_send(&mut self) -> io::Result<()>;

    /// How many of the bytes that were written the peer has not acknowledged yet (tcp(7),
    /// `SIOCOUTQ`).
    ///
    /// # Errors
    /// The socket is not connected any more.
    fn unacknowledged(&self) -> io::Result<usize>;

    /// Makes the close that follows a reset, which drops what the kernel still holds for the peer at
    /// once (socket(7), `SO_LINGER` with a time of 0).
    ///
    /// # Errors
    /// The socket is not connected any more.
    fn reset_on_close(&mut self) -> io::Result<()>;

    /// How many bytes the kernel holds that have not been received yet (tcp(7), `SIOCINQ`).
    ///
    /// # Errors
    /// The socket is not connected any more.
    fn unread(&self) -> io::Result<usize>;

    /// Takes the error that the kernel noted, such as a reset, ahead of input that has not been
    /// received (socket(7), `SO_ERROR`).
    ///
    /// # Errors
    /// The error can't be asked for.
    fn take_error(&self) -> io::Result<Option<io::Error>>;
}

/// What the kernel should watch a descriptor for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Until it can be read.
    pub read: bool,
    /// Until it can be written.
    pub write: bool,
    /// Only until it breaks, which the kernel reports of whatever it watches. `select` has no way to
    /// say this; it is asked only while a task runs elsewhere.
    pub hang_up: bool,
}

impl Interest {
    /// Nothing is to be watched.
    pub const NONE: Self = Self { read: false, write: false, hang_up: false };

    /// Readability only.
    pub const READ: Self = Self { read: true, ..Self::NONE };
}

/// What the loop does with a connection after a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Wait for what it is interested in.
    Wait,
    /// Visit it again ([`Connection::resume`]) after the others, without waiting.
    Again,
    /// Close its descriptor and forget it.
    Close,
}

/// Memory that the connections of one loop share, since only one of them is visited at a time.
#[derive(Debug)]
pub struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { input: vec![0; READ_BUDGET].into_boxed_slice(), output: Vec::new() }
    }
}

/// What a connection needs from the server around it during a visit.
#[derive(Debug)]
pub struct Turn<E> {
    /// The time: read once a turn, and again after a task that ran on the loop.
    pub now: Instant,
    /// Limits and time-outs.
    pub limits: Limits,
    /// Counters.
    pub stats: Stats,
    /// Who this server is, for `stats`.
    pub info: ServerInfo,
    /// Where CPU work runs.
    pub executor: E,
    /// What a long write queue means. Asked through a table of functions, since a type parameter would
    /// stand in every signature.
    pub write_policy: AnyPolicy,
    /// Shared buffers.
    pub scratch: Scratch,
}

/// What the reading side of a connection will still deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// More may come at any time.
    Open,
    /// The server drains: this many bytes had arrived, and only those still count.
    Last(usize),
    /// The peer sends no more; what it sent before is still to be understood.
    Ending,
    /// The server takes no more.
    Cut,
    /// Nothing more can come that matters, and all that came is understood.
    Ended,
}

/// What the bytes in the read buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unparsed {
    /// The beginning of a request at most: more input is needed.
    Fragment,
    /// Possibly whole requests, whose turn is yet to come.
    Requests,
}

/// Stands in for the row that an impossible event has not.
const NO_RULE: Row = Row {
    id: "none",
    from: ANY,
    event: Event::PeerReset,
    guard: ALWAYS,
    to: ConnState::Closing,
    action: Action::CloseSocket,
    why: "a bug of ours costs one connection",
};

/// Everything that the server knows about one client.
#[derive(Debug)]
pub struct Connection<S> {
    /// The connection's number, never used again: a late result finds its client by it.
    id: ConnId,
    /// The descriptor's number: the key in the registry and the name in logs. It is used again.
    fd: RawFd,
    /// The non-blocking socket. The connection owns it: dropping one closes the other.
    stream: S,
    /// The phase; changed only by `apply`, only along a row of the table.
    state: ConnState,
    /// Bytes received and not yet understood. Empty, and without memory, between requests.
    read_buf: Vec<u8>,
    /// What `read_buf` holds: a fragment that needs more input, or requests whose turn will come.
    unparsed: Unparsed,
    /// Where in a request the input is; knows how many bytes of a body are still to come.
    decoder: Decoder,
    /// What the reading side will still deliver: half-close, `quit`, a drain.
    input: Input,
    /// Replies that the socket has not taken yet; its length is `bytes_queued`.
    write_buf: WriteQueue,
    /// What the write policy makes of it.
    pressure: Pressure,
    /// The task that is out.
    task: Option<Ticket>,
    /// When a byte last moved either way: the idle clock.
    last_active: Instant,
    /// Whether `recv` has met `EAGAIN`: nothing is left of the input that was reported.
    drained: bool,
    /// Bytes that `send` has accepted in the connection's life.
    bytes_sent: u64,
    /// Set while the peer may not have acknowledged all of them: how many it had when it was last
    /// asked about.
    unconfirmed: Option<u64>,
    /// Set while replies wait for a socket that was full: since when the peer has taken nothing.
    stalled_since: Option<Instant>,
    /// When the first byte of the request that is being received came: the slow request's clock.
    request_start: Option<Instant>,
    /// The limits of a graceful close; only in CLOSING, and none if the close is at once.
    linger: Option<Linger>,
}

impl<S> Connection<S> {
    /// A connection that has just been accepted.
    pub fn new(id: ConnId, fd: RawFd, stream: S, now: Instant) -> Self {
        Self {
            id,
            fd,
            stream,
            state: ConnState::Connecting,
            read_buf: Vec::new(),
            unparsed: Unparsed::Fragment,
            decoder: Decoder::default(),
            input: Input::Open,
            write_buf: WriteQueue::default(),
            pressure: Pressure::default(),
            task: None,
            last_active: now,
            // Nothing has been reported yet.
            drained: true,
            bytes_sent: 0,
            unconfirmed: None,
            stalled_since: None,
            request_start: None,
            linger: None,
        }
    }

    /// The connection's number.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The descriptor's number.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// The socket.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The socket, for a test that goes on writing its script.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The phase that the connection is in.
    pub fn state(&self) -> ConnState {
        self.state
    }

    /// Whether a task is out.
    pub fn awaits_task(&self) -> bool {
        self.task.is_some()
    }

    /// How many bytes wait to be sent.
    pub fn bytes_queued(&self) -> usize {
        self.write_buf.len()
    }

    /// How many bytes of the body that is being received have not arrived yet, not counting its end
    /// of line; 0 outside a body.
    pub fn frame_bytes_remaining(&self) -> u64 {
        match self.decoder.frame() {
            Frame::Header => 0,
            Frame::Body(len) => len.saturating_sub(self.read_buf.len() as u64),
            Frame::Skip(left) => left,
        }
    }

    /// How many bytes of heap the connection's buffers hold.
    pub fn buffer_memory(&self) -> usize {
        self.read_buf.capacity() + self.write_buf.capacity()
    }

    /// Whether all input that was reported has been received, down to `EAGAIN`: then an edge-triggered
    /// mechanism will report what comes next. If not, it has reported what is there, and never will
    /// again (epoll(7), `EPOLLET`).
    pub fn has_drained(&self) -> bool {
        self.drained
    }

    /// What the kernel should watch this connection for.
    pub fn interest(&self) -> Interest {
        let read = match self.state {
            ConnState::Connecting | ConnState::ReadingHeader | ConnState::ReadingBody => {
                self.takes_requests()
            }
            // Read ahead, but not without bound, and not at all from who has to wait for room.
            ConnState::Processing => {
                self.task.is_some_and(|ticket| !ticket.held)
                    && matches!(self.input, Input::Open | Input::Last(1..))
                    && self.read_buf.len() < READ_BUDGET
            }
            // What comes after the end of the input is thrown away, so that a client that sends
            // all before it reads anything gets to reading.
            ConnState::Writing => self.takes_requests() || self.input == Input::Cut,
            ConnState::Closing => true,
            ConnState::Closed => false,
        };
        Interest {
            read,
            write: self.state == ConnState::Writing,
            hang_up: self.state == ConnState::Processing && !read,
        }
    }

    /// Whether the next bytes from the peer would be parsed at once.
    fn takes_requests(&self) -> bool {
        !matches!(self.state, ConnState::Closing | ConnState::Closed)
            && self.unparsed == Unparsed::Fragment
            && self.task.is_none()
            && !self.pressure.paused
            && matches!(self.input, Input::Open | Input::Last(1..))
    }

    /// What is left to do for the client.
    fn pending(&self) -> Pending {
        if !self.write_buf.is_empty() {
            return Pending::Replies;
        }
        if self.task.is_some() {
            return Pending::Task;
        }
        match (self.input, self.decoder.frame()) {
            (Input::Cut, _) => Pending::Farewell,
            (Input::Ended, _) => Pending::Nothing,
            (_, Frame::Header) => Pending::Header,
            (_, Frame::Body(_) | Frame::Skip(_)) => Pending::Body,
        }
    }

    /// The one door through which the state changes. Says what is to be done.
    #[inline]
    fn apply(&mut self, event: Event) -> Action {
        let pending = self.pending();
        let row = match lookup(self.state, event, pending) {
            Some(row) => row,
            None => self.no_rule(event, pending),
        };
        // What makes the lines is kept out of here: this runs several times a request.
        if LevelFilter::current() >= LevelFilter::DEBUG {
            self.log(row, event);
        }
        if row.action == Action::CloseSocket {
            self.linger = None;
        }
        self.state = row.to;
        row.action
    }

    /// A bug of ours, never something that a peer can cause. It costs one connection.
    #[cold]
    fn no_rule(&self, event: Event, pending: Pending) -> &'static Row {
        error!(
            conn = self.id.0, fd = self.fd, state = %self.state, %event, %pending,
            "no rule for this event: closing the connection"
        );
        debug_assert!(false, "{} + {event} [{pending}] has no rule", self.state);
        &NO_RULE
    }

    #[cold]
    fn log(&self, row: &Row, event: Event) {
        let (from, &Row { id: row, to, action, .. }) = (self.state, row);
        if from == to {
            trace!(conn = self.id.0, fd = self.fd, row, state = %from, %event, %action, "event");
        } else {
            debug!(conn = self.id.0, fd = self.fd, row, %from, %event, %to, %action, "transition");
        }
    }

    /// Whether it is to be visited again without waiting.
    pub(crate) fn wants_a_turn(&self) -> bool {
        self.fate() == Fate::Again
    }

    fn fate(&self) -> Fate {
        match self.state {
            ConnState::Closing if self.linger.is_none() => Fate::Close,
            ConnState::Closing => Fate::Wait,
            _ if self.unparsed == Unparsed::Requests
                && self.task.is_none()
                && !self.pressure.paused =>
            {
                Fate::Again
            }
            _ => Fate::Wait,
        }
    }

    /// Notes that the descriptor is being closed. The connection is of no more use.
    pub fn close(mut self) {
        self.apply(Event::FdClosed);
    }
}
