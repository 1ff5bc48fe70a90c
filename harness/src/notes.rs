//! The parts of the workspace's notes that are made from the list of cases.

use crate::case::Case;
use crate::cases::{self, GROUPS};
use crate::matrix::{self, Verdicts};
use crate::{lifecycle, rows, rungs, soak};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The notes with parts from here, relative to the workspace.
const NOTES: [&str; 7] = [
    "notes/day2-select-plan.md",
    "notes/day4-poll-migration-checklist.md",
    "notes/day5-connection-lifecycle-tests.md",
    soak::report::NOTE,
    "notes/harness-cases.md",
    "notes/harness-matrix.md",
    "notes/w04-epoll-migration.md",
];

/// Rewrites the generated parts of every note.
///
/// # Errors
/// A note can't be read or written, or its markers are broken.
pub fn update() -> Result<()> {
    for (path, _, fresh) in refreshed()? {
        fs::write(&path, fresh).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The notes whose generated parts are not what the list of cases gives now.
///
/// # Errors
/// A note can't be read, or its markers are broken.
pub fn stale() -> Result<Vec<PathBuf>> {
    let notes = refreshed()?.into_iter();
    Ok(notes.filter(|(_, text, fresh)| text != fresh).map(|(path, ..)| path).collect())
}

fn refreshed() -> Result<Vec<(PathBuf, String, String)>> {
    let read = |note: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(note);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {note}"))?;
        let fresh = note_parts::refresh(&text, part)
            .with_context(|| format!("{note} cannot be brought up to date"))?;
        Ok((path, text, fresh))
    };
    NOTES.into_iter().map(read).collect()
}

/// The part of this name, if there is one: `burst cases` is the table of one group, `all cases` every
/// table under its heading.
fn part(name: &str) -> Result<Option<String>> {
    Ok(match name {
        "all cases" => Some(GROUPS.iter().map(|group| section(group)).collect()),
        "matrix" => Some(matrix::render(&rungs::discover()?, &Verdicts::kept()?)?.0),
        "day4 regression" => Some(matrix::regression(&["day3", "day4"], &Verdicts::kept()?)?),
        "w04 regression" => {
            Some(matrix::regression(&["day4", "w04", "w04-edge"], &Verdicts::kept()?)?)
        }
        "lifecycle matrix" => Some(lifecycle::matrix()),
        "lifecycle rows" => Some(lifecycle::coverage(&rows::table()?)),
        "lifecycle rows out of reach" => Some(lifecycle::unreached()),
        _ => match name.strip_prefix(soak::report::PART) {
            Some(server) => Some(soak::report::of_kept_data(&soak::report::note(), server)?),
            None => name.strip_suffix(" cases").and_then(group),
        },
    })
}

fn group(name: &str) -> Option<String> {
    let prefix = format!("{name}/");
    let group: Vec<&Case> = cases::all().filter(|case| case.path.starts_with(&prefix)).collect();
    (!group.is_empty()).then(|| table(group))
}

fn section(group: &'static [Case]) -> String {
    let name = group[0].path.split('/').next().unwrap_or_default();
    format!("## {name}\n\n{}\n", table(group))
}

fn table<'a>(group: impl IntoIterator<Item = &'a Case>) -> String {
    let mut out = "| id | case | rule | first rung |\n| --- | --- | --- | --- |\n".to_owned();
    for case in group {
        let name = case.path.split('/').next_back().unwrap_or_default().replace('_', " ");
        let rule = case.rule.replace('|', "\\|");
        let since = case.since.name();
        writeln!(out, "| {} | {name} | {rule} | {since} |", case.id).expect("a String takes all");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_are_up_to_date() {
        let stale = stale().unwrap();
        assert!(stale.is_empty(), "{stale:?} is stale: run `cargo run -p harness -- notes`");
    }

    #[test]
    fn an_unknown_part_is_none() {
        assert_eq!(part("no such group cases").unwrap(), None);
        assert_eq!(part("burst").unwrap(), None);
    }
}
