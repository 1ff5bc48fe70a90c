//! Starting a server in every way that a case needs.

use crate::autopsy;
use crate::judge::Judge;
use crate::limits;
use crate::port::PortLease;
use crate::process::OwnedProcess;
use crate::readiness::{self, NotReady};
use crate::rows::RowCollector;
use crate::scene::Scene;
use crate::server::{Running, Server};
use crate::target::{Invocation, Origin};
use crate::verdict::{CaseResult, Class, Failure, Stop};
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A start in preparation; see [`Judge::launch`].
///
/// ```no_run
/// # fn case(judge: &harness::judge::Judge) -> harness::verdict::CaseResult {
/// let server = judge
///     .launch()
///     .flags(&["--max-connections", "10"])
///     .env("RUST_LOG", "debug")
///     .descriptor_limit(64)
///     .start()?;
///
/// let ended = judge.launch().flags(&["--workers", "0"]).run_to_exit()?;
/// judge.equal("exit status", Some(2), ended.status.code())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing starts before `start` or `run_to_exit`"]
pub struct Launch<'a> {
    judge: &'a Judge,
    how: Invocation,
    port: PortChoice,
}

#[derive(Debug, Clone, Copy)]
enum PortChoice {
    Own,
    Given(u16),
    Absent,
}

/// A server program that ran to its end.
#[derive(Debug, Clone)]
pub struct Exited {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl<'a> Launch<'a> {
    pub(crate) fn new(judge: &'a Judge) -> Self {
        Self { judge, how: Invocation::default(), port: PortChoice::Own }
    }

    /// Options of contract section 2 in the words of week 5: `--workers` is the pool that runs tasks,
    /// whatever the judged rung calls it ([`Rung::pool_option`](crate::case::Rung::pool_option)).
    pub fn flags(self, flags: &[&str]) -> Self {
        let pool = self.judge.rung().pool_option();
        let words: Vec<&str> =
            flags.iter().map(|word| if *word == "--workers" { pool } else { *word }).collect();
        self.arguments(&words)
    }

    /// Options as the judged rung itself understands them.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.how.flags.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// A variable of the environment. `RUST_LOG` is unset otherwise.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.how.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The soft and the hard limit of open descriptors, in force before the server exists.
    pub fn descriptor_limit(mut self, limit: u64) -> Self {
        self.how.descriptor_limit = Some(limit);
        self
    }

    /// This port instead of a fresh one. With 0 the server chooses, and [`Server::address`] says
    /// which one it chose.
    pub fn port(mut self, port: u16) -> Self {
        self.port = PortChoice::Given(port);
        self
    }

