//! A child process that is certainly gone when its owner is.

use crate::limits;
use crate::output::Output;
use crate::rows::RowReader;
use crate::spawner;
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A started server program, or a wrapper around one, with its output.
#[derive(Debug)]
pub(crate) struct OwnedProcess {
    child: Mutex<Child>,
    pid: Pid,
    handle: OwnedFd,
    pub(crate) command: String,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl OwnedProcess {
    /// Starts the command with nothing on standard input. `rows` reads its log along.
    pub(crate) fn start(
        mut command: Command,
        shown: String,
        rows: Option<RowReader>,
    ) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            spawner::spawn(command).with_context(|| format!("cannot start `{shown}`"))?;
        let stdout = child.stdout.take().context("standard output is not captured")?;
        let stderr = child.stderr.take().context("standard error is not captured")?;
        let pid = Pid::from_child(&child);
        let handle =
            rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(std::io::Error::from)?;
        Ok(Self {
            child: Mutex::new(child),
            pid,
            handle,
            command: shown,
            stdout: Output::capture(stdout, None),
            stderr: Output::capture(stderr, rows),
        })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The exit status, if the process has ended.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Waits for the end of the process; `None` if it still runs after `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exit_status() {
                return Some(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // A pidfd becomes readable when its process ends (pidfd_open(2)).
            let timeout = left.min(Duration::from_secs(60)).try_into().ok();
            let _ = poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], timeout.as_ref());
        }
    }

    /// Sends a signal to the process, not to its group.
    pub(crate) fn signal(&self, signal: Signal) {
        // The lock keeps the child from being reaped, and its pid from being used again.
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(None)) {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// Ends the process: TERM, then KILL. Returns what was left behind, which is an error.
    pub(crate) fn end(&self) -> Option<String> {
        self.signal(Signal::TERM);
        // A stopped process takes no TERM before it goes on.
        self.signal(Signal::CONT);
        if self.wait(limits::END).is_none() {
            self.signal(Signal::KILL);
            self.wait(limits::START);
        }
        let deadline = Instant::now() + limits::END;
        loop {
            let left = descendants_in_group(self.pid());
            if left.is_empty() {
                return None;
            }
            if Instant::now() >= deadline {
                let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
                return Some(format!(
                    "the server ended and left behind in its process group: {}",
                    left.join(", ")
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for OwnedProcess {
    fn drop(&mut self) {
        if self.exit_status().is_none() {
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
            let _ = self.child().wait();
        }
    }
}

/// `name (pid)` of each process of the group that has not ended.
fn descendants_in_group(group: i32) -> Vec<String> {
    let Some(pid) = Pid::from_raw(group) else { return Vec::new() };
    if rustix::process::test_kill_process_group(pid).is_err() {
        return Vec::new();
    }
    let Ok(all) = procfs::process::all_processes() else { return Vec::new() };
    all.flatten()
        .filter_map(|process| process.stat().ok())
        .filter(|stat| stat.pgrp == group && stat.state != 'Z' && stat.state != 'X')
        .map(|stat| format!("{} ({})", stat.comm, stat.pid))
        .collect()
}

/// The words for an exit status: `exited with status 1`, `killed by signal 11 (SIGSEGV)`.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(number)) => {
            let name = nix::sys::signal::Signal::try_from(number).map_or("?", |s| s.as_str());
            format!("killed by signal {number} ({name})")
        }
        (None, None) => format!("ended: {status}"),
    }
}
