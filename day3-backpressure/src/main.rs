//! `cargo run -p day3-backpressure`, then a client that sends and never reads.
#![forbid(unsafe_code)]

use clap::Parser;
use day2_select_loop::select::Select;
use day3_backpressure::options::BackpressureOptions;
use reactor::cli::{self, ServerOptions};
use std::process::ExitCode;

/// Day 3: what is queued for a client is bounded
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    backpressure: BackpressureOptions,
}

fn main() -> ExitCode {
    let cli: Cli = cli::parse();
    reactor::serve(&cli.server, Select, cli.backpressure.policy::<Cli>())
}
