//! What was measured, kept beside the pictures so that they can be drawn again.

mod round;

pub use round::{PERCENTILES, Round};

use crate::contenders::{self, Role};
use crate::cores::Cores;
use crate::machine::Machine;
use crate::scenario::{Job, Metric};
use crate::scenarios;
use crate::statistics::Spread;
use crate::tasks::{self, Operation};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

/// The file's name in its folder.
const FILE: &str = "data.json";

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// Where and with what.
    pub machine: Machine,
    /// How.
    pub settings: Settings,
    /// What came of it, scenario by scenario.
    pub entries: Vec<Entry>,
    /// What timers and tasks cost.
    pub operations: Vec<Operation>,
    /// What was measured again after the whole run, and the commit.
    pub again: BTreeMap<String, String>,
}

/// How it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Rounds of each scenario.
    pub rounds: usize,
    /// Before each measuring, in milliseconds.
    pub warmup: u64,
    /// Of each measuring, in milliseconds.
    pub duration: u64,
    /// Which core is whose.
    pub cores: Cores,
}

/// One contender in one scenario at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The scenario's name.
    pub scenario: String,
    /// The contender's name.
    pub contender: String,
    /// The value of what is varied.
    pub step: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It answered everything, and rightly.
    Measured {
        /// One after the other.
        rounds: Vec<Round>,
        /// Of a round of its own, because counting takes time. `None`: not asked for.
        calls: Option<Calls>,
    },
    /// A reply was wrong, or the server broke: what it was fast at does not count.
    Wrong(String),
    /// The program can't be had here.
    Missing(String),
}

/// System calls of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calls {
    /// So many calls for so many requests.
    Counted {
        /// System calls of all threads.
        calls: u64,
        /// Requests answered meanwhile.
        requests: u64,
    },
    /// They could not be counted, and why.
    Unknown(String),
}

impl Entry {
    /// An entry for this job.
    #[must_use]
    pub fn new(job: &Job, outcome: Outcome) -> Self {
        let (scenario, contender) = (job.scenario.name.into(), job.contender.name.into());
        Self { scenario, contender, step: job.step, outcome }
    }

    /// Its rounds, none if it did not answer rightly.
    #[must_use]
    pub fn rounds(&self) -> &[Round] {
        match &self.outcome {
            Outcome::Measured { rounds, .. } => rounds,
            Outcome::Wrong(_) | Outcome::Missing(_) => &[],
        }
    }

    /// A figure round by round.
    pub fn values(&self, figure: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds().iter().map(figure).collect()
    }

    /// A figure over all rounds.
    pub fn spread(&self, figure: impl Fn(&Round) -> f64) -> Option<Spread> {
        Spread::of(&self.values(figure))
    }

    /// The figure that decides in its scenario, round by round.
    #[must_use]
    pub fn metric(&self) -> Vec<f64> {
        let Ok(scenario) = scenarios::find(&self.scenario) else { return Vec::new() };
        match scenario.metric {
            Metric::Throughput => self.values(Round::throughput),
            Metric::P99 => self.values(|round| round.latency(99.0)),
            Metric::P50 => self.values(|round| round.latency(50.0)),
            Metric::Cpu => self.values(Round::cpu),
            Metric::Rest => self.values(Round::server_share),
            Metric::Memory => self.per_connection(|round| (round.resident_before, round.resident)),
        }
    }

    /// System calls of the server for a request, if they were counted.
    #[must_use]
    pub fn calls_per_request(&self) -> Option<f64> {
        match &self.outcome {
            Outcome::Measured { calls: Some(Calls::Counted { calls, requests }), .. } => {
                Some(*calls as f64 / *requests as f64)
            }
            _ => None,
        }
    }

    /// Growth of heap and stacks for each connection, in bytes, round by round.
    #[must_use]
    pub fn anonymous_per_connection(&self) -> Vec<f64> {
        self.per_connection(|round| (round.anonymous_before, round.anonymous))
    }

    /// The growth of something for each connection, round by round.
    fn per_connection(&self, before_and_after: fn(&Round) -> (u64, u64)) -> Vec<f64> {
        let Ok(scenario) = scenarios::find(&self.scenario) else { return Vec::new() };
        self.values(|round| {
            let (before, after) = before_and_after(round);
            (after as f64 - before as f64) / scenario.all_connections() as f64
        })
    }
}

