//! The command.

use anyhow::Context;
use bench::load_command::LoadCommand;
use bench::{interrupt, list, notes, run};
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
    /// Measures every server in every scenario, in turn, and draws what came of it
    Run(run::Options),
    /// Draws the pictures and tables again from the data that `run` has kept
    Plot(notes::PlotOptions),
    /// Names the scenarios and the contenders
    List,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = interrupt::install() {
        eprintln!("error: cannot handle signals: {error}");
        return ExitCode::FAILURE;
    }
    let outcome = match arguments.command {
        Command::Load(load) => load.run(),
        Command::Run(options) => run::run(&options),
        Command::Plot(options) => notes::plot(&options),
        Command::List => list::print().context("cannot write to standard output").map(|()| true),
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
