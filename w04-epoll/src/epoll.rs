//! A poller over epoll(7).

use conn_core::connection::Interest;
use conn_core::registry::Change;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll as Instance, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use reactor::poller::{Poller, Ready, Watched};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// The most events that one wait fetches. The kernel keeps the others, and turns are fair: who was
/// reported goes to the end of its list.
const EVENTS: usize = 1024;

/// When the kernel reports a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// In every wait, as long as it is ready.
    #[default]
    Level,
    /// Once, when it becomes ready (`EPOLLET`). What is left over, the loop has to remember.
    Edge,
}

/// `epoll`: the interest list stays in the kernel; changes go in, events come out.
#[derive(Debug)]
pub struct Epoll {
    instance: Instance,
    trigger: Trigger,
    events: Vec<EpollEvent>,
    /// Edge-triggered: connections that were reported readable and may still be.
    left_over: Vec<RawFd>,
}

impl Epoll {
    /// An empty interest list.
    ///
    /// # Errors
    /// Descriptors or memory have run out (epoll_create1(2)).
    pub fn new(trigger: Trigger) -> io::Result<Self> {
        Ok(Self {
            instance: Instance::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            trigger,
            events: vec![EpollEvent::empty(); EVENTS],
            left_over: Vec::new(),
        })
    }
}

impl Poller for Epoll {
    const MECHANISM: &'static str = "epoll";

    /// The list names each descriptor, however high its number.
    const FD_LIMIT: Option<RawFd> = None;

    fn wait(
        &mut self,
        watched: &Watched<'_>,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        ready.clear();

        // Only what changed: the kernel remembers the rest.
        for &(fd, change) in watched.changes {
            if let Some(descriptor) = watched.get(fd) {
                let edge = self.trigger == Trigger::Edge && watched.registry.get(fd).is_some();
                self.tell(descriptor, change, edge)?;
            }
        }

        let timeout = match timeout {
            _ if self.has_left_over(watched) => EpollTimeout::ZERO,
            Some(timeout) => milliseconds(timeout),
            None => EpollTimeout::NONE,
        };
        let count = match self.instance.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };

        // Only those that are ready come back.
        for event in &self.events[..count] {
            let answer = event.events();
            // A hang-up or an error is for the next recv or send to find out about.
            let broken = answer.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            let readable = broken || answer.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI);
            let writable = broken || answer.contains(EpollFlags::EPOLLOUT);
            ready.push(Ready { fd: event.data() as RawFd, readable, writable });
        }
        if self.trigger == Trigger::Edge {
            self.remember(watched, ready);
        }
        Ok(())
    }
}

impl Epoll {
    fn tell(&self, fd: BorrowedFd<'_>, change: Change, edge: bool) -> io::Result<()> {
        let data = fd.as_raw_fd() as u64;
        match change {
            // Every edge of a connection is of interest, now or later.
            Change::Added(_) if edge => {
                let all = flags(Interest { read: true, write: true }) | EpollFlags::EPOLLET;
                self.instance.add(fd, EpollEvent::new(all, data))?;
            }
            Change::Modified(_) if edge => {}
            Change::Added(interest) => {
                self.instance.add(fd, EpollEvent::new(flags(interest), data))?;
            }
            Change::Modified(interest) => {
                self.instance.modify(fd, &mut EpollEvent::new(flags(interest), data))?;
            }
            Change::Removed => self.instance.delete(fd)?,
        }
        Ok(())
    }

    /// Whether somebody has input left that nobody will report again, and takes it now.
    fn has_left_over(&mut self, watched: &Watched<'_>) -> bool {
        let registry = watched.registry;
        self.left_over.retain(|fd| registry.get(*fd).is_some_and(|conn| !conn.has_drained()));
        self.left_over.iter().any(|fd| wants_input(watched, *fd))
    }

    /// Notes the edges, for one `recv` a visit may leave input behind, and a paused connection leaves
    /// all of it. Whoever had a note already and wants input now counts as readable.
    fn remember(&mut self, watched: &Watched<'_>, ready: &mut Vec<Ready>) {
        let is_connection = |event: &&Ready| watched.registry.get(event.fd).is_some();
        let mut noted: Vec<RawFd> = ready
            .iter()
            .filter(|event| event.readable)
            .filter(is_connection)
            .map(|event| event.fd)
            .collect();
        noted.sort_unstable();
        for &fd in &self.left_over {
            if noted.binary_search(&fd).is_err() && wants_input(watched, fd) {
                ready.push(Ready { fd, readable: true, writable: false });
            }
        }
        noted.append(&mut self.left_over);
        noted.sort_unstable();
        noted.dedup();
        self.left_over = noted;
    }
}

fn wants_input(watched: &Watched<'_>, fd: RawFd) -> bool {
    watched.registry.get(fd).is_some_and(|conn| conn.interest().read)
}

fn flags(interest: Interest) -> EpollFlags {
    let mut flags = EpollFlags::empty();
    if interest.read {
        flags |= EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI;
    }
    if interest.write {
        flags |= EpollFlags::EPOLLOUT;
    }
    flags
}

/// Rounded up, so that the loop does not wake before its deadline and find nothing due.
fn milliseconds(timeout: Duration) -> EpollTimeout {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
}
