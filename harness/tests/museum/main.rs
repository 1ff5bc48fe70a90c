//! The harness tested with the bug museum: each classic mistake is caught by the cases that are there
//! for it, others let it alone, and what the failure says is the text that was reviewed.
//!
//! The texts stand beside this file. `UPDATE_EXPECT=1 cargo test -p harness --test museum` rewrites
//! them; read what has changed as a beginner would. `cargo run -p harness -- museum` runs every case
//! against every bug, which takes minutes; here each bug meets its own cases and a few others.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use expect_test::expect_file;
use harness::case::{Case, Rung};
use harness::cases;
use harness::museum::finding::Finding;
use harness::museum::{Bug, Museum, PLAIN_RUNGS, cases_of, note, text};
use harness::report::{CaseReport, Verdict, human};
use harness::runner::{self, Options};
use harness::target::Target;
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// Most cases wait, so more servers than there are cores are judged side by side.
const THREADS: usize = 8;

/// Quick cases, each of another group. A bug that does not name them must not disturb them.
const CONTROL: [&str; 8] = ["PR01", "ER01", "FR01", "FD04", "CM01", "SD04", "BU01", "CL01"];
/// The same with a pool of workers.
const POOL_CONTROL: [&str; 5] = ["PR01", "FD04", "SD04", "HO01", "FQ02"];

/// How often a case that did not end as expected is run again.
const TRIES_MORE: u32 = 3;

/// Groups in which a mistake around `poll` or `epoll` would show that `select` does not have.
const WAIT_GROUPS: [&str; 9] = [
    "mechanism/",
    "exhaustion/",
    "burst/",
    "fairness/",
    "backpressure/",
    "pausing/",
    "slow_reader/",
    "poll/",
    "epoll/",
];

/// Groups in which a mistake around the workers would show.
const POOL_GROUPS: [&str; 5] =
    ["handoff/", "workers/", "full_queue/", "task_timeout/", "task_drain/"];

/// The museum, opened by the first test that runs, so that listing builds nothing.
type Door = OnceLock<Result<Museum, String>>;

