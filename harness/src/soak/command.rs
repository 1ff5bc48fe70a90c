//! The command line of the soak.

use super::record::Verdict;
use super::{Plan, report, section};
use crate::case::Rung;
use crate::cli::{BROKEN_RULE, FAULT, NO_SERVER, OK, factor};
use crate::inspect::Process;
use crate::limits::Limits;
use crate::readiness;
use crate::report::human;
use crate::runner::{self, Options};
use crate::target::Origin;
use crate::verdict::{Class, Stop};
use crate::which::Which;
use anyhow::{Result, bail};
use clap::Args;
use rustix::process::{Resource, getrlimit};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The shortest run in which everything has a place.
const SHORTEST: Duration = Duration::from_secs(6);
/// Descriptors that the server may open, and clients of the storm, unless something else is asked for.
const DESCRIPTORS: u64 = 128;
const STORM: u16 = 300;
/// Connections besides the storm: the fifty and the observer.
const CLIENTS: u64 = 51;
/// Descriptors that the harness has for other things than clients, at most.
const SPARE: u64 = 40;

#[derive(Debug, Args)]
pub(crate) struct Soak {
    #[command(flatten)]
    which: Which,
    /// The process id of the server at --addr, so that /proc can be read
    #[arg(long)]
    pid: Option<i32>,
    /// How long the load lasts: 8s, 2m, 30m
    #[arg(long, default_value = "1m", value_parser = duration)]
    duration: Duration,
    /// Put the run into this report (without FILE: notes/day6-soak-report.md), and its data and
    /// pictures into a folder beside it
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = report::NOTE)]
    report: Option<PathBuf>,
    /// Bring the random requests of an earlier run back
    #[arg(long)]
    seed: Option<u64>,
    /// Descriptors that the server may open
    #[arg(long, value_name = "N", default_value_t = DESCRIPTORS, value_parser = clap::value_parser!(u64).range(80..=4096))]
    descriptors: u64,
    /// Clients of the storm
    #[arg(long, value_name = "N", default_value_t = STORM, value_parser = clap::value_parser!(u16).range(1..=1000))]
    storm: u16,
    /// Stretch every limit, for slow machines
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    timeout_multiplier: f64,
}

/// Digits and a unit, as the servers' own options have it.
fn duration(text: &str) -> Result<Duration, String> {
    let (unit, of) = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]
        .into_iter()
        .find(|(unit, _)| text.ends_with(unit))
        .ok_or("needs a unit: 30s, 30m, 1h")?;
    let number: u32 =
        text.trim_end_matches(unit).parse().map_err(|_| "not a whole number and a unit")?;
    let duration = Duration::from_secs_f64(f64::from(number) * of);
    if (SHORTEST..=Duration::from_secs(24 * 3600)).contains(&duration) {
        return Ok(duration);
    }
    Err(format!("not between {SHORTEST:?} and 24h"))
}

impl Soak {
    pub(crate) fn run(&self) -> Result<u8> {
        self.refuse_what_cannot_work()?;
        let report = self.report.as_deref().map(|path| {
            if path == Path::new(report::NOTE) { report::note() } else { path.to_owned() }
        });
        if let Some(path) = &report {
            report::prepare(path)?;
        }
        let target = match self.which.target(self.pid, Rung::Day2)? {
            Ok(target) => Arc::new(target),
            Err(build_problem) => {
                eprintln!("BUILD FAILURE\n  {build_problem:#}");
                return Ok(NO_SERVER);
            }
        };
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
        let limits = Limits { multiplier: self.timeout_multiplier, disabled: false };
        let command = self.again(&target.replay, seed);
        if let Origin::Running { address, pid } = target.origin {
            let options = Options { limits, ..Options::default() };
            if let Err(failure) = runner::preflight(&target, &options) {
                eprint!("{}", human::bare_failure(&failure));
                return Ok(status_of(failure.class));
            }
            if let Some(pid) = pid {
                refuse_another_process(pid, address.port())?;
            }
        }
        let plan = Plan {
            duration: self.duration,
            descriptor_limit: self.descriptors,
            storm: self.storm.into(),
            seed,
            limits,
            command,
        };
        let result = super::run(&target, &plan, &mut |line| {
            eprintln!("{} {}", section::clock(line.at_s), line.text);
        });
        let record = match result {
            Ok(record) => record,
            Err(Stop::Skip(reason)) => bail!("{reason}"),
            Err(Stop::Fail(failure)) => {
                eprint!("{}", human::bare_failure(&failure));
                return Ok(status_of(failure.class));
            }
        };
        print!("{}", section::text(&record));
        if let Some(path) = &report {
            report::write(path, &record)?;
            eprintln!("the report: {}", path.display());
        }
        let failed = record.criteria.iter().filter(|c| c.verdict == Verdict::Fail).count();
        eprintln!("{} of {} criteria failed", failed, record.criteria.len());
        Ok(if record.passed() { OK } else { BROKEN_RULE })
    }

