//! The seam between the loop and the kernel: who is ready?

use crate::socket::Socket;
use conn_core::connection::Interest;
use conn_core::registry::{Change, ConnectionRegistry};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// A descriptor that can be read or written now, as far as the kernel could tell.
///
/// A hang-up and an error count as readable: the `recv` that follows says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The descriptor.
    pub fd: RawFd,
    /// `recv` or `accept` has something to say.
    pub readable: bool,
    /// `send` has room.
    pub writable: bool,
}

/// Everything that a turn waits for.
#[derive(Debug)]
pub struct Watched<'a> {
    /// The loop's own descriptors, as far as there are any: where signals show, where newcomers show
    /// (none while the server drains, and of no interest while descriptors have run out), and where
    /// results show.
    pub own: &'a [Option<(BorrowedFd<'a>, Interest)>],
    /// The connections, each with its interest.
    pub registry: &'a ConnectionRegistry<Socket>,
    /// What changed since the last turn, the loop's own descriptors included. What was watched of a
    /// descriptor that has been closed, the kernel has forgotten by itself.
    pub changes: &'a [(RawFd, Change)],
}

impl<'a> Watched<'a> {
    /// The loop's own descriptors.
    fn fixed(&self) -> impl Iterator<Item = (BorrowedFd<'a>, Interest)> {
        self.own.iter().flatten().copied()
    }

    /// The descriptor with this number.
    pub fn get(&self, fd: RawFd) -> Option<BorrowedFd<'a>> {
        let connection = self.registry.get(fd).map(|conn| conn.stream().as_fd());
        connection.or_else(|| self.fixed().map(|(own, _)| own).find(|own| own.as_raw_fd() == fd))
    }

    /// Every descriptor with what to watch it for: the whole interest list.
    pub fn iter(&self) -> impl Iterator<Item = (BorrowedFd<'a>, Interest)> {
        let connections = self.registry.iter();
        self.fixed().chain(connections.map(|conn| (conn.stream().as_fd(), conn.interest())))
    }

    /// The highest descriptor of all.
    pub fn max_fd(&self) -> RawFd {
        let fixed = self.fixed().map(|(fd, _)| fd.as_raw_fd());
        fixed.chain(self.registry.max_fd()).max().unwrap_or(-1)
    }
}

/// A readiness mechanism.
pub trait Poller {
    /// What `stats` calls it.
    const MECHANISM: &'static str;

    /// One more than the highest descriptor that it can watch; `None` for no limit.
    const FD_LIMIT: Option<RawFd>;

    /// Sleeps until something of `watched` is ready, the time-out has passed (`None`: for ever) or a
    /// signal interrupts, then puts what is ready into `ready`, replacing what was there.
    ///
    /// # Errors
    /// A failure of the mechanism itself, which ends the server. An interruption (`EINTR`) is none:
    /// nothing is ready then.
    fn wait(
        &mut self,
        watched: &Watched<'_>,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()>;
}
