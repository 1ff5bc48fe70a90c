//! Waiting for a time: [`sleep`], [`timeout`], [`interval`].

pub use crate::clock::ManualClock;
use crate::current::{self, NO_RUNTIME};
use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::timer_wheel::TimerKey;
use crate::worker::Worker;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Waits for `duration`, and on a machine that is not busy at most two milliseconds longer.
///
/// The time runs from this call on. On a thread that has no runtime, and so no clock, it runs from the
/// first poll.
pub fn sleep(duration: Duration) -> Sleep {
    // Whatever the clock says, no time at all is over.
    let now = if duration.is_zero() { Some(Duration::ZERO) } else { now() };
    Sleep { duration, deadline: now.map(|now| now.saturating_add(duration)), timer: None }
}

/// What the runtime's clock says. It is read each time: a task that has computed for a while sleeps from
/// now on, and not from the beginning of its worker's turn.
fn now() -> Option<Duration> {
    current::with(|worker| worker.runtime.clock.now())
}

/// What [`sleep`] returns. Dropping it cancels its timer.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    duration: Duration,
    deadline: Option<Duration>,
    /// On whose wheel it waits, and under which name.
    timer: Option<(Arc<Mailbox<WorkerMessage>>, TimerKey)>,
}

impl Sleep {
    fn poll_on(&mut self, worker: &Worker, cx: &Context<'_>) -> Poll<()> {
        if let Some((home, key)) = &self.timer {
            if !Arc::ptr_eq(home, &worker.handle.mailbox) {
                // Its task is with another worker now, and so will the timer be.
                self.cancel();
            } else if worker.renew_timer(*key, cx.waker()) {
                return Poll::Pending;
            } else {
                self.timer = None;
                return Poll::Ready(());
            }
        }
        let duration = self.duration;
        let deadline = *self
            .deadline
            .get_or_insert_with(|| worker.runtime.clock.now().saturating_add(duration));
        // The turn's time is good enough: a deadline that has passed since is due at the turn's end.
        if deadline <= worker.turn_time() {
            return Poll::Ready(());
        }
        let key = worker.start_timer(deadline, cx.waker().clone());
        self.timer = Some((Arc::clone(&worker.handle.mailbox), key));
        Poll::Pending
    }

    fn cancel(&mut self) {
        let Some((home, key)) = self.timer.take() else { return };
        let cancelled_here = current::with(|worker| {
            let is_here = Arc::ptr_eq(&home, &worker.handle.mailbox);
            if is_here {
                worker.cancel_timer(key);
            }
            is_here
        });
        if cancelled_here != Some(true) {
            // A worker that has ended has no timers.
            let _ = home.push(WorkerMessage::CancelTimer(key));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        current::with(|worker| self.poll_on(worker, cx)).expect(NO_RUNTIME)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The time is over, and the future that it was given to is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `future` for at most `duration`. After that it is dropped, which cancels what it waited for.
///
/// # Errors
/// The time is over.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep(duration));
    poll_fn(|cx| {
        // The future first: what is done in time is done, also if it is noticed late.
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// A tick every `period`, the first one after one period.
///
/// # Panics
/// The thread is not one of a runtime's.
#[must_use]
pub fn interval(period: Duration) -> Interval {
    // A period of 0 would be a loop that never waits.
    let period = period.max(Duration::from_millis(1));
    Interval { period, next: now().expect(NO_RUNTIME).saturating_add(period) }
}

/// What [`interval`] returns.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Duration,
}

impl Interval {
    /// Waits for the next tick. Ticks that nobody waited for are left out: the next one is the first that
    /// is ahead, and they all are multiples of the period after the start.
    pub async fn tick(&mut self) {
        Sleep { duration: self.period, deadline: Some(self.next), timer: None }.await;
        let late = now().expect(NO_RUNTIME).saturating_sub(self.next);
        let missed = late.as_nanos() / self.period.as_nanos();
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        self.next = self.next.saturating_add(self.period.saturating_mul(missed.saturating_add(1)));
    }
}
