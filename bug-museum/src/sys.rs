//! Five things that the system can do and that no safe wrapper offers. None of them is the subject
//! of this server; `server.rs` calls them and says why.
#![expect(
    unsafe_code,
    reason = "ioctl(2), mallopt(3), signal handlers and numbers for sockets have no safe wrapper"
)]

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Bytes that the peer has not acknowledged yet: tcp(7), `SIOCOUTQ`, the same number as `TIOCOUTQ`.
pub(crate) fn unacknowledged(socket: &impl AsFd) -> usize {
    queued(socket, libc::TIOCOUTQ)
}

/// Bytes that have arrived and wait to be received: tcp(7), `SIOCINQ`, the same as `FIONREAD`.
pub(crate) fn unread(socket: &impl AsFd) -> usize {
    queued(socket, libc::FIONREAD)
}

fn queued(socket: &impl AsFd, request: libc::Ioctl) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed and so open during the call, and both requests write one
    // int to the address given, which is that of a live local.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), request, &raw mut count) };
    // A socket that cannot say has failed, which the next recv or send reports.
    if result == -1 { 0 } else { usize::try_from(count).unwrap_or(0) }
}

/// Sends once to whatever has this number by now, as a thread does that was given a bare descriptor.
/// What the socket does not take is lost.
pub(crate) fn send_to_number(fd: RawFd, bytes: &[u8]) {
    // SAFETY: the kernel reads that many bytes of a live slice and nothing else. It looks the number
    // up itself, and refuses one that is closed or no socket's.
    unsafe {
        libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL);
    }
}

/// Large buffers go back to the system when they are freed. By default glibc raises the size from
/// which it does so whenever one is freed, and then keeps later ones (mallopt(3)).
pub(crate) fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt may be called at any time; it is called once, by the only thread there is.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
    }
}

/// SIGTERM and SIGINT: the first makes a pipe readable and is noted with its time, the second ends
/// the process on the spot.
pub(crate) struct Signals {
    pub(crate) pipe: File,
    installed: Instant,
    /// Nanoseconds after `installed`, and one more, so that 0 can mean: not yet.
    came: Arc<AtomicU64>,
}

impl Signals {
    /// Installs the handlers; the second signal is fatal unless it is told not to be.
    pub(crate) fn install(second_is_fatal: bool) -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let installed = Instant::now();
        let came = Arc::new(AtomicU64::new(0));
        let is_second = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // Handlers run in this order: the second signal finds the flag set by the first.
            if second_is_fatal {
                flag::register_conditional_default(signal, Arc::clone(&is_second))?;
            }
            flag::register(signal, Arc::clone(&is_second))?;
            let came = Arc::clone(&came);
            let note_time = move || {
                let after = u64::try_from(installed.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
                let _ = came.compare_exchange(0, after + 1, Ordering::AcqRel, Ordering::Acquire);
            };
            // SAFETY: the handler reads a clock (clock_gettime(2)) and changes an atomic. Both are
            // async-signal-safe (signal-safety(7)), and neither allocates, locks or panics.
            unsafe { low_level::register(signal, note_time) }?;
            low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self { pipe: File::from(reader), installed, came })
    }

    /// When the first signal came.
    pub(crate) fn came(&self) -> Option<Instant> {
        let after = self.came.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.installed + Duration::from_nanos(after))
    }

    /// Empties the pipe, or it would stay readable for ever.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        loop {
            match self.pipe.read(&mut [0; 16]) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }
}
