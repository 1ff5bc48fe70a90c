//! The listening socket.

use crate::socket::Socket;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt,
};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
pub const BACKLOG: u16 = 4096;

/// Every descriptor has these flags from the call that creates it.
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// What one accept gave.
#[derive(Debug)]
pub enum Accepted {
    /// A client.
    Client(Socket),
    /// A client that left before it was accepted, or could not be reached. The next one is not to
    /// blame.
    Gone,
    /// Nobody waits.
    WouldBlock,
    /// Descriptors or memory have run out: somebody waits, and will wait until there are some.
    Exhausted(io::Error),
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Listens on `address`.
    ///
    /// Accepted sockets inherit two options from the listener, so that no call per client is needed:
    /// `TCP_NODELAY`, for replies are written in one piece and must not wait for an acknowledgement,
    /// and `SO_OOBINLINE`, since an urgent byte that is kept apart would make its socket
    /// exceptional for ever and the loop spin (RFC 6093 advises it for all).
    ///
    /// # Errors
    /// The address is taken or not ours, or we may not listen there.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, FLAGS, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_oobinline(&socket, true)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG.into())?;
        Ok(Self { socket: TcpListener::from(socket) })
    }

    /// The address that was bound, with the port that the kernel picked if it was asked to.
    ///
    /// # Errors
    /// None that a listening socket can have.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes one client from the backlog. Never blocks.
    ///
    /// # Errors
    /// The listener itself failed, which ends the server.
    pub fn accept(&self) -> io::Result<Accepted> {
        match accept_with(&self.socket, FLAGS) {
            Ok(socket) => Ok(Accepted::Client(Socket::from(socket))),
            Err(Errno::AGAIN) => Ok(Accepted::WouldBlock),
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                Ok(Accepted::Exhausted(error.into()))
            }
            // accept(2), ERRORS: a signal, or a network error that belongs to that one client.
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH,
            ) => Ok(Accepted::Gone),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<Listener> for TcpListener {
    fn from(listener: Listener) -> Self {
        listener.socket
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
