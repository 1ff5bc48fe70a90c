//! A hashed, hierarchical timer wheel (Varghese and Lauck, 1987): start, cancel and expire a timer in a
//! time that does not depend on how many there are.
//!
//! A deadline is a number of ticks, written with 64 symbols instead of ten. Level 0 has a slot for each
//! value of the last digit, level 1 for the last but one, and so on, like the hands of a clock. A timer
//! is filed at the highest digit in which its deadline differs from the current tick. When a hand of a
//! higher level reaches a slot, the timers there have this digit in common with the current tick, and
//! are filed anew, further down. So a timer is touched once for each digit at the most before it expires:
//! with ticks of a millisecond, at most four times within a day.
//!
//! The wheel does not read a clock: time is an argument. What is filed is up to the owner: a waker for a
//! sleeping task, a token for a socket.

use slab::Slab;
use std::time::Duration;

/// Bits of a digit.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// Enough digits for every `u64`.
const LEVELS: usize = u64::BITS.div_ceil(BITS) as usize;

/// The end of a list.
const NONE: usize = usize::MAX;

#[derive(Debug)]
pub(crate) struct TimerWheel<T> {
    tick_ms: u64,
    /// The last tick that has been worked off.
    current: u64,
    /// For each level, a bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    /// The first timer of each slot.
    slots: [[usize; SLOTS]; LEVELS],
    timers: Slab<Timer<T>>,
    /// How many timers were ever started.
    started: u64,
}

/// A timer is in the list of its slot, linked both ways so that it can leave from the middle.
#[derive(Debug)]
struct Timer<T> {
    id: u64,
    deadline: u64,
    level: usize,
    previous: usize,
    next: usize,
    value: T,
}

/// Names a timer, also when it has long expired: it is never the name of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: usize,
    id: u64,
}

impl<T> TimerWheel<T> {
    /// An empty wheel at time 0.
    pub(crate) fn new(tick_ms: u64) -> Self {
        Self {
            tick_ms,
            current: 0,
            occupied: [0; LEVELS],
            slots: [[NONE; SLOTS]; LEVELS],
            timers: Slab::new(),
            started: 0,
        }
    }

    /// Starts a timer: `value` becomes due with the first tick at or after `at`, and never before.
    pub(crate) fn insert(&mut self, at: Duration, value: T) -> TimerKey {
        let ms =
            whole_ms(at).saturating_add(u64::from(!at.subsec_nanos().is_multiple_of(1_000_000)));
        let deadline = ms.div_ceil(self.tick_ms).max(self.current + 1);
        self.started += 1;
        let id = self.started;
        let timer = Timer { id, deadline, level: 0, previous: NONE, next: NONE, value };
        let index = self.timers.insert(timer);
        self.link(index);
        TimerKey { index, id }
    }

    /// Stops a timer. `None` if it has expired.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.get_mut(key)?;
        self.unlink(key.index);
        Some(self.timers.remove(key.index).value)
    }

    /// What was filed under `key`. `None` if it has expired.
    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        let timer = self.timers.get_mut(key.index)?;
        (timer.id == key.id).then_some(&mut timer.value)
    }

    /// When [`advance`](Self::advance) should be called next: a timer is due then, or has to be filed
    /// anew. `None` if there is no timer.
    pub(crate) fn next(&self) -> Option<Duration> {
        let (_, _, tick) = self.next_slot()?;
        Some(Duration::from_millis(tick.saturating_mul(self.tick_ms)))
    }

    /// Moves the wheel to `now`, and appends what is due to `due`.
    pub(crate) fn advance(&mut self, now: Duration, due: &mut Vec<T>) {
        let now = whole_ms(now) / self.tick_ms;
        while let Some((level, slot, tick)) = self.next_slot() {
            if tick > now {
                break;
            }
            self.current = tick;
            self.empty(level, slot, due);
        }
        self.current = self.current.max(now);
    }

    /// How many timers have not expired.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// The occupied slot that a hand reaches next, and the tick at which it does.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        // The lowest level that has any timer has the earliest: all that is filed further up differs
        // from the current tick in a higher digit.
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let shift = BITS * level as u32;
        // No slot behind the hand is occupied: deadlines lie ahead, and share all higher digits.
        let slot = self.occupied[level].trailing_zeros();
        let higher_digits = self.current >> shift >> BITS << BITS << shift;
        Some((level, slot as usize, higher_digits | u64::from(slot) << shift))
    }

    /// Takes all timers out of a slot that is reached: they are due, or filed further down.
    fn empty(&mut self, level: usize, slot: usize, due: &mut Vec<T>) {
        let mut index = self.slots[level][slot];
        self.slots[level][slot] = NONE;
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let timer = &self.timers[index];
            let next = timer.next;
            if timer.deadline <= self.current {
                due.push(self.timers.remove(index).value);
            } else {
                self.link(index);
            }
            index = next;
        }
    }

    /// The highest digit in which `deadline` differs from the current tick.
    fn level(&self, deadline: u64) -> usize {
        let differing_bits = u64::BITS - (self.current ^ deadline).leading_zeros();
        (differing_bits.saturating_sub(1) / BITS) as usize
    }

    /// Puts a timer at the head of its slot's list.
    fn link(&mut self, index: usize) {
        let deadline = self.timers[index].deadline;
        let level = self.level(deadline);
        let slot = slot(deadline, level);
        let head = self.slots[level][slot];
        let timer = &mut self.timers[index];
        (timer.level, timer.previous, timer.next) = (level, NONE, head);
        if head != NONE {
            self.timers[head].previous = index;
        }
        self.slots[level][slot] = index;
        self.occupied[level] |= 1 << slot;
    }

    /// Takes a timer out of its slot's list.
    fn unlink(&mut self, index: usize) {
        let Timer { deadline, level, previous, next, .. } = self.timers[index];
        if next != NONE {
            self.timers[next].previous = previous;
        }
        if previous != NONE {
            self.timers[previous].next = next;
            return;
        }
        let slot = slot(deadline, level);
        self.slots[level][slot] = next;
        if next == NONE {
            self.occupied[level] &= !(1 << slot);
        }
    }
}

fn whole_ms(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000).saturating_add(time.subsec_millis().into())
}

/// The digit of `deadline` that counts on `level`.
fn slot(deadline: u64, level: usize) -> usize {
    (deadline >> (BITS * level as u32)) as usize % SLOTS
}

#[cfg(test)]
mod tests;
