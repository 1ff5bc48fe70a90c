//! `cargo run -p peers --bin peers-c -- build` builds the peers that are written in C.
//!
//! For each it prints one line: its name, and its path or `skipped:` with the reason.

#![forbid(unsafe_code)]

use anyhow::Context;
use clap::{Parser, Subcommand};
use peers::c::{self, Built};
use peers::cli;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The peers that are written in C
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build them with pkg-config and cc, and say where they are
    Build {
        /// Where to put them; beside this program if not given
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Command::Build { into } = Cli::parse().command;
    cli::exit(build(into))
}

fn build(into: Option<PathBuf>) -> anyhow::Result<()> {
    let folder = match into {
        Some(folder) => folder,
        None => {
            let program = env::current_exe().context("cannot find where this program is")?;
            program.parent().map(Path::to_owned).unwrap_or_default()
        }
    };
    for (name, built) in c::build(&folder)? {
        match built {
            Built::Program(path) => println!("{name} {}", path.display()),
            Built::Skipped(reason) => println!("{name} skipped: {reason}"),
        }
    }
    Ok(())
}
