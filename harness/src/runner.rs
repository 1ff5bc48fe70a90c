//! Running cases: each with a fresh server, a limit that holds, and a seed that comes back.

use crate::case::{Case, Expectation, Rung};
use crate::judge::Judge;
use crate::limits::Limits;
use crate::report::{CaseReport, RunReport, Verdict};
use crate::rows::RowCollector;
use crate::scene::{Scene, lock};
use crate::target::{Origin, Target};
use crate::verdict::{CaseResult, Class, Failure, Stop};
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A case stops itself at its limit, because every wait inside it does. The watchdog is for the
/// rest, and this is how much later it strikes.
const WATCHDOG_GRACE: Duration = Duration::from_secs(1);

/// How cases are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Cases at the same time. Most of them wait, so this may be more than there are cores.
    pub jobs: usize,
    /// Where the random cases start.
    pub seed: u64,
    /// How often each case runs.
    pub repeat: u32,
    /// Stop after the first round with a failure; without `repeat`, rounds go on until then.
    pub until_fail: bool,
    /// Collect the rows of the transition table that each case takes; the servers log at `trace`.
    pub rows: bool,
    /// Stretched limits.
    pub limits: Limits,
    /// Print each server's pid and wait for Enter.
    pub wait_for_enter: bool,
    /// When the run began.
    pub started: Instant,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: 8,
            seed: fastrand::u64(..1 << 32),
            repeat: 1,
            until_fail: false,
            rows: false,
            limits: Limits::default(),
            wait_for_enter: false,
            started: Instant::now(),
        }
    }
}

