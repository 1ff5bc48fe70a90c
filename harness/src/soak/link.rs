//! One connection of a soak: what is still to be sent and when, and what must come back.
//!
//! It never blocks: the loop in [`super::crowd`] asks it what it waits for.

use super::model::{Agreement, Reply, Request, numbers_of};
use crate::escape;
use rustix::event::PollFlags;
use socket2::{Domain, SockRef, Socket, Type};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The reply to a newcomer for whom there is no place.
pub(super) const REFUSAL: &[u8] = b"SERVER_ERROR too many connections\r\n";
/// Bytes of a request that are shown when its reply is wrong.
const SHOWN: usize = 60;

/// What a client does next on its connection.
#[derive(Debug)]
pub(super) enum Act {
    Send(Vec<u8>),
    HalfClose,
    /// Closes, once every reply is there.
    CloseWhenAnswered,
    /// Resets, once every reply is there.
    ResetWhenAnswered,
    /// Resets, whatever is under way.
    Reset,
}

/// How fast a client takes its replies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    AtOnce,
    /// So many bytes, every so often.
    Slowly(usize, Duration),
    /// Not before this moment.
    From(Instant),
}

/// What the server does after the last reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It keeps the connection.
    Stays,
    /// It ends the connection, within this time and the usual patience.
    Ends(Duration),
    /// It ends the connection too, and may do so before it has answered everything.
    EndsAnywhere,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// As it had to.
    AsExpected,
    /// The client left of its own accord.
    Left,
    /// Bytes came that are not the reply.
    Wrong(String),
    /// Replies, or the end of the connection, did not come.
    Lost(String),
    /// A newcomer was not let in.
    TurnedAway(String),
}

#[derive(Debug)]
struct Awaited {
    reply: Reply,
    /// When the last byte of the request was to be sent.
    since: Instant,
    /// The beginning of the request, for messages.
    request: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    pub(super) opened: Instant,
    connected: bool,
    blocked: bool,
    outbox: VecDeque<(Instant, Act)>,
    sent_of_first: usize,
    awaited: VecDeque<Awaited>,
    received: Vec<u8>,
    pub(super) reading: Reading,
    next_read: Instant,
    pub(super) after: After,
    /// Whole replies so far.
    pub(super) replies: u64,
    /// When something last came.
    last_change: Instant,
    /// The numbers of the last reply to `stats`.
    pub(super) numbers: BTreeMap<String, u64>,
}

