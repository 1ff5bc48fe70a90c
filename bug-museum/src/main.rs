//! tmp
mod bugs;
mod options;
mod server;
mod sys;

use bugs::Mechanism;
use options::Options;
use server::Server;
use std::io::{self, Write};
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let options = Options::parse_or_exit();
    start_logging();
    let mechanism = options.mechanism.unwrap_or(Mechanism::Select);
    match Server::start(options, mechanism).and_then(Server::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody reads it, the status still tells.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error: `info` and above, unless `RUST_LOG` says otherwise.
fn start_logging() {
    let wish = std::env::var("RUST_LOG").ok().filter(|wish| !wish.is_empty());
    let filter = wish.and_then(|wish| wish.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}
