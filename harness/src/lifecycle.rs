//! The lifecycle suite: the cases that follow a connection from accept to close, and the rows of the
//! transition table that each of them certainly takes.
//!
//! `harness/tests/lifecycle.rs` runs them and reads the server's log: a row that is declared here and
//! not taken is an error, and so is a row of the table that no case takes. The document is made from
//! this list too.

use crate::case::Case;
use crate::limits::Limits;
use crate::report::RunReport;
use crate::rows::TableRow;
use crate::runner::{self, Options};
use crate::{cases, rungs};
use anyhow::Result;
use std::fmt::Write;
use std::sync::Arc;

/// The server that the rows are looked for on. The level-triggered ones hardly ever call `recv` in vain,
/// so that they seldom take the rows of `EAGAIN`; this one does it all the time.
pub const RUNG: &str = "w04-epoll-edge";
/// The one for the rows of a task that is out: before week 5 it is done before anybody can send again.
pub const POOL: &str = "w05-handoff";

/// A part of the suite.
#[derive(Debug)]
pub struct Part {
    /// What its cases have in common.
    pub title: &'static str,
    /// The server that they are run on.
    pub rung: &'static str,
    /// Its cases.
    pub entries: &'static [Entry],
}

/// A case of the suite.
#[derive(Debug)]
pub struct Entry {
    /// The case's id.
    pub case: &'static str,
    /// What it shows about the life of a connection.
    pub shows: &'static str,
    /// Rows that it certainly takes, as [`crate::rows`] names them.
    pub rows: &'static [&'static str],
}

const fn entry(case: &'static str, shows: &'static str, rows: &'static [&'static str]) -> Entry {
    Entry { case, shows, rows }
}

