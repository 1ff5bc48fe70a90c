//! Day 4 and week 4: another mechanism under the same server.

use super::{Document, Evidence, both, passes, paste, report};
use crate::matrix::REGRESSION;
use anyhow::{Context, Result};
use std::fmt::Write;

/// What is proved about a migration.
pub(super) struct Migration {
    day: &'static str,
    note: &'static str,
    /// What the mapping must have a counterpart for.
    parts: &'static [&'static str],
    /// The servers that must pass the regression list.
    servers: &'static [&'static str],
}

pub(super) const DAY4: Migration = Migration {
    day: "Day 4",
    note: "notes/day4-poll-migration-checklist.md",
    parts: &[
        "fd_set",
        "FD_ZERO",
        "FD_SET",
        "FD_ISSET",
        "max_fd + 1",
        "timeval",
        "error set",
        "POLLIN",
        "POLLOUT",
        "revents",
    ],
    servers: &["day4"],
};

pub(super) const W04: Migration = Migration {
    day: "Week 4",
    note: "notes/w04-epoll-migration.md",
    parts: &["epoll_create1", "ADD", "MOD", "DEL", "revents", "milliseconds", "EPOLLET"],
    servers: &["w04", "w04-edge"],
};

pub(super) fn prove(migration: &Migration) -> Result<bool> {
    let note = Document::read(migration.note)?;
    let all: Vec<&str> = REGRESSION.iter().flat_map(|(_, cases)| *cases).copied().collect();
    let mut regression = listed(&note);
    let mut unchanged = note.argued("What is unchanged", 40);
    for server in migration.servers {
        regression = both(regression, passes(server, &distinct(&all))?);
        unchanged = both(unchanged, passes(server, &["UN01", "UN02"])?);
    }
    let criteria: [(&str, Evidence); 5] = [
        ("every part has its counterpart", note.section_with("Mapping", migration.parts)),
        ("a checklist of ten steps", ten_steps(&note, "Checklist")),
        ("the regression list covers what must go on working, and passes", regression),
        (
            "what improves, and what does not",
            both(
                note.section_with("What it improves", &["What it does not improve"]),
                note.argued("What it improves", 60),
            ),
        ),
        ("what is unchanged: transcripts and transitions are those of day 3", unchanged),
    ];
    let good = report(migration.day, &criteria);
    let section =
        |heading: &str| note.section(heading).with_context(|| format!("{heading:?} is missing"));
    let mut list = String::new();
    for (what, cases) in REGRESSION {
        writeln!(list, "- {what}: {}", cases.join(", "))?;
    }
    let verdict = match &criteria[2].1 {
        Ok(text) | Err(text) => text.lines().skip(1).collect::<Vec<_>>().join("; "),
    };
    let text = format!(
        "## Mapping\n{}\n## Checklist\n{}\n## Regression list\n\n{list}\n{verdict}\n\n## What is \
         unchanged\n{}",
        section("Mapping")?,
        section("Checklist")?,
        section("What is unchanged")?
    );
    Ok(paste(&text) && good)
}

fn distinct<'a>(ids: &[&'a str]) -> Vec<&'a str> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The note has a line with a verdict for each part of the list.
fn listed(note: &Document) -> Evidence {
    let names: Vec<String> = REGRESSION.iter().map(|(what, _)| format!("| {what} | [")).collect();
    let parts: Vec<&str> = names.iter().map(String::as_str).collect();
    note.section_with("Regression list", &parts)?;
    let named: Vec<&str> = REGRESSION.iter().map(|(what, _)| *what).collect();
    Ok(format!("{}: {}", note.path.display(), named.join(", ")))
}

/// A section with a list of at least ten numbers.
pub(super) fn ten_steps(note: &Document, heading: &str) -> Evidence {
    let section = note.section(heading).unwrap_or_default();
    let numbered =
        |line: &&str| line.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
    match section.lines().filter(numbered).count() {
        steps @ 10.. => Ok(format!("{steps} steps in {}", note.path.display())),
        steps => Err(format!("{} has {steps} steps of ten", note.path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::document;
    use super::*;

    #[test]
    fn nine_steps_are_too_few() {
        let steps = |count| {
            let list: String = (1..=count).map(|step| format!("{step}. do it\n")).collect();
            ten_steps(&document(&format!("\n## Checklist\n\n{list}")), "Checklist")
        };
        assert!(steps(10).is_ok());
        assert!(steps(9).unwrap_err().contains("9 steps"));
    }

    #[test]
    fn a_list_without_a_part_is_no_evidence() {
        assert!(listed(&document("\n## Regression list\n\n| connect | [BU01]\n")).is_err());
    }
}