impl Link {
    /// Begins to connect.
    pub(super) fn open(
        address: SocketAddr,
        receive_buffer: Option<usize>,
        now: Instant,
    ) -> io::Result<Self> {
        let (stream, connected) = begin_to_connect(address, receive_buffer)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            opened: now,
            connected,
            blocked: false,
            outbox: VecDeque::new(),
            sent_of_first: 0,
            awaited: VecDeque::new(),
            received: Vec::new(),
            reading: Reading::AtOnce,
            next_read: now,
            after: After::Stays,
            replies: 0,
            last_change: now,
            numbers: BTreeMap::new(),
        })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Replies that are still to come.
    pub(super) fn outstanding(&self) -> usize {
        self.awaited.len()
    }

    /// Whether everything has been sent.
    pub(super) fn is_sent(&self) -> bool {
        self.connected && self.outbox.is_empty()
    }

    /// Whether the server has to end the connection as soon as it has answered.
    pub(super) fn ends_at_once(&self) -> bool {
        self.after == After::Ends(Duration::ZERO)
    }

    /// Does this then, after all that was planned before.
    pub(super) fn plan(&mut self, when: Instant, act: Act) {
        self.outbox.push_back((when, act));
    }

    /// Sends a request at `when`, and expects its reply.
    pub(super) fn ask(&mut self, when: Instant, request: Request) {
        let size = request.bytes.len();
        self.ask_in_pieces(when, request, size, Duration::ZERO);
    }

    /// Sends a request so many bytes at a time, one piece every so often.
    pub(super) fn ask_in_pieces(
        &mut self,
        when: Instant,
        request: Request,
        size: usize,
        every: Duration,
    ) {
        let mut since = when;
        for (number, piece) in (0..).zip(request.bytes.chunks(size.max(1))) {
            since = when + every * number;
            self.plan(since, Act::Send(piece.to_vec()));
        }
        let shown = request.bytes[..request.bytes.len().min(SHOWN)].to_vec();
        self.awaited.push_back(Awaited { reply: request.reply, since, request: shown });
    }

    /// What `poll` is to watch for.
    pub(super) fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        if !self.connected || self.blocked {
            flags |= PollFlags::OUT;
        }
        if matches!(self.reading, Reading::AtOnce) {
            flags |= PollFlags::IN;
        }
        flags
    }

    /// When it wants to be looked at, whatever `poll` says.
    pub(super) fn due(&self) -> Option<Instant> {
        let waits = match self.outbox.front() {
            Some((_, Act::CloseWhenAnswered | Act::ResetWhenAnswered)) => !self.awaited.is_empty(),
            Some(_) => self.blocked,
            None => true,
        };
        let send = if waits || !self.connected { None } else { self.outbox.front() };
        let read = match self.reading {
            Reading::AtOnce => None,
            Reading::Slowly(..) => (!self.awaited.is_empty()).then_some(self.next_read),
            Reading::From(moment) => Some(moment),
        };
        send.map(|(when, _)| *when).into_iter().chain(read).min()
    }

    /// Sends what is due.
    pub(super) fn send(&mut self, now: Instant) -> Option<End> {
        while self.connected && self.outbox.front().is_some_and(|(when, _)| *when <= now) {
            match &self.outbox.front()?.1 {
                Act::Send(bytes) => match self.stream.write(&bytes[self.sent_of_first..]) {
                    Ok(count) => {
                        self.blocked = false;
                        self.sent_of_first += count;
                        if self.sent_of_first < bytes.len() {
                            continue;
                        }
                        self.sent_of_first = 0;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.blocked = true;
                        return None;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    // What the server said before it closed can still be read.
                    Err(_) => {
                        self.outbox.clear();
                        self.blocked = false;
                        return None;
                    }
                },
                Act::HalfClose => {
                    let _ = self.stream.shutdown(Shutdown::Write);
                }
                Act::CloseWhenAnswered if self.awaited.is_empty() => return Some(End::Left),
                Act::ResetWhenAnswered if self.awaited.is_empty() => return Some(self.reset()),
                Act::CloseWhenAnswered | Act::ResetWhenAnswered => return None,
                Act::Reset => return Some(self.reset()),
            }
            self.outbox.pop_front();
        }
        None
    }

    /// Makes the close that follows a reset.
    pub(super) fn reset(&self) -> End {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        End::Left
    }

    /// Reads what is there, as fast as this client does, and compares it. `answered` is given the
    /// moment that each reply answers.
    pub(super) fn receive(&mut self, now: Instant, answered: &mut Vec<Instant>) -> Option<End> {
        if !self.connected {
            match self.stream.take_error() {
                Ok(None) if self.stream.peer_addr().is_ok() => self.connected = true,
                Ok(None) => return None,
                Ok(Some(error)) | Err(error) => return Some(self.cut(&error.to_string())),
            }
        }
        let mut most = match self.reading {
            Reading::AtOnce => usize::MAX,
            Reading::Slowly(bytes, every) if now >= self.next_read => {
                self.next_read = now + every;
                bytes
            }
            Reading::From(moment) if now >= moment => {
                self.reading = Reading::AtOnce;
                self.last_change = now;
                usize::MAX
            }
            _ => return None,
        };
        let mut buffer = [0; 16 * 1024];
        while most > 0 {
            let room = most.min(buffer.len());
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => return Some(self.cut("the server closed the connection")),
                Ok(count) => {
                    most -= count;
                    self.last_change = now;
                    self.received.extend_from_slice(&buffer[..count]);
                    if let Err(end) = self.compare(answered) {
                        return Some(end);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(self.cut(&error.to_string())),
            }
        }
        None
    }

    fn compare(&mut self, answered: &mut Vec<Instant>) -> Result<(), End> {
        while !self.received.is_empty() {
            let Some(awaited) = self.awaited.front() else {
                if self.is_refusal() {
                    return Err(told_to_go());
                }
                let bytes = escape::quote(&self.received, 80);
                return Err(End::Wrong(format!("nothing was asked, and {bytes} came")));
            };
            match awaited.reply.compare(&self.received) {
                Agreement::Whole(length) => {
                    if awaited.reply == Reply::Stats {
                        self.numbers = numbers_of(&self.received[..length]);
                    }
                    answered.push(awaited.since);
                    self.received.drain(..length);
                    self.awaited.pop_front();
                    self.replies += 1;
                }
                Agreement::SoFar => return Ok(()),
                Agreement::No if self.is_refusal() => return Err(told_to_go()),
                Agreement::No => {
                    let (expected, actual) =
                        escape::difference(awaited.reply.known(), &self.received);
                    let request = escape::quote(&awaited.request, SHOWN);
                    return Err(End::Wrong(format!(
                        "asked {request}\nexpected {expected}\nactual   {actual}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether nothing but the beginning of a refusal has ever come.
    fn is_refusal(&self) -> bool {
        let common = self.received.len().min(REFUSAL.len());
        self.replies == 0 && self.received[..common] == REFUSAL[..common]
    }

    /// The connection has ended: whether it had to.
    fn cut(&self, how: &str) -> End {
        match self.after {
            After::EndsAnywhere => return End::AsExpected,
            After::Ends(_) if self.awaited.is_empty() && self.outbox.is_empty() => {
                return End::AsExpected;
            }
            _ => {}
        }
        if self.replies == 0 && (self.received.is_empty() || self.is_refusal()) {
            return End::TurnedAway(how.to_owned());
        }
        End::Lost(match self.awaited.front() {
            Some(first) => format!(
                "{how}; {} replies were still to come, the first one to {}",
                self.awaited.len(),
                escape::quote(&first.request, SHOWN)
            ),
            None => format!("{how}, and nobody had asked for that"),
        })
    }

    /// Whether the server has kept it waiting for too long. Time before `from` does not count: it
    /// was stopped, or out of descriptors.
    pub(super) fn overdue(&self, now: Instant, from: Instant, patience: Duration) -> Option<End> {
        let waited = |since: Instant| now.saturating_duration_since(since.max(from));
        if matches!(self.reading, Reading::From(_)) {
            return None;
        }
        // A slow reader keeps itself waiting.
        let since = self.awaited.front().map(|first| first.since.max(self.last_change));
        match (since, self.after) {
            (Some(since), _) if waited(since) > patience => Some(End::Lost(format!(
                "no reply within {patience:.0?}; {} are still to come, the first one to {}",
                self.awaited.len(),
                escape::quote(&self.awaited[0].request, SHOWN)
            ))),
            (None, _) if !self.outbox.is_empty() => None,
            (None, After::Ends(within)) if waited(self.last_change) > within + patience => {
                let limit = within + patience;
                Some(End::Lost(format!("the server did not end the connection within {limit:.0?}")))
            }
            (None, After::EndsAnywhere) if waited(self.last_change) > patience => {
                Some(End::Lost("the server never ended the connection".to_owned()))
            }
            _ => None,
        }
    }
}

fn told_to_go() -> End {
    End::TurnedAway("it was told: too many connections".to_owned())
}

/// A non-blocking socket that is connecting, and whether it is connected already.
pub(super) fn begin_to_connect(
    address: SocketAddr,
    receive_buffer: Option<usize>,
) -> io::Result<(TcpStream, bool)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => Ok((socket.into(), true)),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket.into(), false)),
        Err(error) => Err(error),
    }
}
