//! Opens connections before anything is measured.

use crate::load::traffic::excerpt;
use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// So many connections wait to be accepted at most; even a short backlog holds them.
const WAVE: usize = 100;
/// For a connection, and for a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens connections, all of which the server has accepted when this returns.
///
/// # Errors
/// The server does not accept or answer; descriptors or ports have run out.
pub(super) fn open(address: SocketAddr, count: usize) -> Result<Vec<OwnedFd>> {
    let mut sockets = Vec::with_capacity(count);
    while sockets.len() < count {
        for _ in 0..WAVE.min(count - sockets.len()) {
            let socket = connect(address).with_context(|| {
                format!("connection {} of {count} could not be opened", sockets.len() + 1)
            })?;
            socket.set_nonblocking(true)?;
            sockets.push(OwnedFd::from(socket));
        }
        // Accepted in turn: when one more is answered, the others have been accepted.
        probe(address).with_context(|| {
            format!("a request beside {} connections was not answered as it must be", sockets.len())
        })?;
    }
    Ok(sockets)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("cannot connect to {address}: is a server listening there?"))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn probe(address: SocketAddr) -> Result<()> {
    const REPLY: &[u8] = b"MN\r\n";
    let mut socket = connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(b"mn\r\n")?;
    let mut bytes = [0; 64];
    let mut length = 0;
    while length < REPLY.len() {
        match socket.read(&mut bytes[length..]).context("waiting for the reply to mn")? {
            0 => break,
            count => length += count,
        }
    }
    let reply = &bytes[..length];
    ensure!(reply == REPLY, "mn was answered by \"{}\" and not by \"MN\\r\\n\"", excerpt(reply));
    Ok(())
}

/// Lets this process have as many descriptors as it may.
///
/// # Errors
/// That is less than `needed`.
pub(super) fn raise_descriptor_limit(needed: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        needed as u64 <= most,
        "this load needs {needed} descriptors and may have {most}: raise the limit (ulimit -Hn), or take fewer connections"
    );
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("raising the limit of descriptors")
}
