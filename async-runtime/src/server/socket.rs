//! What conn-core needs of a socket, done with one of the runtime's.

use async_runtime::net::TcpStream;
use conn_core::connection::Stream;
use reactor::ioctl;
use rustix::net::sockopt::{set_socket_linger, socket_error};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::time::Duration;

/// The socket of one client. It is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Socket(TcpStream);

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl Deref for Socket {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.0
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Socket {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.try_write(from)
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
        Ok(socket_error(&self.0)?.err().map(io::Error::from))
    }
}
