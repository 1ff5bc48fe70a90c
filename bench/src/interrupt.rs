//! Ctrl-C: nothing that was started may stay behind.

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// The processes that were started and have not been waited for, so that their ids are theirs.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Has SIGINT and SIGTERM end the children and then this process, with the status that says so.
///
/// # Errors
/// The handlers can't be installed.
pub fn install() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end: nothing more is started.
            let running = running();
            for &pid in running.iter() {
                let _ = kill_process(pid, Signal::KILL);
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// A child that does not outlive this: it is killed when this is dropped, or by an interrupt.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    /// How it ended, once it has been waited for. From then on its id is nobody's to kill.
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts it.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut running = running();
        let child = command.spawn()?;
        running.push(Pid::from_child(&child));
        Ok(Self { child, status: None })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its standard output, if that is a pipe which nobody has taken yet.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, if that is a pipe which nobody has taken yet.
    pub(crate) fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Whether it ends within this time. It can still be reaped then.
    pub(crate) fn ends_within(&self, limit: Duration) -> Result<bool> {
        // A pidfd becomes readable when its process ends (pidfd_open(2)).
        let ended = pidfd_open(self.pid(), PidfdFlags::empty()).context("pidfd_open")?;
        readable(&ended, limit)
    }

    /// Waits for its end.
    pub(crate) fn reap(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let pid = self.pid();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        let mut running = running();
        running.retain(|&other| other != pid);
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.reap();
        }
    }
}

/// Whether there is something to read, or the end of it, within this time.
pub(crate) fn readable(descriptor: &impl AsFd, limit: Duration) -> Result<bool> {
    let limit = limit.try_into().context("a time-out that is too long")?;
    let mut watched = [PollFd::new(descriptor, PollFlags::IN)];
    match poll(&mut watched, Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error).context("poll"),
    }
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
