//! The bug museum: one plain server, and the classic mistakes of its subject.
//!
//! The server (`server.rs`) is what a good learner writes alone, from top to bottom: a struct for a
//! connection, a loop, handlers, and none of the lab's shared crates. Left alone it is correct: it
//! passes every case of the harness on select, on poll, on epoll, and on epoll with a pool of workers.
//! With `--bug NAME` it makes one mistake, and the harness has to notice. That is how the harness is
//! tested.
//!
//! ```text
//! cargo run -p bug-museum -- --list            what each mistake is, how it shows, who warns of it
//! cargo build -p bug-museum
//! cargo run -p harness -- check --as day3 \
//!     --cmd 'target/debug/bug-museum --bug fd-sets-not-rebuilt {port}'
//! ```
//!
//! `--as` is the rung of the mistake's mechanism: day3 for select, day4 for poll, w04 for epoll, w05
//! for handoff.
//!
//! To read it: start with the comment on top of `server.rs`. Each mistake is a branch at the line
//! where a learner would make it, under a mark `// BUG name: mistake; symptom (who warns)`. The
//! right code is the other branch, and reading only that gives the correct server. `task.rs` is the CPU
//! work; under `--mechanism handoff` the threads of `worker.rs` do it, and `pool.rs` is how the loop
//! deals with them. `catalogue.rs` tells the same as `--list`; `sys.rs` holds what needs `unsafe`, and
//! is not the subject.

mod bugs;
mod catalogue;
mod options;
mod pool;
mod server;
mod sys;
mod task;
mod worker;

use anyhow::Result;
use options::Options;
use server::Server;
use std::io::{self, Write};
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> ExitCode {
    let options = Options::parse_or_exit();
    let done = if options.list { list(options.json) } else { serve(options) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody reads it, the status still tells.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list(json: bool) -> Result<()> {
    let text = if json { catalogue::as_json()? } else { catalogue::as_text() };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn serve(options: Options) -> Result<()> {
    start_logging();
    options.bug.into_iter().for_each(bugs::switch_on);
    let mechanism = options.mechanism();
    Server::start(options, mechanism)?.run()
}

/// Logs go to standard error: `info` and above, unless `RUST_LOG` says otherwise.
fn start_logging() {
    let wish = std::env::var("RUST_LOG").ok().filter(|wish| !wish.is_empty());
    let filter = wish.and_then(|wish| wish.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}
