//! A small server whose every reply can be tampered with, and which counts what it is asked.

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{Shutdown, shutdown};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

/// What happens instead of, or with, a reply that would be right.
pub(crate) enum Act {
    Send(Vec<u8>),
    /// Sends this, and closes.
    Close(Vec<u8>),
    Reset,
    /// Sends this, and refuses connections from now on.
    Leave(Vec<u8>),
}

/// Given a request's number, counted from 1 over all connections, and the right reply.
pub(crate) type Script = fn(usize, Vec<u8>) -> Act;

pub(crate) fn honest(_: usize, reply: Vec<u8>) -> Act {
    Act::Send(reply)
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicUsize,
    /// `mn` is not counted: every connection may be opened with it.
    pub(crate) requests: AtomicUsize,
    /// Reads that brought something.
    pub(crate) reads: AtomicUsize,
    /// The connections, as they were accepted.
    sockets: Mutex<Vec<Weak<TcpStream>>>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<Counts>,
}

impl Server {
    /// Runs until the process ends, or as its script says.
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        // One request is worked on at a time, as in a server of one thread.
        let turn = Arc::new(Mutex::new(()));
        let listener = Arc::new(listener);
        let for_thread = Arc::clone(&counts);
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                for_thread.connections.fetch_add(1, Ordering::SeqCst);
                let socket = Arc::new(socket);
                for_thread.sockets.lock().unwrap().push(Arc::downgrade(&socket));
                let (counts, turn, listener) =
                    (Arc::clone(&for_thread), Arc::clone(&turn), Arc::clone(&listener));
                thread::spawn(move || converse(&socket, script, &counts, &turn, &listener));
            }
        });
        Self { address, counts }
    }

    /// Closes the connection that was accepted first.
    pub(crate) fn close_the_first(&self) {
        let first = self.counts.sockets.lock().unwrap()[0].upgrade().unwrap();
        shutdown(&first, Shutdown::Both).unwrap();
    }

    pub(crate) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst) as u64
    }
}

fn converse(
    mut socket: &TcpStream,
    script: Script,
    counts: &Counts,
    turn: &Mutex<()>,
    listener: &TcpListener,
) {
    socket.set_nodelay(true).unwrap();
    let mut input = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
        counts.reads.fetch_add(1, Ordering::SeqCst);
        // The replies to what one read has brought leave together.
        let mut output = Vec::new();
        while let Some((reply, used, counted)) = answer(&input) {
            input.drain(..used);
            if !counted {
                output.extend(reply);
                continue;
            }
            let _turn = turn.lock().unwrap();
            let number = 1 + counts.requests.fetch_add(1, Ordering::SeqCst);
            match script(number, reply) {
                Act::Send(bytes) => output.extend(bytes),
                Act::Close(bytes) => {
                    output.extend(bytes);
                    let _ = socket.write_all(&output);
                    return;
                }
                Act::Reset => {
                    set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
                    return;
                }
                Act::Leave(bytes) => {
                    output.extend(bytes);
                    // Wakes the thread that accepts, and ends it: accept(2) fails from now on.
                    shutdown(listener, Shutdown::Both).unwrap();
                }
            }
        }
        if socket.write_all(&output).is_err() {
            return;
        }
    }
}

/// The right reply to the first request, the request's length, and whether it is counted; `None`
/// while it is incomplete.
fn answer(input: &[u8]) -> Option<(Vec<u8>, usize, bool)> {
    let line_len = input.iter().position(|&byte| byte == b'\n')? + 1;
    let line = input[..line_len - 1].strip_suffix(b"\r").unwrap();
    if line == b"mn" {
        return Some((b"MN\r\n".to_vec(), line_len, false));
    }
    if let Some(text) = line.strip_prefix(b"compute ") {
        let digest = Sha256::digest(text);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        return Some((format!("result: {digest}\r\n").into_bytes(), line_len, true));
    }
    if let Some(millis) = line.strip_prefix(b"burn ") {
        return Some(([b"result: burned ", millis, b"\r\n"].concat(), line_len, true));
    }
    let size: usize =
        std::str::from_utf8(line.strip_prefix(b"echo ").unwrap()).unwrap().parse().unwrap();
    let body = input.get(line_len..line_len + size + 2)?;
    let reply = [format!("ECHO {size}\r\n").as_bytes(), body].concat();
    Some((reply, line_len + size + 2, true))
}
