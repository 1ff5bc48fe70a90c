//! A blocking test client with a limit on every wait.

mod receive;

use crate::escape::quote;
use crate::limits;
use crate::scene::{Scene, Wait};
use crate::transcript::Transcript;
use crate::verdict::{CaseResult, Stop};
use nix::sys::socket::{setsockopt, sockopt::TcpRepair};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::SockRef;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One connection to the server.
///
/// A wait for bytes ends at the read limit (2 s without a single byte, if not said otherwise) or
/// at the end of the case, whichever comes first. Bytes that were received and not yet expected
/// stay in order for the next call.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    incoming: Vec<u8>,
    ending: Option<Ending>,
    transcript: Arc<Transcript>,
    scene: Arc<Scene>,
    read_limit: Duration,
    /// Before the last send, or the connect: the server's clocks cannot have begun earlier.
    spoke_at: Instant,
    /// After the last send or receive.
    active_at: Instant,
}

/// How the server ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It shut down its sending side (FIN).
    Eof,
    /// It reset the connection (RST).
    Reset,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eof => "the server closed the connection",
            Self::Reset => "the server reset the connection",
        })
    }
}

/// What [`Client::push_until_blocked`] achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Push {
    /// Bytes that were sent.
    pub sent: usize,
    /// Whether the send was blocked for 100 ms; otherwise all was sent.
    pub blocked: bool,
}

enum Filled {
    Bytes,
    Ended(Ending),
    TimedOut,
}

impl Client {
    pub(crate) fn new(
        stream: TcpStream,
        transcript: Arc<Transcript>,
        scene: Arc<Scene>,
        read_limit: Duration,
        connecting_since: Instant,
    ) -> CaseResult<Self> {
        Ok(Self {
            stream,
            incoming: Vec::new(),
            ending: None,
            transcript,
            scene,
            read_limit,
            spoke_at: connecting_since,
            active_at: Instant::now(),
        })
    }

