//! The bug museum as the harness sees it: a program that can be told to make a classic mistake, and
//! a catalogue that says which cases must notice.
//!
//! It is how the cases are tested: a mistake that no case notices means a missing case, and a case
//! that fails for another's mistake accuses the wrong part of a learner's server.

pub mod finding;
pub mod note;
pub mod text;
pub mod tour;

use crate::case::{Case, Expectation, Rung};
use crate::target::{Origin, Target, quote};
use crate::{cases, rungs};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::Command;

/// The package, and its program.
const PACKAGE: &str = "bug-museum";

/// The rungs that the server without a bug is.
pub const PLAIN_RUNGS: [Rung; 4] = [Rung::Day3, Rung::Day4, Rung::W04, Rung::W05];

/// One mistake, as `bug-museum --list --json` tells it.
#[derive(Debug, Clone, Deserialize)]
pub struct Bug {
    /// What `--bug` takes.
    pub name: String,
    /// The rung whose expectations apply.
    pub rung: Rung,
    /// What is wrong in the code.
    pub mistake: String,
    /// What a client or an operator sees of it.
    pub symptom: String,
    /// Where the mistake is warned of.
    pub warned_by: String,
    /// The ids of the cases that must fail.
    pub caught_by: Vec<String>,
    /// The cases that may fail too: ids, the letters of a group (`BU`), or `*` where next to nothing
    /// works.
    pub also: Vec<String>,
}

impl Bug {
    /// The cases that say something about it: all of its rung, but only those that must fail if any other
    /// may.
    #[must_use]
    pub fn cases(&self) -> Vec<&'static Case> {
        let mut cases = cases_of(self.rung);
        cases.retain(|case| {
            self.is_caught_by(case.id) || !self.also.iter().any(|entry| entry == "*")
        });
        cases
    }

    /// Whether this case must fail.
    #[must_use]
    pub fn is_caught_by(&self, id: &str) -> bool {
        self.caught_by.iter().any(|named| named == id)
    }

    /// Whether this case may fail too.
    #[must_use]
    pub fn may_fail(&self, id: &str) -> bool {
        self.also.iter().any(|entry| entry == "*" || entry == id || entry == group(id))
    }
}

/// The letters of an id, which all cases of a group share.
fn group(id: &str) -> &str {
    id.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The museum: its program, already built, and its catalogue.
#[derive(Debug)]
pub struct Museum {
    program: PathBuf,
    /// Every bug, in the order of the catalogue.
    pub bugs: Vec<Bug>,
}

impl Museum {
    /// Builds the museum and reads its catalogue.
    ///
    /// # Errors
    /// It does not compile, or its catalogue names a case that there is not.
    pub fn open() -> Result<Self> {
        let program = rungs::build_program(PACKAGE)?;
        let output = Command::new(&program)
            .args(["--list", "--json"])
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        ensure!(output.status.success(), "{PACKAGE} --list --json: {}", output.status);
        let bugs: Vec<Bug> = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{PACKAGE} --list --json is no catalogue"))?;
        bugs.iter().try_for_each(check)?;
        Ok(Self { program, bugs })
    }

    /// The bug with this name.
    ///
    /// # Errors
    /// There is none.
    pub fn bug(&self, name: &str) -> Result<&Bug> {
        let found = self.bugs.iter().find(|bug| bug.name == name);
        found.with_context(|| {
            format!("the museum has no bug `{name}`; `cargo run -p {PACKAGE} -- --list` shows all")
        })
    }

    /// The server with this bug.
    #[must_use]
    pub fn with_bug(&self, bug: &Bug) -> Target {
        self.target(&["--bug", &bug.name], bug.rung)
    }

    /// The server without a bug, as this rung.
    #[must_use]
    pub fn plain(&self, rung: Rung) -> Target {
        // Both weeks wait with epoll; the second has a pool behind it.
        let mechanism = if rung == Rung::W05 { "handoff" } else { rung.mechanism() };
        self.target(&["--mechanism", mechanism], rung)
    }

    fn target(&self, options: &[&str], rung: Rung) -> Target {
        let options = options.join(" ");
        let command = format!("{} {options} {{port}}", quote(&self.program.to_string_lossy()));
        Target {
            name: format!("{PACKAGE} {options}"),
            replay: format!("--cmd {} --as {rung}", quote(&command)),
            origin: Origin::Command(command),
            rung,
            takes_flags: true,
            reference: None,
        }
    }
}

/// Every case that a server of this rung must pass.
#[must_use]
pub fn cases_of(rung: Rung) -> Vec<&'static Case> {
    cases::all().filter(|case| case.expectation(rung) == Expectation::Pass).collect()
}

