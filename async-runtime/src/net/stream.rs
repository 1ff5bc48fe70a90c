//! A connection.

use super::futures::{ConnectFuture, ReadFuture, WriteAllFuture, WriteFuture};
use super::ip_address;
use crate::async_socket::{AsyncSocket, Progress};
use crate::runtime::{worker_mailbox, worker_with};
use futures_io::{AsyncRead, AsyncWrite};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, getpeername, getsockname, recv, send, sockopt};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A TCP connection. Dropping it closes it.
///
/// It belongs to no worker until a future waits for it; from then on the worker on which that happened
/// watches it, wherever it is used, until it is [migrated](Self::migrate_to).
///
/// With the traits of `futures-io`, which it implements, the adapters of the ecosystem work. A future of
/// theirs that is dropped while it waits leaves its waker behind until the next call, or the end of
/// the connection; the futures of the methods here take theirs with them.
#[derive(Debug)]
pub struct TcpStream {
    socket: AsyncSocket,
}

impl TcpStream {
    pub(super) fn new(socket: AsyncSocket) -> Self {
        Self { socket }
    }

    /// Connects to `address`. A host's name has to be looked up before, in a
    /// [`spawn_blocking`](crate::task::spawn_blocking) with [`std::net::ToSocketAddrs`].
    pub fn connect(address: impl Into<SocketAddr>) -> ConnectFuture {
        ConnectFuture::new(address.into())
    }

    /// Reads at most `buffer.len()` bytes; 0 is the end of the stream, or an empty buffer.
    pub fn read<'a>(&'a mut self, buffer: &'a mut [u8]) -> ReadFuture<'a> {
        ReadFuture::new(self, buffer)
    }

    /// Writes some of `bytes`, and gives how many.
    pub fn write<'a>(&'a mut self, bytes: &'a [u8]) -> WriteFuture<'a> {
        WriteFuture::new(self, bytes)
    }

    /// Writes all of `bytes`. If it is dropped before the end, there is no telling how many it has written.
    pub fn write_all<'a>(&'a mut self, bytes: &'a [u8]) -> WriteAllFuture<'a> {
        WriteAllFuture::new(self, bytes)
    }

    /// Says that nothing more will be sent, or read, or both.
    ///
    /// # Errors
    /// It is not connected any more.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(&self.socket, how)?)
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// It is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip_address(getpeername(&self.socket)?.ok_or(io::ErrorKind::NotConnected)?)
    }

    /// Our own address.
    ///
    /// # Errors
    /// None that a connection can have.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(getsockname(&self.socket)?)
    }

    /// Whether small writes are sent at once, instead of waiting for an earlier one's acknowledgement
    /// (tcp(7), `TCP_NODELAY`).
    ///
    /// # Errors
    /// None that a connection can have.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(sockopt::set_tcp_nodelay(&self.socket, nodelay)?)
    }

    /// Lets a wait fail with [`TimedOut`](io::ErrorKind::TimedOut) once no byte has moved for `timeout`.
    /// It may come half a second late; for finer limits there is [`timeout`](crate::time::timeout).
    ///
    /// What [`try_read`](Self::try_read) and [`try_write`](Self::try_write) move does not count: who uses
    /// these keeps clocks, and sets the next time-out when one is over.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        self.socket.set_timeout(timeout);
    }

    /// Has the worker with this number, counted from 0, watch the connection from now on. Nothing that
    /// happens meanwhile is lost. One that nobody watches yet stays so.
    ///
    /// # Panics
    /// The thread is not one of a runtime's, or there is no such worker.
    pub fn migrate_to(&self, worker: usize) {
        self.socket.migrate(worker_mailbox(worker).expect("there is a worker with this number"));
    }

    /// Has the first [`poll_read_ready`](Self::poll_read_ready) of a new connection wait for an event. Without
    /// this it is ready at once: nobody has asked the kernel yet, and a call may be worth a try.
    pub fn assume_no_input(&self) {
        self.socket.assume_no_input();
    }

    /// Ready if a [`try_read`](Self::try_read) may bring something: bytes, the end of the stream, or an
    /// error. If not, the task is woken once it may. For a task that waits for more than one thing at once;
    /// like [`read`](Self::read), it may be waited for by one task at a time.
    ///
    /// # Errors
    /// The [time-out](Self::set_timeout) is over, or the runtime has ended.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// Ready if a [`try_write`](Self::try_write) may succeed, or tell why it can't. If not, the task is woken
    /// once it may.
    ///
    /// # Errors
    /// The [time-out](Self::set_timeout) is over, or the runtime has ended.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Ready once, when the connection has broken (epoll_ctl(2), `EPOLLERR` and `EPOLLHUP`), for a task that
    /// at present neither reads nor writes. That the peer sends no more is no breach.
    ///
    /// # Errors
    /// The [time-out](Self::set_timeout) is over, or the runtime has ended.
    pub fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_hang_up(cx)
    }

    /// Reads what is there at this moment, at most `buffer.len()` bytes; 0 is the end of the stream.
    ///
    /// The system call is made in any case, also where [`poll_read_ready`](Self::poll_read_ready) has not
    /// heard of anything yet.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing; otherwise the connection has broken.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(|socket| receive(socket, buffer))
    }

    /// Writes as much of `bytes` as there is room for at this moment, and gives how many. Fewer than all
    /// means that there is no more room.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room; otherwise the connection has broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(|socket| transmit(socket, bytes))
    }

    /// The number of the worker that watches the connection, counted from 0. `None` if nobody does yet, or
    /// the thread of a [`block_on`](crate::runtime::Runtime::block_on) does.
    ///
    /// # Panics
    /// The thread is not one of a runtime's.
    #[must_use]
    pub fn worker(&self) -> Option<usize> {
        worker_with(|mailbox| self.socket.is_at_home(mailbox))
    }

    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_read(cx, |socket| receive(socket, buffer))
    }

    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, |socket| transmit(socket, bytes))
    }

    /// Whether the connection that was begun has been established.
    pub(super) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write(cx, |socket| {
            sockopt::socket_error(socket)??;
            // An event that came for another reason.
            getpeername(socket)?.ok_or(Errno::AGAIN)?;
            Ok(Progress::Full(()))
        })
    }

    pub(super) fn forget_reader(&self) {
        self.socket.forget_reader();
    }

    pub(super) fn forget_writer(&self) {
        self.socket.forget_writer();
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Progress<usize>, Errno> {
    let (_, received) = recv(socket, &mut *buffer, RecvFlags::empty())?;
    // 0 is the end of the stream, which stays.
    let short = 0 < received && received < buffer.len();
    Ok(if short { Progress::Short(received) } else { Progress::Full(received) })
}

fn transmit(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<Progress<usize>, Errno> {
    // A peer that is gone is an error, and no reason to kill us with SIGPIPE.
    let sent = send(socket, bytes, SendFlags::NOSIGNAL)?;
    let short = sent < bytes.len();
    Ok(if short { Progress::Short(sent) } else { Progress::Full(sent) })
}

/// So that one task can read while another one writes. Only one at a time may read: a side of a socket
/// remembers one waker, and forgets the first reader when a second one comes. The same goes for writing.
impl AsyncRead for &TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, buffer)
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes)
    }

    /// Nothing is kept here: what was written is the kernel's.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}
