//! Opening a client connection.

use crate::client::Client;
use crate::limits;
use crate::server::Server;
use crate::verdict::{CaseResult, Stop};
use socket2::{Domain, Socket, Type};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A client in preparation; see [`Server::connect`].
#[derive(Debug)]
#[must_use = "nothing is connected before `open`"]
pub struct Connect<'a> {
    server: &'a Server,
    name: Option<String>,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    read_limit: Duration,
}

impl<'a> Connect<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self {
            server,
            name: None,
            receive_buffer: None,
            send_buffer: None,
            read_limit: limits::READ,
        }
    }

    /// The client's name in reports; `client 7` otherwise.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The size of the kernel's receive buffer, in bytes, set before connecting, so that the
    /// server's writes soon fall short. The kernel doubles it and has a minimum of about 2 KiB.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The size of the kernel's send buffer, in bytes.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Longest wait for the next byte; 2 s otherwise.
    pub fn read_limit(mut self, limit: Duration) -> Self {
        self.read_limit = limit;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// The connection was refused or not made within the read limit, which breaks the rule; a skip
    /// if the harness itself may open no more.
    pub fn open(self) -> CaseResult<Client> {
        let scene = &self.server.scene;
        let address = self.server.address();
        let transcript = scene.transcript(self.name.as_deref());
        let limit = scene.limits.scale(self.read_limit);
        let started = Instant::now();
        match self.stream(limit) {
            Ok(stream) => {
                transcript.event("connected");
                Client::new(stream, transcript, scene.clone(), limit, started)
            }
            Err(error) => {
                transcript.event(&format!("cannot connect: {error}"));
                if let Some(reason) = limits::exhausted(&error) {
                    return Err(Stop::skip(reason));
                }
                let wait = Some((started.elapsed(), limit));
                let expected = format!("a connection to {address}");
                Err(scene.broken(expected, error, Some(transcript.name()), wait))
            }
        }
    }

    fn stream(&self, limit: Duration) -> std::io::Result<TcpStream> {
        let address = self.server.address();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        socket.connect_timeout(&address.into(), limit)?;
        // Each send leaves at once, so that a case decides about segments itself.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}
