//! The ceiling: epoll(7), recv(2), send(2), and nothing else that a server could leave out.
//!
//! It knows `echo` and `mn`, only in plain spelling (`echo 5` CRLF, five bytes, CRLF), and a reply
//! is the request itself with its verb in capitals, sent from the buffer it was received in. There
//! are no limits, no time-outs and no error replies: who sends anything else is disconnected.

#![forbid(unsafe_code)]

use clap::Parser;
use memchr::memchr;
use peers::cli::{self, Listen};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;

/// The least that a server on epoll can do: echo and mn only
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    listen: Listen,
}

struct Connection {
    socket: OwnedFd,
    /// The beginning of a request whose rest has not come.
    partial: Vec<u8>,
    /// Replies that the socket had no room for. Nothing is read until they are gone.
    unsent: Vec<u8>,
}

enum After {
    Keep,
    Close,
}

const EVENTS: usize = 1024;
const RECEIVE: usize = 64 * 1024;

fn main() -> ExitCode {
    cli::exit(run(&Cli::parse()))
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let signals = cli::signals()?;
    let listener = cli.listen.bind()?;

    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let watch = |fd: BorrowedFd<'_>, key: u64| {
        epoll::add(&epoll, fd, EventData::new_u64(key), EventFlags::IN)
    };
    let listener_key = key_of(&listener);
    let signals_key = key_of(&signals);
    watch(listener.as_fd(), listener_key)?;
    watch(signals.as_fd(), signals_key)?;

    let mut events = Vec::with_capacity(EVENTS);
    let mut buffer = vec![0; RECEIVE];
    // Indexed by descriptor.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (key, flags) = (event.data.u64(), event.flags);
            if key == listener_key {
                accept_one(&listener, &mut connections, watch);
            } else if key == signals_key {
                return Ok(());
            } else if let Some(slot) = connections.get_mut(key as usize)
                && let Some(connection) = slot
            {
                let after = if flags.contains(EventFlags::OUT) {
                    connection.send_rest(&epoll)
                } else {
                    connection.serve(&epoll, &mut buffer)
                };
                if let Ok(After::Close) | Err(_) = after {
                    *slot = None;
                }
            }
        }
    }
}

fn key_of(fd: &impl AsRawFd) -> u64 {
    fd.as_raw_fd().unsigned_abs().into()
}

/// Accepts one client; whoever else waits is reported again in the next turn.
fn accept_one(
    listener: &TcpListener,
    connections: &mut Vec<Option<Connection>>,
    watch: impl Fn(BorrowedFd<'_>, u64) -> Result<(), Errno>,
) {
    // A client that left while it waited is not worth a word.
    let Ok(socket) = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) else {
        return;
    };
    let key = key_of(&socket);
    if watch(socket.as_fd(), key).is_ok() {
        let row = key as usize;
        if connections.len() <= row {
            connections.resize_with(row + 1, || None);
        }
        connections[row] = Some(Connection { socket, partial: Vec::new(), unsent: Vec::new() });
    }
}

impl Connection {
    /// Receives once, and sends the replies to all requests that are whole.
    fn serve(&mut self, epoll: &OwnedFd, buffer: &mut [u8]) -> Result<After, Errno> {
        if self.partial.is_empty() {
            let received = match recv(&self.socket, &mut *buffer, RecvFlags::empty())? {
                (_, 0) => return Ok(After::Close),
                (_, received) => &mut buffer[..received],
            };
            let Some(whole) = answer_in_place(received) else { return Ok(After::Close) };
            self.send(epoll, &received[..whole])?;
            self.partial.extend_from_slice(&received[whole..]);
        } else {
            let mut input = std::mem::take(&mut self.partial);
            input.reserve(RECEIVE);
            if recv(&self.socket, spare_capacity(&mut input), RecvFlags::empty())?.1 == 0 {
                return Ok(After::Close);
            }
            let Some(whole) = answer_in_place(&mut input) else { return Ok(After::Close) };
            self.send(epoll, &input[..whole])?;
            input.drain(..whole);
            self.partial = input;
        }
        Ok(After::Keep)
    }

    fn send(&mut self, epoll: &OwnedFd, replies: &[u8]) -> Result<(), Errno> {
        if replies.is_empty() {
            return Ok(());
        }
        let sent = match send(&self.socket, replies, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(error) => return Err(error),
        };
        if sent < replies.len() {
            self.unsent.extend_from_slice(&replies[sent..]);
            self.watch(epoll, EventFlags::OUT)?;
        }
        Ok(())
    }

    fn send_rest(&mut self, epoll: &OwnedFd) -> Result<After, Errno> {
        let sent = send(&self.socket, &self.unsent, SendFlags::NOSIGNAL)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.watch(epoll, EventFlags::IN)?;
        }
        Ok(After::Keep)
    }

    fn watch(&self, epoll: &OwnedFd, events: EventFlags) -> Result<(), Errno> {
        epoll::modify(epoll, &self.socket, EventData::new_u64(key_of(&self.socket)), events)
    }
}

/// Makes replies of all whole requests at the front of `input`, and says how many bytes these are;
/// `None` if something else than a request stands there.
fn answer_in_place(input: &mut [u8]) -> Option<usize> {
    let mut whole = 0;
    while let Some(line_feed) = memchr(b'\n', &input[whole..]) {
        let line = &input[whole..whole + line_feed];
        let (verb, body) = match line {
            b"mn\r" => ("mn".len(), 0),
            [b'e', b'c', b'h', b'o', b' ', digits @ .., b'\r'] => {
                let body: u32 = str::from_utf8(digits).ok()?.parse().ok()?;
                ("echo".len(), body as usize + "\r\n".len())
            }
            _ => return None,
        };
        let len = line_feed + 1 + body;
        if input.len() - whole < len {
            break;
        }
        input[whole..whole + verb].make_ascii_uppercase();
        whole += len;
    }
    Some(whole)
}
