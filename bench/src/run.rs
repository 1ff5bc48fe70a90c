//! `bench run`: every contender in every scenario, round by round.

use crate::contenders::{self, Contender};
use crate::cores::Cores;
use crate::data::{Calls, Data, Entry, Outcome, Round, Settings};
use crate::machine::Machine;
use crate::measure::{self, Timing};
use crate::programs::{self, Program, TaskPrograms};
use crate::scenario::{Job, Scenario};
use crate::scenarios::{self, SCENARIOS};
use crate::statistics::order;
use crate::{notes, pictures, tables, tasks};
use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to measure, how often, and where to put it.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Only this scenario (again for more; `bench list` names them)
    #[arg(long = "scenario", value_name = "S")]
    pub scenarios: Vec<String>,
    /// Only this contender (again for more; `bench list` names them)
    #[arg(long = "contender", value_name = "C")]
    pub contenders: Vec<String>,
    /// Rounds of each scenario [default: 5]
    #[arg(long, value_name = "N", conflicts_with = "quick")]
    pub rounds: Option<NonZeroU16>,
    /// One short round of everything, to see that it works; its figures mean little
    #[arg(long)]
    pub quick: bool,
    /// Where data and pictures go [default: notes/benchmarks for a whole run, target/benchmarks for
    /// a part of it]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Put what is measured in the place of what the data in the folder has of these scenarios, and
    /// keep the others [default folder: notes/benchmarks]
    #[arg(long, requires = "scenarios", conflicts_with_all = ["contenders", "quick"])]
    pub merge: bool,
}

/// How many rounds, and how long each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Rounds of each scenario.
    pub rounds: usize,
    /// Of each measurement.
    pub timing: Timing,
    /// Whether the system calls are counted.
    pub calls: bool,
}

/// Five rounds are enough to see an outlier; fifteen contenders are through with all scenarios in
/// twenty minutes.
const WHOLE: Effort = Effort {
    rounds: 5,
    timing: Timing { warmup: Duration::from_millis(100), duration: Duration::from_millis(650) },
    calls: true,
};
const QUICK: Effort = Effort {
    rounds: 1,
    timing: Timing { warmup: Duration::from_millis(50), duration: Duration::from_millis(200) },
    calls: false,
};
/// Of the round in which system calls are counted.
const COUNTING: Duration = Duration::from_secs(1);
/// To start a server, connect to it and stop it.
const AROUND: Duration = Duration::from_millis(80);
/// One of the programs that measure timers and tasks, from its start to its end.
const TASKS: Duration = Duration::from_secs(2);
/// For each idle connection beyond that.
const PER_IDLE: Duration = Duration::from_micros(60);

impl Options {
    fn effort(&self) -> Effort {
        match (self.quick, self.rounds) {
            (true, _) => QUICK,
            (false, None) => WHOLE,
            (false, Some(rounds)) => Effort { rounds: rounds.get().into(), ..WHOLE },
        }
    }

    /// What is asked for, scenario by scenario.
    fn jobs(&self) -> Result<Vec<(&'static Scenario, Vec<Job>)>> {
        let only: Vec<&Contender> =
            self.contenders.iter().map(|name| contenders::find(name)).collect::<Result<_>>()?;
        let names = self.scenarios.iter().filter(|name| *name != tasks::NAME);
        let asked: Vec<&'static Scenario> = match self.scenarios.as_slice() {
            [] => SCENARIOS.iter().collect(),
            _ => names.map(|name| scenarios::find(name)).collect::<Result<_>>()?,
        };
        let mut jobs = Vec::new();
        for scenario in asked {
            let mut of = scenario.jobs();
            of.retain(|job| only.is_empty() || only.contains(&job.contender));
            if !of.is_empty() {
                jobs.push((scenario, of));
            }
        }
        if jobs.is_empty() && !self.asks_for_tasks() {
            bail!("none of these contenders takes part in any of these scenarios");
        }
        Ok(jobs)
    }

    /// Whether timers and tasks are measured too.
    fn asks_for_tasks(&self) -> bool {
        match self.scenarios.as_slice() {
            [] => self.contenders.is_empty(),
            names => names.iter().any(|name| name == tasks::NAME),
        }
    }

    fn folder(&self) -> PathBuf {
        let whole = !self.quick && self.scenarios.is_empty() && self.contenders.is_empty();
        match &self.out {
            Some(folder) => folder.clone(),
            None if whole || self.merge => notes::folder(),
            None => programs::workspace().join("target/benchmarks"),
        }
    }
}

