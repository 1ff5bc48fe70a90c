//! What several tests need.

use async_runtime::net::{TcpListener, TcpStream};
use async_runtime::runtime::{Runtime, spawn};
use async_runtime::time::timeout;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// After this long, what a test waits for will not happen.
pub(crate) const HANGS: Duration = Duration::from_secs(60);

/// Runs `test` on a runtime with so many workers, and ends the runtime.
pub(crate) fn with_workers<T>(workers: usize, test: impl Future<Output = T>) -> T {
    let runtime = Runtime::builder().workers(workers).build().unwrap();
    let output = runtime.block_on(async { timeout(HANGS, test).await.expect("it hangs") });
    assert_eq!(runtime.shutdown(HANGS), Ok(()));
    output
}

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that sends back whatever comes, a task for each client. Ends with the runtime.
pub(crate) async fn echo_server() -> SocketAddr {
    let (mut listener, address) = listener().await;
    spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            spawn(echo(client));
        }
    });
    address
}

pub(crate) async fn echo(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        match client.read(&mut buffer).await? {
            0 => return Ok(()),
            received => client.write_all(&buffer[..received]).await?,
        }
    }
}

/// A connection, both ends.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let (mut listener, address) = listener().await;
    let ours = TcpStream::connect(address).await.unwrap();
    (ours, listener.accept().await.unwrap().0)
}

pub(crate) async fn read_exactly(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        let received = stream.read(&mut buffer[filled..]).await.unwrap();
        assert_ne!(received, 0, "the stream ends after {filled} bytes");
        filled += received;
    }
}

/// A waker that counts.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls `future` once, with a waker that counts.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> (Poll<F::Output>, Arc<Wakes>) {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    (Pin::new(future).poll(&mut Context::from_waker(&waker)), wakes)
}

/// Runs a future until it has been pending so many times, and then drops it.
pub(crate) struct DropAfter<F> {
    future: Option<Pin<Box<F>>>,
    pending: usize,
}

impl<F: Future> DropAfter<F> {
    pub(crate) fn new(pending: usize, future: F) -> Self {
        Self { future: Some(Box::pin(future)), pending }
    }
}

impl<F: Future> Future for DropAfter<F> {
    /// Nothing if it was dropped.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let poll = self.future.as_mut().expect("polled until it is done").as_mut().poll(cx);
        match poll {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.pending == 0 => {
                self.future = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.pending -= 1;
                Poll::Pending
            }
        }
    }
}
