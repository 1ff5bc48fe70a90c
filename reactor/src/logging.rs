//! Where logs go: standard error, filtered by `RUST_LOG`.

use conn_core::service::RequestedPanic;
use std::{io, panic};
use tracing::{debug, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging for the whole process: `info` and above, unless `RUST_LOG` says otherwise
/// (`debug`, or `conn_core=trace,reactor=debug`).
pub fn start() {
    let wish = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, misunderstood) = match wish.parse::<Targets>() {
        Ok(filter) if !wish.is_empty() => (filter, false),
        Ok(_) => (Targets::new().with_default(LevelFilter::INFO), false),
        Err(_) => (Targets::new().with_default(LevelFilter::INFO), true),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    if misunderstood {
        warn!(RUST_LOG = wish, "RUST_LOG is not understood: logging at info");
    }
}

/// A panic that a client asked for is an outcome and not a bug: no backtrace for it.
pub fn quiet_requested_panics() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload().is::<RequestedPanic>() {
            debug!("a task panicked, as its client had asked");
        } else {
            default(info);
        }
    }));
}
