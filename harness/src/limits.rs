//! How long things may take, and how a slow machine or a debugger stretches that.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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

/// Lets this process have as many descriptors as it may: some cases are a thousand clients.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // A case that needs more than there are says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
