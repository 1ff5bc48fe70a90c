//! `cargo run -p day2-select-loop`, then `nc localhost 9090`.
#![forbid(unsafe_code)]

use clap::Parser;
use day2_select_loop::select::Select;
use reactor::Unbounded;
use reactor::cli::{self, ServerOptions};
use std::process::ExitCode;

/// Day 2: one thread serves many clients, on select(2)
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    server: ServerOptions,
}

fn main() -> ExitCode {
    reactor::serve(&cli::parse::<Cli>().server, Select, Unbounded)
}
