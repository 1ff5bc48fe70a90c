//! Counters of several workers add up to a server's.
//!
//! Each worker counts for itself, without a lock, during a visit, and publishes at its end. A client may
//! have its reply a moment before that, and another one may ask another worker for `stats`: so whoever asks
//! waits until visits that are under way have ended, and for none that begins after that. Two who ask at
//! the same time do not wait for each other, since each has published what it knows before it asks.

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
    /// How often this was published.
    times: u64,
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
        published.times += 1;
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
                let seen = published.times;
                let under_way = |now: &mut Published| now.visiting && now.times == seen;
                slot.settled.wait_while(&mut published, under_way);
                sum.add(&published.stats);
            }
        }
        self.begin();
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    fn counted(bytes_read: u64, peak_bytes_queued: u64) -> Stats {
        Stats { bytes_read, peak_bytes_queued, ..Stats::default() }
    }

    fn two() -> (Figures, Figures) {
        let mut figures = Figures::for_workers(2);
        (figures.next().unwrap(), figures.next().unwrap())
    }

    #[test]
    fn figures_add_up_and_a_peak_is_the_largest() {
        let (first, second) = two();
        first.publish(&counted(1, 70));
        second.begin();
        let sum = second.sum(&counted(20, 30));
        assert_eq!((sum.bytes_read, sum.peak_bytes_queued), (21, 70));
        // What was asked during a visit is not the visit's last word.
        second.publish(&counted(300, 80));
        first.begin();
        let sum = first.sum(&counted(2, 70));
        assert_eq!((sum.bytes_read, sum.peak_bytes_queued), (302, 80));
    }

    #[test]
    fn who_asks_waits_for_a_visit_that_is_under_way() {
        let (first, second) = two();
        first.begin();
        let (told, sum) = channel();
        let asks = thread::spawn(move || {
            second.begin();
            told.send(second.sum(&Stats::default()).bytes_read).unwrap();
        });
        assert!(sum.recv_timeout(Duration::from_millis(50)).is_err(), "it has not ended");
        first.publish(&counted(7, 0));
        assert_eq!(sum.recv().unwrap(), 7);
        asks.join().unwrap();
    }

    #[test]
    fn who_asks_does_not_wait_for_visits_that_begin_later() {
        let (first, second) = two();
        let (told, sum) = channel();
        first.begin();
        let asks = thread::spawn(move || {
            second.begin();
            second.sum(&Stats::default());
            told.send(()).unwrap();
        });
        // One visit after the other, with no time in between.
        let visits = (0..1_000).take_while(|_| {
            let waits = sum.recv_timeout(Duration::from_millis(5)).is_err();
            first.slots[0].published.lock().times += 1;
            first.slots[0].settled.notify_all();
            waits
        });
        assert!(visits.count() < 1_000, "it still waits");
        first.publish(&Stats::default());
        asks.join().unwrap();
    }

    #[test]
    fn two_who_ask_at_the_same_time_do_not_wait_for_each_other() {
        let (first, second) = two();
        let ask = |figures: Figures| {
            thread::spawn(move || {
                for _ in 0..10_000 {
                    figures.begin();
                    figures.sum(&Stats::default());
                    figures.publish(&Stats::default());
                }
            })
        };
        // If they did, this would never end.
        [ask(first), ask(second)].into_iter().for_each(|asks| asks.join().unwrap());
    }
}