/// Refuses a bug that no case is to catch, or one that is to be caught by a case that does not apply.
fn check(bug: &Bug) -> Result<()> {
    let Bug { name, rung, caught_by, also, .. } = bug;
    ensure!(!caught_by.is_empty(), "no case is to catch {name}: `caught_by` is empty");
    let cases = cases_of(*rung);
    for id in caught_by {
        if !cases.iter().any(|case| case.id == id) {
            bail!("{name} is to be caught by {id}, which is no case of {rung}");
        }
    }
    for entry in also.iter().filter(|entry| *entry != "*") {
        if !cases.iter().any(|case| case.id == entry || group(case.id) == entry) {
            bail!("{name} may fail {entry}, which is no case and no group of {rung}");
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A bug of day 3 with these two lists.
    pub(crate) fn bug(caught_by: &[&str], also: &[&str]) -> Bug {
        let own = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        Bug {
            name: "max_fd_forgotten".into(),
            rung: Rung::Day3,
            mistake: "max_fd is not updated".into(),
            symptom: "newcomers hang".into(),
            warned_by: "seed 001".into(),
            caught_by: own(caught_by),
            also: own(also),
        }
    }

    #[test]
    fn a_catalogue_entry_is_read_whatever_else_it_tells() {
        let entry = r#"{"name": "n", "mechanism": "epoll", "rung": "w04", "mistake": "m",
            "symptom": "s", "warned_by": "w", "caught_by": ["BU01"], "also": []}"#;
        let bug: Bug = serde_json::from_str(entry).unwrap();
        assert_eq!(bug.rung, Rung::W04);
        assert_eq!(bug.caught_by, ["BU01"]);
    }

    #[test]
    fn only_cases_of_its_rung_can_catch_a_bug() {
        assert!(check(&bug(&["PR01"], &["BU01"])).is_ok());
        assert!(check(&bug(&[], &["BU01"])).is_err());
        assert!(check(&bug(&["PR01"], &["*", "CL"])).is_ok());
        assert!(check(&bug(&["PR"], &[])).is_err());
        for also in ["XX99", "XX", "P", ""] {
            assert!(check(&bug(&["PR01"], &[also])).is_err(), "{also:?}");
        }
        let on_poll = Bug { rung: Rung::Day4, ..bug(&["LI06"], &[]) };
        let problem = check(&on_poll).unwrap_err().to_string();
        assert!(problem.contains("LI06, which is no case of day4"), "{problem}");
    }

    #[test]
    fn where_any_case_may_fail_only_those_are_run_that_must() {
        let ids = |bug: Bug| bug.cases().iter().map(|case| case.id).collect::<Vec<_>>();
        assert_eq!(ids(bug(&["PR01"], &["*"])), ["PR01"]);
        assert!(ids(bug(&["PR01"], &["BU"])).contains(&"CL01"));
    }

    #[test]
    fn what_may_fail_is_named_by_id_by_group_or_all_at_once() {
        let bug_with = |also| bug(&["PR01"], &[also]);
        assert!(bug_with("CL02").may_fail("CL02") && !bug_with("CL02").may_fail("CL01"));
        assert!(bug_with("CL").may_fail("CL01") && !bug_with("CL").may_fail("BU01"));
        assert!(bug_with("*").may_fail("BU01"));
    }

    #[test]
    fn a_bug_is_a_command_that_can_be_run_again() {
        let museum = Museum { program: "/b/bug-museum".into(), bugs: vec![bug(&["PR01"], &[])] };
        let target = museum.with_bug(museum.bug("max_fd_forgotten").unwrap());
        let expected = "--cmd '/b/bug-museum --bug max_fd_forgotten {port}' --as day3";
        assert_eq!(target.replay, expected);
        assert!(museum.plain(Rung::Day4).replay.contains("--mechanism poll"));
        assert!(museum.bug("max_fd").unwrap_err().to_string().contains("--list"));
    }
}
