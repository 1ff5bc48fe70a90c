//! What an operator can set about it.

use clap::{Args, ValueEnum};
use reactor::cli::duration;
use std::time::Duration;

/// The options that servers have from this week on.
#[derive(Args, Clone, Debug)]
pub struct HandoffOptions {
    /// Threads that run tasks
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: u32,

    /// What becomes of tasks
    #[command(flatten)]
    pub tasks: TaskOptions,
}

/// What becomes of tasks, whoever runs them.
#[derive(Args, Clone, Debug)]
pub struct TaskOptions {
    /// Tasks that may wait for a thread
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub queue_depth: u32,

    /// What becomes of a task that finds the queue full
    #[arg(long, value_name = "wait|shed", value_enum, default_value_t = WhenFull::Wait)]
    pub when_full: WhenFull,

    /// Answer `task timed out` for a task that takes longer than this, its wait included [default: none]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub task_timeout: Option<Duration>,
}

/// What becomes of a task that finds the queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhenFull {
    /// It waits, and nothing more is read from its connection; the others go on
    Wait,
    /// It is answered `SERVER_ERROR busy` at once
    Shed,
}
