//! The proof of a day: its pass criteria with their evidence, and what to paste.
//!
//! A criterion is checked in the day's document and in its code, and where it is about behaviour, by
//! running the cases for it. All evidence is found at the moment of the proof, none is remembered.

use crate::case::{Case, Rung};
use crate::runner::{self, Options};
use crate::{cases, rungs, selector};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The most that may be pasted as a proof, in characters.
const MOST_CHARACTERS: usize = 5_000;

/// What was found for a criterion, or what is missing.
type Evidence = Result<String, String>;

/// Proves a day by its short name; returns whether every criterion holds.
///
/// # Errors
/// Something is missing that the proof needs: a document, a source file, a program that compiles.
pub fn prove(day: &str) -> Result<bool> {
    match day {
        "day1" => day1(),
        "day2" => day2(),
        _ => bail!("there is no proof for {day:?}; there are: day1, day2"),
    }
}

/// Day 1's program reads the tables and the source itself; it knows its criteria best.
fn day1() -> Result<bool> {
    let program = rungs::build_program("day1-state-model")?;
    let run = |flag: &str| {
        Command::new(&program)
            .arg(flag)
            .output()
            .with_context(|| format!("cannot run {} {flag}", program.display()))
    };
    let check = run("--check")?;
    print!("{}", String::from_utf8_lossy(&check.stdout));
    eprint!("{}", String::from_utf8_lossy(&check.stderr));
    let note = Document::read("notes/day1-event-loop-state-model.md")?;
    println!("\nthe document: {} ({} lines)", note.path.display(), note.text.lines().count());
    let proof = run("--proof")?;
    paste(&String::from_utf8_lossy(&proof.stdout));
    Ok(check.status.success() && proof.status.success())
}

fn day2() -> Result<bool> {
    let note = Document::read("notes/day2-select-plan.md")?;
    let poller = Document::read("day2-select-loop/src/select.rs")?;
    let registry = Document::read("conn-core/src/registry.rs")?;
    let burst = selector::select(cases::all(), &["burst/".to_owned()])?;
    let criteria: [(&str, Evidence); 5] = [
        ("the select() loop handles read, write and error sets", all_three_sets(&note, &poller)),
        ("the registry supports add, remove and look-up by fd", registry_calls(&note, &registry)),
        ("max_fd follows every add and remove", max_fd(&note, &poller, &registry)),
        ("the test plan covers 50+ clients, and passes", fifty_clients(&note, &burst)?),
        ("the time-out is chosen and justified", time_out(&note)),
    ];
    println!("Day 2: pass criteria\n");
    for (number, (criterion, evidence)) in (1..).zip(&criteria) {
        let (mark, text) = match evidence {
            Ok(text) => ("ok  ", text),
            Err(text) => ("FAIL", text),
        };
        println!("{mark} {number}. {criterion}");
        text.lines().for_each(|line| println!("        {line}"));
    }
    let loop_and_registry = note.section("The select loop").map(first_code_block);
    match (loop_and_registry, note.section("The connection registry")) {
        (Some(Some(pseudocode)), Some(registry)) => {
            paste(&format!("## Select loop\n\n{pseudocode}\n\n## Connection registry\n{registry}"));
        }
        _ => bail!("{} has no loop and registry to paste", note.path.display()),
    }
    Ok(criteria.iter().all(|(_, evidence)| evidence.is_ok()))
}

fn all_three_sets(note: &Document, poller: &Document) -> Evidence {
    let mut lines = Vec::new();
    for set in ["read", "write", "error"] {
        let zeroed = note.line_with(&["FD_ZERO", set])?;
        let set_in_note = note.line_with(&["FD_SET", &format!(", {set})")])?;
        let filled = poller.line_with(&[&format!("{set}.insert(")])?;
        lines.push(format!("{set}: zeroed {zeroed}, set {set_in_note}; in the code {filled}"));
    }
    let rebuilt = poller.line_with(&["FdSet::new(), FdSet::new(), FdSet::new()"])?;
    lines.push(format!("all three are new in every turn: {rebuilt}"));
    Ok(lines.join("\n"))
}

fn registry_calls(note: &Document, registry: &Document) -> Evidence {
    let mut lines = Vec::new();
    for call in ["add", "remove", "get"] {
        note.line_with(&[&format!("`{call}(")])?;
        let signature = format!("pub fn {call}(");
        let at = registry.line_with(&[&signature])?;
        lines.push(format!("{at}: {}", registry.quote(&signature)));
    }
    Ok(lines.join("\n"))
}

