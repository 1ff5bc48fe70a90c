//! Newcomers: accepted by one task, and spread over the workers.

use crate::client;
use crate::serve::Server;
use crate::stage::{Life, Stage};
use async_runtime::net::{TcpListener, TcpStream};
use async_runtime::runtime::spawn;
use async_runtime::time::timeout;
use conn_core::id::ConnId;
use reactor::listener::BACKLOG;
use rustix::io::Errno;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tracing::warn;

/// How long the listener is left alone after descriptors have run out, if none becomes free.
const PAUSE: Duration = Duration::from_millis(500);

/// What a client that can't be served is told.
const REFUSAL: &[u8] = b"SERVER_ERROR too many connections\r\n";

/// Accepts clients until the server drains, and then those who wait in the backlog.
///
/// # Errors
/// The listener failed, which ends the server.
pub(crate) async fn run(mut listener: TcpListener, server: Arc<Server>) -> io::Result<()> {
    let mut reception = Reception { server, accepted: 0, exhausted: false };
    while let Some(accepted) = while_serving(&reception.server.life, listener.accept()).await {
        match accepted {
            Ok((stream, _)) => reception.admit(stream),
            Err(error) => reception.pause(error).await?,
        }
    }
    // Who has connected is served, even if nobody has had the time to accept; but not those who keep
    // coming while we accept. Idle connections may have to make room for them first.
    for _ in 0..2 {
        match reception.empty_backlog(&listener) {
            Ok(()) => break,
            Err(error) => reception.pause(error).await?,
        }
    }
    // Whoever finds the port closed knows that what is sent from now on does not count.
    reception.server.life.all_drain().await;
    drop(listener);
    Ok(())
}

/// What `future` gives, or `None` once the server drains.
async fn while_serving<T>(life: &Arc<Life>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut listening = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        listening.get_or_insert_with(|| life.listen(cx));
        if life.stage() == Stage::Serving { Poll::Pending } else { Poll::Ready(None) }
    })
    .await
}

struct Reception {
    server: Arc<Server>,
    accepted: u64,
    /// Descriptors have run out, which has been logged.
    exhausted: bool,
}

impl Reception {
    fn admit(&mut self, stream: TcpStream) {
        self.exhausted = false;
        self.accepted += 1;
        let Server { life, shards, max_connections } = &*self.server;
        let refused = life.clients() >= *max_connections;
        shards[0].count(|stats| {
            stats.total_connections += 1;
            stats.rejected_connections += u64::from(refused);
        });
        if refused {
            let fd = stream.as_fd().as_raw_fd();
            warn!(fd, connections = life.clients(), "refused: too many connections");
            // Best effort: the socket is new, so its buffer has room for one line.
            let _ = stream.try_write(REFUSAL);
            return;
        }
        let id = ConnId(self.accepted);
        spawn(client::serve(stream, id, life.count_client(), Arc::clone(&self.server)));
    }

    /// Without descriptors or memory, waits until there may be some again.
    async fn pause(&mut self, error: io::Error) -> io::Result<()> {
        match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {}
            _ => return Err(error),
        }
        if !self.exhausted {
            warn!(%error, "cannot accept: newcomers wait until a descriptor is free");
        }
        self.exhausted = true;
        // However it ends, the next thing to do is to try again.
        let _ = timeout(PAUSE, self.server.life.departure()).await;
        Ok(())
    }

    fn empty_backlog(&mut self, listener: &TcpListener) -> io::Result<()> {
        for _ in 0..BACKLOG {
            match listener.try_accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
