//! Why bytes accepted by `send` are no measure of a slow client.
//!
//! The server sends as much as it can, whenever `poll` says that there is room; one client reads
//! 160 KiB a second, evenly, the other nothing. For every second: how much `send` accepted, how much
//! the client's TCP acknowledged (tcp(7), `SIOCOUTQ`), how much the client's program really read.
//!
//! `cargo run -p day3-backpressure --example what_send_accepts`

use conn_core::connection::Stream;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use reactor::socket::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SECONDS: u32 = 8;

fn main() -> io::Result<()> {
    println!("a client that reads 160 KiB a second");
    let (server, client) = pair()?;
    let read = Arc::new(AtomicUsize::new(0));
    let reader = Arc::clone(&read);
    thread::spawn(move || read_evenly(client, &reader));
    watch(server, &read)?;

    println!("\na client that reads nothing");
    let (server, _client) = pair()?;
    watch(server, &AtomicUsize::new(0))
}

fn pair() -> io::Result<(Socket, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    server.set_nonblocking(true)?;
    Ok((Socket::from(OwnedFd::from(server)), client))
}

fn watch(mut server: Socket, read: &AtomicUsize) -> io::Result<()> {
    println!("{:>6} {:>14} {:>14} {:>10}", "second", "send accepted", "acknowledged", "read");
    let start = Instant::now();
    let mut accepted = 0;
    let mut before = [0; 3];
    for second in 1..=SECONDS {
        let end = start + Duration::from_secs(1) * second;
        loop {
            let left = end.saturating_duration_since(Instant::now()).as_millis();
            let mut list = [PollFd::new(server.as_fd(), PollFlags::POLLOUT)];
            let timeout = PollTimeout::try_from(left).map_err(io::Error::other)?;
            if left == 0 || poll(&mut list, timeout)? == 0 {
                break;
            }
            match server.write(&[b'x'; 64 * 1024]) {
                Ok(count) => accepted += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let acknowledged = accepted - server.unacknowledged()?;
        let now = [accepted, acknowledged, read.load(Ordering::Relaxed)];
        let figures = [0, 1, 2].map(|figure| now[figure] - before[figure]);
        println!("{second:>6} {:>14} {:>14} {:>10}", figures[0], figures[1], figures[2]);
        before = now;
    }
    Ok(())
}

/// 8 KiB every 50 ms, as long as the server is there.
fn read_evenly(mut client: TcpStream, read: &AtomicUsize) {
    while client.read_exact(&mut [0; 8192]).is_ok() {
        read.fetch_add(8192, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(50));
    }
}
