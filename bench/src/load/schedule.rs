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