/// Runs the cases side by side and returns their results in the same order. `done` hears of each as
/// it ends.
pub fn run(
    cases: &[&'static Case],
    target: &Arc<Target>,
    options: &Options,
    done: impl Fn(&CaseReport) + Sync,
) -> RunReport {
    let mut merged: Vec<Option<CaseReport>> = vec![None; cases.len()];
    let endless = options.until_fail && options.repeat <= 1;
    for round in 0.. {
        if !endless && round >= options.repeat.max(1) {
            break;
        }
        let round_options =
            Options { seed: options.seed.wrapping_add(round.into()), ..options.clone() };
        let mut failed = false;
        for (kept, new) in merged.iter_mut().zip(run_round(cases, target, &round_options, &done)) {
            failed |= new.verdict.is_unexpected();
            *kept = Some(match kept.take() {
                Some(earlier) => earlier.and(new),
                None => new,
            });
        }
        if failed && options.until_fail {
            break;
        }
    }
    let results = merged.into_iter().flatten().collect();
    RunReport::new(&target.name, target.rung, options.seed, options.started.elapsed(), results)
}

fn run_round(
    cases: &[&'static Case],
    target: &Arc<Target>,
    options: &Options,
    done: &(impl Fn(&CaseReport) + Sync),
) -> Vec<CaseReport> {
    let results: Mutex<Vec<(usize, CaseReport)>> = Mutex::default();
    // A server that already runs is one for all: cases beside each other would disturb it.
    let shared = matches!(target.origin, Origin::Running { .. });
    let jobs = if shared || options.wait_for_enter { 1 } else { options.jobs.max(1) };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..jobs.min(cases.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { return };
                    let report = run_case(case, target, options);
                    let mut results = lock(&results);
                    done(&report);
                    results.push((index, report));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, report)| report).collect()
}

/// Runs one case once and measures the result by what the table expects.
#[must_use]
pub fn run_case(case: &'static Case, target: &Arc<Target>, options: &Options) -> CaseReport {
    let started = Instant::now();
    let rows = options.rows.then(RowCollector::default);
    let attempt = || attempt(case, target, options, rows.clone());
    let verdict = match case.expectation(target.rung) {
        Expectation::NotApplicable => Verdict::NotApplicable { reason: scope_of(case) },
        Expectation::Pass => match attempt() {
            Ok(()) => Verdict::Pass,
            Err(Stop::Skip(reason)) => Verdict::Skip { reason },
            Err(Stop::Fail(failure)) => Verdict::Fail { failure },
        },
        Expectation::Fail(reason) => match attempt() {
            Ok(()) => Verdict::UnexpectedPass { reason },
            Err(Stop::Skip(reason)) => Verdict::Skip { reason },
            // A crash or a refused start is not the failure that the table speaks of.
            Err(Stop::Fail(failure)) if failure.class == Class::BrokenRule => {
                Verdict::ExpectedFailure { reason, failure }
            }
            Err(Stop::Fail(failure)) => Verdict::Fail { failure },
        },
    };
    let replay = format!(
        "cargo run -p harness -- check {} {} --seed {}",
        target.replay, case.id, options.seed
    );
    let mut report = CaseReport::new(case, verdict, options.seed, replay);
    report.duration = started.elapsed();
    report.rows = rows.map(|rows| rows.seen()).unwrap_or_default();
    report
}

fn scope_of(case: &Case) -> String {
    match case.until {
        Some(until) => format!("only from {} to {until}", case.since),
        None => format!("from {} on", case.since),
    }
}

/// Whether the server starts at all, so that one headline says so instead of every case.
///
/// # Errors
/// Why it does not. Whatever else may be wrong with it is left to the cases.
pub fn preflight(target: &Arc<Target>, options: &Options) -> Result<(), Box<Failure>> {
    static STARTS: Case = Case::new("ST00", "start/server_starts", Rung::Day2, |judge| {
        let server = judge.server(&[])?;
        match judge.target.origin {
            Origin::Running { .. } => server.client().map(drop).map_err(|stop| match stop {
                Stop::Fail(mut failure) => {
                    failure.class = Class::DidNotStart;
                    Stop::Fail(failure)
                }
                skip @ Stop::Skip(_) => skip,
            }),
            _ => server.refuse_a_wrapper(),
        }
    })
    // The start has a limit of its own, and on a busy machine that must strike first.
    .timeout_s(60);
    let options = Options { wait_for_enter: false, ..options.clone() };
    match attempt(&STARTS, target, &options, None) {
        Err(Stop::Fail(failure))
            if matches!(failure.class, Class::DidNotStart | Class::HarnessFault) =>
        {
            Err(failure)
        }
        _ => Ok(()),
    }
}

/// Runs the case function on a thread of its own, and ends its servers.
fn attempt(
    case: &'static Case,
    target: &Arc<Target>,
    options: &Options,
    rows: Option<RowCollector>,
) -> CaseResult {
    if let Some(reason) = target.lacks(case) {
        return Err(Stop::Skip(reason));
    }
    let scene = Arc::new(Scene::new(options.limits, case.timeout, options.started, rows));
    let seed = options.seed ^ fingerprint(case.id);
    let judge = Judge::new(Arc::clone(target), Arc::clone(&scene), seed, options.wait_for_enter);
    let (sender, receiver) = channel();
    let runner = thread::spawn(move || {
        let result = (case.run)(&judge);
        // The receiver is gone if the watchdog has struck.
        let _ = sender.send(result);
    });
    let grace = options.limits.scale(WATCHDOG_GRACE);
    let result = loop {
        let strikes_at = scene.deadline() + grace;
        let patience = strikes_at.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(patience) {
            // The case has been starting servers meanwhile, which is not on its clock.
            Err(RecvTimeoutError::Timeout) if scene.deadline() + grace > strikes_at => {}
            answer => break answer,
        }
    };
    let result = match result {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            let limit = options.limits.scale(case.timeout);
            Err(scene.broken(
                format!("the case to be over within {limit:.1?}"),
                "it hung; the watchdog ended it",
                None,
                None,
            ))
        }
        Err(RecvTimeoutError::Disconnected) => {
            let words = runner.join().err().map_or_else(String::new, |panic| panic_text(&*panic));
            Err(Stop::fault("the case function to return", format!("it panicked: {words}")))
        }
    };
    conclude(&scene, result)
}

/// Completes a failure while the servers still live, then ends them. A server that died without
/// anybody noticing, or that leaves something behind, makes a failure of a pass.
fn conclude(scene: &Scene, mut result: CaseResult) -> CaseResult {
    if result.is_ok()
        && let Some(how) = scene.servers().iter().find_map(|server| server.crash())
    {
        let expected = "the server to run until it is ended";
        result = Err(Failure::new(Class::ServerCrash, expected, format!("it {how}")).into());
    }
    if let Err(Stop::Fail(failure)) = &mut result {
        scene.complete(failure, None);
    }
    for server in scene.servers() {
        if scene.rows.is_some() {
            // The rows of a drain that only ends the case are not the case's own.
            server.kill();
        }
        if let Some(survivor) = server.end()
            && result.is_ok()
        {
            let expected = "nothing to survive the end of the server";
            result = Err(scene.broken(expected, survivor, None, None));
        }
    }
    result
}

/// Gives each case random numbers of its own (FNV-1a).
fn fingerprint(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "?".to_owned())
}
