//! The futures behind the methods of a connection, written out: this is what `async fn` is made into.
//!
//! Each is a small state machine that is polled until it is done. One that is dropped while it waits
//! takes its waker back, so that nobody is woken for something that is not wanted any more.

use super::listener::TcpListener;
use super::stream::TcpStream;
use super::tcp_socket;
use crate::async_socket::AsyncSocket;
use rustix::io::Errno;
use rustix::net::connect;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What [`TcpListener::accept`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct AcceptFuture<'a> {
    listener: &'a mut TcpListener,
    waits: bool,
}

impl<'a> AcceptFuture<'a> {
    pub(super) fn new(listener: &'a mut TcpListener) -> Self {
        Self { listener, waits: false }
    }
}

impl Future for AcceptFuture<'_> {
    type Output = io::Result<(TcpStream, SocketAddr)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let poll = self.listener.poll_accept(cx);
        self.waits = poll.is_pending();
        poll
    }
}

impl Drop for AcceptFuture<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.listener.forget();
        }
    }
}

/// What [`TcpStream::connect`] returns. Dropping it closes the socket.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct ConnectFuture {
    address: SocketAddr,
    /// Present while the connection is being established.
    stream: Option<TcpStream>,
}

impl ConnectFuture {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Begins: what takes long is done by the kernel, and an event tells when it is over (connect(2),
    /// EINPROGRESS).
    fn start(&self) -> io::Result<TcpStream> {
        let socket = tcp_socket(self.address)?;
        let connected = match connect(&socket, &self.address) {
            Ok(()) => true,
            Err(Errno::INPROGRESS | Errno::INTR) => false,
            Err(errno) => return Err(errno.into()),
        };
        Ok(TcpStream::new(AsyncSocket::new(socket, connected)))
    }
}

impl Future for ConnectFuture {
    type Output = io::Result<TcpStream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.start()?,
        };
        match stream.poll_connected(cx) {
            Poll::Ready(connected) => Poll::Ready(connected.map(|()| stream)),
            Poll::Pending => {
                self.stream = Some(stream);
                Poll::Pending
            }
        }
    }
}

/// What [`TcpStream::read`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct ReadFuture<'a> {
    stream: &'a mut TcpStream,
    buffer: &'a mut [u8],
    waits: bool,
}

impl<'a> ReadFuture<'a> {
    pub(super) fn new(stream: &'a mut TcpStream, buffer: &'a mut [u8]) -> Self {
        Self { stream, buffer, waits: false }
    }
}

impl Future for ReadFuture<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let poll = this.stream.poll_recv(cx, this.buffer);
        this.waits = poll.is_pending();
        poll
    }
}

impl Drop for ReadFuture<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.stream.forget_reader();
        }
    }
}

/// What [`TcpStream::write`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct WriteFuture<'a> {
    stream: &'a mut TcpStream,
    bytes: &'a [u8],
    waits: bool,
}

impl<'a> WriteFuture<'a> {
    pub(super) fn new(stream: &'a mut TcpStream, bytes: &'a [u8]) -> Self {
        Self { stream, bytes, waits: false }
    }
}

impl Future for WriteFuture<'_> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let poll = self.stream.poll_send(cx, self.bytes);
        self.waits = poll.is_pending();
        poll
    }
}

impl Drop for WriteFuture<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.stream.forget_writer();
        }
    }
}

/// What [`TcpStream::write_all`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct WriteAllFuture<'a> {
    write: WriteFuture<'a>,
}

impl<'a> WriteAllFuture<'a> {
    pub(super) fn new(stream: &'a mut TcpStream, bytes: &'a [u8]) -> Self {
        Self { write: WriteFuture::new(stream, bytes) }
    }
}

impl Future for WriteAllFuture<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while !self.write.bytes.is_empty() {
            match Pin::new(&mut self.write).poll(cx)? {
                Poll::Ready(written) => self.write.bytes = &self.write.bytes[written..],
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}
