//! The seam for backpressure: what a long write queue means.
//!
//! A connection asks its server's [`WritePolicy`] whenever its queue has changed, and does what the
//! policy says. The policy remembers nothing and touches nothing: it looks at a [`Queue`] and returns
//! a [`Verdict`], so that every rule can be tested without a socket.

use std::fmt::Debug;
use std::time::Duration;

/// A moment in the life of one connection's write queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Bytes that wait to be sent.
    pub waiting: usize,
    /// How many of these the reply has that has just been appended; 0 if none has.
    pub appended: usize,
    /// Whether requests are held back at present.
    pub paused: bool,
    /// The window in which the peer's progress is measured.
    pub window: Window,
}

/// Where the measuring of a peer's progress stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Nothing is measured.
    None,
    /// The window has not come to its end.
    Running,
    /// It has.
    Over {
        /// How many bytes the peer's TCP has acknowledged since the window began.
        taken: u64,
    },
}

/// What is to be done about a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing; all is as it should be.
    GoOn,
    /// Take no more requests from this connection.
    Pause,
    /// Take requests from it again.
    Resume,
    /// Begin a window, or the next one.
    BeginWindow,
    /// Stop measuring.
    EndWindow,
    /// Disconnect it.
    Disconnect(Reason),
}

/// Why a client is disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its queue was long for a whole window and it took too little.
    SlowReaderSustained,
    /// A reply was queued although no request should have been taken: a bug of the server.
    BufferOverflow,
}

impl Reason {
    /// The reason's name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowReaderSustained => "slow_reader_sustained",
            Self::BufferOverflow => "buffer_overflow",
        }
    }
}

/// Decides what a long write queue means.
pub trait WritePolicy: Debug + Send {
    /// How long a window lasts.
    fn window(&self) -> Duration;

    /// From how many waiting bytes on a queue counts as long. About a shorter one there is nothing to
    /// decide, unless requests are held back or a window runs: `decide` would say
    /// [`GoOn`](Verdict::GoOn), and is not asked.
    fn long(&self) -> usize;

    /// The first thing to be done about `queue`. The connection does it and asks again, until there
    /// is nothing left to do.
    fn decide(&self, queue: &Queue) -> Verdict;
}

/// Some policy, as a connection asks it. The questions about a client that takes its replies, two for
/// every request, are answered by comparing two numbers.
#[derive(Debug)]
pub struct AnyPolicy {
    policy: Box<dyn WritePolicy>,
    /// What the policy's own `long` says.
    long: usize,
}

impl AnyPolicy {
    /// This policy.
    pub fn new(policy: impl WritePolicy + 'static) -> Self {
        Self { long: policy.long(), policy: Box::new(policy) }
    }

    /// How long a window lasts.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.policy.window()
    }

    /// The first thing to be done about `queue`.
    #[must_use]
    pub fn decide(&self, queue: &Queue) -> Verdict {
        if queue.waiting < self.long && !queue.paused && queue.window == Window::None {
            return Verdict::GoOn;
        }
        self.policy.decide(queue)
    }
}

/// No bound at all: whoever never reads is queued for until memory runs out. Day 2's choice, for
/// want of a better one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unbounded;

impl WritePolicy for Unbounded {
    fn window(&self) -> Duration {
        Duration::MAX
    }

    fn long(&self) -> usize {
        usize::MAX
    }

    fn decide(&self, _: &Queue) -> Verdict {
        Verdict::GoOn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every question with `Pause`, so that one sees which were put to it.
    #[derive(Debug)]
    struct Asked;

    impl WritePolicy for Asked {
        fn window(&self) -> Duration {
            Duration::ZERO
        }

        fn long(&self) -> usize {
            10
        }

        fn decide(&self, _: &Queue) -> Verdict {
            Verdict::Pause
        }
    }

    #[test]
    fn only_a_short_queue_that_was_never_long_is_decided_without_the_policy() {
        let policy = AnyPolicy::new(Asked);
        let asked = |waiting, paused, window| {
            policy.decide(&Queue { waiting, appended: 0, paused, window }) == Verdict::Pause
        };
        assert!(!asked(0, false, Window::None) && !asked(9, false, Window::None));
        assert!(asked(10, false, Window::None));
        assert!(asked(0, true, Window::None));
        assert!(asked(0, false, Window::Running) && asked(0, false, Window::Over { taken: 0 }));
    }
}
