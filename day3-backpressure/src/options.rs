//! What an operator can set about it.

use crate::backpressure::Backpressure;
use clap::Args;
use reactor::cli::{self, duration};
use std::time::Duration;

/// The options that servers have from this day on.
#[derive(Args, Clone, Debug)]
pub struct BackpressureOptions {
    /// Take no more requests from a connection with this much queued
    #[arg(long, value_name = "BYTES", default_value_t = 65536, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub high_water: u32,

    /// Take them again at or below this much [default: half of high-water]
    #[arg(long, value_name = "BYTES")]
    pub low_water: Option<u32>,

    /// Disconnect a client that keeps its queue long and takes next to nothing for this long
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub slow_reader_timeout: Duration,
}

impl BackpressureOptions {
    /// The policy that they describe. Ends the process with status 2 and the usage of `C` if
    /// low-water is above high-water.
    #[must_use]
    pub fn policy<C: clap::CommandFactory>(&self) -> Backpressure {
        let low_water = self.low_water.unwrap_or(self.high_water / 2);
        if low_water > self.high_water {
            cli::refuse::<C>(format!(
                "--low-water {low_water} is above --high-water {}",
                self.high_water
            ));
        }
        Backpressure {
            high_water: self.high_water as usize,
            low_water: low_water as usize,
            slow_reader_timeout: self.slow_reader_timeout,
        }
    }
}
