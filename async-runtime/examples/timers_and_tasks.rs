//! What a timer and a task cost. `peers/src/bin/peer-tokio-tasks.rs` asks tokio the same.

#[path = "timers_and_tasks/measurements.rs"]
mod measurements;

use async_runtime::runtime::{Runtime, spawn};
use async_runtime::task::yield_now;
use async_runtime::time::{Sleep, sleep};
use clap::Parser;
use measurements::{
    measure, sleep_and_cancel, sleep_and_cancel_among_many, spawn_and_join, spawn_and_join_batches,
};
use std::io;
use std::num::NonZeroUsize;

/// Timers and tasks of async-runtime, a million of each
#[derive(Parser)]
struct Cli {
    /// How many workers; without it one, and nothing is measured between threads
    #[arg(long)]
    workers: Option<NonZeroUsize>,

    /// Only this measurement
    name: Option<String>,
}

fn main() -> io::Result<()> {
    let cli = Cli::parse();
    let runtime = Runtime::builder().workers(cli.workers.map_or(1, NonZeroUsize::get)).build()?;
    let only = cli.name.clone();
    let on_a_worker = runtime.spawn(async move {
        let only = only.as_deref();
        measure("sleep-cancel", only, sleep_and_cancel()).await;
        measure("sleep-cancel-100000-alive", only, sleep_and_cancel_among_many()).await;
        measure("spawn-join", only, spawn_and_join()).await;
        measure("spawn-join-batch", only, spawn_and_join_batches()).await;
    });
    runtime.block_on(on_a_worker).map_err(io::Error::other)?;
    if cli.workers.is_some() {
        let across = measure("spawn-join-across", cli.name.as_deref(), spawn_and_join_batches());
        runtime.block_on(across);
    }
    Ok(())
}
