//! The time, as it has passed since a runtime was started.

use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::sync::Mutex;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A monotonic clock, or one that is moved by hand.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System(Instant),
    Manual(ManualClock),
}

impl Clock {
    pub(crate) fn system() -> Self {
        Self::System(Instant::now())
    }

    pub(crate) fn now(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Manual(clock) => clock.0.lock().now,
        }
    }

    /// How long a worker may wait for a deadline; `None` is for ever.
    pub(crate) fn until(&self, deadline: Duration) -> Option<Duration> {
        let remaining = deadline.saturating_sub(self.now());
        match self {
            Self::System(_) => Some(remaining),
            // It does not move while nobody moves it, and who does wakes the workers.
            Self::Manual(_) => remaining.is_zero().then_some(remaining),
        }
    }

    /// Has `worker` told when the clock is moved.
    pub(crate) fn watch(&self, worker: &Arc<Mailbox<WorkerMessage>>) {
        if let Self::Manual(clock) = self {
            clock.0.lock().watchers.push(Arc::downgrade(worker));
        }
    }
}

/// A clock for tests: it stands still until it is moved.
///
/// Give it to [`Builder::clock`](crate::runtime::Builder::clock). Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Mutex<Manual>>);

#[derive(Debug, Default)]
struct Manual {
    now: Duration,
    watchers: Vec<Weak<Mailbox<WorkerMessage>>>,
}

impl ManualClock {
    /// A clock at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `by` pass. What is due then runs soon after on the workers, not on this thread.
    pub fn advance(&self, by: Duration) {
        let workers: Vec<_> = {
            let mut clock = self.0.lock();
            clock.now += by;
            clock.watchers.retain(|worker| worker.strong_count() > 0);
            clock.watchers.iter().filter_map(Weak::upgrade).collect()
        };
        for worker in workers {
            // A worker that has ended has no timers.
            let _ = worker.push(WorkerMessage::Wake);
        }
    }
}
