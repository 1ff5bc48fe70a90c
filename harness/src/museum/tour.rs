//! `harness museum`: every case of its rung against each bug.

use super::finding::Finding;
use super::{Bug, Museum, PLAIN_RUNGS, cases_of, note};
use crate::case::Case;
use crate::report::{CaseReport, human};
use crate::runner::{self, Options};
use crate::scene::lock;
use crate::target::Target;
use anyhow::Result;
use clap::Args;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Servers that are judged at the same time, so that the last slow cases of one do not hold up all.
const SIDE_BY_SIDE: usize = 2;

/// What `harness museum` is asked for.
#[derive(Debug, Args)]
pub struct Tour {
    /// Names of bugs; without any, all of them and the server without a bug
    bugs: Vec<String>,
    /// Run nothing, but bring the table in notes/bug-museum.md up to date with the catalogue
    #[arg(long, conflicts_with = "bugs")]
    write: bool,
}

/// A server of the museum: one bug, or none.
#[derive(Debug)]
struct Exhibit<'a> {
    bug: Option<&'a Bug>,
    target: Arc<Target>,
}

impl Tour {
    /// Judges the servers and prints a line for each; returns whether all is as the catalogue says.
    ///
    /// # Errors
    /// The museum does not build, there is no such bug, or the note can't be written.
    pub fn run(&self) -> Result<bool> {
        let museum = Museum::open()?;
        if self.write {
            note::write(&museum)?;
            return Ok(true);
        }
        let exhibits = self.exhibits(&museum)?;
        let findings = judge(&exhibits, |exhibit, finding, reports| {
            println!("{:<12} {:<45} {finding}", finding.word(), exhibit.target.name);
            for id in &finding.false_alarms {
                let report = reports.iter().find(|report| report.id == *id);
                print!("{}", report.map(human::failure).unwrap_or_default());
            }
        });
        let good = findings.iter().filter(|finding| finding.is_as_expected()).count();
        println!("\n{good} of {} servers as expected", exhibits.len());
        Ok(good == exhibits.len())
    }

    fn exhibits<'a>(&self, museum: &'a Museum) -> Result<Vec<Exhibit<'a>>> {
        let with = |bug| Exhibit { bug: Some(bug), target: Arc::new(museum.with_bug(bug)) };
        if !self.bugs.is_empty() {
            return self.bugs.iter().map(|name| Ok(with(museum.bug(name)?))).collect();
        }
        let plain = |rung| Exhibit { bug: None, target: Arc::new(museum.plain(rung)) };
        Ok(PLAIN_RUNGS.into_iter().map(plain).chain(museum.bugs.iter().map(with)).collect())
    }
}

/// Runs every case of its rung against each exhibit. `done` hears of each as it is done.
fn judge(
    exhibits: &[Exhibit<'_>],
    done: impl Fn(&Exhibit<'_>, &Finding, &[CaseReport]) + Sync,
) -> Vec<Finding> {
    let defaults = Options::default();
    let options = Options { jobs: defaults.jobs / SIDE_BY_SIDE, ..defaults };
    let findings: Mutex<BTreeMap<usize, Finding>> = Mutex::default();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(exhibit) = exhibits.get(index) else { return };
                    let cases =
                        exhibit.bug.map_or_else(|| cases_of(exhibit.target.rung), Bug::cases);
                    let run = |cases: &[_]| runner::run(cases, &exhibit.target, &options, |_| ());
                    let reports = run(&cases).cases;
                    let mut finding = Finding::new(exhibit.bug, &reports);
                    let is_alarm = |case: &&&Case| finding.false_alarms.contains(&case.id);
                    let alarms: Vec<_> = cases.iter().filter(is_alarm).copied().collect();
                    finding.confirm(&run(&alarms).cases);
                    let mut findings = lock(&findings);
                    done(exhibit, &finding, &reports);
                    findings.insert(index, finding);
                }
            });
        }
    });
    let findings = findings.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    findings.into_values().collect()
}
