//! What a worker sleeps on: a bell, and the event of the one socket that a model has.

use crate::sync::{Condvar, Mutex};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Sleep {
    pending: Mutex<Pending>,
    changed: Condvar,
}

/// What has happened since the last wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pending {
    pub(crate) rung: bool,
    pub(crate) readable: bool,
}

impl Sleep {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { pending: Mutex::new(Pending::default()), changed: Condvar::new() })
    }

    /// Waits until something happens, or only looks whether it has.
    pub(crate) fn wait(&self, may_sleep: bool) -> Pending {
        let mut pending = self.pending.lock();
        while may_sleep && !pending.rung && !pending.readable {
            self.changed.wait(&mut pending);
        }
        std::mem::take(&mut *pending)
    }

    pub(crate) fn set_readable(&self, readable: bool) {
        self.pending.lock().readable = readable;
        self.changed.notify_one();
    }
}

#[derive(Debug)]
pub(crate) struct Doorbell(pub(crate) Arc<Sleep>);

impl Doorbell {
    pub(crate) fn ring(&self) {
        self.0.pending.lock().rung = true;
        self.0.changed.notify_one();
    }
}
