//! The catalogue as a table in the museum's note.

use super::Museum;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The note, relative to the workspace.
const NOTE: &str = "notes/bug-museum.md";

/// Brings the table up to date.
///
/// # Errors
/// The note can't be read or written, or its markers are broken.
pub fn write(museum: &Museum) -> Result<()> {
    let (path, _, fresh) = refreshed(museum)?;
    fs::write(path, fresh).with_context(|| format!("cannot write {NOTE}"))
}

/// Whether the table is not what the catalogue says now.
///
/// # Errors
/// The note can't be read, or its markers are broken.
pub fn is_stale(museum: &Museum) -> Result<bool> {
    let (_, text, fresh) = refreshed(museum)?;
    Ok(text != fresh)
}

fn refreshed(museum: &Museum) -> Result<(PathBuf, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(NOTE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {NOTE}"))?;
    let fresh = note_parts::refresh(&text, |name| Ok((name == "bugs").then(|| table(museum))))
        .with_context(|| format!("{NOTE} cannot be brought up to date"))?;
    Ok((path, text, fresh))
}

fn table(museum: &Museum) -> String {
    let mut out = "| bug | rung | mistake | symptom | who warns | caught by | may fail too |\n\
                   | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for bug in &museum.bugs {
        let cell = |text: &str| text.replace('|', "\\|");
        let [mistake, symptom, warned_by] =
            [&bug.mistake, &bug.symptom, &bug.warned_by].map(|text| cell(text));
        let (caught_by, also) = (bug.caught_by.join(" "), bug.also.join(" ").replace('*', "any"));
        writeln!(
            out,
            "| {} | {} | {mistake} | {symptom} | {warned_by} | {caught_by} | {also} |",
            bug.name, bug.rung
        )
        .expect("a String takes all");
    }
    out
}
