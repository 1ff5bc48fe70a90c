//! A soak (day 6): fifty mixed clients for half an hour, with two failures induced on the way.
//!
//! What is judged is what the contract says, for every kind of client: each byte of each reply is
//! compared with a model (`model.rs`), the hostile clients' too. In between the server is hit by a
//! storm of more clients than it has descriptors for, and is stopped (SIGSTOP) for some seconds. At
//! the end the load leaves, the server must be as it was before, and SIGTERM comes while requests are
//! under way. Latency is told and not judged: this machine may have other work.
//!
//! To read it: `course.rs` is the run from start to end; `crowd.rs` the loop of all clients,
//! [`clients`] what each kind does, `link.rs` one connection; `criteria.rs` is the verdict over the
//! data in [`record`], and `section.rs` and `plot.rs` are the report.

pub mod clients;
pub(crate) mod command;
mod course;
mod criteria;
mod crowd;
mod link;
mod model;
mod plot;
pub mod record;
mod recovery;
pub mod report;
mod section;
mod storm;
mod tally;

pub use course::run;

use std::time::Duration;

/// What a soak is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long the load lasts.
    pub duration: Duration,
    /// The soft and hard limit of descriptors that the server is given.
    pub descriptor_limit: u64,
    /// Clients of the storm.
    pub storm: usize,
    /// Where the random requests start.
    pub seed: u64,
    /// Every limit is stretched by this.
    pub limits: crate::limits::Limits,
    /// The command that makes this run again.
    pub command: String,
}

impl Plan {
    /// Time before the server counts as warm.
    fn warm(&self) -> Duration {
        (self.duration / 10).min(Duration::from_secs(120))
    }

    fn storm_at(&self) -> Duration {
        self.duration.mul_f64(0.35)
    }

    fn storm_lasts(&self) -> Duration {
        (self.duration / 60).clamp(Duration::from_secs(1), Duration::from_secs(10))
    }

    fn stop_at(&self) -> Duration {
        self.duration.mul_f64(0.65)
    }

    fn stop_lasts(&self) -> Duration {
        (self.duration / 120).clamp(Duration::from_millis(700), Duration::from_secs(5))
    }

    /// How long after something induced the times still count as disturbed.
    fn settles_in(&self) -> Duration {
        (self.duration / 20).min(Duration::from_secs(3))
    }

    /// Length of a row of the time series.
    fn row(&self) -> Duration {
        (self.duration / 120).max(Duration::from_secs(1))
    }
}
