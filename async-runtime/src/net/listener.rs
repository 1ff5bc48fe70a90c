//! A socket that listens.

use super::futures::AcceptFuture;
use super::stream::TcpStream;
use super::{FLAGS, ip_address, tcp_socket};
use crate::async_socket::{AsyncSocket, Progress};
use rustix::io::Errno;
use rustix::net::{acceptfrom_with, bind, getsockname, listen, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
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

    /// Waits for a client.
    ///
    /// # Errors
    /// Descriptors have run out: the client waits in the backlog, and may be accepted later. Or the
    /// runtime has ended.
    pub fn accept(&mut self) -> AcceptFuture<'_> {
        AcceptFuture::new(self)
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
        let accepted = self.socket.poll_read(cx, |listener| {
            loop {
                match acceptfrom_with(listener, FLAGS) {
                    Ok((client, Some(address))) => return Ok(Progress::Full((client, address))),
                    // A client that has left before it was accepted: the next one is not to blame.
                    Ok((_, None)) | Err(Errno::CONNABORTED | Errno::PROTO) => {}
                    Err(errno) => return Err(errno),
                }
            }
        });
        accepted.map(|accepted| {
            let (client, address) = accepted?;
            Ok((TcpStream::new(AsyncSocket::new(client, true)), ip_address(address)?))
        })
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
