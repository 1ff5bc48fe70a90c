//! mio: one `Poll`, edge-triggered, a slab of connections, their keys as tokens.
//!
//! It has no pool, so work for a CPU is done in the loop.

#![forbid(unsafe_code)]

use clap::Parser;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Registry, Token};
use peers::cli::{self, Listen};
use peers::protocol;
use slab::Slab;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;

/// The lab's protocol on mio
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    listen: Listen,
}

/// What all connections share, since only one is served at a time.
struct Buffers {
    input: Box<[u8]>,
    replies: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    token: Token,
    /// The beginning of a request whose rest has not come.
    partial: Vec<u8>,
    /// Replies that the socket had no room for. Nothing is read until they are gone.
    unsent: Vec<u8>,
    /// Nothing more will be read; the connection ends with the last reply.
    last: bool,
}

const LISTENER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const READ: usize = 64 * 1024;

fn main() -> ExitCode {
    cli::exit(run(&Cli::parse()))
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let signals = cli::signals()?;
    signals.set_nonblocking(true)?;
    let mut signals = UnixStream::from_std(signals);
    let mut listener = TcpListener::from_std(cli.listen.bind()?);

    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut buffers = Buffers { input: vec![0; READ].into(), replies: Vec::new() };
    let mut connections = Slab::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => accept_all(&listener, poll.registry(), &mut connections)?,
                SIGNALS => return Ok(()),
                Token(key) => {
                    let Some(connection): Option<&mut Connection> = connections.get_mut(key) else {
                        continue;
                    };
                    match connection.handle(event, poll.registry(), &mut buffers) {
                        Ok(After::Keep) => {}
                        // Closing the descriptor takes it out of the poll.
                        Ok(After::Close) | Err(_) => drop(connections.remove(key)),
                    }
                }
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                let entry = connections.vacant_entry();
                let token = Token(entry.key());
                registry.register(&mut stream, token, Interest::READABLE)?;
                let partial = Vec::new();
                let unsent = Vec::new();
                entry.insert(Connection { stream, token, partial, unsent, last: false });
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Nobody waits; or out of descriptors, and the next client to come tries again.
            Err(_) => return Ok(()),
        }
    }
}

enum After {
    Keep,
    Close,
}

impl Connection {
    fn handle(
        &mut self,
        event: &Event,
        registry: &Registry,
        buffers: &mut Buffers,
    ) -> io::Result<After> {
        if self.unsent.is_empty() {
            return self.serve(event, registry, buffers);
        }
        let sent = self.send(&self.unsent)?;
        self.unsent.drain(..sent);
        if !self.unsent.is_empty() {
            return Ok(After::Keep);
        }
        if self.last {
            return Ok(After::Close);
        }
        // What has come meanwhile is reported at once, for this arms the edge anew.
        registry.reregister(&mut self.stream, self.token, Interest::READABLE)?;
        Ok(After::Keep)
    }

    /// Reads until nothing is left, or until the socket takes no more replies.
    fn serve(
        &mut self,
        event: &Event,
        registry: &Registry,
        buffers: &mut Buffers,
    ) -> io::Result<After> {
        loop {
            let received = match self.stream.read(&mut buffers.input) {
                Ok(0) => return Ok(After::Close),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(After::Keep),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            buffers.replies.clear();
            self.answer(&buffers.input[..received], &mut buffers.replies);

            let sent = self.send(&buffers.replies)?;
            if sent < buffers.replies.len() {
                self.unsent.extend_from_slice(&buffers.replies[sent..]);
                registry.reregister(&mut self.stream, self.token, Interest::WRITABLE)?;
                return Ok(After::Keep);
            }
            if self.last {
                return Ok(After::Close);
            }
            // A short read has emptied the socket, and whatever comes later is an edge of its own
            // (epoll(7)). Only the end of the stream may have come already.
            if received < buffers.input.len() && !event.is_read_closed() {
                return Ok(After::Keep);
            }
        }
    }

    fn answer(&mut self, received: &[u8], replies: &mut Vec<u8>) {
        let in_one_piece = self.partial.is_empty();
        if !in_one_piece {
            self.partial.extend_from_slice(received);
        }
        let input = if in_one_piece { received } else { &self.partial };
        let answered = protocol::answer(input, replies, |work, replies| work.run(replies));
        self.last = answered.quit;
        if in_one_piece {
            self.partial.extend_from_slice(&received[answered.consumed..]);
        } else if answered.consumed == self.partial.len() {
            self.partial = Vec::new();
        } else {
            self.partial.drain(..answered.consumed);
        }
    }

    /// Writes until all is gone or the socket is full; returns how much is gone.
    fn send(&self, replies: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < replies.len() {
            match (&self.stream).write(&replies[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
