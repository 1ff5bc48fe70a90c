//! From options to a running server, and from its end to an exit status.

use crate::allocator;
use crate::cli::{self, ServerOptions};
use crate::event_loop::EventLoop;
use crate::inline::Inline;
use crate::listener::Listener;
use crate::logging;
use crate::poller::Poller;
use crate::signals::Signals;
use anyhow::{Context, Result, bail};
use conn_core::connection::{Scratch, Turn};
use conn_core::executor::Executor;
use conn_core::stats::{ServerInfo, Stats};
use conn_core::write_policy::{AnyPolicy, WritePolicy};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Instant;

/// The default of `--max-connections` where the mechanism has no limit of its own.
pub const MAX_CONNECTIONS: usize = 10_000;

/// Serves until a signal ends it, with CPU work on the loop. Status 0 after a drain; 1 with one line
/// on standard error if the server can't start or its loop fails.
pub fn serve<P: Poller>(
    options: &ServerOptions,
    poller: P,
    write_policy: impl WritePolicy + 'static,
) -> ExitCode {
    serve_with(options, poller, write_policy, || Ok(Inline))
}

/// The same, with CPU work where the executor has it run that `start_executor` makes. It is made
/// when nothing else stands in the way of serving.
pub fn serve_with<P: Poller, E: Executor>(
    options: &ServerOptions,
    poller: P,
    write_policy: impl WritePolicy + 'static,
    start_executor: impl FnOnce() -> io::Result<E>,
) -> ExitCode {
    prepare();
    match start(options, poller, AnyPolicy::new(write_policy), start_executor)
        .and_then(|event_loop| Ok(event_loop.run()?))
    {
        Ok((mut executor, drain_until)) => {
            executor.finish(drain_until);
            ExitCode::SUCCESS
        }
        Err(error) => cli::failure(format_args!("{error:#}")),
    }
}

/// What a server does first: logging, and what it may take of the system.
pub fn prepare() {
    logging::start();
    logging::quiet_requested_panics();
    allocator::give_back_large_buffers();
    raise_descriptor_limit();
}

fn start<P: Poller, E: Executor>(
    options: &ServerOptions,
    poller: P,
    write_policy: AnyPolicy,
    start_executor: impl FnOnce() -> io::Result<E>,
) -> Result<EventLoop<P, E>> {
    let signals = Signals::install().context("cannot install signal handlers")?;
    let listener = listen(options)?;
    let address = listener.local_addr()?;
    let room = room_for_connections::<P>();
    // Whatever descriptors come next are higher than those that are open.
    if room == 0 {
        bail!("cannot listen on {}: too many descriptors are open already", options.endpoint());
    }
    let max_connections = options.max_connections.map_or(room, |limit| limit as usize);
    let executor = start_executor().context("cannot start the workers")?;
    let now = Instant::now();
    let turn = Turn {
        now,
        limits: options.limits(),
        stats: Stats::default(),
        info: ServerInfo {
            pid: std::process::id(),
            started: now,
            mechanism: P::MECHANISM,
            threads: 1 + executor.threads(),
        },
        executor,
        write_policy,
        scratch: Scratch::default(),
    };
    let event_loop =
        EventLoop::new(poller, signals, listener, max_connections, options.drain_timeout, turn);
    announce(address)?;
    Ok(event_loop)
}

/// Says that the server is ready. Only when it is: whoever reads this line may connect, or send a signal.
///
/// # Errors
/// Nobody can read it.
pub fn announce(address: SocketAddr) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {address}")
        .and_then(|()| stdout.flush())
        .context("cannot write to standard output")
}

/// Listens on the first address of the host that can be listened on.
///
/// # Errors
/// None can, or the host's name has none.
pub fn listen(options: &ServerOptions) -> Result<Listener> {
    bind_any(options).with_context(|| format!("cannot listen on {}", options.endpoint()))
}

fn bind_any(options: &ServerOptions) -> io::Result<Listener> {
    let mut last_error = None;
    for address in (options.host.as_str(), options.port).to_socket_addrs()? {
        match Listener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(|| io::Error::other("the name has no address")))
}

/// A loop serves as many clients as it may have descriptors, so it takes all that it may have.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Not being allowed to is no reason not to serve.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How many connections the mechanism can watch beside the descriptors that are open already:
/// standard streams, listener, signals, what was inherited.
fn room_for_connections<P: Poller>() -> usize {
    let Some(limit) = P::FD_LIMIT.and_then(|limit| usize::try_from(limit).ok()) else {
        return MAX_CONNECTIONS;
    };
    // Reading the folder opens one more, which is closed again.
    let open = fs::read_dir("/proc/self/fd").map_or(8, |entries| entries.count() - 1);
    limit.saturating_sub(open)
}
