//! Day 1: the state model of a connection, printed and checked.
//!
//! A design document that is written by hand begins to lie with the first change of the code. This
//! one is printed from what the servers run on: conn-core's tables, the doc comments of its
//! `Connection`, and the source of every crate that the loop runs through.
//!
//! [`model`] collects the tables, [`diagram`] draws them, [`sections`] writes them down,
//! [`criteria`] judges them. [`audit`] is the search for calls that block; its data, the reasons
//! why they do not, is in [`audit::reasons`]. [`Document`] puts the parts together.
#![forbid(unsafe_code)]

pub mod audit;
pub mod criteria;
pub mod diagram;
pub mod eagain;
pub mod json;
pub mod model;
pub mod proof;
pub mod sections;

use anyhow::Result;
use audit::Report;
use criteria::Verdict;
use model::Model;
use std::path::{Path, PathBuf};

/// Everything that the documents are made of.
#[derive(Clone, Debug)]
pub struct Document {
    /// The tables.
    pub model: Model,
    /// The audit of the source.
    pub report: Report,
    /// The five criteria.
    pub verdicts: [Verdict; 5],
}

impl Document {
    /// Reads the tables and audits the workspace at `root`.
    ///
    /// # Errors
    /// See [`Model::current`] and [`audit::audit`].
    pub fn read(root: &Path) -> Result<Self> {
        let model = Model::current()?;
        let report = audit::audit(root, &audit::rules())?;
        let verdicts = criteria::judge(&model, &report, eagain::RULES);
        Ok(Self { model, report, verdicts })
    }

    /// A part of a note by its name; `None` if there is no such part.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<String> {
        let model = &self.model;
        Some(match name {
            "states" => sections::states(model),
            "transitions" => sections::transitions(model),
            "impossible" => sections::impossible(model),
            "pairs" => sections::pairs(model),
            "mermaid" => sections::mermaid(model),
            "diagram" => sections::diagram(model),
            "connection" => sections::connection(model),
            "eagain" => sections::eagain(model),
            "audit" => sections::audit(&self.report, false),
            "criteria" => sections::criteria(&self.verdicts),
            _ => return None,
        })
    }

    /// The whole document in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let model = &self.model;
        let sections = [
            ("Connection states", sections::states(model)),
            ("State diagram", sections::mermaid(model) + "\n" + &sections::diagram(model)),
            ("State transition table", sections::transitions(model)),
            ("What cannot happen", sections::impossible(model)),
            ("State pairs", sections::pairs(model)),
            ("Per-connection data", sections::connection(model)),
            ("EAGAIN", sections::eagain(model)),
            ("Blocking-call audit", sections::audit(&self.report, true)),
            ("Pass criteria", sections::criteria(&self.verdicts)),
        ];
        let mut out = "# Event loop state model\n".to_owned();
        for (title, text) in sections {
            out += &format!("\n## {title}\n\n{text}");
        }
        out
    }
}

/// The workspace that this program was built in.
#[must_use]
pub fn built_in() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
