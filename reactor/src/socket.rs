//! A client's socket: non-blocking and close-on-exec from the moment it exists.

use crate::ioctl;
use conn_core::connection::Stream;
use rustix::net::sockopt::set_socket_linger;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The socket of one client. It is closed when it is dropped.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl From<OwnedFd> for Socket {
    /// Takes over a connected, non-blocking socket.
    fn from(fd: OwnedFd) -> Self {
        Self(TcpStream::from(fd))
    }
}

impl Read for Socket {
    /// recv(2). Never blocks: the socket is `O_NONBLOCK` since accept4(2).
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Socket {
    /// send(2) with `MSG_NOSIGNAL`, which the standard library adds: a peer that has left is
    /// `EPIPE`, never SIGPIPE. Never blocks.
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(from)
    }

    /// Nothing is buffered on this side of the kernel.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn shutdown_send(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn reset_on_close(&mut self) -> io::Result<()> {
        Ok(set_socket_linger(&self.0, Some(Duration::ZERO))?)
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        ioctl::unacknowledged(&self.0)
    }

    fn unread(&self) -> io::Result<usize> {
        ioctl::unread(&self.0)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
