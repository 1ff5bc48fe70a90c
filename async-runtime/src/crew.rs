//! How many threads of a runtime have not ended, and a way to wait for them.

use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Crew {
    living: Mutex<usize>,
    ended: Condvar,
}

/// Counts as living as long as it exists, however its thread ends.
#[derive(Debug)]
pub(crate) struct Living(Arc<Crew>);

impl Living {
    pub(crate) fn new(crew: &Arc<Crew>) -> Self {
        *crew.living.lock() += 1;
        Self(Arc::clone(crew))
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        *self.0.living.lock() -= 1;
        self.0.ended.notify_all();
    }
}

impl Crew {
    /// Waits until all have ended, or `deadline`. Gives how many have not.
    pub(crate) fn wait_until_gone(&self, deadline: Instant) -> usize {
        let mut living = self.living.lock();
        while *living > 0 && !self.ended.wait_until(&mut living, deadline).timed_out() {}
        *living
    }
}
