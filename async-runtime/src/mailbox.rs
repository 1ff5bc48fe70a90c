//! How other threads reach a worker: a list of messages under a lock, and a doorbell.
//!
//! # Contract
//!
//! - The worker calls [`fall_asleep`](Mailbox::fall_asleep) before a wait that may be long. It may wait
//!   only if the answer is yes, and the answer is yes only if the list is empty.
//! - [`push`](Mailbox::push) appends a message, and rings **only if the worker is asleep**. Whoever rings
//!   notes that the worker is awake: a hundred messages to a sleeper cost one system call, and
//!   messages to a busy worker cost none.
//! - So, after every `push` has returned: the worker is awake, or the bell has been rung.
//!
//! The question "is there mail?" and the note "I am asleep" are one step under one lock. With a gap
//! between them, a message that comes in the gap finds nobody asleep, rings no bell, and waits for ever.

use crate::doorbell::Doorbell;
use crate::sync::Mutex;
use std::mem;

/// Messages on their way to a worker.
#[derive(Debug)]
pub(crate) struct Mailbox<M> {
    state: Mutex<State<M>>,
    doorbell: Doorbell,
}

#[derive(Debug)]
struct State<M> {
    messages: Vec<M>,
    asleep: bool,
    closed: bool,
}

impl<M> Mailbox<M> {
    pub(crate) fn new(doorbell: Doorbell) -> Self {
        let state = State { messages: Vec::new(), asleep: false, closed: false };
        Self { state: Mutex::new(state), doorbell }
    }

    /// Appends `message`, and wakes the worker if it is asleep.
    ///
    /// # Errors
    /// The worker has ended. The message is given back.
    pub(crate) fn push(&self, message: M) -> Result<(), M> {
        let was_asleep = {
            let mut state = self.state.lock();
            if state.closed {
                return Err(message);
            }
            state.messages.push(message);
            mem::take(&mut state.asleep)
        };
        // Not under the lock: the worker takes it as soon as it wakes.
        if was_asleep {
            self.doorbell.ring();
        }
        Ok(())
    }

    /// Whether the worker may wait. From a yes on, whoever pushes rings.
    pub(crate) fn fall_asleep(&self) -> bool {
        let mut state = self.state.lock();
        state.asleep = state.messages.is_empty();
        state.asleep
    }

    /// Puts all messages into `taken`, oldest first, in place of what was there. The worker is awake.
    pub(crate) fn take_all(&self, taken: &mut Vec<M>) {
        taken.clear();
        let mut state = self.state.lock();
        state.asleep = false;
        mem::swap(&mut state.messages, taken);
    }

    /// Refuses all messages from now on, and gives what had not been taken.
    pub(crate) fn close(&self) -> Vec<M> {
        let mut state = self.state.lock();
        state.closed = true;
        mem::take(&mut state.messages)
    }
}
