//! What a running case, its servers and its clients share: the clock, the limits and the record.

use crate::escape;
use crate::limits::Limits;
use crate::rows::RowCollector;
use crate::server::Running;
use crate::transcript::Transcript;
use crate::verdict::{Class, Failure, Stop, Times};
use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Transcripts kept; a case may open ten thousand connections in turn.
const TRANSCRIPTS_KEPT: usize = 64;
/// Transcripts printed besides that of the client that failed.
const TRANSCRIPTS_SHOWN: usize = 5;

#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) started: Instant,
    pub(crate) limits: Limits,
    /// The limit of the case, scaled.
    limit: Duration,
    /// Time that starting servers has taken, or may still take, in microseconds.
    starting_us: AtomicU64,
    run_started: Instant,
    clients: AtomicUsize,
    transcripts: Mutex<VecDeque<Arc<Transcript>>>,
    servers: Mutex<Vec<Arc<Running>>>,
    /// Set while rows of the transition table are collected.
    pub(crate) rows: Option<RowCollector>,
}

/// How long a client waited, and its limit.
pub(crate) type Wait = Option<(Duration, Duration)>;

impl Scene {
    pub(crate) fn new(
        limits: Limits,
        limit: Duration,
        run_started: Instant,
        rows: Option<RowCollector>,
    ) -> Self {
        Self {
            started: Instant::now(),
            limits,
            limit: limits.scale(limit),
            starting_us: AtomicU64::new(0),
            run_started,
            clients: AtomicUsize::new(0),
            transcripts: Mutex::default(),
            servers: Mutex::default(),
            rows,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.started + self.limit + Duration::from_micros(self.starting_us.load(Ordering::Relaxed))
    }

    /// What counts towards the limit: without the time that starting servers has taken.
    fn elapsed(&self) -> Duration {
        let starting = Duration::from_micros(self.starting_us.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(starting)
    }

    /// Starts a server within `limit`. That has a limit of its own, so the clock of the case stands
    /// still: a slow interpreter must not eat the time of the rule.
    pub(crate) fn start_within<T>(&self, limit: Duration, start: impl FnOnce() -> T) -> T {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4);
        self.starting_us.fetch_add(micros(limit), Ordering::Relaxed);
        let began = Instant::now();
        let result = start();
        let unused = limit.saturating_sub(began.elapsed());
        self.starting_us.fetch_sub(micros(unused), Ordering::Relaxed);
        result
    }

    /// Opens the record of a new client.
    pub(crate) fn transcript(&self, name: Option<&str>) -> Arc<Transcript> {
        let number = self.clients.fetch_add(1, Ordering::Relaxed) + 1;
        let name = name.map_or_else(|| format!("client {number}"), str::to_owned);
        let transcript = Arc::new(Transcript::new(&name, self.started));
        let mut kept = lock(&self.transcripts);
        if kept.len() == TRANSCRIPTS_KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&transcript));
        transcript
    }

    pub(crate) fn add_server(&self, server: Arc<Running>) {
        lock(&self.servers).push(server);
    }

    pub(crate) fn servers(&self) -> Vec<Arc<Running>> {
        lock(&self.servers).clone()
    }

    /// A broken rule, with everything that can be seen at this moment.
    pub(crate) fn broken(
        &self,
        expected: impl Display,
        actual: impl Display,
        client: Option<&str>,
        wait: Wait,
    ) -> Stop {
        let mut failure = Failure::new(Class::BrokenRule, expected, actual);
        failure.client = client.map(str::to_owned);
        self.complete(&mut failure, wait);
        failure.into()
    }

    /// As [`Scene::broken`], for bytes: shows where they part.
    pub(crate) fn wrong_bytes(
        &self,
        expected: &[u8],
        actual: &[u8],
        note: &str,
        client: &str,
        wait: Wait,
    ) -> Stop {
        let (expected, mut actual) = escape::difference(expected, actual);
        if !note.is_empty() {
            actual = format!("{actual}\n{note}");
        }
        self.broken(expected, actual, Some(client), wait)
    }

    /// Adds what is still missing: times, transcripts, autopsies. A rule that a dead server broke
    /// is a crash.
    pub(crate) fn complete(&self, failure: &mut Failure, wait: Wait) {
        failure.times.get_or_insert_with(|| Times {
            wait,
            case_elapsed: self.elapsed(),
            case_limit: self.limit,
            run_elapsed: self.run_started.elapsed(),
        });
        if failure.transcripts.is_empty() {
            let kept = lock(&self.transcripts);
            let failed = |t: &&Arc<Transcript>| failure.client.as_deref() == Some(t.name());
            let others = kept.iter().filter(|t| !failed(t) && t.has_exchange());
            let others = others.rev().take(TRANSCRIPTS_SHOWN);
            failure.transcripts =
                kept.iter().filter(failed).chain(others).map(|t| t.text()).collect();
        }
        if failure.autopsies.is_empty() {
            for server in self.servers() {
                let autopsy = server.autopsy();
                if failure.class == Class::BrokenRule && autopsy.ended && !server.end_is_expected()
                {
                    failure.class = Class::ServerCrash;
                    failure.actual = format!("{}\nthe server {}", failure.actual, autopsy.state);
                }
                failure.autopsies.push(autopsy);
            }
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        Scene::new(Limits::default(), Duration::from_secs(10), Instant::now(), None)
    }

    #[test]
    fn the_time_of_a_start_is_not_shown_as_the_time_of_the_case() {
        let scene = scene();
        let start = Duration::from_millis(50);
        scene.start_within(Duration::from_secs(5), || std::thread::sleep(start));
        let mut failure = Failure::new(Class::BrokenRule, "a", "b");
        scene.complete(&mut failure, None);
        let times = failure.times.unwrap();
        assert!(times.case_elapsed + start <= scene.started.elapsed() + Duration::from_micros(1));
    }

    #[test]
    fn a_client_that_said_and_heard_nothing_is_shown_only_if_it_failed() {
        let scene = scene();
        for name in ["failed", "silent", "talker"] {
            scene.transcript(Some(name)).event("connected");
        }
        lock(&scene.transcripts)[2].sent(b"mn\r\n");
        let mut failure = Failure::new(Class::BrokenRule, "a", "b");
        failure.client = Some("failed".into());
        scene.complete(&mut failure, None);
        let shown: Vec<_> = failure.transcripts.iter().map(|t| t.client.as_str()).collect();
        assert_eq!(shown, ["failed", "talker"]);
    }
}
