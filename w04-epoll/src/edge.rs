//! What edge triggering makes the loop remember.
//!
//! With `EPOLLET` the kernel reports a descriptor once, when it becomes ready, and then says nothing
//! until more arrives (epoll(7)). But one `recv` a visit may leave input behind, and a connection that
//! is paused leaves all of it. So each report is noted, and the note is kept until a `recv` has met
//! `EAGAIN`: nothing is left then, and whatever comes next is an edge of its own.

use reactor::poller::{Ready, Watched};
use std::collections::BTreeSet;
use std::os::fd::RawFd;

/// Connections that were reported readable and may still be. Idle ones are not among them.
#[derive(Debug, Default)]
pub(crate) struct LeftOver(BTreeSet<RawFd>);

impl LeftOver {
    /// Whether somebody has input left and takes it now, so that the wait must not sleep.
    pub(crate) fn is_wanted(&mut self, watched: &Watched<'_>) -> bool {
        let registry = watched.registry;
        self.0.retain(|fd| registry.get(*fd).is_some_and(|conn| !conn.has_drained()));
        self.0.iter().any(|fd| takes_input(watched, *fd))
    }

    /// Notes who was reported, and adds those to `ready` who were reported before.
    pub(crate) fn merge(&mut self, watched: &Watched<'_>, ready: &mut Vec<Ready>) {
        let is_connection = |event: &&Ready| watched.registry.get(event.fd).is_some();
        let readable = ready.iter().filter(|event| event.readable).filter(is_connection);
        let reported: BTreeSet<RawFd> = readable.map(|event| event.fd).collect();
        for &fd in self.0.difference(&reported) {
            if takes_input(watched, fd) {
                ready.push(Ready { fd, readable: true, writable: false });
            }
        }
        self.0.extend(reported);
    }
}

fn takes_input(watched: &Watched<'_>, fd: RawFd) -> bool {
    watched.registry.get(fd).is_some_and(|conn| conn.interest().read)
}
