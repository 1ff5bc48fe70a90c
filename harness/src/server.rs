//! A running server, as a case sees it.

use crate::autopsy::{self, ServerAutopsy};
use crate::bystanders::Bystanders;
use crate::client::Client;
use crate::connect::Connect;
use crate::inspect::Process;
use crate::limits;
use crate::port::PortLease;
use crate::process::{OwnedProcess, describe};
use crate::readiness::{self, Listening};
use crate::scene::Scene;
use crate::stats::Stats;
use crate::verdict::{CaseResult, Class, Failure, Stop};
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;

/// A server that listens. Copies are handles to the same process, which is ended when the case
/// is over.
#[derive(Debug, Clone)]
pub struct Server {
    running: Arc<Running>,
    pub(crate) scene: Arc<Scene>,
}

impl Server {
    pub(crate) fn new(running: Arc<Running>, scene: Arc<Scene>) -> Self {
        Self { running, scene }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// The address its listening socket is bound to, as `/proc/PID/net/tcp` has it: `0.0.0.0` where
    /// [`Server::address`] is loopback, because a client cannot connect to that.
    ///
    /// # Errors
    /// A skip if the harness did not start the server.
    pub fn bound_address(&self) -> CaseResult<SocketAddr> {
        let bound = self.running.bound;
        bound.ok_or_else(|| Stop::skip("needs a server that the harness starts"))
    }

    /// Refuses a server that is a child of the command: signals and the end of the case would
    /// reach the wrapper only.
    pub(crate) fn refuse_a_wrapper(&self) -> CaseResult {
        let (started, listens) = (self.owned()?.pid(), self.pid()?);
        if started == listens {
            return Ok(());
        }
        let actual = format!(
            "the command starts the server as a child (pid {listens}): give the server itself, \
             or use `exec`"
        );
        let expected = "the command to be the server that listens";
        Err(Failure::new(Class::DidNotStart, expected, actual).into())
    }

    /// Connects a client with the usual options.
    ///
    /// # Errors
    /// The connection was refused or not made in time.
    pub fn client(&self) -> CaseResult<Client> {
        self.connect().open()
    }

    /// Prepares a client with a name, a tiny receive buffer, another read limit.
    pub fn connect(&self) -> Connect<'_> {
        Connect::new(self)
    }

    /// Opens one silent and one half-sent client, which every test of concurrency keeps open: a
    /// server that serves one client after the other hangs on them.
    ///
    /// # Errors
    /// As [`Server::client`].
    pub fn bystanders(&self) -> CaseResult<Bystanders> {
        Bystanders::new(self)
    }

    /// Asks for `stats` on a connection of its own.
    ///
    /// # Errors
    /// No well-formed reply.
    pub fn stats(&self) -> CaseResult<Stats> {
        self.connect().named("stats").open()?.stats()
    }

    /// The server's process in `/proc`.
    ///
    /// # Errors
    /// A skip if its id is not known; a crash if it is gone.
    pub fn process(&self) -> CaseResult<Process> {
        Process::new(self.pid()?)
    }

    /// The id of the process that listens.
    ///
    /// # Errors
    /// A skip if it is not known.
    pub fn pid(&self) -> CaseResult<i32> {
        self.running.pid.ok_or_else(|| Stop::skip("needs the process id (`--pid`)"))
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.running.process.as_ref().map_or_else(String::new, |process| process.stdout.text())
    }