impl Data {
    /// The entries of a scenario.
    #[must_use]
    pub fn of(&self, scenario: &str) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.scenario == scenario).collect()
    }

    /// Those that answered rightly in a scenario.
    #[must_use]
    pub fn measured(&self, scenario: &str) -> Vec<&Entry> {
        let mut entries = self.of(scenario);
        entries.retain(|entry| !entry.rounds().is_empty());
        entries
    }

    /// What a contender came to in a scenario without steps, if it answered rightly.
    #[must_use]
    pub fn find(&self, scenario: &str, contender: &str) -> Option<&Entry> {
        self.measured(scenario).into_iter().find(|entry| entry.contender == contender)
    }

    /// The ceiling in a scenario, if it was measured.
    #[must_use]
    pub fn ceiling(&self, scenario: &str) -> Option<&Entry> {
        self.measured(scenario).into_iter().find(|entry| role(entry) == Some(Role::Ceiling))
    }

    /// The peers that answered rightly in a scenario.
    #[must_use]
    pub fn peers(&self, scenario: &str) -> Vec<&Entry> {
        let mut entries = self.measured(scenario);
        entries.retain(|entry| role(entry) == Some(Role::Peer));
        entries
    }

    /// The peer with the best median in a scenario, if one was measured.
    #[must_use]
    pub fn best_peer(&self, scenario: &str) -> Option<&Entry> {
        let more_is_better = scenarios::find(scenario).ok()?.metric.more_is_better();
        let peers = self.peers(scenario).into_iter();
        let ranked = peers.filter_map(|entry| Some((entry, Spread::of(&entry.metric())?.median)));
        let (best, _) = ranked.max_by(|a, b| match more_is_better {
            true => a.1.total_cmp(&b.1),
            false => b.1.total_cmp(&a.1),
        })?;
        Some(best)
    }

    /// Reads it from a folder.
    ///
    /// # Errors
    /// There is no data, or it is of another version of this program.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}; `bench run` makes it", path.display()))?;
        serde_json::from_str(&text).with_context(|| {
            format!("{} is not understood; `bench run` makes it anew", path.display())
        })
    }

    /// Makes the folder if need be, and sees to it that data can be written there: better known before
    /// a long run than behind it. Data that is there stays.
    ///
    /// # Errors
    /// It can't be written.
    pub fn make_room(folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        fs::create_dir_all(folder)
            .and_then(|()| File::options().append(true).create(true).open(&path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }

    /// Writes it into a folder that is there.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        fs::write(&path, self.json()?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Puts what was measured in a part of a run in the place of what this has of it. A scenario is
    /// replaced whole: ratios count within one run only.
    pub fn replace(&mut self, part: Self) {
        let again = |name: &str| part.entries.iter().any(|entry| entry.scenario == name);
        self.entries.retain(|entry| !again(&entry.scenario));
        let mut measured: BTreeSet<String> =
            part.entries.iter().map(|entry| entry.scenario.clone()).collect();
        self.entries.extend(part.entries);
        if !part.operations.is_empty() {
            measured.insert(tasks::NAME.to_owned());
            self.operations = part.operations;
        }
        let commit = part.machine.commit;
        self.again.extend(measured.into_iter().map(|name| (name, commit.clone())));
    }

    /// As JSON with a line for each entry.
    fn json(&self) -> serde_json::Result<String> {
        Ok(format!(
            "{{\n\"machine\": {},\n\"settings\": {},\n\"again\": {},\n\"entries\": [\n{}\n],\n\
             \"operations\": [\n{}\n]\n}}\n",
            serde_json::to_string(&self.machine)?,
            serde_json::to_string(&self.settings)?,
            serde_json::to_string(&self.again)?,
            lines(&self.entries)?,
            lines(&self.operations)?,
        ))
    }
}

fn lines(values: &[impl Serialize]) -> serde_json::Result<String> {
    let lines: Result<Vec<String>, _> = values.iter().map(serde_json::to_string).collect();
    Ok(lines?.join(",\n"))
}

fn role(entry: &Entry) -> Option<Role> {
    contenders::find(&entry.contender).ok().map(|contender| contender.role)
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    /// One round of a second with so many requests, each of which costs so many nanoseconds.
    pub(crate) fn round(requests: u64, cpu_of_a_request: u64) -> Round {
        Round {
            requests,
            time: 1_000_000_000,
            server_cpu: requests * cpu_of_a_request,
            peak: 4 << 20,
            latency: PERCENTILES.map(|percent| (percent * 1e3) as u64).to_vec(),
            ..Round::default()
        }
    }

    fn entry(contender: &str, rounds: Vec<Round>) -> Entry {
        let (scenario, contender) = ("echo".to_owned(), contender.to_owned());
        let calls = Some(Calls::Counted { calls: 21, requests: 10 });
        Entry { scenario, contender, step: None, outcome: Outcome::Measured { rounds, calls } }
    }

    fn operation(program: &str, nanoseconds: [f64; 3]) -> Operation {
        Operation {
            program: program.to_owned(),
            threads: 1,
            name: "spawn-join".to_owned(),
            nanoseconds: nanoseconds.to_vec(),
        }
    }

    /// The small echo on a machine that was half as fast in the second of three rounds; libuv answers
    /// wrongly, libevent is not there.
    pub(crate) fn data() -> Data {
        let rounds = |requests: u64, cpu| {
            [requests, requests / 2, requests].map(|requests| round(requests, cpu)).to_vec()
        };
        let outcome = |contender: &str, outcome| Entry { outcome, ..entry(contender, vec![]) };
        Data {
            machine: Machine {
                date: "2026-01-02".to_owned(),
                commit: "abc".to_owned(),
                processor: "a processor".to_owned(),
                cores: 2,
                kernel: "6.1".to_owned(),
                rustc: "rustc 1.95.0".to_owned(),
                libraries: [("tokio".to_owned(), "1.0".to_owned())].into(),
            },
            settings: Settings {
                rounds: 3,
                warmup: 150,
                duration: 700,
                cores: Cores { server: 1, load: 0 },
            },
            entries: vec![
                entry("w04-epoll", rounds(18_000, 5_000)),
                entry("peer-tokio", rounds(20_000, 20_000)),
                entry("peer-mio", rounds(10_000, 10_000)),
                outcome("peer-libuv", Outcome::Wrong("a bad length (errors in all: 3)".into())),
                outcome("peer-libevent", Outcome::Missing("no libevent".into())),
                entry("peer-bare", rounds(20_000, 1_000)),
            ],
            operations: vec![
                operation("timers_and_tasks", [100.0, 210.0, 90.0]),
                operation("peer-tokio-tasks", [150.0, 300.0, 90.0]),
            ],
            again: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let data = examples::data();
        data.write(folder.path()).unwrap();
        assert_eq!(Data::read(folder.path()).unwrap(), data);
    }

    #[test]
    fn a_part_replaces_what_it_has_measured_and_nothing_else() {
        let mut data = examples::data();
        let mut other = data.entries[0].clone();
        other.scenario = "churn".to_owned();
        data.entries.push(other.clone());
        let mut part = examples::data();
        part.machine.commit = "def".to_owned();
        part.entries.truncate(1);
        part.operations.clear();
        let operations = data.operations.clone();
        data.replace(part.clone());
        assert_eq!(data.entries, [other, part.entries[0].clone()]);
        assert_eq!(data.operations, operations);
        assert_eq!(data.again, [("echo".to_owned(), "def".to_owned())].into());
        assert_eq!(data.machine.commit, "abc");
    }

    #[test]
    fn without_data_the_message_says_how_to_get_some() {
        let folder = tempfile::tempdir().unwrap();
        let message = Data::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("`bench run` makes it"), "{message}");
    }

    #[test]
    fn the_best_peer_is_neither_a_rung_nor_the_ceiling_nor_wrong() {
        let data = examples::data();
        assert_eq!(data.best_peer("echo").unwrap().contender, "peer-tokio");
        assert_eq!(data.ceiling("echo").unwrap().contender, "peer-bare");
        assert!(data.best_peer("churn").is_none());
    }
}
