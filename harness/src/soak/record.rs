//! What a soak has measured: the data that is kept beside the report, and that the report, the plot
//! and the verdict are made from.

use super::clients::Class;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A whole run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// What the server is called.
    pub server: String,
    /// How it was started.
    pub server_command: String,
    /// The command that makes this run again.
    pub command: String,
    /// The machine, in words.
    pub machine: String,
    /// Where the random requests start.
    pub seed: u64,
    /// How long the server may take for a reply, or to be itself again, in seconds.
    pub patience_s: f64,
    /// How long the load lasted, in seconds.
    pub duration_s: f64,
    /// The soft and hard limit of descriptors that the server was given.
    pub descriptor_limit: Option<u64>,
    /// What happened when.
    pub log: Vec<LogLine>,
    /// The time series.
    pub rows: Vec<Row>,
    /// What was done to the server on purpose.
    pub induced: Vec<Induced>,
    /// Latencies of the whole run, by kind of client.
    pub totals: BTreeMap<Class, Latency>,
    /// What hostile clients did, and how often they came to its end.
    pub deeds: BTreeMap<String, u64>,
    /// Connections of churning clients that ended as they had to.
    pub visits: u64,
    /// The server after the load had left.
    pub rest: Option<Rest>,
    /// The stop at the end.
    pub stopping: Option<Stopping>,
    /// How the server ended, if nobody had asked it to.
    pub crash: Option<String>,
    /// Errors of honest clients.
    pub honest: Errors,
    /// Errors of hostile ones.
    pub hostile: Errors,
    /// The first things that went wrong.
    pub problems: Vec<Problem>,
    /// The verdict.
    pub criteria: Vec<Criterion>,
    /// CPU time of the clients for each second, in percent of a core.
    pub clients_cpu_percent: f64,
    /// CPU time of the server for each second, in percent of a core.
    pub server_cpu_percent: f64,
}

/// A line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogLine {
    /// Seconds since the start.
    pub at_s: f64,
    /// What happened.
    pub text: String,
}

/// One point of the time series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its end, in seconds since the start.
    pub at_s: f64,
    /// Its length in seconds.
    pub length_s: f64,
    /// What was going on: `steady`, `storm`, `stopped`.
    pub phase: String,
    /// The kinds that read at once, together.
    pub prompt: ClassRow,
    /// Each kind.
    pub classes: BTreeMap<Class, ClassRow>,
    /// Resident memory in bytes.
    pub resident: Option<u64>,
    /// The part of it that is no file's.
    pub anonymous: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// The server's CPU time for each second, in percent of a core.
    pub server_cpu_percent: Option<f64>,
    /// The harness's, in percent of a core.
    pub clients_cpu_percent: Option<f64>,
    /// Numbers of `stats`.
    pub stats: BTreeMap<String, u64>,
}

/// What one kind of client saw.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassRow {
    /// Its latencies.
    pub latency: Latency,
    /// Errors that a right server never causes.
    pub errors: u64,
    /// Newcomers who were not let in while there was no room.
    pub turned_away: u64,
}

impl ClassRow {
    /// Errors of any kind, of a hundred requests.
    #[must_use]
    pub fn error_percent(&self) -> f64 {
        let errors = (self.errors + self.turned_away) as f64;
        let all = self.latency.replies as f64 + errors;
        if all > 0.0 { 100.0 * errors / all } else { 0.0 }
    }
}

/// A distribution of latencies: from the moment a request was due to the last byte of its reply, in
/// microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// How many there were.
    pub replies: u64,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// 95 of a hundred took no longer.
    pub p95_us: u64,
    /// 99 of a hundred took no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Something that was done to the server on purpose, and what followed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Induced {
    /// What it was.
    pub name: String,
    /// When it began, in seconds since the start.
    pub began_s: f64,
    /// When it ended.
    pub ended_s: f64,
    /// The p99 of undisturbed time before, in microseconds.
    pub before_p99_us: u64,
    /// Latencies of those who were there before, while it lasted and until the server had settled.
    pub standing: Latency,
    /// The same of newcomers.
    pub newcomers: Latency,
    /// Replies to those who were there before, while it lasted.
    pub answered_meanwhile: u64,
    /// The server's CPU time for each second before, in percent of a core.
    pub before_cpu_percent: Option<f64>,
    /// Errors that a right server never causes.
    pub errors: u64,
    /// Newcomers who were not let in.
    pub turned_away: u64,
    /// Most descriptors seen.
    pub most_descriptors: Option<u64>,
    /// The server's CPU time for each second, in percent of a core.
    pub server_cpu_percent: Option<f64>,
    /// Of the storm's clients: those that were answered, and those that were not let in.
    pub storm: Option<StormCount>,
    /// Seconds from its end to the first reply to a client that came afterwards.
    pub newcomer_s: Option<f64>,
    /// Seconds from its end until, for a second, no request failed.
    pub errors_gone_s: Option<f64>,
    /// Seconds from its end until, for a second, p99 was at most four times what it was before, or
    /// 50 ms.
    pub latency_back_s: Option<f64>,
}

/// What became of a storm's clients.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StormCount {
    /// Connections that were tried.
    pub tried: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that were closed, reset or refused.
    pub turned_away: u64,
    /// Those that were closed although they had been let in and answered.
    pub dropped: u64,
    /// Those that got bytes which are no reply.
    pub wrong: u64,
}

/// The server at rest, compared with what it was before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rest {
    /// Descriptors before the first client.
    pub descriptors_before: Option<u64>,
    /// Descriptors after the last one.
    pub descriptors_after: Option<u64>,
    /// Resident memory when the first minutes were over, in bytes.
    pub resident_warm: Option<u64>,
    /// Resident memory after the last client, in bytes.
    pub resident_after: Option<u64>,
    /// How resident memory grew while the load lasted: bytes an hour, by linear regression.
    pub slope_per_hour: Option<f64>,
}

/// The stop at the end, with requests under way.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stopping {
    /// Requests that had been sent when the signal was.
    pub requests: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Wrong bytes, and replies that never came.
    pub errors: u64,
    /// Seconds from the signal to the end of the process.
    pub seconds: f64,
    /// How it ended.
    pub status: String,
    /// Whether that was exit status 0.
    pub clean: bool,
}

/// Numbers of errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Errors {
    /// Bytes that are not the reply.
    pub wrong: u64,
    /// Replies that did not come.
    pub lost: u64,
    /// Newcomers who were not let in although there was room.
    pub refused: u64,
    /// Newcomers who were not let in while there was none.
    pub turned_away: u64,
}

impl Errors {
    /// Those that a right server never causes.
    #[must_use]
    pub const fn real(self) -> u64 {
        self.wrong + self.lost + self.refused
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// Seconds since the start.
    pub at_s: f64,
    /// Which client saw it.
    pub who: String,
    /// What it saw.
    pub what: String,
}

/// How a criterion came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// Nothing could be said.
    Skip,
}

/// One criterion of the verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Criterion {
    /// What is asked.
    pub name: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
    /// Where to look if it does not hold.
    pub hint: String,
}

impl Record {
    /// Replies to honest clients.
    #[must_use]
    pub fn replies(&self) -> u64 {
        self.totals.values().map(|latency| latency.replies).sum()
    }

    /// Whether no criterion failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.criteria.iter().all(|criterion| criterion.verdict != Verdict::Fail)
    }
}
