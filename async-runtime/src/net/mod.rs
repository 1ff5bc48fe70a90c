//! TCP that reads like ordinary code: [`TcpListener`], [`TcpStream`].

mod futures;
mod listener;
mod stream;

pub use futures::{AcceptFuture, ConnectFuture, ReadFuture, WriteAllFuture, WriteFuture};
pub use listener::TcpListener;
pub use stream::TcpStream;

use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, socket_with};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Every descriptor has these flags from the call that creates it.
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A TCP socket of the family of `address`.
fn tcp_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(socket_with(family, SocketType::STREAM, FLAGS, None)?)
}

fn ip_address(address: SocketAddrAny) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(address)?)
}
