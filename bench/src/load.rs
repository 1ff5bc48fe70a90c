//! The load: what is sent, and what came of it.

use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::time::Duration;

/// What every active connection asks for, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `echo` with a body of [`Plan::size`] bytes.
    Echo,
    /// `compute` with a text of [`Plan::size`] bytes.
    Compute,
    /// `burn` for [`Plan::size`] milliseconds.
    Burn,
    /// `mn`: the smallest request there is.
    Mn,
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// When a reply has come: as fast as the server answers. Latency counts from the sending.
    Closed,
    /// So many a second over all connections, whether or not the server keeps up. Latency counts
    /// from the moment at which a request was due, so that a server that stalls is blamed for every
    /// request that had to wait (no coordinated omission).
    Open(f64),
}

/// A load, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Connections that send requests.
    pub connections: usize,
    /// Connections beside them that send nothing.
    pub idle: usize,
    /// Requests that a connection has under way at a time.
    pub pipeline: usize,
    /// What is asked for.
    pub verb: Verb,
    /// Its size, in the verb's unit.
    pub size: usize,
    /// When the next request is sent.
    pub pace: Pace,
    /// Requests after which a connection is closed and a new one opened; `None`: never.
    pub churn: Option<u64>,
    /// Time before the measuring begins.
    pub warmup: Duration,
    /// Time of the measuring.
    pub duration: Duration,
}

/// What a load came to, counted from the end of the warm-up to the end of the duration.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests whose replies came, whole and right.
    pub requests: u64,
    /// Connections opened (churn).
    pub connects: u64,
    /// Replies whose length or content was wrong, and connections that broke.
    pub errors: u64,
    /// The first error, in words.
    pub first_error: Option<String>,
    /// Measured time, in seconds.
    pub seconds: f64,
    /// From the (intended) sending to the last byte of the reply, in nanoseconds.
    pub latency: Histogram<u64>,
    /// CPU time of the generator's own thread, in seconds.
    pub cpu_seconds: f64,
    /// System calls of the generator's own thread.
    pub syscalls: u64,
}