fn main() -> ExitCode {
    harness::limits::raise_descriptor_limit();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let texts = match kept_texts() {
        Ok(texts) => texts,
        Err(problem) => {
            eprintln!("museum: {problem:#}");
            return ExitCode::from(harness::cli::FAULT);
        }
    };
    let door = Arc::new(Door::new());
    let mut trials = Vec::new();
    for name in texts.clone() {
        trials
            .push(trial(&door, name.clone(), move |museum| is_caught(museum, museum.bug(&name)?)));
    }
    for rung in PLAIN_RUNGS {
        for case in cases_of(rung).into_iter().filter(|case| is_run_on(case, rung)) {
            let name = format!("plain::{rung}::{}", case.path.replace('/', "::"));
            trials.push(trial(&door, name, move |museum| plain_passes(museum, case, rung)));
        }
    }
    trials.push(trial(&door, "catalogue".into(), move |museum| is_complete(museum, &texts)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    door: &Arc<Door>,
    name: String,
    judge: impl FnOnce(&Museum) -> Result<()> + Send + 'static,
) -> Trial {
    let door = Arc::clone(door);
    Trial::test(format!("museum::{name}"), move || {
        let museum = door.get_or_init(|| Museum::open().map_err(|problem| format!("{problem:#}")));
        judge(museum.as_ref()?).map_err(|problem| Failed::from(format!("{problem:#}")))
    })
}

/// Every case on select; on the others those of the groups in which the wait call or the workers may show.
/// All of them on all four is what `harness museum` runs.
fn is_run_on(case: &Case, rung: Rung) -> bool {
    // A plain server looks at every client's clock in each turn: next to thousands of idle ones that is
    // near the limit, and on a busy machine at times beyond it.
    let idle_cost = case.id == "EP07";
    let is_of = |groups: &[&str]| groups.iter().any(|group| case.path.starts_with(group));
    match rung {
        Rung::Day2 | Rung::Day3 => true,
        Rung::Day4 | Rung::W04 => is_of(&WAIT_GROUPS) && !idle_cost,
        Rung::W05 => is_of(&POOL_GROUPS),
        // No mistake of the museum needs several loops.
        Rung::Async => false,
    }
}

/// The server without a bug keeps the rule.
fn plain_passes(museum: &Museum, case: &'static Case, rung: Rung) -> Result<()> {
    let reports = run(&[case], museum.plain(rung));
    ensure_expected(&Finding::new(None, &reports), &reports)
}

/// The cases that the bug names fail, the control cases do not, and the first failure says what was
/// reviewed. Whatever is not so is looked at again: a machine whose cores are all busy hides a loop that
/// spins or a client that floods, and some mistakes show in more than one way.
fn is_caught(museum: &Museum, bug: &Bug) -> Result<()> {
    let judge = |cases: &[&'static Case]| run(cases, museum.with_bug(bug));
    let again = |report: &mut CaseReport, is_well: &dyn Fn(&CaseReport) -> bool| {
        for _ in 0..TRIES_MORE {
            if is_well(report) {
                return;
            }
            eprintln!("{}: {} is tried again", bug.name, report.id);
            *report = judge(&cases_named([report.id])).remove(0);
        }
    };
    let control = if bug.rung == Rung::W05 { &POOL_CONTROL[..] } else { &CONTROL };
    let control = control.iter().copied().filter(|id| !bug.may_fail(id) && !bug.is_caught_by(id));
    let chosen = cases_named(bug.caught_by.iter().map(String::as_str).chain(control));
    let mut reports = judge(&chosen);
    for report in reports.iter_mut().filter(|report| bug.is_caught_by(report.id)) {
        again(report, &|report| !matches!(report.verdict, Verdict::Pass));
    }
    let mut finding = Finding::new(Some(bug), &reports);
    finding.confirm(&judge(&cases_named(finding.false_alarms.iter().copied())));
    ensure_expected(&finding, &reports)?;

    let kept = expect_file![text_path(&bug.name)];
    let first = &mut reports[0];
    if std::env::var_os("UPDATE_EXPECT").is_none() {
        again(first, &|report| text::lasting(report) == kept.data());
    }
    match &first.verdict {
        Verdict::Skip { reason } => eprintln!("{}: no text to compare: {reason}", bug.name),
        _ => kept.assert_eq(&text::lasting(first)),
    }
    Ok(())
}

/// Every bug has a text, and the note its row. A text that is missing is compared, and with
/// `UPDATE_EXPECT` written, here.
fn is_complete(museum: &Museum, texts: &[String]) -> Result<()> {
    for bug in museum.bugs.iter().filter(|bug| !texts.contains(&bug.name)) {
        is_caught(museum, bug)?;
    }
    ensure!(
        !note::is_stale(museum)?,
        "notes/bug-museum.md is stale: run `cargo run -p harness -- museum --write`"
    );
    Ok(())
}

/// One after the other: the tests already stand side by side.
fn run(cases: &[&'static Case], target: Target) -> Vec<CaseReport> {
    // The same seed each time, so that the texts are the same.
    let options = Options { jobs: 1, seed: 0, ..Options::default() };
    runner::run(cases, &Arc::new(target), &options, |_| ()).cases
}

fn ensure_expected(finding: &Finding, reports: &[CaseReport]) -> Result<()> {
    let wrong = |report: &&CaseReport| {
        finding.false_alarms.contains(&report.id) || finding.faults.contains(&report.id)
    };
    let texts: String = reports.iter().filter(wrong).map(human::failure).collect();
    ensure!(finding.is_as_expected(), "{}: {finding}\n{texts}", finding.word());
    Ok(())
}

fn cases_named<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<&'static Case> {
    ids.into_iter().filter_map(|id| cases::all().find(|case| case.id == id)).collect()
}

/// The bugs with a text, which makes the list of tests: the catalogue is not known before the museum
/// is built.
fn kept_texts() -> Result<Vec<String>> {
    let entries = fs::read_dir(texts_folder()).context("cannot list the kept texts")?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "txt")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn text_path(name: &str) -> PathBuf {
    texts_folder().join(format!("{name}.txt"))
}

fn texts_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/museum")
}
