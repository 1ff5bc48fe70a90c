//! What a timer and a task cost, in the async runtime and in tokio: two programs that do the same and
//! measure themselves.

use crate::cores::{Cores, pin};
use crate::data::Data;
use crate::interrupt::Guarded;
use crate::programs::TaskPrograms;
use crate::scenario::Placement;
use crate::statistics::{Spread, order};
use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What `--scenario` calls them all.
pub const NAME: &str = "timers-and-tasks";
/// Their heading.
pub const TITLE: &str = "Timers and tasks, without a socket";

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name in the data.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The least threads that can do it.
    pub least: u64,
}

/// All that is measured.
#[rustfmt::skip]
pub const OPERATIONS: [Kind; 5] = [
    Kind { name: "sleep-cancel", about: "begin a sleep and cancel it", least: 1 },
    Kind { name: "sleep-cancel-100000-alive", about: "the same among 100,000 that go on", least: 1 },
    Kind { name: "spawn-join", about: "start a task and await it", least: 1 },
    Kind { name: "spawn-join-batch", about: "the same, a thousand at a time", least: 1 },
    Kind { name: "spawn-join-across", about: "the same, from a thread without tasks", least: 2 },
];

/// With how many threads each program runs, and where.
pub const THREADS: [(u64, Placement); 2] = [(1, Placement::Apart), (2, Placement::TwoCores)];

/// One program may take so long.
const LIMIT: Duration = Duration::from_secs(120);

/// One kind of operation in one program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The program.
    pub program: String,
    /// Threads that run its tasks.
    pub threads: u64,
    /// The operation's name.
    pub name: String,
    /// Of one operation, round by round.
    pub nanoseconds: Vec<f64>,
}

/// Has both programs run in turn, with one thread and with two.
///
/// # Errors
/// One fails, or prints something else than its figures.
pub fn measure(
    programs: &TaskPrograms,
    cores: Cores,
    rounds: usize,
    bar: &ProgressBar,
) -> Result<Vec<Operation>> {
    let mut runs = Vec::new();
    for (threads, placement) in THREADS {
        runs.extend(programs.each().map(|(name, path)| (name, path, threads, placement)));
    }
    let mut operations: Vec<Operation> = Vec::new();
    for index in (0..rounds).flat_map(|round| order(round, runs.len())) {
        let (program, path, threads, placement) = runs[index];
        bar.set_message(format!("{NAME}: {program} with {threads}"));
        cores.place(placement)?;
        let output = output_of(path, threads);
        pin(&[cores.load])?;
        let output = output.with_context(|| program.to_owned())?;
        for line in output.lines() {
            let (name, time) = figure(line)
                .with_context(|| format!("{program} said {line:?}, which is no figure"))?;
            let known = operations.iter_mut().find(|o| {
                (o.program.as_str(), o.threads, o.name.as_str()) == (program, threads, name)
            });
            match known {
                Some(operation) => operation.nanoseconds.push(time),
                None => operations.push(Operation {
                    program: program.to_owned(),
                    threads,
                    name: name.to_owned(),
                    nanoseconds: vec![time],
                }),
            }
        }
        bar.inc(1);
    }
    Ok(operations)
}

/// What the program prints.
fn output_of(program: &Path, threads: u64) -> Result<String> {
    let mut command = Command::new(program);
    // One thread is what both do without being told.
    if threads > 1 {
        command.args(["--workers", &threads.to_string()]);
    }
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Guarded::spawn(&mut command)
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut stdout = child.take_stdout().context("standard output is not captured")?;
    // A few lines fit into the pipe.
    if !child.ends_within(LIMIT)? {
        bail!("still ran after {LIMIT:?} and was killed");
    }
    let status = child.reap()?;
    if !status.success() {
        bail!("failed ({status}); what it said stands above");
    }
    let mut output = String::new();
    stdout.read_to_string(&mut output).context("its output")?;
    Ok(output)
}

/// What a line says: `<name> <operations> <nanoseconds>`. The time is that of one.
fn figure(line: &str) -> Option<(&str, f64)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let (count, time): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (count > 0 && words.next().is_none()).then_some((name, time as f64 / count as f64))
}

impl Data {
    /// What an operation costs in a program, in nanoseconds, round by round.
    #[must_use]
    pub fn operation(&self, name: &str, program: &str, threads: u64) -> Option<&[f64]> {
        let fits = |o: &&Operation| o.name == name && o.program == program && o.threads == threads;
        Some(&self.operations.iter().find(fits)?.nanoseconds)
    }
}

/// The table for the terminal.
#[must_use]
pub fn table(operations: &[Operation]) -> String {
    let mut text = String::new();
    for Operation { program, threads, name, nanoseconds } in operations {
        if let Some(Spread { median, low, high }) = Spread::of(nanoseconds) {
            text.push_str(&format!(
                "{name:<26} {program:<17} {threads} {median:8.1} ns ({low:.1} … {high:.1})\n"
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_name_a_count_and_a_time() {
        assert_eq!(figure("spawn-join 1000 250000"), Some(("spawn-join", 250.0)));
        for bad in ["", "spawn-join", "spawn-join 0 5", "spawn-join 5 a", "spawn-join 5 6 7"] {
            assert_eq!(figure(bad), None, "{bad}");
        }
    }
}
