//! `cargo run -p day1-state-model`: the design document; `-- --check`: the five pass criteria.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use day1_state_model::model::Model;
use day1_state_model::{Document, built_in, criteria, diagram, json, proof};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Day 1: the state model of a connection, printed from the tables that the servers run on
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,

    /// Print the five pass criteria with their evidence; exit 1 if one fails
    #[arg(long, conflicts_with_all = ["format", "proof", "update_notes"])]
    check: bool,

    /// Print enum, transition table and struct for pasting, in at most 5,000 characters
    #[arg(long, conflicts_with_all = ["format", "update_notes"])]
    proof: bool,

    /// Rewrite the generated parts of a note in place
    #[arg(long, value_name = "PATH", conflicts_with = "format")]
    update_notes: Option<PathBuf>,

    /// The workspace whose source is audited [default: the one this program was built in]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// The whole document
    Markdown,
    /// The state diagram for Mermaid
    Mermaid,
    /// The state diagram for Graphviz
    Dot,
    /// The whole document, for programs
    Json,
}

fn main() -> ExitCode {
    run(&Cli::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let root = cli.root.clone().unwrap_or_else(built_in);
    let read = || Document::read(&root);
    let (text, good) = if cli.check {
        let verdicts = read()?.verdicts;
        (criteria::render(&verdicts), verdicts.iter().all(criteria::Verdict::passed))
    } else if cli.proof {
        (proof::proof(&Model::current()?), true)
    } else if let Some(note) = &cli.update_notes {
        (update(note, &read()?)?, true)
    } else {
        let text = match cli.format {
            Format::Markdown => read()?.markdown(),
            Format::Mermaid => diagram::mermaid(&Model::current()?),
            Format::Dot => diagram::dot(&Model::current()?),
            Format::Json => {
                let Document { model, report, verdicts } = read()?;
                format!("{:#}\n", json::json(&model, &report, &verdicts))
            }
        };
        (text, true)
    };
    print(&text)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Rewrites the note if that changes it; says which.
fn update(path: &Path, document: &Document) -> Result<String> {
    let shown = path.display();
    let note = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let fresh = note_parts::refresh(&note, |name| Ok(document.part(name)))
        .with_context(|| format!("in {shown}"))?;
    if fresh == note {
        return Ok(format!("{shown} is up to date\n"));
    }
    fs::write(path, fresh).with_context(|| format!("cannot write {shown}"))?;
    Ok(format!("{shown} updated\n"))
}

/// Prints; a reader who has seen enough (`| head -1`) is no error.
fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}
