//! When to look at a connection's clocks: a timer wheel that costs nothing per idle connection.
//!
//! Activity doesn't touch the wheel. An entry only says "look at this descriptor then"; whoever
//! looks compares the connection's own clocks and, if nothing is due yet, arms the next look. So a
//! busy connection costs one look per time-out and not one change per byte, and a descriptor that
//! is closed and used again simply inherits the look of its predecessor.
//!
//! The wheel is hashed (Varghese and Lauck, 1987): a deadline beyond its horizon is put at the
//! horizon, looked at, and armed again.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// The wheel's resolution.
const TICK: Duration = Duration::from_millis(TICK_MS);
const TICK_MS: u64 = 250;

/// Deadlines further away than so many ticks share every second tick only, so that any number of
/// idle connections wakes the loop at most twice a second.
const FAR: u64 = 4;

/// Slots of the wheel: as many as a `u128` has bits.
const SLOTS: u64 = 128;

/// Which descriptors to look at, and when.
#[derive(Debug)]
pub struct Deadlines {
    start: Instant,
    /// The last tick that has been worked off.
    current: u64,
    /// Descriptors by tick, modulo the number of slots.
    slots: Vec<Vec<RawFd>>,
    /// A bit for each slot that is not empty.
    occupied: u128,
    /// By descriptor: the tick of its next look, 0 for none. Other entries of it are stale.
    armed: Vec<u64>,
}