/// Measures, keeps what came of it, draws it and prints it. Returns whether every server answered
/// rightly.
///
/// # Errors
/// Nothing could be measured or written at all. What is wrong with one server is told in the tables.
pub fn run(options: &Options) -> Result<bool> {
    let jobs = options.jobs()?;
    let effort = options.effort();
    let folder = options.folder();
    let cores = Cores::choose()?;
    let settings = Settings {
        rounds: effort.rounds,
        warmup: effort.timing.warmup.as_millis() as u64,
        duration: effort.timing.duration.as_millis() as u64,
        cores,
    };
    let older = options.merge.then(|| mergeable(&folder, &settings)).transpose()?;
    Data::make_room(&folder)?;
    eprintln!("building the contenders");
    let mut taking_part: Vec<&'static Contender> = Vec::new();
    for job in jobs.iter().flat_map(|(_, jobs)| jobs) {
        if !taking_part.contains(&job.contender) {
            taking_part.push(job.contender);
        }
    }
    let programs = programs::build(&taking_part)?;
    let task_programs = options.asks_for_tasks().then(TaskPrograms::build).transpose()?;
    let machine = Machine::describe()?;
    let (mut measurements, mut time) = estimate(&jobs, effort);
    if task_programs.is_some() {
        let runs = effort.rounds * 2 * tasks::THREADS.len();
        measurements += runs;
        time += TASKS * runs as u32;
    }
    eprintln!("{measurements} measurements; this will take about {}", in_words(time));

    let (entries, operations, again) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut data = Data { machine, settings, entries, operations, again };
    let bar = ProgressBar::new(measurements as u64);
    bar.set_style(ProgressStyle::with_template(
        "{elapsed} {wide_bar} {pos}/{len}, {eta} left; {msg}",
    )?);
    for (scenario, jobs) in &jobs {
        data.entries.extend(compare(jobs, &programs, cores, effort, &bar));
        let table = tables::of_scenario(&data, scenario);
        // Whoever reads along may have gone; the tables are kept.
        bar.suspend(|| writeln!(stdout(), "{}\n{table}\n", scenario.title)).ok();
    }
    let mut flawless = true;
    if let Some(programs) = task_programs {
        match tasks::measure(&programs, cores, effort.rounds, &bar) {
            Ok(operations) => data.operations = operations,
            Err(error) => {
                bar.suspend(|| eprintln!("error: {}: {error:#}", tasks::NAME));
                flawless = false;
            }
        }
        let table = tasks::table(&data.operations);
        bar.suspend(|| writeln!(stdout(), "{}\n{table}", tasks::TITLE)).ok();
    }
    bar.finish_and_clear();

    flawless &= report_errors(&data);
    let data = match older {
        Some(mut older) => {
            older.replace(data);
            older
        }
        None => data,
    };
    data.write(&folder)?;
    pictures::write(&data, &folder)?;
    if notes::is_ours(&folder) {
        notes::refresh(&data)?;
    }
    eprintln!("data and pictures are in {}", folder.display());
    Ok(flawless)
}

/// The data in the folder, if what is measured now may stand beside it.
fn mergeable(folder: &Path, settings: &Settings) -> Result<Data> {
    let older = Data::read(folder).context("there is nothing to merge with")?;
    if older.settings != *settings {
        bail!("the data in {} was measured with other settings", folder.display());
    }
    Ok(older)
}

/// Measures the jobs of one scenario, round by round.
pub fn compare(
    jobs: &[Job],
    programs: &BTreeMap<&'static str, Program>,
    cores: Cores,
    effort: Effort,
    bar: &ProgressBar,
) -> Vec<Entry> {
    let mut attempts: Vec<Attempt<'_>> =
        jobs.iter().map(|job| Attempt::new(job, &programs[job.contender.program])).collect();
    for index in (0..effort.rounds).flat_map(|round| order(round, jobs.len())) {
        let attempt = &mut attempts[index];
        bar.set_message(attempt.job.to_string());
        attempt.measure(cores, effort.timing);
        bar.inc(1);
    }
    if effort.calls {
        for attempt in attempts.iter_mut().filter(|attempt| attempt.job.scenario.counts_calls()) {
            bar.set_message(format!("{}, system calls", attempt.job));
            attempt.count_calls(cores);
            bar.inc(1);
        }
    }
    attempts.into_iter().map(Attempt::entry).collect()
}

/// One job, as far as it has come.
struct Attempt<'a> {
    job: &'a Job,
    program: &'a Program,
    rounds: Vec<Round>,
    calls: Option<Calls>,
    /// The first error. After it there are no more rounds.
    error: Option<String>,
}

impl<'a> Attempt<'a> {
    fn new(job: &'a Job, program: &'a Program) -> Self {
        Self { job, program, rounds: Vec::new(), calls: None, error: None }
    }

    fn measure(&mut self, cores: Cores, timing: Timing) {
        let (Program::Built(path), None) = (self.program, &self.error) else { return };
        match measure::round(self.job, path, cores, timing) {
            Ok(round) => self.rounds.push(round),
            Err(error) => self.error = Some(format!("{error:#}")),
        }
    }

    fn count_calls(&mut self, cores: Cores) {
        let (Program::Built(path), None) = (self.program, &self.error) else { return };
        match measure::calls(self.job, path, cores, COUNTING) {
            Ok(calls) => self.calls = Some(calls),
            Err(error) => self.error = Some(format!("{error:#}")),
        }
    }

    fn entry(self) -> Entry {
        let outcome = match (self.program, self.error) {
            (Program::Missing(why), _) => Outcome::Missing(why.clone()),
            (_, Some(error)) => Outcome::Wrong(error),
            (_, None) => Outcome::Measured { rounds: self.rounds, calls: self.calls },
        };
        Entry::new(self.job, outcome)
    }
}

/// How many measurements there will be, and how long they take together.
fn estimate(jobs: &[(&Scenario, Vec<Job>)], effort: Effort) -> (usize, Duration) {
    let (mut measurements, mut time) = (0, Duration::ZERO);
    for (scenario, jobs) in jobs {
        for job in jobs {
            let around = AROUND + PER_IDLE * job.idle() as u32;
            let timing = effort.timing.times(scenario.longer);
            let round = timing.warmup + timing.duration + around;
            measurements += effort.rounds;
            time += round * effort.rounds as u32;
            if effort.calls && scenario.counts_calls() {
                measurements += 1;
                time += COUNTING + around;
            }
        }
    }
    (measurements, time)
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{} s", seconds.max(1)),
        seconds => format!("{} minutes", (seconds + 30) / 60),
    }
}

/// Tells every error again at the end, and whether there was none.
fn report_errors(data: &Data) -> bool {
    let mut flawless = true;
    for entry in &data.entries {
        if let Outcome::Wrong(error) = &entry.outcome {
            eprintln!("error: {} in {}: {error}", entry.contender, entry.scenario);
            flawless = false;
        }
    }
    flawless
}
