//! Counters of several workers add up to a server's.
//!
//! Each worker counts for itself, without a lock, during a visit, and publishes at its end. A client may
//! have its reply a moment before that, and another one may ask another worker for `stats`: so whoever asks
//! waits until visits that are under way have ended. Two who ask at the same time do not wait for each
//! other, since each has published what it knows before it asks.

use conn_core::stats::Stats;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

/// What one worker has published.
#[derive(Debug, Default)]
struct Slot {
    published: Mutex<Published>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Published {
    stats: Stats,
    /// A visit is under way, and may have changed more.
    visiting: bool,
}

/// The counters of all workers, from one worker's point of view.
#[derive(Debug)]
pub(crate) struct Figures {
    slots: Arc<[Slot]>,
    own: usize,
}

impl Figures {
    /// The figures of so many workers, one for each.
    pub(crate) fn for_workers(workers: usize) -> impl Iterator<Item = Self> {
        let slots: Arc<[Slot]> = (0..workers).map(|_| Slot::default()).collect();
        (0..workers).map(move |own| Self { slots: Arc::clone(&slots), own })
    }

    /// A visit begins.
    pub(crate) fn begin(&self) {
        self.slots[self.own].published.lock().visiting = true;
    }

    /// It has ended, and these are this worker's counters.
    pub(crate) fn publish(&self, stats: &Stats) {
        let slot = &self.slots[self.own];
        let mut published = slot.published.lock();
        published.stats.clone_from(stats);
        published.visiting = false;
        drop(published);
        slot.settled.notify_all();
    }

    /// The sum over all workers, asked during a visit of this one's.
    pub(crate) fn sum(&self, own: &Stats) -> Stats {
        self.publish(own);
        let mut sum = own.clone();
        for (number, slot) in self.slots.iter().enumerate() {
            if number != self.own {
                let mut published = slot.published.lock();
                slot.settled.wait_while(&mut published, |published| published.visiting);
                sum.add(&published.stats);
            }
        }
        self.begin();
        sum
    }
}
