//! The command line of the harness.

use crate::case::{Expectation, Rung};
use crate::limits::Limits;
use crate::matrix::{self, Verdicts};
use crate::museum::tour::Tour;
use crate::report::{RunReport, human, json, junit, tap};
use crate::rows::{self, TableRow};
use crate::runner::{self, Options};
use crate::soak::command::Soak;
use crate::target::Target;
use crate::which::Which;
use crate::{cases, notes, proof, rungs, selector};
use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::sync::Arc;

/// Exit status: all as expected.
pub const OK: u8 = 0;
/// Exit status: a rule was broken, or a criterion is not met.
pub const BROKEN_RULE: u8 = 1;
/// Exit status: wrong usage, or a fault of the harness.
pub const FAULT: u8 = 2;
/// Exit status: the server did not build or start.
pub const NO_SERVER: u8 = 3;

/// Judges a server by the contract.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 all as expected, 1 a rule was broken, \
    2 usage or a fault of the harness, 3 the server did not build or start."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the cases against a server
    Check(Box<Check>),
    /// List every case: id, first rung, path, rule
    List {
        /// Ids, or parts of paths
        selectors: Vec<String>,
    },
    /// Run the cases against each bug of the museum: its own cases must fail, and no others
    Museum(Tour),
    /// Run cases against a server of this workspace and show which rows of the transition table
    /// each of them takes
    Rows {
        /// Ids, or parts of paths; all cases if there are none
        selectors: Vec<String>,
        #[arg(long, value_name = "RUNG", default_value = "w04")]
        rung: String,
    },
    /// Run the cases that show what each rung adds, on every server of this workspace
    Matrix {
        /// Keep the verdicts, and bring the notes up to date
        #[arg(long)]
        write: bool,
    },
    /// Bring the generated parts of the workspace's notes up to date
    Notes,
    /// Load a server for a long time with fifty mixed clients, with a storm and a stop on the way, and
    /// report on it (day 6)
    Soak(Box<Soak>),
    /// Check the pass criteria of a day, and print what its quest asks to paste
    Proof {
        /// The day
        #[arg(value_parser = proof::DAYS)]
        day: String,
    },
}

#[derive(Debug, Args)]
struct Check {
    /// Ids, or parts of paths; all cases if there are none
    selectors: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// The process id of the server at --addr, so that /proc can be read
    #[arg(long, requires = "addr")]
    pid: Option<i32>,
    /// The rung whose expectations apply to --cmd and --addr
    #[arg(long = "as", value_name = "RUNG", default_value = "day2", conflicts_with = "rung",
          value_parser = rung_name)]
    expected_as: Rung,
    /// A server of this workspace to compare --cmd or --addr with, for the cases that do
    #[arg(long, value_name = "RUNG", conflicts_with = "rung")]
    reference: Option<String>,
    /// Which options the server takes
    #[arg(long, value_enum, default_value_t = Flags::Contract)]
    flags: Flags,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Cases at the same time
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Bring the random cases of an earlier run back
    #[arg(long)]
    seed: Option<u64>,
    /// Run each case this often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Stop after the first round with a failure; without --repeat, go on until then
    #[arg(long)]
    until_fail: bool,
    /// Stretch every limit, for slow machines
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    timeout_multiplier: f64,
    /// No limit ever strikes, for debuggers
    #[arg(long)]
    no_timeouts: bool,
    /// Print each server's pid and wait for Enter
    #[arg(long)]
    wait_server: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flags {
    /// Those of the contract
    Contract,
    /// None: cases that need one are skipped
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Junit,
    Tap,
}

fn rung_name(name: &str) -> Result<Rung, String> {
    let known = Rung::ALL.map(Rung::name).join(", ");
    let found = Rung::ALL.into_iter().find(|rung| rung.name() == name);
    found.ok_or_else(|| format!("not one of {known}"))
}

pub(crate) fn factor(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let sensible = (0.01..=1000.0).contains(&number);
    sensible.then_some(number).ok_or_else(|| "not between 0.01 and 1000".to_owned())
}

/// Does what the command line asks for, and returns the exit status.
///
/// # Errors
/// Wrong usage, or a fault of the harness: exit status [`FAULT`].
pub fn run(cli: Cli) -> Result<u8> {
    match cli.command {
        Action::List { selectors } => list(&selectors),
        Action::Check(check) => check.run(),
        Action::Soak(soak) => soak.run(),
        Action::Museum(tour) => Ok(if tour.run()? { OK } else { BROKEN_RULE }),
        Action::Rows { selectors, rung } => show_rows(&selectors, &rung),
        Action::Matrix { write } => show_matrix(write),
        Action::Notes => {
            notes::update()?;
            Ok(OK)
        }
        Action::Proof { day } => Ok(if proof::prove(&day)? { OK } else { BROKEN_RULE }),
    }
}

