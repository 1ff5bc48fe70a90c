//! `cargo run -p day4-poll`: what worked on day 3 works.
#![forbid(unsafe_code)]

use clap::Parser;
use day3_backpressure::options::BackpressureOptions;
use day4_poll::poll::Poll;
use reactor::cli::{self, ServerOptions};
use std::process::ExitCode;

/// Day 4: the same server on poll(2)
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
    reactor::serve(&cli.server, Poll::default(), cli.backpressure.policy::<Cli>())
}
