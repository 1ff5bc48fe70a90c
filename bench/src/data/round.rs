//! One round of a measurement, and what follows from its figures.

use serde::{Deserialize, Serialize};

/// The percentiles of latency that are kept.
pub const PERCENTILES: [f64; 10] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];

/// One round. Times are in nanoseconds, sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Requests answered.
    pub requests: u64,
    /// In so much time.
    pub time: u64,
    /// CPU time of the server in that time, all threads.
    pub server_cpu: u64,
    /// CPU time of the load generator in that time.
    pub load_cpu: u64,
    /// Resident memory of the server before the first connection.
    pub resident_before: u64,
    /// And at the end, with all connections open.
    pub resident: u64,
    /// Of this what is heap and stacks, before the first connection.
    pub anonymous_before: u64,
    /// And at the end, with all connections open.
    pub anonymous: u64,
    /// The most that was ever resident.
    pub peak: u64,
    /// CPU time that the burners were given, for each second: at most one core's.
    pub burned: Option<u64>,
    /// How often each thread of the server woke up; empty where that was not asked for.
    #[serde(default)]
    pub wakeups: Vec<u64>,
    /// Latency at each of [`PERCENTILES`].
    pub latency: Vec<u64>,
}

impl Round {
    /// Requests answered in a second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.requests as f64 / seconds(self.time)
    }

    /// CPU time of the server for a request, in seconds.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        seconds(self.server_cpu) / self.requests as f64
    }

    /// Share of a core that the server used.
    #[must_use]
    pub fn server_share(&self) -> f64 {
        self.server_cpu as f64 / self.time as f64
    }

    /// How often a second any of the server's threads woke up.
    #[must_use]
    pub fn wakeups(&self) -> f64 {
        self.wakeups.iter().sum::<u64>() as f64 / seconds(self.time)
    }

    /// How often a second the thread woke up that did so most.
    #[must_use]
    pub fn busiest_wakeups(&self) -> f64 {
        self.wakeups.iter().copied().max().unwrap_or(0) as f64 / seconds(self.time)
    }

    /// Share of its core that the load generator used: near 1 it is the bottleneck itself.
    #[must_use]
    pub fn load_share(&self) -> f64 {
        self.load_cpu as f64 / self.time as f64
    }

    /// Latency at one of [`PERCENTILES`], in seconds.
    #[must_use]
    pub fn latency(&self, percent: f64) -> f64 {
        let place = PERCENTILES.iter().position(|&known| known == percent);
        place.and_then(|place| self.latency.get(place)).map_or(f64::NAN, |&time| seconds(time))
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
