//! The generator's system calls, counted, and what it costs.

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::time::{ClockId, clock_gettime};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// An epoll instance, and every system call that the generator makes once it runs. Reading the clock
/// is none (vdso(7)).
#[derive(Debug)]
pub(super) struct System {
    epoll: OwnedFd,
    calls: u64,
}

impl System {
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, calls: 0 })
    }

    /// System calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// CPU time of this thread so far.
    pub(super) fn cpu_time(&mut self) -> Duration {
        self.calls += 1;
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    /// Reports everything that happens to this socket from now on, each event once: nothing has to
    /// be changed later, and who has been heard costs nothing until there is more to hear.
    pub(super) fn watch(&mut self, socket: &OwnedFd, token: u64) -> Result<(), Errno> {
        self.calls += 1;
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), flags)
    }

    /// Waits for events; with a precision of nanoseconds (`epoll_pwait2`), since requests are due
    /// at a certain time.
    pub(super) fn wait(
        &mut self,
        events: &mut Vec<epoll::Event>,
        timeout: Duration,
    ) -> Result<(), Errno> {
        self.calls += 1;
        events.clear();
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn receive(&mut self, socket: &OwnedFd, room: &mut [u8]) -> Result<usize, Errno> {
        self.calls += 1;
        rustix::net::recv(socket, room, RecvFlags::empty()).map(|(_, length)| length)
    }

    pub(super) fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.calls += 1;
        rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)
    }

    /// A socket that is connecting, or already connected.
    pub(super) fn connect(&mut self, address: SocketAddr) -> Result<OwnedFd, Errno> {
        self.calls += 4;
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error),
        }
    }

    pub(super) fn close(&mut self, socket: OwnedFd) {
        self.calls += 1;
        drop(socket);
    }
}
