//! Signals as events: the self-pipe trick. A handler may do next to nothing, but it may write a byte;
//! the other end of the pipe is a descriptor, and those can be awaited.

use crate::async_socket::{AsyncSocket, Progress};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::SigId;
use signal_hook::consts::{FORBIDDEN, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use std::io;

/// Waits for Ctrl-C in the terminal, which is SIGINT.
///
/// # Errors
/// Descriptors have run out.
pub async fn ctrl_c() -> io::Result<()> {
    Signal::new(SIGINT)?.recv().await
}

/// Waits for SIGTERM, by which a service is asked to end.
///
/// # Errors
/// Descriptors have run out.
pub async fn terminate() -> io::Result<()> {
    Signal::new(SIGTERM)?.recv().await
}

/// One signal. From its making on it is noted here, and no longer does what it does by default, such
/// as to end the process; not even after this is dropped.
#[derive(Debug)]
pub struct Signal {
    pipe: AsyncSocket,
    handler: SigId,
}

impl Signal {
    /// Listens to `signal`, a number such as [`libc`'s `SIGHUP`](https://docs.rs/libc).
    ///
    /// # Errors
    /// Descriptors have run out, or this signal can't be handled (signal(7)).
    pub fn new(signal: i32) -> io::Result<Self> {
        if FORBIDDEN.contains(&signal) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let handler = pipe::register(signal, writer)?;
        Ok(Self { pipe: AsyncSocket::new(reader, true), handler })
    }

    /// Waits until the signal has come since the last time. However often it came, it is one event.
    ///
    /// # Errors
    /// The runtime has ended.
    pub async fn recv(&mut self) -> io::Result<()> {
        let mut bytes = [0; 64];
        let came = self.pipe.read_with(|fd| {
            read(fd, &mut bytes)?;
            // The rest of many is thrown away along with the first.
            while matches!(read(fd, &mut bytes), Ok(1..) | Err(Errno::INTR)) {}
            Ok(Progress::Full(()))
        });
        came.await
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        unregister(self.handler);
    }
}
