//! How soon the server is itself again after something was done to it.

use std::time::{Duration, Instant};

/// Resolution.
const BUCKET: Duration = Duration::from_millis(250);
/// Buckets in a row that must be good: one second.
const IN_A_ROW: usize = 4;
/// Buckets that are kept: a minute.
const KEPT: usize = 240;

/// Replies and failures since the end of what was induced.
#[derive(Debug)]
pub(super) struct Recovery {
    from: Instant,
    buckets: Vec<Vec<Duration>>,
    last_failure: Option<Instant>,
    newcomer: Option<Instant>,
}

impl Recovery {
    pub(super) fn new(from: Instant) -> Self {
        Self { from, buckets: Vec::new(), last_failure: None, newcomer: None }
    }

    /// A reply, on a connection that was opened then.
    pub(super) fn answered(&mut self, now: Instant, latency: Duration, opened: Instant) {
        if opened >= self.from {
            self.newcomer.get_or_insert(now);
        }
        let index = (now - self.from).as_millis() / BUCKET.as_millis();
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if index < KEPT {
            self.buckets.resize(self.buckets.len().max(index + 1), Vec::new());
            self.buckets[index].push(latency);
        }
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.last_failure = Some(now);
    }

    /// Seconds to the first reply to somebody who came afterwards.
    pub(super) fn newcomer_s(&self) -> Option<f64> {
        self.newcomer.map(|moment| (moment - self.from).as_secs_f64())
    }

    /// Seconds to the last failure; 0 if there was none, `None` if there still are.
    pub(super) fn errors_gone_s(&self, now: Instant) -> Option<f64> {
        let Some(last) = self.last_failure else { return Some(0.0) };
        let quiet = now.saturating_duration_since(last) >= BUCKET * IN_A_ROW as u32;
        quiet.then(|| (last - self.from).as_secs_f64())
    }

    /// Seconds until the p99 of a whole second was at most `limit`.
    pub(super) fn latency_back_s(&self, limit: Duration) -> Option<f64> {
        let good = |second: &[Vec<Duration>]| {
            let mut all: Vec<Duration> = second.iter().flatten().copied().collect();
            all.sort_unstable();
            let index = (all.len() * 99).div_ceil(100).saturating_sub(1);
            all.get(index).is_some_and(|p99| *p99 <= limit)
        };
        let first = self.buckets.windows(IN_A_ROW).position(good)?;
        Some((BUCKET * first as u32).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovered_is_when_a_whole_second_is_good() {
        let from = Instant::now();
        let mut recovery = Recovery::new(from);
        for step in 0..30 {
            let now = from + Duration::from_millis(step * 100);
            let latency = Duration::from_millis(if step < 6 { 900 } else { 1 });
            recovery.answered(now, latency, from - BUCKET);
        }
        let limit = Duration::from_millis(50);
        assert_eq!(recovery.latency_back_s(limit), Some(0.75), "0.5 s to 0.6 s was still slow");
        assert_eq!(recovery.latency_back_s(Duration::ZERO), None);
        assert_eq!(recovery.newcomer_s(), None, "they were all there before");
    }

    #[test]
    fn failures_are_over_after_a_second_without_one() {
        let from = Instant::now();
        let mut recovery = Recovery::new(from);
        assert_eq!(recovery.errors_gone_s(from), Some(0.0));
        recovery.failed(from + BUCKET);
        assert_eq!(recovery.errors_gone_s(from + BUCKET * 2), None);
        assert_eq!(recovery.errors_gone_s(from + BUCKET * 5), Some(0.25));
    }
}
