//! One measurement: a server is started, loaded, looked at and stopped.

use crate::calls::Tracer;
use crate::cores::{Cores, pin};
use crate::data::{Calls, PERCENTILES, Round};
use crate::load::{self, Load, Pace, Plan, Progress, Report, Verb};
use crate::scenario::{Job, Metric};
use crate::scenarios::BURN;
use crate::server::{Memory, Server};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a server whose load failed may take to be found dead.
const A_MOMENT: Duration = Duration::from_millis(100);

/// How long a measurement takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Before the measuring.
    pub warmup: Duration,
    /// Of the measuring.
    pub duration: Duration,
}

impl Timing {
    /// The same, so many times as long.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self { warmup: self.warmup * factor, duration: self.duration * factor }
    }
}

/// What the server had used at one moment.
struct Sample {
    cpu: Duration,
    memory: Memory,
    /// Of each thread; empty unless the question is what they do at rest.
    sleeps: BTreeMap<i32, u64>,
}

impl Sample {
    fn of(server: &Server, job: &Job) -> Result<Self> {
        let sleeps = match job.scenario.metric {
            Metric::Rest => server.sleeps()?,
            _ => BTreeMap::new(),
        };
        Ok(Self { cpu: server.cpu()?, memory: server.memory()?, sleeps })
    }

    /// How often each thread has woken up and gone to sleep again since.
    fn wakeups(&self, since: &Self) -> Vec<u64> {
        let before = |thread| since.sleeps.get(thread).copied().unwrap_or(0);
        self.sleeps.iter().map(|(thread, &sleeps)| sleeps - before(thread)).collect()
    }
}

/// Measures one round.
///
/// # Errors
/// The server could not be started or broke, or a reply was wrong.
pub fn round(job: &Job, program: &Path, cores: Cores, timing: Timing) -> Result<Round> {
    let server = start(job, program, cores)?;
    let round = load_and_look(job, &server, timing);
    stop(server, round)
}

fn load_and_look(job: &Job, server: &Server, timing: Timing) -> Result<Round> {
    let fresh = Sample::of(server, job)?;
    let plan = job.plan(server.address, timing.times(job.scenario.longer));
    let (mut begin, mut end) = (None, None);
    let mut watch = |progress: Progress| {
        if progress.elapsed >= plan.warmup && begin.is_none() {
            begin = Some(Sample::of(server, job));
        }
        if progress.elapsed >= progress.total && end.is_none() {
            end = Some(Sample::of(server, job));
        }
    };
    let (report, burned) = match job.scenario.burners {
        0 => (load::run(&plan, &mut watch)?, None),
        burners => {
            let (report, burned) = beside_burners(burners, &plan, &mut watch)?;
            (report, Some(burned))
        }
    };
    let report = flawless(report, &plan)?;
    let begin = begin.context("the load said nothing at its beginning")??;
    let end = end.context("the load said nothing at its end")??;
    let latency = PERCENTILES.map(|percent| report.latency.value_at_percentile(percent));
    Ok(Round {
        requests: report.requests,
        time: nanoseconds(report.seconds),
        server_cpu: (end.cpu - begin.cpu).as_nanos() as u64,
        load_cpu: nanoseconds(report.cpu_seconds),
        resident_before: fresh.memory.resident,
        resident: end.memory.resident,
        anonymous_before: fresh.memory.anonymous,
        anonymous: end.memory.anonymous,
        peak: end.memory.peak,
        burned,
        wakeups: end.wakeups(&begin),
        latency: latency.to_vec(),
    })
}

/// Counts the system calls of a round of its own, from when all connections are open to when all
/// requests are answered, so that none is counted whose calls are not, nor the other way round.
///
/// # Errors
/// As [`round`]. That they can't be counted is no error.
pub fn calls(job: &Job, program: &Path, cores: Cores, duration: Duration) -> Result<Calls> {
    let server = start(job, program, cores)?;
    let calls = load_and_count(job, &server, cores, duration);
    stop(server, calls)
}

fn load_and_count(job: &Job, server: &Server, cores: Cores, duration: Duration) -> Result<Calls> {
    let plan = job.plan(server.address, Timing { warmup: Duration::ZERO, duration });
    let load = Load::open(&plan)?;
    // Beside the server: each of its calls waits for strace, which another core would have to wake.
    pin(&[cores.server])?;
    let mut tracer = Some(Tracer::attach(server));
    pin(&[cores.load])?;
    let mut calls = None;
    let report = load.run(|progress| {
        if progress.over {
            calls = tracer.take().map(|tracer| tracer.and_then(Tracer::finish));
        }
    })?;
    let Report { requests, .. } = flawless(report, &plan)?;
    Ok(match calls.context("the load said nothing at its end")? {
        Ok(calls) => Calls::Counted { calls, requests },
        Err(why) => Calls::Unknown(format!("{why:#}")),
    })
}

fn start(job: &Job, program: &Path, cores: Cores) -> Result<Server> {
    let placement = job.scenario.placement;
    Server::start_apart(job.contender.name, program, &job.arguments(), cores, placement)
}

/// A load beside clients that ask for nothing but CPU time, and how much of it they were given for
/// each second from their first request to their last reply, in nanoseconds.
fn beside_burners(
    burners: usize,
    plan: &Plan,
    watch: &mut dyn FnMut(Progress),
) -> Result<(Report, u64)> {
    let burning = Plan {
        connections: burners,
        pipeline: 1,
        verb: Verb::Burn,
        size: BURN,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        // Longer than the load that is measured, so that the workers are busy until its end.
        duration: plan.warmup + plan.duration + Duration::from_millis(10 * BURN as u64),
        ..plan.clone()
    };
    thread::scope(|scope| {
        let (started, starts) = mpsc::channel();
        let burners = scope.spawn(move || {
            let mut took = Duration::ZERO;
            let report = load::run(&burning, |progress| {
                took = progress.elapsed;
                let _ = started.send(());
            });
            Ok((flawless(report?, &burning)?, took))
        });
        // Nothing comes if the burners failed; their error is told below.
        let _ = starts.recv();
        let report = load::run(plan, watch);
        let Ok(burned): Result<Result<_>, _> = burners.join() else {
            bail!("the burners panicked")
        };
        let (burned, took) = burned.context("the burners")?;
        // Not the report's own time, after which the last of the requests are still worked on.
        let given = burned.requests as f64 * BURN as f64 / 1e3 / took.as_secs_f64();
        Ok((report?, nanoseconds(given)))
    })
}

/// Stops the server, and tells what came of its load, unless it had ended of itself: then that is the
/// first thing to tell.
fn stop<T>(server: Server, loaded: Result<T>) -> Result<T> {
    // Connections break before a process that dies is dead.
    let patience = if loaded.is_err() { A_MOMENT } else { Duration::ZERO };
    match (server.stop(patience), loaded) {
        (Ok(()), loaded) => loaded,
        (Err(end), Ok(_)) => Err(end),
        (Err(end), Err(error)) => Err(error.context(format!("{end:#}"))),
    }
}

/// The report, if every reply was right.
fn flawless(report: Report, plan: &Plan) -> Result<Report> {
    if report.errors > 0 {
        let first = report.first_error.as_deref().unwrap_or("not told");
        bail!("{first} (errors in all: {})", report.errors);
    }
    if report.requests == 0 && plan.connections > 0 {
        bail!("no request was answered in the measured time");
    }
    Ok(report)
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}
