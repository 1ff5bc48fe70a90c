//! What each rung adds, from a real run: rungs × capabilities, and the regression lists of the notes.
//!
//! A capability is a list of cases and the first rung that has it. `harness matrix` runs them on every
//! server of the ladder; with `--write` the verdicts are kept, and the notes are made from what was
//! kept, so that nothing has to run to see whether a note is up to date.

use crate::case::{Case, Rung};
use crate::cases;
use crate::report::{RunReport, Verdict};
use crate::rungs::RungServer;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Something that a server can do.
#[derive(Debug)]
pub struct Capability {
    /// What it can do.
    pub name: &'static str,
    /// The cases that show it; none if they are yet to be written.
    pub cases: &'static [&'static str],
    /// The first rung that can do it.
    pub from: Rung,
    /// Why the rungs before it can't, or are not asked.
    pub before: &'static str,
}

const fn capability(
    name: &'static str,
    from: Rung,
    cases: &'static [&'static str],
    before: &'static str,
) -> Capability {
    Capability { name, cases, from, before }
}

/// Everybody can do it.
const ALWAYS: &str = "";
/// No rung before it has workers.
const WEEK5: &str = "week 5's subject: until then a task runs on the loop";

/// Rows of the matrix, in the order of the ladder.
#[rustfmt::skip]
pub const CAPABILITIES: &[Capability] = &[
    capability("50 clients, their sockets on one thread", Rung::Day2, &["BU01", "BU02", "BU05", "ME01"], ALWAYS),
    capability("requests cut and pipelined anyhow", Rung::Day2, &["FR01", "FR02", "FR08"], ALWAYS),
    capability("nobody starves while one floods", Rung::Day2, &["FA01", "FA03"], ALWAYS),
    capability("a half-close still gets every reply", Rung::Day2, &["CL01", "CL02"], ALWAYS),
    capability("time-outs: idle, slow request, stalled reader", Rung::Day2, &["TO02", "TO05", "TO10"], ALWAYS),
    capability("drain at SIGTERM", Rung::Day2, &["SD04", "SD06", "SD12"], ALWAYS),
    capability("out of descriptors survived", Rung::Day2, &["EX01", "EX02", "EX03"], ALWAYS),
    capability("nothing leaks", Rung::Day2, &["LC06", "FD08", "MM01"], ALWAYS),
    capability("bounded write queue", Rung::Day3, &["BP01", "BP04"], "day 3's subject"),
    capability("a pause loses nothing", Rung::Day3, &["PA01", "PA12"], "nobody is paused yet: day 3's subject"),
    capability("slow reader disconnected", Rung::Day3, &["SR01", "SR03"], "day 3's subject"),
    capability("descriptors beyond 1,024", Rung::Day4, &["PO01", "PO02"], "day 4's subject"),
    capability("as on day 3, byte for byte and state by state", Rung::Day4, &["UN01", "UN02"], "day 3 is what is compared with, and day 2 lacks what day 3 added"),
    capability("idle connections free", Rung::W04, &["EP07"], "week 4's subject"),
    capability("CPU work delays nobody", Rung::W05, &["HO03", "HO04"], WEEK5),
    capability("a task that fails or panics harms nobody", Rung::W05, &["HO02", "WK02"], WEEK5),
    capability("a full task queue loses nothing", Rung::W05, &["FQ01", "FQ04", "DR01"], WEEK5),
    capability("as many event loops as workers", Rung::Async, &["LO01", "LO02", "LO03", "LO04"], "the async runtime's subject: until then one loop serves everybody"),
];

/// What worked before and must go on working: lines of the regression lists.
#[rustfmt::skip]
pub const REGRESSION: &[(&str, &[&str])] = &[
    ("connect", &["BU01", "LS06"]),
    ("receive", &["FR01", "FR02"]),
    ("send", &["PR07", "FR07"]),
    ("disconnect", &["LC03", "CL12"]),
    ("time-out", &["TO02", "TO05", "TO10"]),
    ("EAGAIN on write", &["FR07", "CL14", "ME08"]),
    ("50 clients", &["BU01", "BU02", "BU05"]),
    ("backpressure", &["BP01", "PA12", "SR01"]),
    ("all of it, compared with day 3", &["UN01", "UN02"]),
];

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// The rule was kept.
    #[serde(rename = "pass")]
    Pass,
    /// It was broken, as it must be on this rung.
    #[serde(rename = "XFAIL")]
    ExpectedFailure,
    /// Anything that should not be.
    #[serde(rename = "FAIL")]
    Fail,
    /// Nothing could be said.
    #[serde(rename = "skip")]
    Skip,
    /// The rule says nothing about this rung.
    #[serde(rename = "n/a")]
    NotApplicable,
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::ExpectedFailure => "XFAIL",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
            Self::NotApplicable => "n/a",
        }
    }
}

