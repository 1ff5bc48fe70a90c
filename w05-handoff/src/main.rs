//! `cargo run -p w05-handoff`, then `burn 5000` on one connection and anything on another.
#![forbid(unsafe_code)]

use clap::Parser;
use day3_backpressure::options::BackpressureOptions;
use reactor::cli::{self, ServerOptions};
use std::process::ExitCode;
use w04_epoll::epoll::Epoll;
use w05_handoff::handoff::Handoff;
use w05_handoff::options::HandoffOptions;

/// Week 5: CPU work leaves the loop
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    backpressure: BackpressureOptions,
    #[command(flatten)]
    handoff: HandoffOptions,
}

fn main() -> ExitCode {
    let cli: Cli = cli::parse();
    let write_policy = cli.backpressure.policy::<Cli>();
    match Epoll::new(false) {
        Ok(epoll) => {
            reactor::serve_with(&cli.server, epoll, write_policy, || Handoff::start(&cli.handoff))
        }
        Err(error) => cli::failure(format_args!("cannot create an epoll instance: {error}")),
    }
}