/// The suite.
#[rustfmt::skip]
pub const SUITE: &[Part] = &[
    Part { title: "Happy path", rung: RUNG, entries: &[
        entry("LC01", "from accept through every state to the close", &["C1", "H5", "B1", "B3", "W7", "W8", "L3", "L6"]),
        entry("PR01", "into and out of READING_BODY", &["C1", "H3", "H5", "B3", "W8"]),
        entry("PR02", "into and out of PROCESSING", &["H4", "P3", "W8"]),
        entry("FR01", "requests that come one byte at a time", &["H1", "B1", "H4", "P3"]),
        entry("FR02", "a stream of requests cut at every byte", &["H3", "H5", "B3", "W3", "W4", "W6", "W9"]),
        entry("ME05", "requests are read while replies wait", &["W1", "W3", "W7"]),
    ] },
    Part { title: "Entry to and exit from WRITING under load: backpressure", rung: RUNG, entries: &[
        entry("FR07", "a reply larger than the socket takes: kept, and sent when there is room", &["W7", "W8"]),
        entry("FR08", "paused at high-water, resumed at low-water, nothing lost", &["W7", "W13", "W14", "W8"]),
        entry("BP01", "a client that never reads is paused", &["W7", "W13"]),
        entry("SR01", "and disconnected when it took too little for a whole window", &["W13", "W15", "L6"]),
    ] },
    Part { title: "Errors of the client, in each state", rung: RUNG, entries: &[
        entry("PR04", "an unknown verb: answered, and on", &["H3", "W8"]),
        entry("ER09", "a body that is too large passes unread", &["H3", "W9", "B1", "B4"]),
        entry("ER12", "a body that does not end where it should", &["B5", "W11"]),
        entry("ER14", "a line without end", &["H7", "W11"]),
        entry("ER19", "broken framing behind good requests", &["W3", "W5", "W11"]),
        entry("LC02", "a reset in every state", &["M4/READING_HEADER", "M4/READING_BODY", "M4/WRITING", "M4/CLOSING", "L6"]),
        entry("CL13", "a reset in the middle of a request", &["M4/READING_BODY"]),
        entry("CL14", "a reset while replies wait", &["W7", "M4/WRITING"]),
    ] },
    Part { title: "The client's half-close", rung: RUNG, entries: &[
        entry("CL04", "with nothing asked", &["M1/READING_HEADER", "L6"]),
        entry("CL03", "in the middle of a header and of a body", &["M1/READING_HEADER", "M1/READING_BODY"]),
        entry("CL01", "behind pipelined requests", &["W3", "W4", "M1/READING_HEADER"]),
        entry("RW01", "while replies wait", &["W1", "W17", "W12", "L6"]),
        entry("LC04", "after the server's own", &["L3", "L6"]),
    ] },
    Part { title: "The server's half-close", rung: RUNG, entries: &[
        entry("PR18", "`quit` with nothing owed", &["H6"]),
        entry("CL05", "`quit` behind a long queue", &["W3", "W11"]),
        entry("CL06", "shown to the client before the close", &["W11"]),
        entry("CL08", "whoever does not close after it has 2 s", &["W11", "L2", "L4", "L6"]),
        entry("CL09", "and whoever goes on sending 1 MiB", &["W11", "L1", "L4", "L6"]),
        entry("LC05", "wherever the server ends a connection", &["H6", "H7", "B5", "W11", "L6"]),
    ] },
    Part { title: "Time-outs", rung: RUNG, entries: &[
        entry("TO01", "idle, and never said a word", &["M5/CONNECTING", "L6"]),
        entry("TO02", "idle between requests", &["H2", "M5/READING_HEADER", "L6"]),
        entry("RW03", "idle in the middle of a body", &["B2", "M5/READING_BODY", "L6"]),
        entry("TO05", "a header that trickles in", &["H1", "M6/READING_HEADER", "L6"]),
        entry("TO06", "a body that trickles in", &["B1", "M6/READING_BODY", "L6"]),
        entry("RW02", "a request that trickles in while replies wait", &["W1", "W2", "M6/WRITING", "L6"]),
        entry("TO10", "replies that nobody takes", &["W7", "W19", "L6"]),
    ] },
    Part { title: "The end of the server", rung: RUNG, entries: &[
        entry("SD04", "idle connections go at once", &["C2", "M2/READING_HEADER", "L6"]),
        entry("SD05", "incomplete requests are dropped", &["M2/READING_HEADER", "M2/READING_BODY", "L6"]),
        entry("SD06", "a request in the kernel's buffer is answered", &["W18", "W11"]),
        entry("SD18", "a reply under way is waited for", &["M3/READING_HEADER", "L6"]),
        entry("RW05", "so is one in front of half a request", &["M3/READING_BODY", "L6"]),
        entry("SD10", "and a long queue is flushed", &["W13", "W14", "L6"]),
        entry("SD12", "not for ever", &["M7/WRITING", "L6"]),
        entry("SD19", "nor for requests whose turn never came", &["M7/READING_HEADER", "M7/CLOSING"]),
        entry("RW04", "nor for newcomers", &["M7/CONNECTING", "M7/READING_BODY"]),
    ] },
    Part { title: "While a task is out", rung: POOL, entries: &[
        entry("HO06", "a result goes behind the replies that wait", &["W1", "W3", "W6", "W7", "W8"]),
        entry("HO07", "a reply is written while the next task is out", &["W3", "W4", "W10", "P3"]),
        entry("HO10", "a reset shows at once", &["H4", "P1", "M4/PROCESSING", "L6"]),
        entry("HO12", "a half-close does not", &["H4", "P1", "P4", "P3", "W12", "L6"]),
        entry("FQ09", "nor behind a full queue", &["H4", "P4", "P3", "W12"]),
        entry("DR01", "the drain waits for results", &["H4", "P5", "P3", "W11"]),
        entry("DR02", "not for ever", &["P5", "M7/PROCESSING", "L6"]),
    ] },
    Part { title: "Churn and leaks", rung: RUNG, entries: &[
        entry("LC06", "1,000 cycles of 10 connections leave no descriptor", &["C1", "H3", "W8", "L6"]),
        entry("LC03", "nor does a close in any state", &["C1", "L6"]),
        entry("FD08", "nor does a storm of connections that end badly", &["C1", "L6"]),
        entry("MM01", "10,000 connections in turn leave no memory", &["C1", "W8", "L6"]),
        entry("MM03", "a flushed queue gives its memory back", &["W7", "W8"]),
    ] },
];

/// Rows that no client can make a server of today take, and why. None of them may be seen.
#[rustfmt::skip]
pub const UNREACHED: &[(&str, &str)] = &[
    ("P2", "the rung with workers is level-triggered: it calls `recv` for what has come, and never in vain; conn-core tests it"),
    ("W16", "the pause makes it impossible; conn-core tests it with a policy that lies"),
    ("M4/CONNECTING", "an error shows as readiness, so C1 leaves the state before `recv` meets it; the row is there because no case may be without one"),
];

/// All entries of all parts.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    SUITE.iter().flat_map(|part| part.entries)
}

/// The case of an entry.
#[must_use]
pub fn case_of(entry: &Entry) -> Option<&'static Case> {
    cases::all().find(|case| case.id == entry.case)
}

