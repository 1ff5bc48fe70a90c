//! The pages in the notes: their tables are made from the data, the pictures stand beside it.

use crate::data::Data;
use crate::programs::workspace;
use crate::scenarios::SCENARIOS;
use crate::{beside_tokio, goals, pictures, tables};
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

/// The pages with generated parts.
const PAGES: [&str; 2] = ["notes/benchmarks.md", "notes/async-runtime.md"];

/// Rewrites the generated parts of the pages.
///
/// # Errors
/// One can't be read or written, or its markers are broken.
pub fn refresh(data: &Data) -> Result<()> {
    for page in PAGES {
        let (_, fresh) = refreshed(data, page)?;
        fs::write(workspace().join(page), fresh).with_context(|| format!("cannot write {page}"))?;
    }
    Ok(())
}

/// The pictures in this folder that are not what this data gives, and the pages if the folder is the
/// notes' own.
///
/// # Errors
/// One can't be read, or a page's markers are broken.
pub fn stale(data: &Data, folder: &Path) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for (file, svg) in pictures::all(data) {
        let path = folder.join(file);
        if fs::read_to_string(&path).ok().as_ref() != Some(&svg) {
            stale.push(path.display().to_string());
        }
    }
    for page in PAGES.into_iter().filter(|_| is_ours(folder)) {
        let (text, fresh) = refreshed(data, page)?;
        if text != fresh {
            stale.push(page.to_owned());
        }
    }
    Ok(stale)
}

/// A page as it is and as it should be.
fn refreshed(data: &Data, page: &str) -> Result<(String, String)> {
    let text = fs::read_to_string(workspace().join(page))
        .with_context(|| format!("cannot read {page}"))?;
    let fresh = note_parts::refresh(&text, |name| Ok(part(data, name)))
        .with_context(|| format!("{page} cannot be brought up to date"))?;
    Ok((text, fresh))
}

/// The part of this name, if there is one.
fn part(data: &Data, name: &str) -> Option<String> {
    match name {
        "machine" => Some(machine(data)),
        "method" => Some(method(data)),
        "tables" => Some(all_tables(data)),
        "goals" => Some(goals::table(data)),
        "servers beside tokio" => Some(beside_tokio::servers(data)),
        "timers and tasks beside tokio" => Some(beside_tokio::operations(data)),
        "idle connections beside tokio" => Some(beside_tokio::idle(data)),
        _ => None,
    }
}

fn machine(data: &Data) -> String {
    let machine = &data.machine;
    let libraries: Vec<String> =
        machine.libraries.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut text = format!(
        "| | |\n| --- | --- |\n| day | {} |\n| commit | {} |\n| processor | {}, {} cores |\n\
         | kernel | Linux {} |\n| compiler | {} |\n| peers | {} |",
        machine.date,
        machine.commit,
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.rustc,
        libraries.join(", "),
    );
    for (name, commit) in &data.again {
        // Writing to a string can't fail.
        let _ = write!(text, "\n| `{name}`, again | commit {commit} |");
    }
    text
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