impl From<&Verdict> for Word {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::ExpectedFailure { .. } => Self::ExpectedFailure,
            Verdict::Fail { .. } | Verdict::UnexpectedPass { .. } => Self::Fail,
            Verdict::Skip { .. } => Self::Skip,
            Verdict::NotApplicable { .. } => Self::NotApplicable,
        }
    }
}

/// The verdicts of a run: by the short name of the server, then by case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts(BTreeMap<String, BTreeMap<String, Word>>);

impl Verdicts {
    /// Adds what a server did.
    pub fn add(&mut self, server: &RungServer, report: &RunReport) {
        let words = report.cases.iter().map(|case| (case.id.to_owned(), (&case.verdict).into()));
        self.0.insert(server.short_name(), words.collect());
    }

    /// Those that were kept last.
    ///
    /// # Errors
    /// There are none, or they are not understood.
    pub fn kept() -> Result<Self> {
        let path = file();
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Keeps them for the notes.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn keep(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file(), text).with_context(|| format!("cannot write {}", file().display()))
    }

    fn word(&self, server: &str, case: &str) -> Result<Word> {
        let word = self.0.get(server).and_then(|words| words.get(case)).copied();
        word.with_context(|| {
            format!(
                "no verdict of {case} on {server}: run `cargo run -p harness -- matrix --write`"
            )
        })
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../notes/harness-verdicts.json")
}

/// Every case that a matrix or a list speaks of.
#[must_use]
pub fn cases() -> Vec<&'static Case> {
    let named = CAPABILITIES.iter().flat_map(|capability| capability.cases);
    let ids: BTreeSet<&str> =
        named.chain(REGRESSION.iter().flat_map(|(_, cases)| *cases)).copied().collect();
    cases::all().filter(|case| ids.contains(case.id)).collect()
}

