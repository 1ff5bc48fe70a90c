//! The way back: a list of results under a lock, and one descriptor that wakes the loop.
//!
//! # Contract
//!
//! - [`push`](CompletionQueue::push) appends a result and, **only if the list was empty**, notifies
//!   the [`Wakeup`]. If it was not, whoever made it so has notified and the loop has yet to come.
//!   However many results pile up, they cost one system call together.
//! - [`take_all`](CompletionQueue::take_all) clears the wakeup first and **then** takes the whole list.
//! - Others may notify the wakeup too: a list that turns out to be empty does no harm.
//! - So, after every `push` has returned: if the list is not empty, the wakeup is readable. The loop
//!   never sleeps while a result waits.
//!
//! Why the order of `take_all` matters. A result goes into the list first and is announced afterwards.
//! If clearing swallows an announcement, its result is in the list by then, and the list is taken next.
//! An announcement that comes later stays, and at worst wakes the loop for a list that it has emptied
//! already. The other way round, a worker may push *and* announce between the taking and the clearing:
//! the announcement is swallowed, the result stays, and as the list is not empty from now on, nobody
//! announces anything ever again.

use crate::sync::Mutex;
use crate::wakeup::Wakeup;
use std::{io, mem};

/// Results on their way from the workers to the loop. Share it in an `Arc`.
#[derive(Debug)]
pub struct CompletionQueue<T> {
    list: Mutex<List<T>>,
    wakeup: Wakeup,
}

#[derive(Debug)]
struct List<T> {
    results: Vec<T>,
    wakeups: u64,
}

impl<T> CompletionQueue<T> {
    /// An empty list that announces its results by `wakeup`.
    #[must_use]
    pub fn new(wakeup: Wakeup) -> Self {
        Self { list: Mutex::new(List { results: Vec::new(), wakeups: 0 }), wakeup }
    }

    /// Appends `result`, and wakes the loop if the list was empty.
    ///
    /// # Errors
    /// The loop can't be woken. The result is in the list, and nobody may ever come for it: to go on
    /// serving would leave clients waiting for ever, so the server should end.
    pub fn push(&self, result: T) -> io::Result<()> {
        let was_empty = {
            let mut list = self.list.lock();
            let was_empty = list.results.is_empty();
            list.results.push(result);
            list.wakeups += u64::from(was_empty);
            was_empty
        };
        // Not under the lock: nobody need wait for a system call of ours.
        if was_empty { self.wakeup.notify() } else { Ok(()) }
    }

    /// Puts all results into `results`, oldest first, in place of what was there. The two lists change
    /// places, so once both are large enough nothing is allocated.
    ///
    /// # Errors
    /// The wakeup can't be cleared. Nothing was taken.
    pub fn take_all(&self, results: &mut Vec<T>) -> io::Result<()> {
        results.clear();
        self.wakeup.clear()?;
        mem::swap(&mut self.list.lock().results, results);
        Ok(())
    }

    /// What the loop watches, and what wakes it for another reason than a result.
    #[must_use]
    pub fn wakeup(&self) -> &Wakeup {
        &self.wakeup
    }

    /// How often the loop was woken for results.
    #[must_use]
    pub fn wakeups(&self) -> u64 {
        self.list.lock().wakeups
    }
}
