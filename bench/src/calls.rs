//! How many system calls a server makes, by strace(1).

use crate::interrupt::Guarded;
use crate::server::Server;
use anyhow::{Context, Result, bail};
use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Until strace has all threads of the server in hand.
const ATTACH: Duration = Duration::from_secs(10);

/// strace, counting the calls of a server that runs.
#[derive(Debug)]
pub struct Tracer {
    strace: Guarded,
}

impl Tracer {
    /// Begins to count, once every thread of the server is in strace's hand.
    ///
    /// # Errors
    /// There is no strace, or it is not permitted (ptrace(2)).
    pub fn attach(server: &Server) -> Result<Self> {
        let pid = server.pid();
        let mut command = Command::new("strace");
        command
            .args(["-c", "-f", "-q", "-U", "name,calls", "-p"])
            .arg(pid.as_raw_nonzero().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let strace =
            Guarded::spawn(&mut command).context("strace can't be started (apt install strace)")?;
        let mut tracer = Self { strace };
        let deadline = Instant::now() + ATTACH;
        while !all_traced(pid)? {
            if tracer.strace.ends_within(Duration::ZERO)? || Instant::now() >= deadline {
                bail!("strace may not look at the server: {}", tracer.text()?);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(tracer)
    }

    /// Ends the counting and returns the number of calls.
    ///
    /// # Errors
    /// strace's table is not understood.
    pub fn finish(mut self) -> Result<u64> {
        let table = self.text()?;
        total(&table).with_context(|| format!("this is no table of strace's: {table}"))
    }

    /// Has strace let go and say what it has counted.
    fn text(&mut self) -> Result<String> {
        let _ = kill_process(self.strace.pid(), Signal::INT);
        let mut text = String::new();
        if let Some(mut stderr) = self.strace.take_stderr() {
            std::io::Read::read_to_string(&mut stderr, &mut text)?;
        }
        self.strace.reap()?;
        Ok(text)
    }
}

/// Whether every thread of the process has a tracer.
fn all_traced(pid: Pid) -> Result<bool> {
    for task in Process::new(pid.as_raw_nonzero().get())?.tasks()? {
        if task?.status()?.tracerpid == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The sum of the table's calls: its line `total`, with the columns that were asked for.
fn total(table: &str) -> Option<u64> {
    let line = table.lines().rev().find(|line| line.trim_start().starts_with("total"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        let table = "strace: Process 7 attached\nsyscall              calls\n---- ----\n\
                     epoll_wait              10\nread                     5\n---- ----\n\
                     total                   15\n";
        assert_eq!(total(table), Some(15));
        assert_eq!(total("strace: attach: Operation not permitted"), None);
    }
}
