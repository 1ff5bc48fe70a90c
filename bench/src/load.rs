//! The load: what is sent, and what came of it.
//!
//! One thread and one epoll instance. A connection sends a batch of [`Plan::pipeline`] requests in
//! one `send`, and the next batch when all of its replies have come, as `wrk` does with a pipelining
//! script; so there is one clock reading and one `send` a batch, and a reply that is missing or one
//! too many shows at once.
//!
//! A request counts if it was sent, or at a fixed rate was due, within the measured time. Its reply
//! may come later: nothing is left out because it was slow.

mod connection;
mod generator;
mod opening;
mod schedule;
mod system;
mod traffic;

use anyhow::Result;
use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::time::Duration;

/// A load generator that uses more of its core than this may be the bottleneck itself.
pub const BUSY: f64 = 0.95;

/// What every active connection asks for, again and again (notes/protocol.md, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
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
    /// When the replies have come: as fast as the server answers (closed loop). Latency counts from
    /// the sending.
    Closed,
    /// So many a second over all connections, whether or not the server keeps up (open loop).
    /// Latency counts from the moment at which a request was due, so that a server that stalls is
    /// blamed for every request that had to wait (no coordinated omission).
    Open(f64),
}

/// A load, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Connections that send requests.
    pub connections: usize,
    /// Connections beside them that send nothing, and must stay open.
    pub idle: usize,
    /// Requests that a connection has under way at a time.
    pub pipeline: usize,
    /// What is asked for.
    pub verb: Verb,
    /// Its size, in the verb's unit.
    pub size: usize,
    /// When the next request is sent.
    pub pace: Pace,
    /// Requests after which a connection is closed and a new one opened; `None`: never. The latency
    /// of a connection's first requests counts from the beginning of its `connect`.
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
    /// Replies whose length or content was wrong, requests that were never answered, and connections
    /// that broke; from the warm-up too.
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

impl Report {
    /// Requests answered per second.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        ratio(self.requests as f64, self.seconds)
    }

    /// The generator's own share of one core: near 1, it measures itself and not the server.
    #[must_use]
    pub fn cpu_share(&self) -> f64 {
        ratio(self.cpu_seconds, self.seconds)
    }

    /// The generator's own system calls for each request.
    #[must_use]
    pub fn syscalls_per_request(&self) -> f64 {
        ratio(self.syscalls as f64, self.requests as f64)
    }
}

fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { 0.0 }
}

/// How far a load has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since the first request, the warm-up included.
    pub elapsed: Duration,
    /// Warm-up and duration together.
    pub total: Duration,
    /// Requests answered in the measured time so far.
    pub requests: u64,
    /// All has been answered or given up. The connections are still open.
    pub over: bool,
}

/// Puts the load on the server and says what came of it. `progress` is told ten times a second, and
/// at the beginning and the end of the measured time.
///
/// Everything runs on the calling thread, so that whoever wants it on a certain core pins that.
/// Errors of the server are counted in the report. A connection that met one is closed and not
/// replaced; when none is left the load ends early.
///
/// # Errors
/// The load could not begin: the server does not accept all connections, or descriptors ran out.
pub fn run(plan: &Plan, progress: impl FnMut(Progress)) -> Result<Report> {
    Load::open(plan)?.run(progress)
}

/// A load whose connections are open and which has not sent anything yet.
#[derive(Debug)]
pub struct Load(generator::Generator);

impl Load {
    /// Opens all connections; the server has accepted them when this returns.
    ///
    /// # Errors
    /// As [`run`].
    pub fn open(plan: &Plan) -> Result<Self> {
        // A few for the process itself.
        let descriptors = plan.connections.saturating_add(plan.idle).saturating_add(32);
        opening::raise_descriptor_limit(descriptors)?;
        let idle = opening::open(plan.address, plan.idle)?;
        let active = opening::open(plan.address, plan.connections)?;
        Ok(Self(generator::Generator::new(plan, active, idle)?))
    }

    /// The rest of [`run`].
    ///
    /// # Errors
    /// The kernel lacks what the generator needs.
    pub fn run(self, mut progress: impl FnMut(Progress)) -> Result<Report> {
        self.0.run(&mut progress)
    }
}
