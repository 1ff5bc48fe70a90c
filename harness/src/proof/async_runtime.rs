//! The async runtime: what async and await are made of, and the same contract on top of it.

use super::migration::ten_steps;
use super::{Document, Evidence, both, passes, paste, report};
use crate::case::Rung;
use crate::cases;
use crate::matrix::CAPABILITIES;
use anyhow::{Context, Result};

/// With one loop, with as many as cores, and with four.
const SERVERS: [&str; 3] = ["async-1", "async", "async-4"];

const JOURNEY: &str = "How a read becomes a waker becomes a task that goes on";

pub(super) fn prove() -> Result<bool> {
    let note = Document::read("notes/async-runtime.md")?;
    let worker = Document::read("async-runtime/src/worker.rs")?;
    let criteria: [(&str, Evidence); 5] = [
        (
            "from a read to a task that goes on, in ten steps with the files' names",
            both(
                ten_steps(&note, JOURNEY),
                note.section_with(
                    JOURNEY,
                    &["net/futures.rs", "async_socket.rs", "event_loop.rs", "worker.rs", "task.rs"],
                ),
            ),
        ),
        (
            "what became of each decision",
            note.section_with(
                "Decisions, and what became of them",
                &["boxed", "`poll_once`", "wheel", "by message", "migration", "`io_budget`"],
            ),
        ),
        (
            "a worker sleeps in one place",
            both(
                worker.line_with(&["fn poll_once"]),
                on_each(&["ME02", "ME03", "ME04", "ME05", "ME06", "ME07"])?,
            ),
        ),
        (
            "there are as many event loops as workers",
            on_each(&["LO01", "LO02", "LO03", "LO04", "EP05", "HO05", "WK04"])?,
        ),
        ("the contract, with one loop and with several", on_each(&capabilities())?),
    ];
    let good = report("The async runtime", &criteria);
    let section =
        |heading: &str| note.section(heading).with_context(|| format!("{heading:?} is missing"));
    let text = format!(
        "## {JOURNEY}\n{}\n## What is not there\n{}",
        section(JOURNEY)?,
        section("What is not there")?
    );
    Ok(paste(&text) && good)
}

/// Runs these cases now on each of the servers: all must pass.
fn on_each(ids: &[&str]) -> Result<Evidence> {
    let mut evidence = Ok(String::new());
    for server in SERVERS {
        evidence = both(evidence, passes(server, ids)?);
    }
    Ok(evidence.map(|text| text.trim_start().to_owned()))
}

/// The cases of the matrix that are about this rung.
fn capabilities() -> Vec<&'static str> {
    let named: Vec<&str> = CAPABILITIES.iter().flat_map(|row| row.cases).copied().collect();
    let applies = |id: &str| named.contains(&id);
    let all = cases::all().filter(|case| applies(case.id) && !case.is_over_at(Rung::Async));
    all.map(|case| case.id).collect()
}
