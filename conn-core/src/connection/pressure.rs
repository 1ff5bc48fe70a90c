//! Backpressure: what a connection does about its write queue when the policy says so.

use super::{Connection, Input, Stream, Turn};
use crate::state::Event;
use crate::write_policy::{Queue, Reason, Verdict, Window};
use std::time::Instant;
use tracing::warn;

/// What the policy has made of one connection.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Requests are held back, in the read buffer and in the kernel.
    pub(super) paused: bool,
    /// The window in which the peer's progress is measured.
    pub(super) window: Option<Measured>,
}

/// A window in which the peer's progress is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) ends: Instant,
    /// How many bytes the peer had acknowledged when it began.
    acknowledged: u64,
}

impl<S: Stream> Connection<S> {
    /// The queue as the policy sees it.
    fn seen_queue(&self, appended: usize, window: Window) -> Queue {
        Queue { waiting: self.bytes_queued(), appended, paused: self.pressure.paused, window }
    }

    /// Whether another request may be taken: whether the policy, as things are, would not pause.
    pub(super) fn has_room<E>(&self, turn: &Turn<E>) -> bool {
        let queue = Queue { paused: false, ..self.seen_queue(0, Window::None) };
        turn.write_policy.decide(&queue) != Verdict::Pause
    }

    /// Makes sure that there was room for the reply that has just been appended.
    pub(super) fn check_room<E>(&mut self, appended: usize, turn: &mut Turn<E>) {
        let queue = self.seen_queue(appended, Window::None);
        if let Verdict::Disconnect(reason) = turn.write_policy.decide(&queue) {
            self.disconnect(reason, turn);
        }
    }

    /// Asks the policy about the queue and does what it says, until there is nothing left to do.
    pub(super) fn regulate<E>(&mut self, turn: &mut Turn<E>) {
        loop {
            let window = self.window(turn.now);
            let queue = self.seen_queue(0, window);
            match turn.write_policy.decide(&queue) {
                Verdict::GoOn => return,
                Verdict::Pause => {
                    self.pressure.paused = true;
                    turn.stats.reads_paused += 1;
                    self.apply(Event::HighWater);
                }
                Verdict::Resume => {
                    self.pressure.paused = false;
                    self.apply(Event::LowWater);
                    self.set_request_clock(turn.now);
                }
                Verdict::BeginWindow => {
                    self.note_acknowledged(turn.now);
                    self.pressure.window = turn
                        .now
                        .checked_add(turn.write_policy.window())
                        .map(|ends| Measured { ends, acknowledged: self.bytes_acknowledged() });
                }
                Verdict::EndWindow => self.pressure.window = None,
                Verdict::Disconnect(reason) => return self.disconnect(reason, turn),
            }
        }
    }

    /// How far the window has come. For its sake the kernel is asked what the peer has taken when it
    /// begins and when it is over.
    fn window(&mut self, now: Instant) -> Window {
        match self.pressure.window {
            None => Window::None,
            Some(window) if now < window.ends => Window::Running,
            Some(window) => {
                self.note_acknowledged(now);
                Window::Over { taken: self.bytes_acknowledged() - window.acknowledged }
            }
        }
    }

    fn disconnect<E>(&mut self, reason: Reason, turn: &mut Turn<E>) {
        warn!(
            conn = self.id.0,
            fd = self.fd,
            reason = reason.name(),
            bytes_queued = self.bytes_queued(),
            "disconnected"
        );
        let event = match reason {
            Reason::SlowReaderSustained => {
                turn.stats.slow_reader_disconnects += 1;
                Event::SlowReader
            }
            Reason::BufferOverflow => Event::BufferOverflow,
        };
        self.input = Input::Cut;
        self.drop_what_the_kernel_holds();
        self.apply(event);
    }

    /// A client that does not take its replies must not leave megabytes of them in the kernel, where
    /// they would stay long after the connection is forgotten.
    pub(super) fn drop_what_the_kernel_holds(&mut self) {
        // If the socket is not connected any more, there is nothing left to drop.
        let _ = self.stream.reset_on_close();
    }
}
