//! Child processes. A pidfd is a descriptor that becomes readable when its process has ended
//! (pidfd_open(2)), so that to wait for a child is to wait for a descriptor.

use crate::async_socket::{AsyncSocket, Progress};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::process::{Command, ExitStatus};

/// A child process that can be awaited. One that is dropped goes on, as with [`std::process::Child`].
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    pidfd: AsyncSocket,
}

impl Child {
    /// Starts `command`. Its standard streams are what the command says, and are ordinary blocking ones.
    ///
    /// # Errors
    /// It can't be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::NONBLOCK) {
            Ok(pidfd) => Ok(Self { child, pidfd: AsyncSocket::new(pidfd, true) }),
            Err(errno) => {
                // Nobody could wait for it.
                child.kill()?;
                child.wait()?;
                Err(errno.into())
            }
        }
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended. Its standard input is closed first, so that it can't wait for us.
    ///
    /// # Errors
    /// The runtime has ended.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.child.stdin.take());
        let child = &mut self.child;
        let ended = self.pidfd.read_with(|_| match child.try_wait() {
            Ok(Some(status)) => Ok(Progress::Full(status)),
            Ok(None) => Err(Errno::AGAIN),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        });
        ended.await
    }

    /// Ends it with SIGKILL. It still has to be [waited](Self::wait) for.
    ///
    /// # Errors
    /// It is not ours to kill.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }
}