    /// The client's name in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        self.transcript.name()
    }

    /// The client's end of the connection, by which `/proc/net/tcp` tells it apart.
    ///
    /// # Errors
    /// A fault of this machine.
    pub fn local_address(&self) -> CaseResult<SocketAddr> {
        self.stream.local_addr().map_err(|error| Stop::fault("the client's address", error))
    }

    /// Sends all the bytes.
    ///
    /// # Errors
    /// The server closed the connection, or took no byte for the read limit.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> CaseResult {
        let bytes = bytes.as_ref();
        self.spoke_at = Instant::now();
        let mut sent = 0;
        while sent < bytes.len() {
            let (limit, started) = (self.limit(), Instant::now());
            match self.send_some(&bytes[sent..], limit) {
                Ok(0) => {
                    let expected = format!("the server to take {} bytes", bytes.len());
                    let actual = format!("it took {sent} and then none");
                    return Err(self.broken(expected, actual, Some((started.elapsed(), limit))));
                }
                Ok(count) => sent += count,
                Err(error) => {
                    let expected = format!("the server to take {}", quote(bytes, 60));
                    return Err(self.broken(
                        expected,
                        format!("after {sent} bytes: {error}"),
                        None,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Sends as much as the connection takes, and says how it ended: for clients that provoke a
    /// close or a reset.
    ///
    /// # Errors
    /// The error of the system call: `BrokenPipe`, `ConnectionReset`, or `TimedOut` if no byte
    /// was taken for the read limit.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.spoke_at = Instant::now();
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            match self.send_some(rest, self.limit())? {
                0 => return Err(ErrorKind::TimedOut.into()),
                count => rest = &rest[count..],
            }
        }
        Ok(())
    }

    /// Sends `chunk` again and again, up to `most` bytes, until the send has been blocked for
    /// 100 ms. Nothing is read meanwhile. `sent % chunk.len()` says where in the chunk it stopped.
    ///
    /// # Errors
    /// The server closed the connection.
    pub fn push_until_blocked(&mut self, chunk: &[u8], most: usize) -> CaseResult<Push> {
        self.spoke_at = Instant::now();
        let mut sent = 0;
        let blocked = self.scene.limits.scale(limits::BLOCKED);
        while sent < most {
            let at = sent % chunk.len();
            let end = chunk.len().min(at + (most - sent));
            match self.send_some(&chunk[at..end], blocked) {
                Ok(0) => return Ok(Push { sent, blocked: true }),
                Ok(count) => sent += count,
                Err(error) => {
                    let actual = format!("after {sent} bytes: {error}");
                    return Err(self.broken("the connection to stay open", actual, None));
                }
            }
            if self.limit().is_zero() {
                let actual = format!("{sent} bytes when the time of the case was over");
                return Err(self.broken("the server to take the bytes", actual, None));
            }
        }
        Ok(Push { sent, blocked: false })
    }

    /// One send of what fits. 0: nothing fitted for the whole limit.
    fn send_some(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + limit;
        loop {
            match self.stream.write(bytes) {
                Ok(count) => {
                    self.transcript.sent(&bytes[..count]);
                    self.active_at = Instant::now();
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(0);
                    }
                    self.wait(PollFlags::OUT, left)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.transcript.event(&format!("send failed: {error}"));
                    return Err(error);
                }
            }
        }
    }

    /// Shuts down the sending side: the server reads to the end (FIN).
    ///
    /// # Errors
    /// The connection is already gone.
    pub fn shutdown_write(&mut self) -> CaseResult {
        self.transcript.event("shut down the sending side");
        self.spoke_at = Instant::now();
        let done = self.stream.shutdown(Shutdown::Write);
        done.map_err(|error| self.broken("the connection to be open", error, None))
    }

    /// Sends a few bytes and the end of the input (FIN) in one segment: the server can't find the
    /// one without the other.
    ///
    /// # Errors
    /// The connection is already gone, or takes not all of the bytes.
    pub fn send_last(&mut self, bytes: impl AsRef<[u8]>) -> CaseResult {
        let bytes = bytes.as_ref();
        self.spoke_at = Instant::now();
        // The kernel keeps them for what comes next (send(2), MSG_MORE), which is the FIN.
        let sent = SockRef::from(&self.stream).send_with_flags(bytes, libc::MSG_MORE);
        if !matches!(sent, Ok(count) if count == bytes.len()) {
            let expected = format!("the connection to take {}", quote(bytes, 60));
            return Err(self.broken(expected, format!("{sent:?}"), None));
        }
        self.transcript.sent(bytes);
        self.active_at = Instant::now();
        self.shutdown_write()
    }

    /// Closes with a reset (RST): linger of 0.
    ///
    /// # Errors
    /// A fault of this machine.
    pub fn reset(self) -> CaseResult {
        self.transcript.event("reset");
        let linger = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        linger.map_err(|error| Stop::fault("to set SO_LINGER", error))
    }

    /// Is gone without a word, neither FIN nor RST, as after a power cut. What the server sends
    /// later is answered with a reset by the kernel, as by a machine that has been started again.
    ///
    /// # Errors
    /// A skip without the right to use `TCP_REPAIR` (CAP_NET_ADMIN).
    pub fn vanish(self) -> CaseResult {
        // A socket in repair mode is closed without telling the other end (tcp(7), CRIU).
        setsockopt(&self.stream, TcpRepair, &1).map_err(|error| {
            Stop::skip(format!("may not make a client vanish (TCP_REPAIR): {error}"))
        })?;
        self.transcript.event("vanished");
        Ok(())
    }

    /// The longest wait that is now allowed: the read limit, inside the case's time.
    fn limit(&self) -> Duration {
        self.read_limit.min(self.scene.deadline().saturating_duration_since(Instant::now()))
    }

    fn wait(&self, events: PollFlags, limit: Duration) -> io::Result<()> {
        let timeout = limit.min(Duration::from_secs(3600)).try_into().ok();
        match poll(&mut [PollFd::new(&self.stream, events)], timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn broken(&self, expected: impl fmt::Display, actual: impl fmt::Display, wait: Wait) -> Stop {
        self.scene.broken(expected, actual, Some(self.name()), wait)
    }
}
