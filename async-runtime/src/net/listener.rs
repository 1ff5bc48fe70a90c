//! A socket that listens.

use super::futures::AcceptFuture;
use super::stream::TcpStream;
use super::{FLAGS, ip_address, tcp_socket};
use crate::async_socket::{AsyncSocket, Progress};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, acceptfrom_with, bind, getsockname, listen, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A listening TCP socket.
#[derive(Debug)]
pub struct TcpListener {
    socket: AsyncSocket,
}

impl TcpListener {
    /// Listens on `address`; port 0 picks a free one.
    ///
    /// This does not wait for anything, and is `async` only to look like the others.
    ///
    /// # Errors
    /// The address is taken or not ours, or we may not listen there.
    #[expect(clippy::unused_async, reason = "the name of an address may be looked up here one day")]
    pub async fn bind(address: impl Into<SocketAddr>) -> io::Result<Self> {
        let address = address.into();
        let socket = tcp_socket(address)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok(Self { socket: AsyncSocket::new(socket, true) })
    }

    /// Takes over a listening socket that was made elsewhere, perhaps with options of its own, and makes
    /// it non-blocking.
    ///
    /// # Errors
    /// It can't be made non-blocking.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { socket: AsyncSocket::new(listener.into(), true) })
    }

    /// Waits for a client.
    ///
    /// # Errors
    /// Descriptors have run out: the client waits in the backlog, and may be accepted later. Or the
    /// runtime has ended.
    pub fn accept(&mut self) -> AcceptFuture<'_> {
        AcceptFuture::new(self)
    }

    /// Takes a client if one waits at this moment.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nobody waits; otherwise as with
    /// [`accept`](Self::accept).
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        into_stream(self.socket.try_read(accept)?)
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// None that a listening socket can have.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(getsockname(&self.socket)?)
    }

    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.socket.poll_read(cx, accept).map(|accepted| into_stream(accepted?))
    }

    pub(super) fn forget(&self) {
        self.socket.forget_reader();
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn accept(listener: BorrowedFd<'_>) -> Result<Progress<(OwnedFd, SocketAddrAny)>, Errno> {
    loop {
        match acceptfrom_with(listener, FLAGS) {
            Ok((client, Some(address))) => return Ok(Progress::Full((client, address))),
            // A client that has left before it was accepted, or can't be reached: the next one is not to
            // blame (accept(2), ERRORS).
            Ok((_, None))
            | Err(
                Errno::CONNABORTED
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH,
            ) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn into_stream((client, address): (OwnedFd, SocketAddrAny)) -> io::Result<(TcpStream, SocketAddr)> {
    Ok((TcpStream::new(AsyncSocket::new(client, true)), ip_address(address)?))
}
