//! What every peer does before its loop begins.

use anyhow::Context;
use clap::Args;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Where a peer listens.
#[derive(Args, Clone, Copy, Debug)]
pub struct Listen {
    /// The port to listen on; 0 lets the kernel pick one
    #[arg(default_value_t = 9090)]
    pub port: u16,
}

/// How many threads a peer's pool has.
#[derive(Args, Clone, Copy, Debug)]
pub struct Pool {
    /// Threads for requests that use a CPU
    #[arg(long, value_name = "N", default_value_t = const { NonZeroUsize::new(4).unwrap() })]
    pub workers: NonZeroUsize,
}

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

impl Listen {
    /// Listens, and says so on standard output. The listener is non-blocking.
    ///
    /// std's own `bind` has a backlog of 128, too few for the loads that the peers have to stand.
    /// `TCP_NODELAY` is set once, on the listener: accepted sockets inherit it (tcp(7)).
    ///
    /// # Errors
    /// The port is taken or not ours; standard output is closed.
    pub fn bind(self) -> anyhow::Result<TcpListener> {
        raise_descriptor_limit();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port);
        let listener = listen_on(address).with_context(|| format!("cannot listen on {address}"))?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "listening on {}", listener.local_addr()?)
            .and_then(|()| stdout.flush())
            .context("cannot write to standard output")?;
        Ok(listener)
    }
}

fn listen_on(address: SocketAddrV4) -> Result<TcpListener, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Lets this process have as many descriptors as the administrator allows. It does without if that
/// fails.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Says what went wrong, if anything did, in one line and without a backtrace.
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A stream that has something to read once SIGTERM or SIGINT has come. It is blocking.
///
/// # Errors
/// Out of descriptors.
pub fn signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}
