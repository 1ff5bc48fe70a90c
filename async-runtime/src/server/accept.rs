//! Newcomers: accepted by one task, and spread over the workers.

use crate::client;
use crate::serve::Server;
use crate::stage::{Listening, Stage};
use async_runtime::net::{TcpListener, TcpStream};
use async_runtime::runtime::spawn;
use async_runtime::time::timeout;
use conn_core::id::ConnId;
use reactor::event_loop::{ACCEPT_PAUSE, REFUSAL};
use reactor::listener::BACKLOG;
use rustix::io::Errno;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tracing::warn;

/// Accepts clients until the server drains, and then those who wait in the backlog.
///
/// # Errors
/// The listener failed, which ends the server.
pub(crate) async fn run(mut listener: TcpListener, server: Arc<Server>) -> io::Result<()> {
    let mut reception = Reception { server, listening: None, accepted: 0, exhausted: false };
    while let Some(accepted) = reception.next(&mut listener).await {
        match accepted {
            Ok(stream) => reception.admit(stream),
            Err(error) => reception.pause(error).await?,
        }
    }
    // Who has connected is served, even if nobody has had the time to accept; but not those who keep
    // coming while we accept. Idle connections may have to make room for them first.
    for _ in 0..BACKLOG {
        match listener.try_accept() {
            Ok((stream, _)) => reception.admit(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) if reception.server.life.clients() == 0 => break,
            Err(error) => reception.pause(error).await?,
        }
    }
    // Whoever finds the port closed knows that what is sent from now on does not count.
    reception.server.life.all_drain().await;
    drop(listener);
    Ok(())
}

struct Reception {
    server: Arc<Server>,
    listening: Option<Listening>,
    accepted: u64,
    /// Descriptors have run out, which has been logged.
    exhausted: bool,
}

impl Reception {
    /// The next newcomer, or `None` once the server drains.
    async fn next(&mut self, listener: &mut TcpListener) -> Option<io::Result<TcpStream>> {
        let life = &self.server.life;
        let mut accept = pin!(listener.accept());
        poll_fn(|cx| {
            self.listening.get_or_insert_with(|| life.listen(cx));
            if life.stage() != Stage::Serving {
                return Poll::Ready(None);
            }
            let accepted = accept.as_mut().poll(cx);
            // Once nobody waits, it is over that descriptors had run out.
            self.exhausted &= accepted.is_ready();
            accepted.map(|accepted| Some(accepted.map(|(stream, _)| stream)))
        })
        .await
    }

    fn admit(&mut self, stream: TcpStream) {
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
        let _ = timeout(ACCEPT_PAUSE, self.server.life.departure()).await;
        Ok(())
    }
}
