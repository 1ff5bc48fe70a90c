//! The command line of the soak.

use super::record::Verdict;
use super::{Plan, report, section};
use crate::case::Rung;
use crate::cli::{BROKEN_RULE, FAULT, NO_SERVER, OK, factor};
use crate::limits::Limits;
use crate::report::human;
use crate::verdict::{Class, Stop};
use crate::which::Which;
use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The shortest run in which everything has a place.
const SHORTEST: Duration = Duration::from_secs(6);

#[derive(Debug, Args)]
pub(crate) struct Soak {
    #[command(flatten)]
    which: Which,
    /// The process id of the server at --addr, so that /proc can be read
    #[arg(long, requires = "addr")]
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
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u64).range(80..=4096))]
    descriptors: u64,
    /// Clients of the storm
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..=1000))]
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
        let target = match self.which.target(self.pid, Rung::Day2)? {
            Ok(target) => Arc::new(target),
            Err(build_problem) => {
                eprintln!("BUILD FAILURE\n  {build_problem:#}");
                return Ok(NO_SERVER);
            }
        };
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
        let seconds = self.duration.as_secs();
        let command = format!(
            "cargo run --release -p harness -- soak {} --duration {seconds}s --seed {seed}",
            target.replay
        );
        let limits = Limits { multiplier: self.timeout_multiplier, disabled: false };
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
                let fault = failure.class == Class::HarnessFault;
                return Ok(if fault { FAULT } else { NO_SERVER });
            }
        };
        print!("{}", report::as_text(&record));
        if let Some(path) = &self.report {
            let path = if path == Path::new(report::NOTE) { report::note() } else { path.clone() };
            report::write(&path, &record)?;
            eprintln!("the report: {}", path.display());
        }
        let failed = record.criteria.iter().filter(|c| c.verdict == Verdict::Fail).count();
        eprintln!("{} of {} criteria failed", failed, record.criteria.len());
        Ok(if record.passed() { OK } else { BROKEN_RULE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
