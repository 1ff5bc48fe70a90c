//! A descriptor by which a worker makes the loop's wait return: an eventfd.

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A counter in the kernel, readable while it is not 0 (eventfd(2)). Where a pipe has two descriptors
/// and a buffer that fills up, this has one descriptor and eight bytes, however often it is notified.
#[derive(Debug)]
pub struct Wakeup(EventFd);

impl Wakeup {
    /// One that is not readable, close-on-exec and non-blocking.
    ///
    /// # Errors
    /// Descriptors or memory have run out.
    pub fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    /// Makes it readable. Never blocks.
    ///
    /// # Errors
    /// It can't be written to at all; write(2) names no such case for an open eventfd.
    pub fn notify(&self) -> io::Result<()> {
        match self.0.write(1) {
            // The counter is at its end, so it is readable already.
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes it unreadable until the next [`notify`](Self::notify).
    ///
    /// # Errors
    /// It can't be read at all; read(2) names no such case for an open eventfd.
    pub fn clear(&self) -> io::Result<()> {
        match self.0.read() {
            // EAGAIN: nobody had notified.
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_at_its_end_is_readable_already() {
        let wakeup = Wakeup::new().unwrap();
        // The highest value that it can hold.
        wakeup.0.write(u64::MAX - 1).unwrap();
        assert!(wakeup.notify().is_ok());
        assert!(wakeup.clear().is_ok());
        assert_eq!(wakeup.0.read(), Err(Errno::EAGAIN));
        assert!(wakeup.clear().is_ok());
    }
}