/// Runs the suite and reads along in the servers' logs. The second value is what does not fit: cases
/// that failed, rows that are declared and not taken, and rows that are taken and said to be out of reach.
///
/// # Errors
/// A server does not compile.
pub fn run() -> Result<(Vec<RunReport>, Vec<String>)> {
    let rungs = rungs::discover()?;
    // The servers write a line for each event.
    let limits = Limits { multiplier: 3.0, ..Limits::default() };
    let options = Options { rows: true, jobs: 16, limits, ..Options::default() };
    let (mut reports, mut wrong) = (Vec::new(), Vec::new());
    for rung in [RUNG, POOL] {
        let target = Arc::new(rungs::build_target(&rungs::find(&rungs, rung)?)?);
        let entries: Vec<&Entry> = entries_on(rung).collect();
        let cases: Vec<&'static Case> = entries.iter().filter_map(|entry| case_of(entry)).collect();
        let report = runner::run(&cases, &target, &options, |_| ());
        for (entry, case) in entries.iter().zip(&report.cases) {
            for row in entry.rows.iter().filter(|row| !case.rows.contains(**row)) {
                wrong.push(format!("{} does not take {row}; it takes {:?}", case.id, case.rows));
            }
            for (row, why) in UNREACHED.iter().filter(|(row, _)| case.rows.contains(*row)) {
                let id = case.id;
                wrong.push(format!("{id} takes {row}, which is said to be out of reach: {why}"));
            }
        }
        reports.push(report);
    }
    Ok((reports, wrong))
}

/// The entries of the parts that are run on this server.
fn entries_on(rung: &str) -> impl Iterator<Item = &'static Entry> {
    SUITE.iter().filter(move |part| part.rung == rung).flat_map(|part| part.entries)
}

/// The suite as a numbered table: what each case shows and which rows it takes.
#[must_use]
pub fn matrix() -> String {
    let mut out = String::new();
    let mut number = 0;
    for part in SUITE {
        let _ = writeln!(out, "### {}\n\n| # | case | shows | rows |", part.title);
        out.push_str("| --- | --- | --- | --- |\n");
        for entry in part.entries {
            number += 1;
            let name = case_of(entry).map_or("", |case| case.path);
            let rows = entry.rows.join(" ");
            let _ =
                writeln!(out, "| {number} | {} `{name}` | {} | {rows} |", entry.case, entry.shows);
        }
        out.push('\n');
    }
    out
}

/// Every row of the table with the cases that take it.
#[must_use]
pub fn coverage(table: &[TableRow]) -> String {
    let mut out = "| row | from | event | left to do | to | cases |\n".to_owned();
    out.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for row in table {
        let guard = if row.guard.len() == 6 { "always".to_owned() } else { row.guard.join(" or ") };
        for (name, state) in row.names() {
            let takes = |entry: &&Entry| entry.rows.contains(&name.as_str());
            let cases: Vec<&str> = entries().filter(takes).map(|entry| entry.case).collect();
            let cases =
                if cases.is_empty() { "none: see below".to_owned() } else { cases.join(" ") };
            let (event, to) = (&row.event, &row.to);
            let _ = writeln!(out, "| {name} | {state} | {event} | {guard} | {to} | {cases} |");
        }
    }
    out
}

/// The rows that no case takes, with the reason.
#[must_use]
pub fn unreached() -> String {
    let mut out = "| row | why |\n| --- | --- |\n".to_owned();
    for (row, why) in UNREACHED {
        let _ = writeln!(out, "| {row} | {why} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Expectation, Rung};
    use std::collections::HashSet;

    #[test]
    fn every_case_exists_applies_and_stands_there_once() {
        let mut seen = HashSet::new();
        for (name, rung) in [(RUNG, Rung::W04), (POOL, Rung::W05)] {
            for entry in entries_on(name) {
                let case = case_of(entry).unwrap_or_else(|| panic!("no case {}", entry.case));
                assert_eq!(case.expectation(rung), Expectation::Pass, "{}", entry.case);
                assert!(seen.insert(entry.case), "{} is there twice", entry.case);
                assert!(!entry.rows.is_empty(), "{} takes no row", entry.case);
            }
        }
        assert_eq!(seen.len(), entries().count(), "a part is run on no server");
    }

    #[test]
    fn no_row_is_both_taken_and_out_of_reach() {
        for (row, _) in UNREACHED {
            let taken = entries().find(|entry| entry.rows.contains(row));
            assert!(taken.is_none(), "{row}: {taken:?}");
        }
    }
}
