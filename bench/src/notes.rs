//! The page in the notes: its tables are made from the data, its pictures stand beside it.

use crate::data::Data;
use crate::machine::Machine;
use crate::programs::workspace;
use crate::scenarios::SCENARIOS;
use crate::{goals, pictures, tables};
use anyhow::{Context, Result};
use clap::Args;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What to draw again.
#[derive(Args, Clone, Debug)]
pub struct PlotOptions {
    /// Where data and pictures are [default: notes/benchmarks]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write nothing; say which file is not what the data gives
    #[arg(long)]
    check: bool,
}

/// Draws pictures and tables again, or says which are stale. Returns whether all is fresh.
///
/// # Errors
/// There is no data, or something can't be written.
pub fn plot(options: &PlotOptions) -> Result<bool> {
    let folder = options.out.clone().unwrap_or_else(folder);
    let data = Data::read(&folder)?;
    if options.check {
        let stale = stale(&data, &folder)?;
        for file in &stale {
            eprintln!("error: {file} is not what the data gives: run `bench plot`");
        }
        return Ok(stale.is_empty());
    }
    pictures::write(&data, &folder)?;
    if is_ours(&folder) {
        refresh(&data)?;
    }
    Ok(true)
}

/// Where the notes' data and pictures are.
#[must_use]
pub fn folder() -> PathBuf {
    workspace().join("notes/benchmarks")
}

/// Whether a folder is the notes' own, however it is written.
#[must_use]
pub fn is_ours(folder: &Path) -> bool {
    let canonical = |folder: &Path| folder.canonicalize().ok();
    canonical(folder).is_some_and(|folder| Some(folder) == canonical(&self::folder()))
}

fn page() -> PathBuf {
    workspace().join("notes/benchmarks.md")
}

/// Rewrites the generated parts of the page.
///
/// # Errors
/// It can't be read or written, or its markers are broken.
pub fn refresh(data: &Data) -> Result<()> {
    let (_, fresh) = refreshed(data)?;
    fs::write(page(), fresh).context("cannot write notes/benchmarks.md")
}

/// The pictures in this folder that are not what this data gives, and the page if the folder is the
/// notes' own.
///
/// # Errors
/// One can't be read, or the page's markers are broken.
pub fn stale(data: &Data, folder: &Path) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for (file, svg) in pictures::all(data) {
        let path = folder.join(file);
        if fs::read_to_string(&path).ok().as_ref() != Some(&svg) {
            stale.push(path.display().to_string());
        }
    }
    if !is_ours(folder) {
        return Ok(stale);
    }
    let (text, fresh) = refreshed(data)?;
    if text != fresh {
        stale.push("notes/benchmarks.md".to_owned());
    }
    Ok(stale)
}

fn refreshed(data: &Data) -> Result<(String, String)> {
    let text = fs::read_to_string(page()).context("cannot read notes/benchmarks.md")?;
    let fresh = note_parts::refresh(&text, |name| Ok(part(data, name)))
        .context("notes/benchmarks.md cannot be brought up to date")?;
    Ok((text, fresh))
}

/// The part of this name, if there is one.
fn part(data: &Data, name: &str) -> Option<String> {
    match name {
        "machine" => Some(machine(&data.machine)),
        "method" => Some(method(data)),
        "tables" => Some(all_tables(data)),
        "goals" => Some(goals::table(data)),
        _ => None,
    }
}

fn machine(machine: &Machine) -> String {
    let libraries: Vec<String> =
        machine.libraries.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "| | |\n| --- | --- |\n| day | {} |\n| commit | {} |\n| processor | {}, {} cores |\n\
         | kernel | Linux {} |\n| compiler | {} |\n| peers | {} |",
        machine.date,
        machine.commit,
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.rustc,
        libraries.join(", "),
    )
}

fn method(data: &Data) -> String {
    let settings = &data.settings;
    format!(
        "{} rounds, in each of them every server for {} ms after {} ms of warm-up; the server on \
         core {}, the load generator on core {}.",
        settings.rounds,
        settings.duration,
        settings.warmup,
        settings.cores.server,
        settings.cores.load,
    )
}

fn all_tables(data: &Data) -> String {
    let mut text = String::new();
    for scenario in SCENARIOS.iter().filter(|scenario| !data.of(scenario.name).is_empty()) {
        let table = tables::of_scenario(data, scenario);
        // Writing to a string can't fail.
        let _ = write!(
            text,
            "### {}\n\n`{}` shows {}.\n\n{table}\n\n",
            scenario.title, scenario.name, scenario.shows
        );
    }
    text
}