    /// What it has logged (standard error) so far, and all of it once it has ended; the last 4 MiB.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.process.as_ref().map_or_else(String::new, |process| {
            if process.exit_status().is_some() {
                process.stderr.wait_for_end(limits::END);
            }
            process.stderr.text()
        })
    }

    /// Waits for the line `listening on …` on standard output: from then on signals are handled.
    ///
    /// # Errors
    /// It did not come within 2 s.
    pub fn wait_for_ready_line(&self) -> CaseResult {
        let output = &self.owned()?.stdout;
        let limit = self.scene.limits.scale(limits::READ);
        let started = Instant::now();
        let text = "listening on ";
        // A whole line: the text alone may still be in the middle of being written.
        let has_line = |all: &str| all.find(text).is_some_and(|at| all[at..].contains('\n'));
        if output.wait_for(limit, has_line) {
            return Ok(());
        }
        let actual = format!("{:?}", output.last_lines(10));
        let wait = Some((started.elapsed(), limit));
        Err(self.scene.broken(format!("standard output to say {text:?}"), actual, None, wait))
    }

    /// Sends a signal to the process that was started. Unless it is STOP or CONT, the server may
    /// end from now on without that being a crash.
    ///
    /// # Errors
    /// A skip if the harness did not start the server.
    pub fn signal(&self, signal: Signal) -> CaseResult {
        let process = self.owned()?;
        if signal != Signal::STOP && signal != Signal::CONT {
            self.running.expect_end();
        }
        process.signal(signal);
        Ok(())
    }

    /// Stops the server (SIGSTOP) and waits until it is stopped.
    ///
    /// # Errors
    /// As [`Server::signal`].
    pub fn pause(&self) -> CaseResult {
        self.signal(Signal::STOP)?;
        let process = self.process()?;
        let deadline = Instant::now() + self.scene.limits.scale(limits::READ);
        while process.threads()?.iter().any(|thread| thread.state != 'T') {
            if Instant::now() >= deadline {
                return Err(Stop::fault("the server to stop after SIGSTOP", "it still runs"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets a stopped server go on (SIGCONT).
    ///
    /// # Errors
    /// As [`Server::signal`].
    pub fn resume(&self) -> CaseResult {
        self.signal(Signal::CONT)
    }

    /// Waits until the server has ended and returns how.
    ///
    /// # Errors
    /// It still ran after `limit`, which breaks the rule.
    pub fn wait_exit(&self, limit: Duration) -> CaseResult<ExitStatus> {
        let process = self.owned()?;
        self.running.expect_end();
        let left = self.scene.deadline().saturating_duration_since(Instant::now());
        let limit = self.scene.limits.scale(limit).min(left);
        let started = Instant::now();
        process.wait(limit).ok_or_else(|| {
            let wait = Some((started.elapsed(), limit));
            self.scene.broken("the server to end", "it still runs", None, wait)
        })
    }

    /// Waits for the end and requires exit status 0.
    ///
    /// # Errors
    /// It still ran after `limit`, or ended in another way.
    pub fn expect_clean_exit(&self, limit: Duration) -> CaseResult {
        let status = self.wait_exit(limit)?;
        if status.success() {
            return Ok(());
        }
        Err(self.scene.broken("exited with status 0", describe(status), None, None))
    }

    fn owned(&self) -> CaseResult<&OwnedProcess> {
        let process = self.running.process.as_ref();
        process.ok_or_else(|| Stop::skip("needs a server that the harness starts"))
    }
}

/// The words for an exit status: `exited with status 1`, `killed by signal 15 (SIGTERM)`.
#[must_use]
pub fn describe_exit(status: ExitStatus) -> String {
    describe(status)
}

/// The server itself, shared by the handles and the runner.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    bound: Option<SocketAddr>,
    pid: Option<i32>,
    process: Option<OwnedProcess>,
    lease: Option<PortLease>,
    end_expected: AtomicBool,
}

impl Running {
    pub(crate) fn started(
        process: OwnedProcess,
        lease: Option<PortLease>,
        listening: Listening,
    ) -> Self {
        Self {
            address: listening.address(),
            bound: Some(listening.bound),
            pid: Some(listening.pid),
            process: Some(process),
            lease,
            end_expected: AtomicBool::new(false),
        }
    }

    pub(crate) fn existing(address: SocketAddr, pid: Option<i32>) -> Self {
        let end_expected = AtomicBool::new(false);
        Self { address, bound: None, pid, process: None, lease: None, end_expected }
    }

    fn expect_end(&self) {
        self.end_expected.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end_is_expected(&self) -> bool {
        self.end_expected.load(Ordering::Relaxed)
    }

    /// How it ended, if it did so without being asked to.
    pub(crate) fn crash(&self) -> Option<String> {
        let status = self.process.as_ref()?.exit_status()?;
        (!self.end_is_expected()).then(|| describe(status))
    }

    pub(crate) fn autopsy(&self) -> ServerAutopsy {
        let command = match &self.process {
            Some(process) => process.command.clone(),
            None => format!("(already ran on {})", self.address),
        };
        autopsy::examine(&command, self.pid, self.process.as_ref())
    }

    /// Kills the server if the harness started it, and waits for the end of its log.
    pub(crate) fn kill(&self) {
        if let Some(process) = &self.process {
            self.expect_end();
            process.signal(Signal::KILL);
            process.stderr.wait_for_end(limits::START);
        }
    }

    /// Ends the server if the harness started it, and says what survived, which is an error.
    pub(crate) fn end(&self) -> Option<String> {
        let process = self.process.as_ref()?;
        self.expect_end();
        process.end().or_else(|| {
            // Only the port of a lease is certainly the server's and nobody else's.
            let port = self.lease.as_ref()?.number();
            readiness::is_held(port)
                .then(|| format!("the server ended and port {port} is still held"))
        })
    }
}