fn list(selectors: &[String]) -> Result<u8> {
    for case in selector::select(cases::all(), selectors)? {
        println!("{} {:<5} {:<55} {}", case.id, case.since.name(), case.path, case.rule);
    }
    Ok(OK)
}

fn show_matrix(write: bool) -> Result<u8> {
    let (servers, chosen) = (rungs::discover()?, matrix::cases());
    let mut verdicts = Verdicts::default();
    for (server, target) in servers.iter().zip(rungs::build_targets(&servers)?) {
        let report = runner::run(&chosen, &Arc::new(target), &Options::default(), |_| ());
        eprint!("{}", human::summary(&report));
        verdicts.add(server, &report);
    }
    let (table, good) = matrix::render(&servers, &verdicts)?;
    print!("{table}");
    if write {
        verdicts.keep()?;
        notes::update()?;
    }
    Ok(if good { OK } else { BROKEN_RULE })
}

fn show_rows(selectors: &[String], rung: &str) -> Result<u8> {
    let chosen = selector::select(cases::all(), selectors)?;
    let target = Arc::new(rungs::build_target(&rungs::find(&rungs::discover()?, rung)?)?);
    let table = rows::table()?;
    let names: Vec<String> = table.iter().flat_map(TableRow::names).map(|(name, _)| name).collect();
    // The servers write far more than usual.
    let limits = Limits { multiplier: 3.0, ..Limits::default() };
    let report = runner::run(
        &chosen,
        &target,
        &Options { rows: true, limits, ..Options::default() },
        |_| (),
    );
    let in_order = |taken: &dyn Fn(&String) -> bool| {
        let taken: Vec<&str> =
            names.iter().filter(|name| taken(name)).map(|n| n.as_str()).collect();
        taken.join(" ")
    };
    for case in &report.cases {
        println!("{} {:<55} {}", case.id, case.path, in_order(&|name| case.rows.contains(name)));
    }
    let unseen = |name: &String| !report.cases.iter().any(|case| case.rows.contains(name));
    println!("\ntaken by none of them: {}", in_order(&unseen));
    print!("{}", human::summary(&report));
    Ok(report.exit_status())
}

impl Check {
    fn run(&self) -> Result<u8> {
        let chosen = selector::select(cases::all(), &self.selectors)?;
        let options = self.options();
        let target = match self.target()? {
            Ok(target) => Arc::new(target),
            Err(build_problem) => {
                eprintln!("BUILD FAILURE\n  {build_problem:#}");
                return Ok(NO_SERVER);
            }
        };
        let applies =
            |rung| chosen.iter().any(|case| case.expectation(rung) != Expectation::NotApplicable);
        if !applies(target.rung) {
            bail!("none of the chosen cases applies to {}", target.rung);
        }
        if let Err(failure) = runner::preflight(&target, &options) {
            eprint!("{}", human::bare_failure(&failure));
            return Ok(if failure.class == crate::verdict::Class::HarnessFault {
                FAULT
            } else {
                NO_SERVER
            });
        }
        let report = runner::run(&chosen, &target, &options, |case| {
            if self.format == Format::Human {
                println!("{}", human::line(case));
            }
        });
        print!("{}", self.render(&report)?);
        Ok(report.exit_status())
    }

    fn render(&self, report: &RunReport) -> Result<String> {
        Ok(match self.format {
            Format::Human => human::summary(report),
            Format::Json => json::render(report)?,
            Format::Junit => junit::render(report)?,
            Format::Tap => tap::render(report),
        })
    }

    fn options(&self) -> Options {
        let defaults = Options::default();
        Options {
            jobs: self.jobs,
            seed: self.seed.unwrap_or(defaults.seed),
            repeat: self.repeat,
            until_fail: self.until_fail,
            limits: Limits {
                multiplier: self.timeout_multiplier,
                // Whoever waits for Enter attaches a debugger.
                disabled: self.no_timeouts || self.wait_server,
            },
            wait_for_enter: self.wait_server,
            ..defaults
        }
    }

    /// The target; the inner error is a rung that does not compile.
    fn target(&self) -> Result<Result<Target>> {
        let mut target = match self.which.target(self.pid, self.expected_as)? {
            Ok(target) => target,
            Err(build_problem) => return Ok(Err(build_problem)),
        };
        if self.which.rung.is_none() {
            target.replay.push_str(&format!(" --as {}", self.expected_as));
        }
        if let Some(name) = &self.reference {
            let server = rungs::find(&rungs::discover()?, name)?;
            match rungs::build_target(&server) {
                Ok(reference) => target.reference = Some(Arc::new(reference)),
                Err(build_problem) => return Ok(Err(build_problem)),
            }
            target.replay.push_str(&format!(" --reference {name}"));
        }
        Ok(Ok(self.with_flags(target)))
    }

    fn with_flags(&self, mut target: Target) -> Target {
        if self.flags == Flags::None {
            target.takes_flags = false;
            target.replay.push_str(" --flags none");
        }
        target
    }
}
