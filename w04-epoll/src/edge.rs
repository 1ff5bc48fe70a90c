//! What edge triggering makes the loop remember.
//!
//! With `EPOLLET` the kernel reports a descriptor once, when it becomes ready, and then says nothing
//! until more arrives (epoll(7)). But one `recv` a visit may leave input behind, and a connection that
//! is paused leaves all of it. So each report is noted, and the note is kept until a `recv` has met
//! `EAGAIN`: nothing is left then, and whatever comes next is an edge of its own.

use reactor::poller::{Ready, Watched};
use std::os::fd::RawFd;

/// Connections that were reported readable and may still be. Idle ones are not among them.
#[derive(Debug, Default)]
pub(crate) struct LeftOver(Vec<RawFd>);

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
        let reported = ready.iter().filter(|event| event.readable).filter(is_connection);
        let mut noted: Vec<RawFd> = reported.map(|event| event.fd).collect();
        noted.sort_unstable();
        for &fd in &self.0 {
            if noted.binary_search(&fd).is_err() && takes_input(watched, fd) {
                ready.push(Ready { fd, readable: true, writable: false });
            }
        }
        noted.append(&mut self.0);
        noted.sort_unstable();
        noted.dedup();
        self.0 = noted;
    }
}

fn takes_input(watched: &Watched<'_>, fd: RawFd) -> bool {
    watched.registry.get(fd).is_some_and(|conn| conn.interest().read)
}
