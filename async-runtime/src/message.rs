//! What one thread can ask of another thread's worker.

use crate::async_socket::AsyncSocketState;
use crate::mailbox::Mailbox;
use crate::timer_wheel::TimerKey;
use async_task::Runnable;
use std::sync::Arc;

/// One request. A worker that asks itself skips the mailbox and does it at once.
///
/// The messages about a socket say that something is to change, and the socket itself says to what: its
/// interest and its time-out are read where the message is applied. A message that has to follow its
/// socket to another worker may be overtaken by a later one, and either way the last word counts.
#[derive(Debug)]
pub(crate) enum WorkerMessage {
    /// A task of this worker was woken, or is new.
    Run(Runnable),
    /// The future of `block_on` was woken, or a clock was moved by hand: take a turn.
    Wake,
    /// Watch this socket from now on.
    RegisterSocket(Arc<AsyncSocketState>),
    /// Its interest has changed.
    ModifySocket(Arc<AsyncSocketState>),
    /// Nobody will use it any more.
    CloseSocket(Arc<AsyncSocketState>),
    /// It has got a time-out, or another one.
    SetSocketTimeout(Arc<AsyncSocketState>),
    /// It has no time-out any more.
    CancelSocketTimeout(Arc<AsyncSocketState>),
    /// Hand it to another worker: stop watching it here, and have it registered there.
    MigrateSocket {
        /// The socket.
        socket: Arc<AsyncSocketState>,
        /// Who is to watch it.
        to: Arc<Mailbox<Self>>,
    },
    /// A sleep that was started here was dropped by another thread.
    CancelTimer(TimerKey),
    /// Cancel all tasks, and end.
    Shutdown,
}

/// What a future waits for on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketInterest {
    /// Bytes, the end of the stream, or a client in the backlog.
    Readable,
    /// Room for bytes, or an established connection.
    Writable,
    /// Both.
    ReadWrite,
}

impl SocketInterest {
    pub(crate) fn contains(self, other: Self) -> bool {
        self == Self::ReadWrite || self == other
    }

    pub(crate) fn with(self, other: Self) -> Self {
        if self.contains(other) { self } else { Self::ReadWrite }
    }
}