fn max_fd(note: &Document, poller: &Document, registry: &Document) -> Evidence {
    note.line_with(&["max_fd + 1"])?;
    Ok(format!(
        "first argument of select: {}\nit is the last slot: {}\nremove keeps the last slot occupied: {}",
        poller.line_with(&["max_fd() + 1"])?,
        registry.line_with(&["self.slots.len().checked_sub(1)"])?,
        registry.line_with(&["while self.slots.last()"])?,
    ))
}

/// The plan is the group of cases, so the evidence is that they exist, are in the note, and pass.
fn fifty_clients(note: &Document, burst: &[&'static Case]) -> Result<Evidence> {
    let planned = burst.iter().filter(|case| note.text.contains(case.id)).count();
    if planned < 6 {
        return Ok(Err(format!("{} lists {planned} of the cases", note.path.display())));
    }
    let package = rungs::find(&rungs::discover()?, Rung::Day2.name())?;
    let target = Arc::new(rungs::build_target(&package)?);
    let report = runner::run(burst, &target, &Options::default(), |_| ());
    let counts =
        format!("{planned} scenarios, {} passed on {}", report.counts.passed, package.name);
    let all_passed = report.exit_status() == 0 && report.counts.skipped == 0;
    Ok(if all_passed { Ok(counts) } else { Err(counts) })
}

fn time_out(note: &Document) -> Evidence {
    let section = note.section("The time-out").unwrap_or_default();
    let words = section.split_whitespace().count();
    if words < 40 {
        return Err(format!("{} gives no reason for the time-out", note.path.display()));
    }
    Ok(section.trim_start().split("\n\n").next().unwrap_or_default().to_owned())
}

fn paste(proof: &str) {
    let count = proof.chars().count();
    println!("\n---- paste from here ({count} of at most {MOST_CHARACTERS} characters) ----\n");
    println!("{}", proof.trim());
    println!("\n---- to here ----");
}

/// A file of the workspace, by lines.
struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    fn read(path: &str) -> Result<Self> {
        let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let text = fs::read_to_string(full).with_context(|| format!("cannot read {path}"))?;
        Ok(Self { path: path.into(), text })
    }

    /// `path:line` of the first line that has all of `parts`.
    fn line_with(&self, parts: &[&str]) -> Evidence {
        let found = (1..)
            .zip(self.text.lines())
            .find(|(_, line)| parts.iter().all(|part| line.contains(part)));
        found.map(|(number, _)| format!("{}:{number}", self.path.display())).ok_or_else(|| {
            format!("{} has no line with {}", self.path.display(), parts.join(" and "))
        })
    }

    fn quote(&self, part: &str) -> &str {
        let line = self.text.lines().find(|line| line.contains(part)).unwrap_or_default();
        line.trim().trim_end_matches('{').trim()
    }

    /// What stands under a heading of the second level.
    fn section(&self, heading: &str) -> Option<&str> {
        let start = self.text.find(&format!("\n## {heading}\n"))?;
        let body = &self.text[start..].trim_start().split_once('\n')?.1;
        Some(body.split("\n## ").next().unwrap_or(body))
    }
}

fn first_code_block(section: &str) -> Option<&str> {
    let start = section.find("```")?;
    let end = section[start + 3..].find("```")?;
    Some(&section[start..start + end + 6])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document { path: "note.md".into(), text: text.to_owned() }
    }

    #[test]
    fn evidence_names_the_line_and_what_is_missing() {
        let note = document("a\nFD_SET(fd, read)\n");
        assert_eq!(note.line_with(&["FD_SET", "read"]), Ok("note.md:2".to_owned()));
        let missing = note.line_with(&["FD_SET", "write"]).unwrap_err();
        assert_eq!(missing, "note.md has no line with FD_SET and write");
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let note = document("# T\n\n## One\n\nfirst\n### sub\n\n## Two\nsecond\n");
        assert_eq!(note.section("One"), Some("\nfirst\n### sub\n"));
        assert_eq!(note.section("Two"), Some("second\n"));
        assert_eq!(note.section("Three"), None);
    }

    #[test]
    fn a_time_out_without_a_reason_is_no_evidence() {
        assert!(time_out(&document("\n## The time-out\n\n1 s.\n")).is_err());
        assert!(time_out(&document("\n## Something else\n")).is_err());
    }

    #[test]
    fn criteria_fail_on_a_document_that_lacks_them() {
        let empty = document("");
        assert!(all_three_sets(&empty, &empty).is_err());
        assert!(registry_calls(&empty, &empty).is_err());
        assert!(max_fd(&empty, &empty, &empty).is_err());
    }

    #[test]
    fn an_unknown_day_is_refused_with_the_known_ones() {
        assert!(prove("day9").unwrap_err().to_string().contains("day1, day2"));
    }
}