    /// No port at all on the command line.
    pub fn without_port(mut self) -> Self {
        self.port = PortChoice::Absent;
        self
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    /// It ended first or did not listen in time ([`Class::DidNotStart`]); a skip if the target
    /// takes no options.
    pub fn start(self) -> CaseResult<Server> {
        let scene = Arc::clone(&self.judge.scene);
        if let Origin::Running { address, pid } = self.judge.target.origin {
            self.refuse_what_needs_a_start()?;
            let running = Arc::new(Running::existing(address, pid));
            scene.add_server(Arc::clone(&running));
            return Ok(Server::new(running, scene));
        }
        let (process, lease) = self.spawn()?;
        let port = match self.port {
            PortChoice::Own => lease.as_ref().map_or(0, PortLease::number),
            PortChoice::Given(port) => port,
            PortChoice::Absent => 0,
        };
        let limit = scene.limits.scale(limits::START);
        let started = Instant::now();
        let ready = scene.start_within(limit, || readiness::wait(&process, port, limit));
        let listening = ready.map_err(|problem| {
            let seen = match problem {
                NotReady::Unknown(stop) => return stop,
                NotReady::Seen(seen) => seen,
            };
            did_not_start(&scene, &process, port, (started.elapsed(), limit), &seen)
        })?;
        if self.judge.wait_for_enter {
            let shown = &process.command;
            eprintln!("server pid {}: {shown}\npress Enter to go on", listening.pid);
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        let running = Arc::new(Running::started(process, lease, listening));
        scene.add_server(Arc::clone(&running));
        Ok(Server::new(running, scene))
    }

    /// Starts the program and waits until it ends on its own, as after bad options.
    ///
    /// # Errors
    /// It still ran after 5 s, which breaks the rule.
    pub fn run_to_exit(self) -> CaseResult<Exited> {
        let (process, _lease) = self.spawn()?;
        let scene = &self.judge.scene;
        let limit = scene.limits.scale(limits::START).min(self.judge.remaining());
        let started = Instant::now();
        let Some(status) = process.wait(limit) else {
            let mut failure = Failure::new(
                Class::BrokenRule,
                format!("`{}` to end on its own", process.command),
                "it still runs",
            );
            failure.autopsies.push(autopsy::examine(
                &process.command,
                Some(process.pid()),
                Some(&process),
            ));
            scene.complete(&mut failure, Some((started.elapsed(), limit)));
            process.end();
            return Err(failure.into());
        };
        process.stdout.wait_for_end(limits::END);
        process.stderr.wait_for_end(limits::END);
        Ok(Exited { status, stdout: process.stdout.text(), stderr: process.stderr.text() })
    }

    fn refuse_what_needs_a_start(&self) -> CaseResult {
        if !self.how.flags.is_empty() && !self.judge.target.takes_flags {
            return Err(Stop::skip("needs a server that takes options"));
        }
        let plain = self.how.environment.is_empty()
            && self.how.descriptor_limit.is_none()
            && matches!(self.port, PortChoice::Own);
        let running = matches!(self.judge.target.origin, Origin::Running { .. });
        if running && !(plain && self.how.flags.is_empty()) {
            return Err(Stop::skip("needs a server that the harness starts"));
        }
        Ok(())
    }

    fn spawn(&self) -> CaseResult<(OwnedProcess, Option<PortLease>)> {
        self.refuse_what_needs_a_start()?;
        let mut how = self.how.clone();
        // A case that wants a certain log gets it, and may show fewer rows.
        let logs = how.environment.iter().any(|(name, _)| name == "RUST_LOG");
        if self.judge.scene.rows.is_some() && !logs {
            how.environment.push(("RUST_LOG".to_owned(), "trace".to_owned()));
        }
        let mut lease = None;
        how.port = match self.port {
            PortChoice::Own => {
                let taken = PortLease::take().map_err(|e| {
                    skip_if_exhausted(&e).unwrap_or_else(|| Stop::fault("a free port", e))
                })?;
                let number = taken.number();
                lease = Some(taken);
                Some(number)
            }
            PortChoice::Given(port) => Some(port),
            PortChoice::Absent => None,
        };
        let Some((command, shown)) = self.judge.target.command(&how) else {
            return Err(Stop::skip("needs a server that the harness starts"));
        };
        let rows = self.judge.scene.rows.as_ref().map(RowCollector::reader);
        let process = OwnedProcess::start(command, shown, rows).map_err(|error| {
            skip_if_exhausted(&error).unwrap_or_else(|| {
                let actual = format!("{error:#}");
                Failure::new(Class::DidNotStart, "the program to start", actual).into()
            })
        })?;
        Ok((process, lease))
    }
}

fn skip_if_exhausted(error: &anyhow::Error) -> Option<Stop> {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>())?;
    limits::exhausted(cause).map(Stop::skip)
}

fn did_not_start(
    scene: &Scene,
    process: &OwnedProcess,
    port: u16,
    wait: (Duration, Duration),
    seen: &str,
) -> Stop {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let expected = match port {
        0 => format!("a listening socket within {:.1?}", wait.1),
        _ => format!("a listening socket on {address} within {:.1?}", wait.1),
    };
    let mut failure = Failure::new(Class::DidNotStart, expected, seen);
    failure.autopsies.push(autopsy::examine(&process.command, Some(process.pid()), Some(process)));
    scene.complete(&mut failure, Some(wait));
    process.end();
    failure.into()
}
