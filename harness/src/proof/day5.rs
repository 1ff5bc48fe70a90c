//! Day 5: the lifecycle suite.

use super::{Document, Evidence, both, passes, paste, report};
use crate::lifecycle::{self, POOL, RUNG, SUITE, UNREACHED};
use crate::rows::{self, TableRow};
use anyhow::Result;
use std::fmt::Write;

pub(super) fn prove() -> Result<bool> {
    let note = Document::read("notes/day5-connection-lifecycle-tests.md")?;
    let table = rows::table()?;
    let names: Vec<String> = table.iter().flat_map(TableRow::names).map(|(name, _)| name).collect();
    let parts = |titles: &[&str]| {
        let missing = titles.iter().find(|title| !SUITE.iter().any(|part| part.title == **title));
        missing.map_or_else(
            || note.section_with("The cases", titles),
            |title| Err(format!("the suite has no part {title:?}")),
        )
    };
    let criteria: [(&str, Evidence); 6] = [
        ("a numbered matrix, with every row of the table", matrix(&note, &names)),
        (
            "happy path, errors, half-close from both sides",
            parts(&[
                "Happy path",
                "Errors of the client, in each state",
                "The client's half-close",
                "The server's half-close",
            ]),
        ),
        ("churn: 1,000 cycles of 10 connections", passes("w04", &["LC06"])?),
        ("leaks of descriptors and of memory", passes("w04", &["LC03", "FD08", "MM01", "MM03"])?),
        (
            "idle and partial-read time-outs",
            both(parts(&["Time-outs"]), passes("w04", &["TO01", "TO02", "RW03", "TO05", "TO06"])?),
        ),
        ("every case takes the rows that it declares", taken()?),
    ];
    let good = report("Day 5", &criteria);
    let mut text =
        "# Connection lifecycle tests: case, what it shows, rows of the table\n".to_owned();
    for part in SUITE {
        writeln!(text, "\n## {}\n", part.title)?;
        for entry in part.entries {
            writeln!(text, "- {}: {} ({})", entry.case, entry.shows, entry.rows.join(" "))?;
        }
    }
    Ok(paste(&text) && good)
}

fn matrix(note: &Document, names: &[String]) -> Evidence {
    let lines: Vec<String> = names.iter().map(|name| format!("| {name} |")).collect();
    note.section_with("Every row", &lines.iter().map(String::as_str).collect::<Vec<_>>())?;
    let last = format!("| {} |", lifecycle::entries().count());
    note.section_with("The cases", &[&last])?;
    let (cases, out) = (lifecycle::entries().count(), UNREACHED.len());
    Ok(format!(
        "{}: {cases} cases, {} rows, {out} of them out of reach with the reason",
        note.path.display(),
        names.len()
    ))
}

/// Runs the suite and reads along in the server's log.
fn taken() -> Result<Evidence> {
    let (reports, wrong) = lifecycle::run()?;
    let count: usize = reports.iter().map(|report| report.cases.len()).sum();
    let failed: u32 = reports.iter().map(|report| report.counts.failed).sum();
    let declared: usize = lifecycle::entries().map(|entry| entry.rows.len()).sum();
    let good = reports.iter().all(|report| report.exit_status() == 0) && wrong.is_empty();
    Ok(if good {
        Ok(format!("{declared} declared rows of {count} cases seen on {RUNG} and {POOL}"))
    } else {
        Err(format!("{failed} cases failed\n{}", wrong.join("\n")))
    })
}
