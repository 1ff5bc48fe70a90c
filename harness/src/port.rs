//! Ports that nobody else has.
//!
//! A port below or above the kernel's ephemeral range is never taken by an outgoing connection.
//! Where that range leaves nothing over, ports inside it must do.
//! A locked file per port keeps harness processes that run at the same time apart, and a bind
//! probe finds ports that other programs hold.

use crate::spawner::while_nobody_forks;
use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};
use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below it are the well-known services.
const LOWEST: u16 = 10_000;

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct PortLease {
    number: u16,
    /// The lock goes when the file is closed, also when the harness is killed.
    _lock: File,
}

impl PortLease {
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Takes the next port that no other process uses or has reserved.
    pub(crate) fn take() -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let ports = candidates(ephemeral_range());
        let folder = lock_folder();
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        // Parallel processes start at different places, so that they seldom meet.
        let start = std::process::id() as usize * 97;
        for _ in 0..ports.len() {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = ports[(start + step) % ports.len()];
            let path = folder.join(format!("{number}.lock"));
            let lock = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            if lock.try_lock().is_ok() && while_nobody_forks(|| is_free(number)) {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!(
            "none of the {} ports from {} to {} is free",
            ports.len(),
            ports[0],
            ports[ports.len() - 1]
        )
    }
}

/// One folder per user: another user's lock files could not be opened for writing.
fn lock_folder() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("harness-ports-{user}"))
}

/// First and last port that the kernel hands out on its own.
fn ephemeral_range() -> (u16, u16) {
    let parse = |text: String| {
        let mut numbers = text.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(parse)
        .unwrap_or((32_768, 60_999))
}

/// The ports from 10000 on that are outside the range, or all of them if it covers them all.
fn candidates((first, last): (u16, u16)) -> Vec<u16> {
    let all = LOWEST..=u16::MAX;
    let outside: Vec<u16> = all.clone().filter(|port| *port < first || *port > last).collect();
    if outside.is_empty() { all.collect() } else { outside }
}

/// Whether the port can be bound on every address, without SO_REUSEADDR: then no listener, no
/// connection and no remains of one (TIME_WAIT) use it.
fn is_free(port: u16) -> bool {
    let every_address = || {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())
    };
    let ipv4 = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())
    };
    match every_address() {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => false,
        // No IPv6 here.
        Err(_) => ipv4().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawner;
    use std::collections::HashSet;
    use std::net::TcpListener;
    use std::process::Command;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    #[test]
    fn leases_are_distinct_and_outside_the_ephemeral_range() {
        let (first, last) = ephemeral_range();
        let leases: Vec<PortLease> = (0..50).map(|_| PortLease::take().unwrap()).collect();
        let numbers: HashSet<u16> = leases.iter().map(PortLease::number).collect();
        assert_eq!(numbers.len(), leases.len());
        let outside = |port: &u16| *port < first || *port > last;
        assert!(numbers.iter().all(outside) || (first <= LOWEST && last == u16::MAX));
    }

    #[test]
    fn a_leased_port_is_locked_for_others_until_it_is_dropped() {
        let lease = PortLease::take().unwrap();
        let path = lock_folder().join(format!("{}.lock", lease.number()));
        let other = File::options().write(true).open(path).unwrap();
        assert!(other.try_lock().is_err());
        drop(lease);
        assert!(while_nobody_forks(|| other.try_lock().is_ok()));
    }

    #[test]
    fn a_port_with_a_listener_is_not_free() {
        let lease = PortLease::take().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", lease.number())).unwrap();
        assert!(!is_free(lease.number()));
        drop(listener);
        assert!(while_nobody_forks(|| is_free(lease.number())));
    }

    #[test]
    fn the_ephemeral_range_is_left_out() {
        let ports = candidates((10_002, 65_533));
        assert_eq!(ports, [10_000, 10_001, 65_534, 65_535]);
    }

    #[test]
    fn a_range_that_covers_everything_is_used_itself() {
        let ports = candidates((1024, 65_535));
        assert_eq!((ports.first(), ports.last()), (Some(&10_000), Some(&65_535)));
        assert_eq!(ports.len(), 55_536);
    }

    #[test]
    fn a_leased_port_can_be_bound_while_others_start_servers() {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let mut child = spawner::spawn(Command::new("true")).unwrap();
                    child.wait().unwrap();
                }
            });
            let taken: Vec<_> = (0..400)
                .filter_map(|_| {
                    let lease = PortLease::take().unwrap();
                    TcpListener::bind(("127.0.0.1", lease.number())).err()
                })
                .collect();
            done.store(true, Ordering::Relaxed);
            assert!(taken.is_empty(), "{} of 400: {:?}", taken.len(), taken.first());
        });
    }
}
