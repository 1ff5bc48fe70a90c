//! The policy: four numbers and one function.

use conn_core::write_policy::{Queue, Reason, Verdict, Window, WritePolicy};
use std::time::Duration;

/// The most that a client has to take in a window in order to stay, in bytes.
pub const ENOUGH: usize = 64 * 1024;

/// Bounds what is queued for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backpressure {
    /// With this many bytes queued, no more requests are taken from the connection.
    pub high_water: usize,
    /// At or below this many, they are taken again. Not above `high_water`. The gap between the two
    /// keeps a connection from being paused and resumed for every reply.
    pub low_water: usize,
    /// How long a client may keep its queue long while it takes next to nothing.
    pub slow_reader_timeout: Duration,
}

impl Backpressure {
    /// What a client has to take in a window in order to stay, in bytes.
    #[must_use]
    pub fn enough(&self) -> u64 {
        self.high_water.min(ENOUGH) as u64
    }
}

impl WritePolicy for Backpressure {
    fn window(&self) -> Duration {
        self.slow_reader_timeout
    }

    /// 80 % of high-water.
    fn long(&self) -> usize {
        (self.high_water * 4).div_ceil(5)
    }

    fn decide(&self, queue: &Queue) -> Verdict {
        let Queue { waiting, appended, paused, window } = *queue;
        let full = waiting >= self.high_water;
        let long = || waiting >= self.long();
        match window {
            // The pause makes this impossible: the queue was full before this reply.
            _ if appended > 0 && waiting - appended >= self.high_water => {
                Verdict::Disconnect(Reason::BufferOverflow)
            }
            _ if !paused && full => Verdict::Pause,
            _ if paused && !full && waiting <= self.low_water => Verdict::Resume,
            Window::Running | Window::Over { .. } if !long() => Verdict::EndWindow,
            Window::Over { taken } if taken < self.enough() => {
                Verdict::Disconnect(Reason::SlowReaderSustained)
            }
            Window::Over { .. } => Verdict::BeginWindow,
            Window::None if long() => Verdict::BeginWindow,
            Window::None | Window::Running => Verdict::GoOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{BeginWindow, Disconnect, EndWindow, GoOn, Pause, Resume};

    const POLICY: Backpressure = Backpressure {
        high_water: 1_000,
        low_water: 500,
        slow_reader_timeout: Duration::from_secs(5),
    };

    fn decide(waiting: usize, paused: bool, window: Window) -> Verdict {
        POLICY.decide(&Queue { waiting, appended: 0, paused, window })
    }

    #[test]
    fn requests_are_held_back_at_high_water_and_taken_again_at_low_water() {
        use Window::Running;
        let verdicts = [
            (0, false, GoOn),
            (999, false, GoOn),
            (1_000, false, Pause),
            (1_000, true, GoOn),
            (501, true, EndWindow),
            (500, true, Resume),
            (0, true, Resume),
        ];
        for (waiting, paused, verdict) in verdicts {
            let window = if waiting >= 501 { Running } else { Window::None };
            assert_eq!(
                decide(waiting, paused, window),
                verdict,
                "{waiting} queued, paused {paused}"
            );
        }
    }

    #[test]
    fn between_the_marks_a_connection_stays_as_it_is() {
        for waiting in 501..800 {
            assert_eq!(decide(waiting, true, Window::None), GoOn, "{waiting}");
            assert_eq!(decide(waiting, false, Window::None), GoOn, "{waiting}");
        }
    }

    #[test]
    fn a_queue_that_is_not_long_is_left_alone_whatever_has_been_appended() {
        // So that nobody has to ask: see `WritePolicy::long`.
        for high_water in [1, 2, 5, 1_000] {
            let policy = Backpressure { high_water, low_water: high_water / 2, ..POLICY };
            for waiting in 0..policy.long() {
                for appended in [0, 1, waiting / 2, waiting] {
                    let appended = appended.min(waiting);
                    let queue = Queue { waiting, appended, paused: false, window: Window::None };
                    assert_eq!(policy.decide(&queue), GoOn, "{policy:?}, {queue:?}");
                }
            }
        }
    }

    #[test]
    fn a_window_runs_while_the_queue_is_long() {
        assert_eq!(decide(799, false, Window::None), GoOn);
        assert_eq!(decide(800, false, Window::None), BeginWindow);
        assert_eq!(decide(800, false, Window::Running), GoOn);
        assert_eq!(decide(799, true, Window::Running), EndWindow);
        assert_eq!(decide(799, true, Window::Over { taken: 0 }), EndWindow);
    }

    #[test]
    fn eighty_percent_is_rounded_up() {
        for (high_water, long) in [(1, 1), (3, 3), (6, 5), (1_000, 800), (65_536, 52_429)] {
            assert_eq!(Backpressure { high_water, ..POLICY }.long(), long);
        }
    }

    #[test]
    fn at_its_end_who_took_too_little_is_disconnected() {
        let slow = Disconnect(Reason::SlowReaderSustained);
        assert_eq!(decide(900, true, Window::Over { taken: 0 }), slow);
        assert_eq!(decide(900, true, Window::Over { taken: 999 }), slow);
        assert_eq!(decide(900, true, Window::Over { taken: 1_000 }), BeginWindow);
        let large = Backpressure { high_water: 1 << 20, low_water: 0, ..POLICY };
        let queue = |taken| Queue {
            waiting: 1 << 20,
            appended: 0,
            paused: true,
            window: Window::Over { taken },
        };
        assert_eq!(large.decide(&queue(65_535)), slow);
        assert_eq!(large.decide(&queue(65_536)), BeginWindow);
    }

    #[test]
    fn a_reply_behind_a_full_queue_is_a_broken_invariant() {
        let appended = |waiting, appended, paused| {
            POLICY.decide(&Queue { waiting, appended, paused, window: Window::None })
        };
        let overflow = Disconnect(Reason::BufferOverflow);
        assert_eq!(appended(1_010, 10, false), overflow);
        assert_eq!(appended(1_010, 10, true), overflow);
        assert_eq!(appended(1_009, 10, false), Pause, "one byte less, and there was room");
        assert_eq!(appended(50_000, 50_000, false), Pause, "a large reply is queued whole");
    }

    #[test]
    fn every_verdict_but_go_on_changes_what_is_asked_next() {
        // Or the connection, which asks until there is nothing left to do, would ask for ever.
        for high_water in [1, 2, 5, 1_000] {
            for low_water in [0, high_water / 2, high_water] {
                let policy = Backpressure { high_water, low_water, ..POLICY };
                for waiting in 0..=2 * high_water {
                    for (mut paused, mut window) in [
                        (false, Window::None),
                        (true, Window::None),
                        (false, Window::Running),
                        (true, Window::Running),
                        (true, Window::Over { taken: 1 << 20 }),
                    ] {
                        let mut steps = 0;
                        loop {
                            match policy.decide(&Queue { waiting, appended: 0, paused, window }) {
                                GoOn | Disconnect(_) => break,
                                Pause => paused = true,
                                Resume => paused = false,
                                BeginWindow => window = Window::Running,
                                EndWindow => window = Window::None,
                            }
                            steps += 1;
                            assert!(steps < 4, "{policy:?} with {waiting} queued");
                        }
                        assert_eq!(window == Window::Running, waiting >= policy.long());
                        assert!(paused || waiting < high_water);
                        assert!(!paused || waiting > low_water || waiting >= high_water);
                    }
                }
            }
        }
    }
}
