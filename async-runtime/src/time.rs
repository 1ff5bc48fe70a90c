//! Waiting for a time: [`sleep`], [`timeout`], [`interval`].

pub use crate::clock::ManualClock;
use crate::current::{self, NO_RUNTIME};
use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::timer_wheel::TimerKey;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Waits for `duration`, and on a machine that is not busy at most two milliseconds longer.
///
/// The time runs from this call on. On a thread that has no runtime, and so no clock, it runs from the
/// first poll.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, deadline: now().map(|now| now.saturating_add(duration)), timer: None }
}

/// The time since the runtime's start.
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
    /// Whether the timer is on the wheel of this thread's worker and has not expired.
    fn waits_here(&self, cx: &Context<'_>) -> bool {
        let Some((worker, key)) = &self.timer else { return false };
        current::with(|current| {
            Arc::ptr_eq(worker, &current.handle.mailbox) && current.renew_timer(*key, cx.waker())
        })
        .unwrap_or(false)
    }

    fn cancel(&mut self) {
        if let Some((worker, key)) = self.timer.take() {
            // A worker that has ended has no timers.
            let _ = current::apply_or_push(&worker, WorkerMessage::CancelTimer(key));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.waits_here(cx) {
            return Poll::Pending;
        }
        // It has not begun, or it has expired, or its task is with another worker now.
        self.cancel();
        let now = now().expect(NO_RUNTIME);
        let duration = self.duration;
        let deadline = *self.deadline.get_or_insert_with(|| now.saturating_add(duration));
        if now < deadline {
            self.timer = current::with(|worker| {
                let key = worker.start_timer(deadline, cx.waker().clone());
                (Arc::clone(&worker.handle.mailbox), key)
            });
        }
        if self.timer.is_some() { Poll::Pending } else { Poll::Ready(()) }
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
