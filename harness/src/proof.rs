//! The proof of a day: its pass criteria with their evidence, and what to paste.
//!
//! A criterion is checked in the day's document and in its code, and where it is about behaviour, by
//! running the cases for it. All evidence is found at the moment of the proof, none is remembered.

mod async_runtime;
mod day2;
mod day3;
mod day5;
mod day6;
mod migration;
mod w05;

use crate::report::Verdict;
use crate::runner::{self, Options};
use crate::{cases, rungs};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The most that may be pasted as a proof, in characters.
const MOST_CHARACTERS: usize = 5_000;

/// The days that there is a proof for.
pub const DAYS: [&str; 9] = ["day1", "day2", "day3", "day4", "w04", "day5", "day6", "w05", "async"];

/// What was found for a criterion, or what is missing.
type Evidence = Result<String, String>;

/// Proves a day by its short name; returns whether every criterion holds.
///
/// # Errors
/// Something is missing that the proof needs: a document, a source file, a program that compiles.
pub fn prove(day: &str) -> Result<bool> {
    match day {
        "day1" => day1(),
        "day2" => day2::prove(),
        "day3" => day3::prove(),
        "day4" => migration::prove(&migration::DAY4),
        "w04" => migration::prove(&migration::W04),
        "day5" => day5::prove(),
        "day6" => day6::prove(),
        "w05" => w05::prove(),
        "async" => async_runtime::prove(),
        _ => bail!("there is no proof for {day:?}; there are: {}", DAYS.join(", ")),
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
    let short = paste(&String::from_utf8_lossy(&proof.stdout));
    Ok(check.status.success() && proof.status.success() && short)
}

/// Prints each criterion with its evidence; says whether all hold.
fn report(day: &str, criteria: &[(&str, Evidence)]) -> bool {
    println!("{day}: pass criteria\n");
    for (number, (criterion, evidence)) in (1..).zip(criteria) {
        let (mark, text) = match evidence {
            Ok(text) => ("ok  ", text),
            Err(text) => ("FAIL", text),
        };
        println!("{mark} {number}. {criterion}");
        text.lines().for_each(|line| println!("        {line}"));
    }
    criteria.iter().all(|(_, evidence)| evidence.is_ok())
}

/// Runs these cases now: all must pass.
fn passes(rung: &str, ids: &[&str]) -> Result<Evidence> {
    let server = rungs::find(&rungs::discover()?, rung)?;
    let target = Arc::new(rungs::build_target(&server)?);
    let chosen: Vec<_> = cases::all().filter(|case| ids.contains(&case.id)).collect();
    let report = runner::run(&chosen, &target, &Options::default(), |_| ());
    let ill: Vec<&str> = report
        .cases
        .iter()
        .filter(|case| !matches!(case.verdict, Verdict::Pass))
        .map(|case| case.id)
        .collect();
    let counts = format!("{} of {} cases pass on {}", report.counts.passed, ids.len(), server.name);
    let all = report.counts.passed as usize == ids.len();
    Ok(if all { Ok(counts) } else { Err(format!("{counts}, not {}", ill.join(" "))) })
}

/// What the document says and what the cases say, in this order; the first that is missing counts.
fn both(said: Evidence, seen: Evidence) -> Evidence {
    Ok(format!("{}\n{}", said?, seen?))
}

/// Prints what is to be pasted, unless it is too long; says whether it was not.
fn paste(proof: &str) -> bool {
    let count = proof.trim().chars().count();
    if count > MOST_CHARACTERS {
        println!("\nFAIL: {count} characters are to be pasted, and only {MOST_CHARACTERS} may be");
        return false;
    }
    println!("\n---- paste from here ({count} of at most {MOST_CHARACTERS} characters) ----\n");
    println!("{}", proof.trim());
    println!("\n---- to here ----");
    true
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

    /// A section that argues: its first paragraph, if the whole has at least so many words.
    fn argued(&self, heading: &str, words: usize) -> Evidence {
        let section = self.section(heading).unwrap_or_default();
        let count = section.split_whitespace().count();
        if count < words {
            return Err(format!(
                "{} has {count} words under {heading:?}, and needs {words}",
                self.path.display()
            ));
        }
        Ok(section.trim_start().split("\n\n").next().unwrap_or_default().to_owned())
    }

    /// What stands under a heading that has all of `parts` below it.
    fn section_with(&self, heading: &str, parts: &[&str]) -> Evidence {
        let path = self.path.display();
        let section = self.section(heading).ok_or_else(|| format!("{path} has no {heading:?}"))?;
        match parts.iter().find(|part| !section.contains(**part)) {
            Some(missing) => Err(format!("{path}: {heading:?} does not speak of {missing:?}")),
            None => Ok(format!("{path}, {heading:?}: {}", parts.join(", "))),
        }
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

    pub(super) fn document(text: &str) -> Document {
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
    fn an_unknown_day_is_refused_with_the_known_ones() {
        assert!(prove("day9").unwrap_err().to_string().contains("day1, day2, day3"));
    }

    #[test]
    fn what_is_too_long_is_not_pasted() {
        assert!(paste(&"x".repeat(MOST_CHARACTERS)));
        assert!(!paste(&"x".repeat(MOST_CHARACTERS + 1)));
    }

    #[test]
    fn a_section_must_speak_of_all_parts() {
        let note = document("\n## The cap\n\n65,536 bytes\n");
        assert!(note.section_with("The cap", &["65,536"]).is_ok());
        assert!(note.section_with("The cap", &["32,768"]).unwrap_err().contains("32,768"));
        assert!(note.section_with("The rule", &[]).is_err());
        assert!(note.argued("The cap", 2).is_ok() && note.argued("The cap", 3).is_err());
    }
}
