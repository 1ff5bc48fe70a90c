//! What the clients have seen, counted: per row of the time series, and over the whole run.

use super::clients::Class;
use super::record::{ClassRow, Errors, Latency, Problem};
use anyhow::Result;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

/// Problems that are kept in full; the others are counted.
const KEPT: usize = 20;
/// Longest latency that is told apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// Why a reply did not come as it had to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Wrong,
    Lost,
    /// A newcomer was not let in, and there was room.
    Refused,
}

/// Latencies in microseconds.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST, 3)?))
    }

    pub(super) fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST).max(1));
    }

    pub(super) fn summary(&self) -> Latency {
        let at = |quantile| self.0.value_at_quantile(quantile);
        if self.0.is_empty() {
            return Latency::default();
        }
        Latency {
            replies: self.0.len(),
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            max_us: self.0.max(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    /// Of the row that is being filled, by kind.
    classes: BTreeMap<Class, Latencies>,
    /// The same of all prompt kinds together.
    prompt: Latencies,
    /// Of the whole run, by kind.
    totals: BTreeMap<Class, Latencies>,
    /// All prompt kinds, while nothing was induced.
    pub(super) calm: Latencies,
    /// Those who stay connected, since something was last induced.
    pub(super) standing: Latencies,
    /// Those who come and go, since then.
    pub(super) newcomers: Latencies,
    pub(super) is_calm: bool,
    /// Honest clients, whole run.
    pub(super) honest: Errors,
    /// Hostile clients, whole run.
    pub(super) hostile: Errors,
    row_begin: Errors,
    /// What hostile clients did, and came to the end of.
    pub(super) deeds: BTreeMap<String, u64>,
    /// Connections of churning clients that were over as they had to.
    pub(super) visits: u64,
    pub(super) problems: Vec<Problem>,
}

impl Tally {
    pub(super) fn new() -> Result<Self> {
        let by_class = || -> Result<BTreeMap<_, _>> {
            Class::HONEST.into_iter().map(|class| Ok((class, Latencies::new()?))).collect()
        };
        Ok(Self {
            classes: by_class()?,
            prompt: Latencies::new()?,
            totals: by_class()?,
            calm: Latencies::new()?,
            standing: Latencies::new()?,
            newcomers: Latencies::new()?,
            is_calm: true,
            honest: Errors::default(),
            hostile: Errors::default(),
            row_begin: Errors::default(),
            deeds: BTreeMap::new(),
            visits: 0,
            problems: Vec::new(),
        })
    }

    pub(super) fn answered(&mut self, class: Class, latency: Duration) {
        let Some(row) = self.classes.get_mut(&class) else { return };
        row.add(latency);
        self.totals.entry(class).and_modify(|all| all.add(latency));
        if class.is_prompt() {
            self.prompt.add(latency);
            match class {
                _ if self.is_calm => self.calm.add(latency),
                Class::Churning => self.newcomers.add(latency),
                _ => self.standing.add(latency),
            }
        }
    }

    fn errors(&mut self, class: Class) -> &mut Errors {
        if class == Class::Hostile { &mut self.hostile } else { &mut self.honest }
    }

    pub(super) fn turned_away(&mut self, class: Class) {
        self.errors(class).turned_away += 1;
    }

    pub(super) fn fault(
        &mut self,
        class: Class,
        fault: Fault,
        at: Duration,
        who: &str,
        what: &str,
    ) {
        let errors = self.errors(class);
        match fault {
            Fault::Wrong => errors.wrong += 1,
            Fault::Lost => errors.lost += 1,
            Fault::Refused => errors.refused += 1,
        }
        if self.problems.len() < KEPT {
            let (who, what) = (who.to_owned(), what.to_owned());
            self.problems.push(Problem { at_s: at.as_secs_f64(), who, what });
        }
    }

    /// What happened since the last call.
    pub(super) fn take_row(&mut self) -> (BTreeMap<Class, ClassRow>, ClassRow) {
        let before = mem::replace(&mut self.row_begin, self.honest);
        let mut classes = BTreeMap::new();
        for (class, latencies) in &mut self.classes {
            classes
                .insert(*class, ClassRow { latency: latencies.summary(), ..ClassRow::default() });
            latencies.clear();
        }
        let all = ClassRow {
            latency: self.prompt.summary(),
            errors: self.honest.real() - before.real(),
            turned_away: self.honest.turned_away - before.turned_away,
        };
        self.prompt.clear();
        (classes, all)
    }

    pub(super) fn totals(&self) -> BTreeMap<Class, Latency> {
        self.totals.iter().map(|(class, all)| (*class, all.summary())).collect()
    }
}
