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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The descriptor that becomes readable when the server is asked to stop.
#[derive(Debug)]
pub struct Signals {
    pipe: File,
    installed: Instant,
    /// When the signal came, in milliseconds after `installed`.
    came_after_ms: Arc<AtomicU64>,
}

impl Signals {
    /// Installs the handlers of SIGTERM and SIGINT, for the rest of the process's life.
    ///
    /// # Errors
    /// Out of descriptors, or the handlers can't be installed.
    pub fn install() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let installed = Instant::now();
        let came_after_ms = Arc::new(AtomicU64::new(0));
        second_ends_the_process()?;
        for signal in [SIGTERM, SIGINT] {
            note_time(signal, installed, Arc::clone(&came_after_ms))?;
            low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self { pipe: File::from(reader), installed, came_after_ms })
    }

    /// Clears the pipe; if a signal had come, says when. The loop may have been busy since.
    ///
    /// # Errors
    /// The pipe itself failed, which ends the server.
    pub fn take(&mut self) -> io::Result<Option<Instant>> {
        let mut came = None;
        loop {
            match self.pipe.read(&mut [0; 16]) {
                Ok(0) => return Ok(came),
                Ok(_) => {
                    let after = Duration::from_millis(self.came_after_ms.load(Ordering::Acquire));
                    came = Some(self.installed + after);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(came),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Has the second SIGTERM or SIGINT end the process on the spot, by that signal. To be called before any
/// other handler of theirs is installed.
///
/// # Errors
/// The handlers can't be installed.
pub fn second_ends_the_process() -> io::Result<()> {
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // Handlers run in this order: the second signal finds the flag set by the first.
        flag::register_conditional_default(signal, Arc::clone(&signalled))?;
        flag::register(signal, Arc::clone(&signalled))?;
    }
    Ok(())
}

/// Makes the handler of `signal` note when it runs.
#[expect(unsafe_code, reason = "what runs in a signal handler must be async-signal-safe")]
fn note_time(signal: i32, installed: Instant, after_ms: Arc<AtomicU64>) -> io::Result<()> {
    let handler = move || {
        let elapsed = u64::try_from(installed.elapsed().as_millis()).unwrap_or(u64::MAX);
        after_ms.store(elapsed, Ordering::Release);
    };
    // SAFETY: the handler reads a clock (clock_gettime(2)) and stores into an atomic. Both are
    // async-signal-safe (signal-safety(7)), and neither allocates, locks or panics.
    unsafe { low_level::register(signal, handler) }?;
    Ok(())
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