impl Deadlines {
    /// A wheel without entries that begins to turn at `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            current: 0,
            slots: vec![Vec::new(); SLOTS as usize],
            occupied: 0,
            armed: Vec::new(),
        }
    }

    /// Makes sure that `fd` is looked at, at the latest half a second after `at`, or earlier if the
    /// wheel does not reach that far.
    pub fn arm(&mut self, fd: RawFd, at: Instant) {
        let Ok(index) = usize::try_from(fd) else { return };
        if index >= self.armed.len() {
            self.armed.resize(index + 1, 0);
        }
        let mut tick = self.millis(at).div_ceil(TICK_MS);
        if tick > self.current + FAR {
            tick = tick.next_multiple_of(2);
        }
        // An even horizon, so that those who are put there share their ticks as well.
        let horizon = (self.current + SLOTS - 2) & !1;
        let tick = tick.clamp(self.current + 1, horizon);
        if (1..=tick).contains(&self.armed[index]) {
            return;
        }
        self.armed[index] = tick;
        self.slots[(tick % SLOTS) as usize].push(fd);
        self.occupied |= 1 << (tick % SLOTS);
    }

    /// When the next look is due; `None` if nothing is armed.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.occupied == 0 {
            return None;
        }
        let first = self.current + 1;
        let ahead = self.occupied.rotate_right((first % SLOTS) as u32).trailing_zeros();
        Some(self.start + TICK * u32::try_from(first + u64::from(ahead)).unwrap_or(u32::MAX))
    }

    /// Moves the wheel to `now` and puts the descriptors to look at into `due`.
    pub fn expire(&mut self, now: Instant, due: &mut Vec<RawFd>) {
        due.clear();
        let now_tick = self.millis(now) / TICK_MS;
        // One round reaches every slot, however long the loop slept.
        for tick in self.current + 1..=now_tick.min(self.current + SLOTS) {
            let slot = (tick % SLOTS) as usize;
            if self.occupied & (1 << slot) == 0 {
                continue;
            }
            self.occupied &= !(1 << slot);
            for fd in self.slots[slot].drain(..) {
                let armed = &mut self.armed[fd as usize];
                if *armed == tick {
                    *armed = 0;
                    due.push(fd);
                }
            }
        }
        self.current = self.current.max(now_tick);
    }

    /// Milliseconds from the start of the wheel to `at`.
    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_look_comes_not_before_its_deadline_and_at_most_half_a_second_after() {
        let start = Instant::now();
        for ms in [1, 249, 250, 251, 999, 1_000, 1_001, 5_000, 29_999] {
            let mut wheel = Deadlines::new(start);
            wheel.arm(7, after(start, ms));
            let next = wheel.next().expect("armed");
            assert!(next >= after(start, ms), "{ms} ms");
            assert!(next <= after(start, ms + 500), "{ms} ms");
            let mut due = Vec::new();
            wheel.expire(next - Duration::from_millis(1), &mut due);
            assert!(due.is_empty(), "{ms} ms");
            wheel.expire(next, &mut due);
            assert_eq!(due, [7], "{ms} ms");
            assert_eq!(wheel.next(), None);
        }
    }

    #[test]
    fn an_earlier_deadline_replaces_a_later_one_and_not_the_other_way_round() {
        let start = Instant::now();
        let mut wheel = Deadlines::new(start);
        wheel.arm(7, after(start, 10_000));
        wheel.arm(7, after(start, 2_000));
        wheel.arm(7, after(start, 20_000));
        let mut due = Vec::new();
        wheel.expire(after(start, 2_500), &mut due);
        assert_eq!(due, [7]);
        wheel.expire(after(start, 60_000), &mut due);
        assert!(due.is_empty(), "the entry for 10 s was stale: {due:?}");
    }

    #[test]
    fn any_number_of_idle_connections_wakes_the_loop_at_most_twice_a_second() {
        let start = Instant::now();
        let mut wheel = Deadlines::new(start);
        let mut idle_until = HashMap::new();
        let (mut wakes, mut due) = (HashMap::<u64, u32>::new(), Vec::new());
        // One client connects every 13 ms for 15 s; each is closed after 60 s without a byte.
        for fd in 0..1_200_i32 {
            let now = after(start, u64::from(fd.unsigned_abs()) * 13);
            wheel.expire(now, &mut due);
            assert!(due.is_empty(), "nobody is due yet");
            let at = now + Duration::from_secs(60);
            idle_until.insert(fd, at);
            wheel.arm(fd, at);
        }
        while let Some(now) = wheel.next() {
            *wakes.entry(now.duration_since(start).as_secs()).or_default() += 1;
            wheel.expire(now, &mut due);
            for fd in &due {
                if idle_until[fd] > now {
                    wheel.arm(*fd, idle_until[fd]);
                } else {
                    idle_until.remove(fd);
                }
            }
        }
        assert!(idle_until.is_empty(), "{} were never closed", idle_until.len());
        let busiest = wakes.values().max();
        assert_eq!(busiest, Some(&2), "wake-ups by second: {wakes:?}");
    }

    #[test]
    fn a_loop_that_slept_for_long_misses_nothing() {
        let start = Instant::now();
        let mut wheel = Deadlines::new(start);
        for fd in 0..100_i32 {
            wheel.arm(fd, after(start, 300 * u64::from(fd.unsigned_abs())));
        }
        let mut due = Vec::new();
        wheel.expire(after(start, 10_000_000), &mut due);
        due.sort_unstable();
        assert_eq!(due, (0..100).collect::<Vec<_>>());
        // And the wheel still turns.
        wheel.arm(3, after(start, 10_000_400));
        wheel.expire(after(start, 10_000_500), &mut due);
        assert_eq!(due, [3]);
    }

    /// However the loop slept and whatever it was given: nobody is looked at later than promised, and
    /// nobody is looked at for ever.
    #[test]
    fn whatever_is_armed_is_looked_at_in_time() {
        let start = Instant::now();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for _ in 0..200 {
            let mut wheel = Deadlines::new(start);
            let mut until = HashMap::new();
            let mut due = Vec::new();
            let mut now_us = 0;
            for _ in 0..200 {
                let now = start + Duration::from_micros(now_us);
                for _ in 0..next(4) {
                    let fd = next(20) as RawFd;
                    // In the past too, soon, and beyond the horizon.
                    let ahead = [1_000, 3_000_000, 90_000_000][next(3) as usize];
                    let at =
                        start + Duration::from_micros((now_us + next(ahead)).saturating_sub(500));
                    let earliest = until.get(&fd).map_or(at, |other| at.min(*other));
                    until.insert(fd, earliest);
                    wheel.arm(fd, at);
                }
                wheel.expire(now, &mut due);
                for fd in &due {
                    match until.get(fd) {
                        Some(at) if *at > now => wheel.arm(*fd, *at),
                        _ => drop(until.remove(fd)),
                    }
                }
                for (fd, at) in &until {
                    assert!(now < *at + Duration::from_millis(500), "{fd} is late");
                    assert!(wheel.next().is_some(), "{fd} is forgotten");
                }
                let wake = wheel.next().map_or(0, |at| (at - start).as_micros() as u64);
                // It wakes up when it is told to, or earlier, or it was idle.
                now_us = match (until.is_empty(), next(3)) {
                    (true, 0) => now_us + next(200_000_000),
                    (true, _) => now_us + next(1_000),
                    (false, 0) => wake.max(now_us),
                    (false, _) => (now_us + next(400_000)).min(wake.max(now_us)),
                };
            }
        }
    }
}
