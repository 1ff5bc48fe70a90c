//! `cargo run -p async-runtime`, then any number of clients: a task for each.
//!
//! | file | one idea |
//! | --- | --- |
//! | `client.rs` | the task of one connection: await what concerns it, visit it |
//! | `shard.rs` | what the connections of one worker share during a visit |
//! | `socket.rs` | the connection's socket is one of the runtime's |
//! | `pool.rs` | CPU work goes to the blocking pool, and its result is awaited |
//! | `figures.rs` | counters of several workers add up to a server's |
//! | `stage.rs` | serving, draining, giving up: told to all tasks |
//! | `accept.rs` | newcomers |
//! | `serve.rs` | from options to an exit status |
#![forbid(unsafe_code)]

mod accept;
mod client;
mod figures;
mod options;
mod pool;
mod serve;
mod shard;
mod socket;
mod stage;

use options::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    serve::run(&reactor::cli::parse::<Cli>())
}
