//! Limits and time-outs as plain data: what the command line sets and the connection obeys.

use std::time::Duration;

/// The largest `n` that a header may announce, in bytes; it is also the most that `--max-body` may be.
pub const MAX_ANNOUNCED: u64 = (1 << 31) - 1;

/// How long a closing connection may linger for its peer to finish.
pub const LINGER_TIME: Duration = Duration::from_secs(2);

/// How many late bytes a closing connection throws away before it stops being patient.
pub const LINGER_BYTES: u64 = 1 << 20;

/// How long one connection may keep the loop busy with tasks in one turn before the others are
/// served. A single task is never cut short: a day that needs that hands it to a worker.
pub const TASK_SLICE: Duration = Duration::from_millis(10);

/// How often it is asked what a peer has acknowledged that has not taken all of its replies yet. Its idle
/// clock begins when that is noticed, so that the time-out comes so much later.
pub const STALL_CHECK: Duration = Duration::from_millis(125);

/// The limits and time-outs of one server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes of a header line, its end of line not counted.
    pub max_header: usize,
    /// Most bytes of a body, its end of line not counted.
    pub max_body: u64,
    /// A connection on which no byte moves for this long is closed.
    pub idle_timeout: Duration,
    /// A request that takes longer than this from its first to its last byte closes its connection.
    pub request_timeout: Duration,
}

impl Default for Limits {
    /// The defaults of the command line.
    fn default() -> Self {
        Self {
            max_header: 8192,
            max_body: 16 << 20,
            idle_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
        }
    }
}
