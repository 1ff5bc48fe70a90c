//! A bounded queue between threads: one ring, one lock, two condition variables.
//!
//! # Contract
//!
//! - **Bounded.** At most `capacity` items wait. The ring is allocated once and never grows.
//! - **First in, first out.** Items leave in the order in which they were accepted. Which of several
//!   waiting consumers gets the next one, or which of several waiting producers gets the next free
//!   place, is not promised.
//! - **Exactly once.** An accepted item is popped by one consumer; a refused one comes back to its
//!   producer.
//! - **Who waits.** [`pop`](TaskQueue::pop) while the queue is empty, [`push`](TaskQueue::push) while
//!   it is full. [`try_push`](TaskQueue::try_push) waits for nothing but the lock, which is never held
//!   longer than it takes to move one item: it is the one for an event loop.
//! - **Nobody sleeps in vain.** Whenever there is an item and a waiting consumer, or a free place and
//!   a waiting producer, one of them has been notified. If nobody waits, nobody is notified. Consumers
//!   are called one after the other: whoever takes an item and leaves some calls the next.
//! - **Who was refused can be told.** A producer that must not wait is one that nobody can notify, so
//!   the queue notes that it was refused. The consumer that has made room asks with
//!   [`take_refused`](TaskQueue::take_refused), and knows how to reach that producer.
//! - **Closed is closed.** After [`close`](TaskQueue::close) nothing is accepted, what was accepted is
//!   still popped, and then every `pop` returns `None`. All who wait are woken, producers too.
//!
//! `tests/loom` runs this file through every interleaving of a few threads.

use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::mem;

/// The queue. Share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct TaskQueue<T> {
    ring: Mutex<Ring<T>>,
    /// An item has come, or none will come any more.
    not_empty: Condvar,
    /// A place has become free, or none is given away any more.
    not_full: Condvar,
    capacity: usize,
}

/// What the lock protects.
#[derive(Debug)]
struct Ring<T> {
    items: VecDeque<T>,
    closed: bool,
    peak: usize,
    waiting_consumers: usize,
    /// A consumer has been notified and has not come yet.
    called: bool,
    waiting_producers: usize,
    /// A producer has been sent away since this was last asked.
    refused: bool,
}

/// The queue was closed; here is the item back.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// Why an item was not accepted without waiting, and the item.
#[derive(Debug, PartialEq, Eq)]
pub enum TryPushError<T> {
    /// Every place is taken.
    Full(T),
    /// The queue was closed.
    Closed(T),
}

/// What a queue looked like at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFigures {
    /// Items that wait.
    pub len: usize,
    /// The most that have ever waited at once.
    pub peak: usize,
}

impl<T> TaskQueue<T> {
    /// An empty queue with room for `capacity` items.
    ///
    /// # Panics
    /// If `capacity` is 0: nothing could ever be handed over.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a queue needs room for at least one item");
        Self {
            ring: Mutex::new(Ring {
                items: VecDeque::with_capacity(capacity),
                closed: false,
                peak: 0,
                waiting_consumers: 0,
                called: false,
                waiting_producers: 0,
                refused: false,
            }),
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
            capacity,
        }
    }

    /// Appends `item`; waits while the queue is full.
    ///
    /// # Errors
    /// The queue is closed, or was while this call waited.
    pub fn push(&self, item: T) -> Result<(), Closed<T>> {
        let mut ring = self.ring.lock();
        while ring.items.len() == self.capacity && !ring.closed {
            ring.waiting_producers += 1;
            self.not_full.wait(&mut ring);
            ring.waiting_producers -= 1;
        }
        if ring.closed {
            return Err(Closed(item));
        }
        self.append(&mut ring, item);
        Ok(())
    }

    /// Appends `item` if there is room for it now.
    ///
    /// # Errors
    /// The queue is full, or closed.
    pub fn try_push(&self, item: T) -> Result<(), TryPushError<T>> {
        let mut ring = self.ring.lock();
        if ring.closed {
            return Err(TryPushError::Closed(item));
        }
        if ring.items.len() == self.capacity {
            ring.refused = true;
            return Err(TryPushError::Full(item));
        }
        self.append(&mut ring, item);
        Ok(())
    }

    fn append(&self, ring: &mut Ring<T>, item: T) {
        ring.items.push_back(item);
        ring.peak = ring.peak.max(ring.items.len());
        self.call_consumer(ring);
    }

    /// Notifies one consumer unless one is on its way: by the time that a second has woken up, the first
    /// may have taken all there is. To wake a thread costs more than many a task.
    fn call_consumer(&self, ring: &mut Ring<T>) {
        if !ring.items.is_empty() && ring.waiting_consumers > 0 && !ring.called {
            ring.called = true;
            self.not_empty.notify_one();
        }
    }

    /// Takes the oldest item; waits while the queue is empty. `None` once it is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let mut ring = self.ring.lock();
        loop {
            if let Some(item) = ring.items.pop_front() {
                if ring.waiting_producers > 0 {
                    self.not_full.notify_one();
                }
                self.call_consumer(&mut ring);
                return Some(item);
            }
            if ring.closed {
                return None;
            }
            // Another consumer may have been quicker than one who was woken: hence the loop.
            ring.waiting_consumers += 1;
            self.not_empty.wait(&mut ring);
            ring.waiting_consumers -= 1;
            ring.called = false;
        }
    }

    /// Whether [`try_push`](Self::try_push) has sent somebody away for want of room since this was last
    /// asked.
    #[must_use]
    pub fn take_refused(&self) -> bool {
        mem::take(&mut self.ring.lock().refused)
    }

    /// Accepts nothing from now on and wakes everybody who waits. To close again changes nothing.
    pub fn close(&self) {
        self.ring.lock().closed = true;
        self.not_empty.notify_all();
        self.not_full.notify_all();
    }

    /// The most items that may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many wait, and how many ever did.
    #[must_use]
    pub fn figures(&self) -> QueueFigures {
        let ring = self.ring.lock();
        QueueFigures { len: ring.items.len(), peak: ring.peak }
    }
}
