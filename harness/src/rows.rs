//! Which rows of the transition table a server took while a case ran, read from its log at `trace`.

use crate::rungs;
use crate::scene::lock;
use crate::transitions::Transition;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Names of rows: `W7`; with the state where a row holds in more than one: `M4/WRITING`.
pub type RowNames = BTreeSet<String>;

/// Collects rows from the logs of all servers of a case, as they stream by.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowCollector(Arc<Mutex<RowNames>>);

impl RowCollector {
    pub(crate) fn seen(&self) -> RowNames {
        lock(&self.0).clone()
    }

    /// A reader of one server's log.
    pub(crate) fn reader(&self) -> RowReader {
        RowReader { collector: self.clone(), line: Vec::new() }
    }
}

/// Cuts a log into lines and keeps nothing of it but rows.
#[derive(Debug)]
pub(crate) struct RowReader {
    collector: RowCollector,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
}

impl RowReader {
    pub(crate) fn read(&mut self, chunk: &[u8]) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.line);
                if let Some(Transition { row, from, .. }) = Transition::parse(&line) {
                    lock(&self.collector.0).insert(row_name(row, from));
                }
                self.line.clear();
            }
        }
    }
}

/// The letter M begins the names of rows that hold in more than one state.
fn row_name(row: &str, state: &str) -> String {
    if row.starts_with('M') { format!("{row}/{state}") } else { row.to_owned() }
}

/// A row of the transition table, as day 1's program prints it.
#[derive(Debug, Clone, Deserialize)]
pub struct TableRow {
    /// Its name, without a state.
    pub id: String,
    /// The states it holds in.
    pub from: Vec<String>,
    /// What happened.
    pub event: String,
    /// What is left to do for the client: the row holds for these.
    pub guard: Vec<String>,
    /// The next state.
    pub to: String,
    /// Why it is so.
    pub why: String,
}

impl TableRow {
    /// Its names: one, or one for each of its states.
    #[must_use]
    pub fn names(&self) -> Vec<(String, &str)> {
        self.from.iter().map(|state| (row_name(&self.id, state), state.as_str())).collect()
    }
}

/// The transition table of the servers of this workspace. The harness depends on none of their
/// crates, so it asks day 1's program.
///
/// # Errors
/// The program does not compile, or prints something else.
pub fn table() -> Result<Vec<TableRow>> {
    #[derive(Deserialize)]
    struct Document {
        transitions: Vec<TableRow>,
    }
    let program = rungs::build_program("day1-state-model")?;
    let output = Command::new(&program)
        .args(["--format", "json"])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    let document: Document = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} --format json is not understood", program.display()))?;
    Ok(document.transitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_wherever_the_log_is_cut() {
        let log = "DEBUG transition conn=1 fd=7 row=\"C1\" from=CONNECTING event=fd readable \
            to=READING_HEADER action=recv\nINFO something else\nTRACE event conn=1 fd=7 row=\"M4\" \
            state=WRITING event=error action=close\n";
        for cut in 0..log.len() {
            let collector = RowCollector::default();
            let mut reader = collector.reader();
            let (start, end) = log.split_at(cut);
            reader.read(start.as_bytes());
            reader.read(end.as_bytes());
            assert_eq!(Vec::from_iter(collector.seen()), ["C1", "M4/WRITING"], "cut at {cut}");
        }
    }

    #[test]
    fn a_row_of_several_states_has_a_name_for_each() {
        let states = ["READING_HEADER", "READING_BODY"];
        let row = |id: &str, from: &[&str]| TableRow {
            id: id.into(),
            from: from.iter().map(ToString::to_string).collect(),
            event: String::new(),
            guard: Vec::new(),
            to: String::new(),
            why: String::new(),
        };
        let names =
            |row: TableRow| row.names().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(row("M1", &states)), ["M1/READING_HEADER", "M1/READING_BODY"]);
        assert_eq!(names(row("W7", &["WRITING"])), ["W7"]);
    }
}
