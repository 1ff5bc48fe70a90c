//! The command.

use bench::load_command::LoadCommand;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about = "Measures servers of the teaching lab, from outside")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Puts one load on one server and says what came of it
    Load(LoadCommand),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Load(load) => load.run(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