    /// What would be noticed only in the middle of the run.
    fn refuse_what_cannot_work(&self) -> Result<()> {
        let (descriptors, storm) = (self.descriptors, u64::from(self.storm));
        let starts_it = self.which.starts_the_server();
        if self.pid.is_some() && starts_it {
            bail!("--pid is for a server that already runs (--addr)");
        }
        if starts_it && storm + CLIENTS <= descriptors {
            bail!(
                "a storm of {storm} is none for a server that may open {descriptors} descriptors: \
                 give --storm more, or --descriptors less"
            );
        }
        let needed = storm + CLIENTS + SPARE;
        match getrlimit(Resource::Nofile).current {
            Some(most) if most < needed => bail!(
                "the harness may open only {most} descriptors (ulimit -n) and needs {needed} for its \
                 clients"
            ),
            _ => Ok(()),
        }
    }

    /// The command that makes this run again.
    fn again(&self, server: &str, seed: u64) -> String {
        let duration = match self.duration.as_millis() {
            whole if whole.is_multiple_of(1000) => format!("{}s", whole / 1000),
            odd => format!("{odd}ms"),
        };
        let mut command = format!(
            "cargo run --release -p harness -- soak {server} --duration {duration} --seed {seed}"
        );
        let factor = self.timeout_multiplier;
        let others = [
            ("--descriptors", self.descriptors.to_string(), DESCRIPTORS.to_string()),
            ("--storm", self.storm.to_string(), STORM.to_string()),
            ("--timeout-multiplier", factor.to_string(), 1.0.to_string()),
        ];
        for (option, value, default) in others {
            if value != default {
                command.push_str(&format!(" {option} {value}"));
            }
        }
        command
    }
}

/// The memory and the descriptors of another process would be taken for the server's.
fn refuse_another_process(pid: i32, port: u16) -> Result<()> {
    let may_look = Process::new(pid).and_then(|process| process.descriptors());
    match (readiness::listener_of(pid, port), may_look) {
        (_, Err(Stop::Fail(_))) => bail!("--pid {pid}: there is no such process"),
        (Ok(None), Ok(_)) => bail!("--pid {pid}: this process does not listen on port {port}"),
        (Ok(Some(found)), _) if found.pid != pid => {
            bail!("--pid {pid}: it is process {} that listens on port {port}", found.pid)
        }
        _ => Ok(()),
    }
}

fn status_of(class: Class) -> u8 {
    match class {
        Class::HarnessFault => FAULT,
        Class::BrokenRule => BROKEN_RULE,
        Class::BuildFailure | Class::DidNotStart | Class::ServerCrash => NO_SERVER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_not_taken_for_the_server() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = std::process::id().cast_signed();
        refuse_another_process(own, port).unwrap();
        let problem = |pid| refuse_another_process(pid, port).unwrap_err().to_string();
        assert_eq!(problem(i32::MAX), format!("--pid {}: there is no such process", i32::MAX));
        drop(listener);
        assert!(problem(own).ends_with(&format!("does not listen on port {port}")));
    }

    #[test]
    fn a_duration_is_digits_and_a_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("8s"), Ok(Duration::from_secs(8)));
        assert_eq!(duration("6500ms"), Ok(Duration::from_millis(6500)));
        for wrong in ["30", "m", "1.5m", "5s", "25h", "-8s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
