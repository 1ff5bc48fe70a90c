//! Signals as a descriptor in the loop: the self-pipe trick.
//!
//! The first SIGTERM or SIGINT makes a byte appear in a pipe that the loop watches like any other
//! descriptor. A second one ends the process on the spot, by that signal, even while the loop is
//! busy with a task; a `signalfd` could not do that, since it blocks the signals until somebody
//! reads them.

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The descriptor that becomes readable when the server is asked to stop.
#[derive(Debug)]
pub struct Signals {
    pipe: File,
}

impl Signals {
    /// Installs the handlers of SIGTERM and SIGINT, for the rest of the process's life.
    ///
    /// # Errors
    /// Out of descriptors, or the handlers can't be installed.
    pub fn install() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let signalled = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // Handlers run in this order: the second signal finds the flag set by the first.
            flag::register_conditional_default(signal, Arc::clone(&signalled))?;
            flag::register(signal, Arc::clone(&signalled))?;
            low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self { pipe: File::from(reader) })
    }

    /// Clears the pipe; says whether a signal had come.
    ///
    /// # Errors
    /// The pipe itself failed, which ends the server.
    pub fn take(&mut self) -> io::Result<bool> {
        let mut came = false;
        loop {
            match self.pipe.read(&mut [0; 16]) {
                Ok(0) => return Ok(came),
                Ok(_) => came = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(came),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
