//! What a scenario is, and what is measured in it.

use crate::contenders::{CONTENDERS, Contender};
use crate::load::{Pace, Plan, Verb};
use crate::measure::Timing;
use std::fmt;
use std::net::SocketAddr;

/// By which figure the contenders of a scenario are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Requests a second; more is better.
    Throughput,
    /// The latency that 99 of 100 requests stay below; less is better.
    P99,
    /// The latency in the middle; less is better.
    P50,
    /// CPU time of the server for one request; less is better.
    Cpu,
    /// Growth of the resident set for each connection; less is better.
    Memory,
    /// Share of a core that the server uses; less is better.
    Rest,
}

impl Metric {
    /// Whether the larger figure is the better one.
    #[must_use]
    pub fn more_is_better(self) -> bool {
        self == Self::Throughput
    }
}

/// What is varied within a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// Nothing.
    None,
    /// The number of idle connections.
    Idle(&'static [u64]),
    /// `--workers` of the server.
    Workers(&'static [u64]),
}

/// Where the server's threads run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All on the server's core, the load on another.
    Apart,
    /// On the load's core too, so that a thread per core is two threads.
    TwoCores,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody but those of [`Scenario::without`].
    Everybody,
    /// These.
    Only(&'static [&'static str]),
}

/// One question, put to several servers.
#[derive(Debug)]
pub struct Scenario {
    /// What it is called on the command line and in the data.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What one can learn from it.
    pub shows: &'static str,
    /// The figure that decides.
    pub metric: Metric,
    /// Connections that send requests.
    pub connections: usize,
    /// Connections that send nothing.
    pub idle: usize,
    /// Requests that a connection has under way at a time.
    pub pipeline: usize,
    /// What is asked for.
    pub verb: Verb,
    /// Its size, in the verb's unit.
    pub size: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// Requests after which a connection is closed and a new one opened.
    pub churn: Option<u64>,
    /// Connections beside them that ask for `burn` all the time, from a thread of their own.
    pub burners: usize,
    /// Where the server's threads run.
    pub placement: Placement,
    /// How many times as long as the others it takes, its warm-up as well.
    pub longer: u32,
    /// What is varied.
    pub steps: Steps,
    /// Who takes part.
    pub who: Who,
    /// Who can't, and why.
    pub without: &'static [(&'static str, &'static str)],
}

/// The most idle connections that a server over select(2) is asked to keep.
const SELECT_IDLE: u64 = 900;

/// One server, to be measured in one scenario at one step.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The question.
    pub scenario: &'static Scenario,
    /// Who is asked.
    pub contender: &'static Contender,
    /// The value of what is varied.
    pub step: Option<u64>,
}

impl Scenario {
    /// Whether the system calls of a request are counted. They are the same with more idle connections,
    /// and are counted without.
    #[must_use]
    pub fn counts_calls(&self) -> bool {
        self.metric == Metric::Throughput && self.idle == 0
    }

    /// Connections that are open, active and idle ones.
    #[must_use]
    pub fn all_connections(&self) -> usize {
        self.connections + self.idle
    }

    /// Everyone who takes part.
    pub fn contenders(&self) -> impl Iterator<Item = &'static Contender> {
        CONTENDERS.iter().filter(|contender| {
            let invited = match self.who {
                Who::Everybody => true,
                Who::Only(names) => names.contains(&contender.name),
            };
            invited && !self.without.iter().any(|(name, _)| *name == contender.name)
        })
    }

    /// All that is to be measured, step by step.
    #[must_use]
    pub fn jobs(&'static self) -> Vec<Job> {
        let steps: Vec<Option<u64>> = match self.steps {
            Steps::None => vec![None],
            Steps::Idle(steps) | Steps::Workers(steps) => steps.iter().copied().map(Some).collect(),
        };
        let mut jobs = Vec::new();
        for step in steps {
            jobs.extend(self.contenders().map(|contender| Job { scenario: self, contender, step }));
        }
        // The curve of select ends where its descriptors do.
        jobs.retain(|job| job.contender.about != "select" || job.idle() as u64 <= SELECT_IDLE);
        jobs
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.scenario.name, self.contender.name)?;
        match self.step {
            Some(step) => write!(f, " at {step}"),
            None => Ok(()),
        }
    }
}

impl Job {
    /// Idle connections at this step.
    #[must_use]
    pub fn idle(&self) -> usize {
        match (self.scenario.steps, self.step) {
            (Steps::Idle(_), Some(step)) => step as usize,
            _ => self.scenario.idle,
        }
    }

    /// What the program is given.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        match (self.scenario.steps, self.step) {
            (Steps::Workers(_), Some(step)) => {
                self.contender.command_line(&["--workers".to_owned(), step.to_string()])
            }
            _ => self.contender.command_line(&[]),
        }
    }

    /// The load.
    #[must_use]
    pub fn plan(&self, address: SocketAddr, timing: Timing) -> Plan {
        let scenario = self.scenario;
        Plan {
            address,
            connections: scenario.connections,
            idle: self.idle(),
            pipeline: scenario.pipeline,
            verb: scenario.verb,
            size: scenario.size,
            pace: scenario.pace,
            churn: scenario.churn,
            warmup: timing.warmup,
            duration: timing.duration,
        }
    }
}
