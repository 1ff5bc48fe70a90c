//! A contender that runs.

use crate::cores::{Cores, pin};
use crate::interrupt::{Guarded, readable};
use crate::scenario::Placement;
use anyhow::{Context, Result, anyhow, bail};
use nix::time::{ClockId, clock_getcpuclockid};
use procfs::ProcResult;
use procfs::process::Process;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Until `listening on`.
const START: Duration = Duration::from_secs(10);
/// From SIGTERM to the end: a server may drain for 5 s (notes/protocol.md section 2).
const END: Duration = Duration::from_secs(10);
/// What is told of a server's last words.
const LAST_WORDS: u64 = 2_000;

/// A server that listens. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Guarded,
    /// Where it listens.
    pub address: SocketAddr,
    stderr: File,
    /// Held open: a server that writes more must not meet a closed pipe.
    stdout: ChildStdout,
}

/// Memory of a process, in bytes (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that is resident: VmRSS.
    pub resident: u64,
    /// Of this what is no file: RssAnon, the heap and the stacks.
    pub anonymous: u64,
    /// The most that was ever resident: VmHWM.
    pub peak: u64,
}

impl Server {
    /// Starts the program where it is to run, and has the calling thread go on on the load's core.
    ///
    /// # Errors
    /// As [`start`](Self::start); a core is not allowed to this process.
    pub fn start_apart(
        name: &str,
        program: &Path,
        arguments: &[String],
        cores: Cores,
        placement: Placement,
    ) -> Result<Self> {
        // A process inherits the affinity of the thread that starts it, and its threads do so from it.
        cores.place(placement)?;
        // It inherits the timer slack too, which a load has made finer than a server's is (prctl(2)).
        rustix::thread::set_current_timer_slack(None).context("PR_SET_TIMERSLACK")?;
        let server = Self::start(name, program, arguments);
        pin(&[cores.load])?;
        server
    }

    /// Starts the program, with the core that the calling thread is bound to, and waits until it
    /// listens.
    ///
    /// # Errors
    /// It can't be started, or ended, or said nothing within 10 s; with its standard error.
    pub fn start(name: &str, program: &Path, arguments: &[String]) -> Result<Self> {
        let memfd = memfd_create(c"stderr", MemfdFlags::CLOEXEC).context("memfd_create")?;
        let stderr = File::from(memfd);
        let mut command = Command::new(program);
        command
            .args(arguments)
            // RUST_LOG, say, or a library's own variables would slow some servers down and not others.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone()?);
        let mut child = Guarded::spawn(&mut command)
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.take_stdout().context("standard output is not captured")?;
        let mut server = Self {
            name: name.to_owned(),
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            stderr,
            stdout,
        };
        server.address = server.wait_until_it_listens()?;
        Ok(server)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    /// CPU time of all its threads so far, those that have ended included.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let pid = nix::unistd::Pid::from_raw(self.pid().as_raw_nonzero().get());
        let time = clock_getcpuclockid(pid).and_then(ClockId::now);
        Ok(time.with_context(|| format!("{} has ended", self.name))?.into())
    }

    /// What it has in memory.
    ///
    /// # Errors
    /// It has ended.
    pub fn memory(&self) -> Result<Memory> {
        let status = Process::new(self.pid().as_raw_nonzero().get())
            .and_then(|process| process.status())
            .with_context(|| format!("{} has ended", self.name))?;
        // A zombie has no memory any more.
        let bytes = |kibibytes: Option<u64>| {
            kibibytes.map(|k| k * 1024).with_context(|| format!("{} has ended", self.name))
        };
        Ok(Memory {
            resident: bytes(status.vmrss)?,
            anonymous: bytes(status.rssanon)?,
            peak: bytes(status.vmhwm)?,
        })
    }

    /// How often each of its threads has gone to sleep of itself (proc_pid_status(5)), by thread id.
    ///
    /// # Errors
    /// It has ended.
    pub fn sleeps(&self) -> Result<BTreeMap<i32, u64>> {
        let sleeps = || {
            let mut sleeps = BTreeMap::new();
            for task in Process::new(self.pid().as_raw_nonzero().get())?.tasks()? {
                let task = task?;
                sleeps.insert(task.tid, task.status()?.voluntary_ctxt_switches.unwrap_or(0));
            }
            ProcResult::Ok(sleeps)
        };
        sleeps().with_context(|| format!("{} has ended", self.name))
    }

