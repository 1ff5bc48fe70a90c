//! What a timer and a task of tokio cost. `async-runtime/examples/timers_and_tasks.rs` asks its own runtime
//! the same.

#![forbid(unsafe_code)]

#[path = "../../../async-runtime/examples/timers_and_tasks/measurements.rs"]
mod measurements;

use clap::Parser;
use measurements::{
    measure, sleep_and_cancel, sleep_and_cancel_among_many, spawn_and_join, spawn_and_join_batches,
};
use std::io;
use std::num::NonZeroUsize;
use tokio::runtime::Builder;
use tokio::spawn;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

/// Timers and tasks of tokio, a million of each
#[derive(Parser)]
struct Cli {
    /// The work-stealing runtime with so many workers; without it, the runtime that has one thread
    #[arg(long)]
    workers: Option<NonZeroUsize>,

    /// Only this measurement
    name: Option<String>,
}

fn main() -> io::Result<()> {
    let cli = Cli::parse();
    let runtime = match cli.workers {
        Some(workers) => {
            Builder::new_multi_thread().worker_threads(workers.get()).enable_all().build()?
        }
        None => Builder::new_current_thread().enable_all().build()?,
    };
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
