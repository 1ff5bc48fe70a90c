//! When a server is ready: a listening socket that the server itself holds.
//!
//! No probe connection is made: it would eat an accept, and be counted by the server. A socket in
//! state 0A (`LISTEN`) of `/proc/PID/net/tcp` counts when its inode is among the descriptors of
//! the process or of one it started.

use crate::inspect::Process;
use crate::process::{OwnedProcess, describe};
use crate::verdict::Stop;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(3);

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listening {
    /// The address the socket is bound to.
    pub(crate) bound: SocketAddr,
    /// The process that holds the socket: the one that was started, or one it started.
    pub(crate) pid: i32,
}

impl Listening {
    /// Where a client on this machine connects: loopback if every address is bound.
    pub(crate) fn address(self) -> SocketAddr {
        let mut address = self.bound;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        address
    }
}

/// Why a server is not ready.
#[derive(Debug)]
pub(crate) enum NotReady {
    /// It did not become ready: what was seen instead.
    Seen(String),
    /// `/proc` could not be read.
    Unknown(Stop),
}

/// Waits until the process listens on the port, or on any port if that is 0.
pub(crate) fn wait(
    process: &OwnedProcess,
    port: u16,
    limit: Duration,
) -> Result<Listening, NotReady> {
    let deadline = Instant::now() + limit;
    loop {
        let found = listener_of(process.pid(), port);
        // The status is asked after the look at /proc, so that the end of the process explains
        // why nothing was found there.
        if let Some(status) = process.exit_status() {
            return Err(NotReady::Seen(format!("the process {}", describe(status))));
        }
        if let Some(listening) = found.map_err(NotReady::Unknown)? {
            return Ok(listening);
        }
        if Instant::now() >= deadline {
            let instead = match listener_of(process.pid(), 0) {
                Ok(Some(other)) => format!("; it listens on {} instead", other.bound),
                _ => String::new(),
            };
            return Err(NotReady::Seen(format!(
                "the process still runs after {limit:.1?} and listens on no such socket{instead}"
            )));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Who listens on the port, or on any port if that is 0: the process or a descendant.
pub(crate) fn listener_of(pid: i32, port: u16) -> Result<Option<Listening>, Stop> {
    let first = match Process::new(pid) {
        Ok(process) => process,
        Err(Stop::Fail(_)) => return Ok(None),
        Err(hidden) => return Err(hidden),
    };
    let sockets = match first.listeners() {
        Ok(sockets) => sockets,
        Err(Stop::Fail(_)) => return Ok(None),
        Err(hidden) => return Err(hidden),
    };
    let wanted = |local: SocketAddr| port == 0 || local.port() == port;
    let listeners: Vec<_> = sockets.iter().filter(|s| wanted(s.local)).collect();
    if listeners.is_empty() {
        return Ok(None);
    }
    for pid in Process::with_descendants(pid) {
        let Ok(descriptors) = Process::new(pid).and_then(|process| process.descriptors()) else {
            continue;
        };
        let held = |inode| descriptors.iter().any(|d| d.inode() == Some(inode));
        if let Some(listener) = listeners.iter().find(|listener| held(listener.inode)) {
            return Ok(Some(Listening { bound: listener.local, pid }));
        }
    }
    Ok(None)
}

/// Whether any process listens on the port, as seen by the harness itself.
pub(crate) fn is_held(port: u16) -> bool {
    let own = Process::new(std::process::id() as i32).and_then(|me| me.listeners());
    own.is_ok_and(|all| all.iter().any(|s| s.local.port() == port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_connects_to_loopback_where_every_address_is_bound() {
        let address = |bound: &str| {
            let listening = Listening { bound: bound.parse().unwrap(), pid: 1 };
            listening.address().to_string()
        };
        assert_eq!(address("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(address("[::]:80"), "[::1]:80");
        assert_eq!(address("127.0.0.2:80"), "127.0.0.2:80");
    }
}