    /// Has it end by SIGTERM, unless it ends of itself within `patience`.
    ///
    /// # Errors
    /// It had ended before, or did not end in time and was killed.
    pub fn stop(mut self, patience: Duration) -> Result<()> {
        if self.child.ends_within(patience)? {
            let status = self.child.reap()?;
            bail!("{} ended of itself ({status}){}", self.name, self.last_words());
        }
        kill_process(self.pid(), Signal::TERM).context("cannot send SIGTERM")?;
        if !self.child.ends_within(END)? {
            bail!("{} still ran {END:?} after SIGTERM and was killed", self.name);
        }
        self.child.reap()?;
        Ok(())
    }

    /// Reads standard output up to the end of the line that says where it listens.
    fn wait_until_it_listens(&mut self) -> Result<SocketAddr> {
        let deadline = Instant::now() + START;
        let mut text = Vec::new();
        while !text.contains(&b'\n') {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} did not listen within {START:?}{}", self.name, self.last_words());
            }
            if !readable(&self.stdout, left)? {
                continue;
            }
            let mut some = [0; 256];
            let count = self.stdout.read(&mut some)?;
            if count == 0 {
                let status = self.child.reap()?;
                bail!("{} ended before it listened ({status}){}", self.name, self.last_words());
            }
            text.extend_from_slice(&some[..count]);
        }
        let line = String::from_utf8_lossy(&text);
        let address = line.lines().next().and_then(|line| line.strip_prefix("listening on "));
        address.and_then(|address| address.parse().ok()).ok_or_else(|| {
            anyhow!("{} said {line:?} and not `listening on <address>:<port>`", self.name)
        })
    }

    /// The end of what it wrote to standard error, to stand behind a message.
    fn last_words(&self) -> String {
        let length = self.stderr.metadata().map_or(0, |metadata| metadata.len());
        let from = length.saturating_sub(LAST_WORDS);
        let mut bytes = vec![0; (length - from) as usize];
        match self.stderr.read_exact_at(&mut bytes, from) {
            Ok(()) if !bytes.is_empty() => {
                format!("; it said: {}", String::from_utf8_lossy(&bytes).trim_end())
            }
            _ => "; it said nothing".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<Server> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        Server::start("the server", Path::new("/bin/sh"), &arguments)
    }

    #[test]
    fn a_server_that_can_t_start_is_quoted() {
        let script = "echo 'error: cannot listen on 127.0.0.1:1: Permission denied' >&2; exit 1";
        let message = start(script).unwrap_err().to_string();
        assert!(message.contains("the server ended before it listened"), "{message}");
        assert!(message.contains("exit status: 1"), "{message}");
        assert!(message.contains("Permission denied"), "{message}");
    }

    #[test]
    fn a_server_that_says_something_else_is_not_taken_for_ready() {
        let message = start("echo hello; exec sleep 60").unwrap_err().to_string();
        assert!(message.contains(r#"said "hello\n""#), "{message}");
    }

    #[test]
    fn a_server_that_ended_in_between_is_no_clean_end() {
        let server = start("echo listening on 127.0.0.1:1; echo oh no >&2; exit 3").unwrap();
        assert!(server.child.ends_within(Duration::from_secs(10)).unwrap());
        let message = server.stop(Duration::ZERO).unwrap_err().to_string();
        assert!(message.contains("exit status: 3") && message.contains("oh no"), "{message}");
    }

    #[test]
    fn a_server_that_runs_has_memory_and_uses_cpu_and_ends_on_sigterm() {
        let script = "trap 'exit 0' TERM; echo listening on 127.0.0.1:1; while :; do :; done";
        let server = start(script).unwrap();
        let memory = server.memory().unwrap();
        assert!(memory.resident > 0 && memory.peak >= memory.resident, "{memory:?}");
        assert!(memory.anonymous > 0 && memory.anonymous < memory.resident, "{memory:?}");
        let before = server.cpu().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.cpu().unwrap() == before {
            assert!(Instant::now() < deadline, "it spins, so its clock must go on");
        }
        server.stop(Duration::ZERO).unwrap();
    }
}
