//! When requests are due, in nanoseconds since the first.

use crate::load::{Pace, Plan};
use std::ops::Range;
use std::time::Duration;

/// The times of a load.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// The measured time.
    pub(super) measured: Range<u64>,
    /// Time from one request to the next, at a fixed rate.
    interval: Option<f64>,
}

impl Schedule {
    pub(super) fn new(plan: &Plan) -> Self {
        let start = nanoseconds(plan.warmup);
        let interval = match plan.pace {
            Pace::Closed => None,
            Pace::Open(rate) => Some(1e9 / rate),
        };
        Self { measured: start..start + nanoseconds(plan.duration), interval }
    }

    /// When this request is due; `None` in a closed loop, where it is due when others are done.
    pub(super) fn due(&self, request: u64) -> Option<u64> {
        self.interval.map(|interval| (request as f64 * interval) as u64)
    }

    /// How many requests are due by `now`: those numbered below. None is due after the end.
    pub(super) fn due_by(&self, now: u64) -> u64 {
        let Some(interval) = self.interval else { return 0 };
        let last = now.min(self.measured.end - 1);
        // Rounding may be off by one either way; `due` has the last word.
        let guess = (last as f64 / interval) as u64;
        (guess.saturating_sub(1)..).find(|&request| self.due(request) > Some(last)).unwrap_or(guess)
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Verb;

    fn schedule(pace: Pace) -> Schedule {
        Schedule::new(&Plan {
            address: ([127, 0, 0, 1], 9090).into(),
            connections: 1,
            idle: 0,
            pipeline: 1,
            verb: Verb::Mn,
            size: 0,
            pace,
            churn: None,
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(2),
        })
    }

    #[test]
    fn as_many_requests_are_due_as_the_rate_says_and_none_after_the_end() {
        for rate in [0.1, 1.0, 3.0, 333.0, 1000.0, 123_456.7, 2_000_000.0] {
            let schedule = schedule(Pace::Open(rate));
            assert_eq!(schedule.due_by(0), 1, "the first at once");
            assert_eq!(schedule.due_by(u64::MAX), (3.0 * rate).ceil() as u64, "at {rate} a second");
            for request in [1, 2, 7, 1000, 299_999] {
                let due = schedule.due(request).unwrap();
                if due < schedule.measured.end {
                    assert_eq!(schedule.due_by(due), request + 1);
                    assert_eq!(schedule.due_by(due - 1), request);
                }
            }
        }
    }

    #[test]
    fn in_a_closed_loop_nothing_is_due() {
        let schedule = schedule(Pace::Closed);
        assert_eq!((schedule.due(0), schedule.due_by(u64::MAX)), (None, 0));
        assert_eq!(schedule.measured, 1_000_000_000..3_000_000_000);
    }
}
