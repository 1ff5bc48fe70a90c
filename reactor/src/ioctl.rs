//! The two questions to a socket that no safe wrapper asks for us.
#![expect(
    unsafe_code,
    reason = "ioctl(2) is variadic; no safe wrapper offers SIOCINQ and SIOCOUTQ"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes that the peer has not acknowledged yet: tcp(7), `SIOCOUTQ`.
///
/// # Errors
/// It is not a connected TCP socket.
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<usize> {
    // SIOCOUTQ is the same number as TIOCOUTQ (tcp(7)).
    queued(socket, libc::TIOCOUTQ)
}

/// Bytes that have arrived and have not been received yet: tcp(7), `SIOCINQ`.
///
/// # Errors
/// It is not a connected TCP socket.
pub fn unread(socket: &impl AsFd) -> io::Result<usize> {
    // SIOCINQ is the same number as FIONREAD (tcp(7)).
    queued(socket, libc::FIONREAD)
}

fn queued(socket: &impl AsFd, request: libc::Ioctl) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed and so open during the call, and both requests write one
    // int to the address given, which is that of a live local.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), request, &raw mut count) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn both_ends_of_the_queue_can_be_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"abc").unwrap();
        server.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(unread(&server).unwrap(), 2);
        assert_eq!(unread(&client).unwrap(), 0);
        // More than both buffers hold: what the other side has not taken stays unacknowledged.
        server.set_nonblocking(true).unwrap();
        while server.write(&[0; 1 << 16]).is_ok() {}
        assert!(unacknowledged(&server).unwrap() > 0);
    }
}
