//! How long things may take, and how a slow machine or a debugger stretches that.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::time::Duration;

/// Longest wait of a client for the next byte.
pub const READ: Duration = Duration::from_secs(2);
/// Longest time from starting a server to its listening socket. Generous, for an interpreter on a busy
/// machine; who is ready earlier is not kept waiting.
pub const START: Duration = Duration::from_secs(15);
/// How long a server may take to end after SIGTERM before it is killed.
pub const END: Duration = Duration::from_secs(1);
/// A send that makes no progress for this long is blocked, not merely slow.
pub const BLOCKED: Duration = Duration::from_millis(100);

/// What `--timeout-multiplier` and `--no-timeouts` ask for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Every limit is multiplied by this.
    pub multiplier: f64,
    /// No limit ever strikes: for debuggers.
    pub disabled: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { multiplier: 1.0, disabled: false }
    }
}

impl Limits {
    /// The limit that really holds for a nominal one.
    #[must_use]
    pub fn scale(&self, nominal: Duration) -> Duration {
        if self.disabled {
            return Duration::from_secs(7 * 24 * 3600);
        }
        nominal.mul_f64(self.multiplier)
    }
}

/// Why nothing can be said when it is the harness, not the server, that has run out of descriptors
/// or ports; `None` for any other error.
pub(crate) fn exhausted(error: &io::Error) -> Option<String> {
    match error.raw_os_error()? {
        libc::EMFILE => Some(match getrlimit(Resource::Nofile).current {
            Some(most) => format!("the harness may open only {most} descriptors (ulimit -n)"),
            None => "the harness may open no more descriptors".to_owned(),
        }),
        libc::ENFILE => Some("this machine has no more descriptors (fs.file-max)".to_owned()),
        libc::EADDRNOTAVAIL => {
            Some("no local port is free (net.ipv4.ip_local_port_range)".to_owned())
        }
        _ => None,
    }
}

/// Lets this process have as many descriptors as it may: some cases are a thousand clients.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // A case that needs more than there are says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lack_of_this_machine_is_a_reason_to_skip() {
        let reason = |number| exhausted(&io::Error::from_raw_os_error(number));
        assert!(reason(libc::EMFILE).unwrap().contains("may open"));
        assert!(reason(libc::ENFILE).unwrap().contains("this machine"));
        assert!(reason(libc::EADDRNOTAVAIL).unwrap().contains("no local port is free"));
        assert_eq!(reason(libc::ECONNREFUSED), None);
        assert_eq!(reason(libc::ETIMEDOUT), None);
    }
}
