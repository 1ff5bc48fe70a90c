//! What an operator can set about it.

use clap::Parser;
use day3_backpressure::options::BackpressureOptions;
use reactor::cli::ServerOptions;
use std::thread::available_parallelism;
use w05_handoff::options::TaskOptions;

/// The async runtime: an event loop for each core, a task for each connection
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) server: ServerOptions,

    #[command(flatten)]
    pub(crate) backpressure: BackpressureOptions,

    /// Event loops, each with its own thread [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    workers: Option<u32>,

    /// Threads that run tasks
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    blocking_threads: u32,

    #[command(flatten)]
    pub(crate) tasks: TaskOptions,
}

impl Cli {
    /// How many event loops there are to be.
    pub(crate) fn workers(&self) -> usize {
        match self.workers {
            Some(workers) => workers as usize,
            None => available_parallelism().map_or(1, usize::from),
        }
    }

    /// How many threads run tasks.
    pub(crate) fn blocking_threads(&self) -> usize {
        self.blocking_threads as usize
    }
}
