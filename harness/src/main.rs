//! `harness`: judges any server by the contract. See `harness --help`.

#![forbid(unsafe_code)]

use clap::Parser;
use harness::cli::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    harness::limits::raise_descriptor_limit();
    match cli::run(Cli::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(problem) => {
            eprintln!("harness: {problem:#}");
            ExitCode::from(cli::FAULT)
        }
    }
}