/// What a cell says, and why if it is not simply `pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The rung can do it.
    Pass,
    /// The rung was seen to fail, and its lesson is still ahead.
    Ahead(&'static str),
    /// The rung is not asked, because its lesson is still ahead.
    NotAsked(&'static str),
    /// There is no case yet.
    ToCome(&'static str),
    /// Anything else.
    Fail,
}

impl Cell {
    fn of(capability: &Capability, server: &str, rung: Rung, verdicts: &Verdicts) -> Result<Self> {
        let mut words = Vec::new();
        // A rule may end with a rung while the capability goes on.
        let still_asked =
            |id: &&&str| !cases::all().any(|case| case.id == **id && case.is_over_at(rung));
        for case in capability.cases.iter().filter(still_asked) {
            words.push(verdicts.word(server, case)?);
        }
        if words.is_empty() {
            return Ok(Self::ToCome(capability.before));
        }
        if rung >= capability.from {
            let pass = words.iter().all(|word| *word == Word::Pass);
            return Ok(if pass { Self::Pass } else { Self::Fail });
        }
        if words.iter().any(|word| matches!(word, Word::Fail | Word::Skip)) {
            return Ok(Self::Fail);
        }
        let failed = words.iter().position(|word| *word == Word::ExpectedFailure);
        let Some(failed) = failed else { return Ok(Self::NotAsked(capability.before)) };
        let case = cases::all().find(|case| case.id == capability.cases[failed]);
        Ok(Self::Ahead(case.and_then(|case| case.xfail).unwrap_or(capability.before)))
    }

    fn text(self, footnotes: &mut Vec<&'static str>) -> String {
        let (word, note) = match self {
            Self::Pass => return "pass".to_owned(),
            Self::Fail => return "**FAIL**".to_owned(),
            Self::Ahead(note) => ("XFAIL", note),
            Self::NotAsked(note) => ("–", note),
            Self::ToCome(note) => ("to come", note),
        };
        let number = footnotes.iter().position(|known| *known == note).unwrap_or_else(|| {
            footnotes.push(note);
            footnotes.len() - 1
        });
        format!("{word} [{}]", number + 1)
    }
}

/// The matrix, and whether every cell is as it should be.
///
/// # Errors
/// A verdict is missing.
pub fn render(servers: &[RungServer], verdicts: &Verdicts) -> Result<(String, bool)> {
    let mut footnotes = Vec::new();
    let mut good = true;
    let mut table = "| |".to_owned();
    for server in servers {
        let _ = write!(table, " {} |", server.short_name());
    }
    let _ = writeln!(table, " cases |\n|{}", " --- |".repeat(servers.len() + 2));
    for capability in CAPABILITIES {
        let _ = write!(table, "| {} |", capability.name);
        for server in servers {
            let cell = Cell::of(capability, &server.short_name(), server.rung, verdicts)?;
            good &= cell != Cell::Fail;
            let _ = write!(table, " {} |", cell.text(&mut footnotes));
        }
        let _ = writeln!(table, " {} |", capability.cases.join(" "));
    }
    table.push('\n');
    for (number, note) in (1..).zip(footnotes) {
        let _ = writeln!(table, "{number}. {note}");
    }
    Ok((table, good))
}

/// The regression list with the verdicts of these servers.
///
/// # Errors
/// A verdict is missing.
pub fn regression(servers: &[&str], verdicts: &Verdicts) -> Result<String> {
    let mut out = format!("| what | case | {} |\n", servers.join(" | "));
    let _ = writeln!(out, "|{}", " --- |".repeat(servers.len() + 2));
    for (what, ids) in REGRESSION {
        for case in cases::all().filter(|case| ids.contains(&case.id)) {
            let (group, name) = case.path.split_once('/').unwrap_or((case.path, ""));
            let name = name.replace('_', " ");
            let _ = write!(out, "| {what} | [{}](harness-cases.md#{group}) {name} |", case.id);
            for server in servers {
                let _ = write!(out, " {} |", verdicts.word(server, case.id)?.text());
            }
            out.push('\n');
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(words: &[(&str, Word)]) -> Verdicts {
        let words = words.iter().map(|(case, word)| ((*case).to_owned(), *word)).collect();
        Verdicts(BTreeMap::from([("day2".to_owned(), words)]))
    }

    #[test]
    fn every_case_that_is_named_exists() {
        let exists = |id: &&&str| cases::all().any(|case| case.id == **id);
        let named = CAPABILITIES.iter().flat_map(|capability| capability.cases);
        let all: Vec<&&str> =
            named.chain(REGRESSION.iter().flat_map(|(_, cases)| *cases)).collect();
        let unknown: Vec<&&&str> = all.iter().filter(|id| !exists(id)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_cell_says_whether_the_lesson_is_still_ahead() {
        let bounded = capability("x", Rung::Day3, &["BP01", "PA12"], "its own reason");
        let cell = |words: [Word; 2], rung| {
            let verdicts = verdicts(&[("BP01", words[0]), ("PA12", words[1])]);
            Cell::of(&bounded, "day2", rung, &verdicts).unwrap()
        };
        use Word::{ExpectedFailure, Fail, NotApplicable, Pass, Skip};
        assert_eq!(cell([Pass, Pass], Rung::Day3), Cell::Pass);
        for word in [Fail, Skip, NotApplicable, ExpectedFailure] {
            assert_eq!(cell([Pass, word], Rung::Day3), Cell::Fail, "{word:?}");
        }
        let ahead = cell([ExpectedFailure, NotApplicable], Rung::Day2);
        assert!(matches!(ahead, Cell::Ahead(reason) if reason.contains("day 2")), "{ahead:?}");
        let not_asked = Cell::NotAsked("its own reason");
        assert_eq!(cell([NotApplicable, NotApplicable], Rung::Day2), not_asked);
        assert_eq!(cell([ExpectedFailure, Fail], Rung::Day2), Cell::Fail);
    }

    #[test]
    fn a_rule_that_ended_with_an_earlier_rung_is_not_asked_for() {
        let served = capability("x", Rung::Day2, &["BU01", "ME01"], ALWAYS);
        let verdicts = verdicts(&[("BU01", Word::Pass), ("ME01", Word::NotApplicable)]);
        let cell = |rung| Cell::of(&served, "day2", rung, &verdicts).unwrap();
        assert_eq!((cell(Rung::W04), cell(Rung::W05)), (Cell::Fail, Cell::Pass));
    }

    #[test]
    fn a_verdict_that_was_not_kept_is_an_error_that_says_what_to_run() {
        let error = regression(&["day2"], &verdicts(&[])).unwrap_err().to_string();
        assert!(error.contains("matrix --write"), "{error}");
    }

    #[test]
    fn the_same_reason_is_told_once() {
        let mut footnotes = Vec::new();
        for cell in [Cell::Ahead("a"), Cell::ToCome("b"), Cell::NotAsked("a")] {
            cell.text(&mut footnotes);
        }
        assert_eq!(footnotes, ["a", "b"]);
        assert_eq!(Cell::Ahead("b").text(&mut footnotes), "XFAIL [2]");
    }
}
