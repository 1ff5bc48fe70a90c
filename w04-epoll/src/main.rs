//! `cargo run -p w04-epoll`: what worked on day 3 and day 4 works.
#![forbid(unsafe_code)]

use clap::Parser;
use day3_backpressure::options::BackpressureOptions;
use reactor::cli::{self, ServerOptions};
use std::process::ExitCode;
use w04_epoll::epoll::Epoll;

/// Week 4: the same server on epoll(7)
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    backpressure: BackpressureOptions,

    /// Be told of readiness once, when it begins (EPOLLET), and not in every turn
    #[arg(long)]
    edge_triggered: bool,
}

fn main() -> ExitCode {
    let cli: Cli = cli::parse();
    let write_policy = cli.backpressure.policy::<Cli>();
    match Epoll::new(cli.edge_triggered) {
        Ok(epoll) => reactor::serve(&cli.server, epoll, write_policy),
        Err(error) => cli::failure(format_args!("cannot create an epoll instance: {error}")),
    }
}
