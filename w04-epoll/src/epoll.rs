//! A poller over epoll(7).

use crate::edge::LeftOver;
use conn_core::connection::Interest;
use conn_core::registry::Change;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll as Instance, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use reactor::poller::{Poller, Ready, Watched};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// The most events that one wait fetches; the others follow in the next turn.
const EVENTS: usize = 1024;

/// `epoll`: the list stays in the kernel. Changes to it go in, and only what is ready comes out.
#[derive(Debug)]
pub struct Epoll {
    instance: Instance,
    events: Vec<EpollEvent>,
    /// What was reported and is not used up; only if it is reported once (`EPOLLET`).
    left_over: Option<LeftOver>,
}

impl Epoll {
    /// An empty list. Level-triggered, a descriptor is reported in every wait as long as it is
    /// ready; edge-triggered once, when it becomes so.
    ///
    /// # Errors
    /// Descriptors or memory have run out (epoll_create1(2)).
    pub fn new(edge_triggered: bool) -> io::Result<Self> {
        Ok(Self {
            instance: Instance::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); EVENTS],
            left_over: edge_triggered.then(LeftOver::default),
        })
    }
}

impl Poller for Epoll {
    const MECHANISM: &'static str = "epoll";

    /// A list names each descriptor, however high its number.
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
                let is_connection = watched.registry.get(fd).is_some();
                self.tell(descriptor, change, is_connection && self.left_over.is_some())?;
            }
        }

        let mut timeout = timeout.map_or(EpollTimeout::NONE, milliseconds);
        if self.left_over.as_mut().is_some_and(|left_over| left_over.is_wanted(watched)) {
            timeout = EpollTimeout::ZERO;
        }
        let count = match self.instance.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };

        // The kernel says who has an answer: nobody else is looked at.
        for event in &self.events[..count] {
            let answer = event.events();
            // A hang-up or an error is for the next recv or send to find out about.
            let broken = answer.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            let readable = broken || answer.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI);
            let writable = broken || answer.contains(EpollFlags::EPOLLOUT);
            ready.push(Ready { fd: event.data() as RawFd, readable, writable });
        }
        if let Some(left_over) = &mut self.left_over {
            left_over.merge(watched, ready);
        }
        Ok(())
    }
}

impl Epoll {
    /// Tells the kernel about one change.
    fn tell(&self, fd: BorrowedFd<'_>, change: Change, edge_triggered: bool) -> io::Result<()> {
        let data = fd.as_raw_fd() as u64;
        match change {
            // Both edges are of interest, now or later, so there is never anything to modify.
            Change::Added(_) if edge_triggered => {
                let both = events(Interest { read: true, write: true, ..Interest::NONE });
                self.instance.add(fd, EpollEvent::new(both | EpollFlags::EPOLLET, data))?;
            }
            Change::Modified(_) if edge_triggered => {}
            Change::Added(interest) => {
                self.instance.add(fd, EpollEvent::new(events(interest), data))?;
            }
            Change::Modified(interest) => {
                self.instance.modify(fd, &mut EpollEvent::new(events(interest), data))?;
            }
            // Hang-ups and errors are reported asked or unasked, and now nobody would heed them.
            Change::Removed => self.instance.delete(fd)?,
        }
        Ok(())
    }
}

fn events(interest: Interest) -> EpollFlags {
    let mut events = EpollFlags::empty();
    if interest.read {
        // Urgent data is part of the input, as the error set of select would tell us.
        events |= EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI;
    }
    if interest.write {
        events |= EpollFlags::EPOLLOUT;
    }
    events
}

/// Rounded up, so that the loop does not wake before its deadline and find nothing due.
fn milliseconds(timeout: Duration) -> EpollTimeout {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
}
