//! Tasks: a future, and the worker that polls it each time it is woken.
//!
//! `async-task` makes one allocation of the future, its result and a small state machine, which sees to
//! it that a task is in one queue at a time and runs on one thread at a time, however often and from
//! wherever it is woken. Where it goes when it is woken is `schedule`, below.

pub use crate::blocking::spawn_blocking;
use crate::current;
use crate::message::WorkerMessage;
pub use crate::runtime::spawn;
use crate::sync::Mutex;
use crate::worker::WorkerHandle;
use async_task::{Builder, FallibleTask, Runnable, Task};
use pin_project_lite::pin_project;
use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

/// Starts a task that stays with `home`.
pub(crate) fn spawn_on<F>(home: &Arc<WorkerHandle>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    home.tasks.fetch_add(1, Ordering::Relaxed);
    let membership = Membership { home: Arc::clone(home), number: None };
    let home = Arc::clone(home);
    let (runnable, task) = Builder::new().propagate_panic(true).spawn(
        |()| Member { future: Some(future), membership },
        move |runnable| schedule(&home, runnable),
    );
    runnable.schedule();
    JoinHandle::new(task)
}

/// Puts a task that was woken into its worker's queue: straight away on that worker's own thread, by
/// message from any other.
fn schedule(home: &Arc<WorkerHandle>, runnable: Runnable) {
    if current::is(&home.mailbox) {
        current::with(|worker| worker.schedule(runnable));
    } else {
        // A worker that has ended gives the message back: a task that is dropped there is cancelled.
        let _ = home.mailbox.push(WorkerMessage::Run(runnable));
    }
}

pin_project! {
    /// A task's future, and a note that it exists.
    struct Member<F> {
        // Present until this is dropped.
        #[pin]
        future: Option<F>,
        membership: Membership,
    }

    impl<F> PinnedDrop for Member<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut future = this.project().future;
            // async-task aborts the process if a future's destructor panics. It concerns nobody else,
            // and the panic hook has printed its message.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| future.set(None)));
        }
    }
}

/// The note. Dropping it takes it back.
struct Membership {
    home: Arc<WorkerHandle>,
    /// Among the tasks that have ever waited; those that end at once need not be found again.
    number: Option<usize>,
}

impl<F: Future> Future for Member<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let poll = this.future.as_pin_mut().expect("present").poll(cx);
        if poll.is_pending() && this.membership.number.is_none() {
            this.membership.number = current::with(|worker| worker.admit(cx.waker().clone()));
        }
        poll
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.home.tasks.fetch_sub(1, Ordering::Relaxed);
        if let Some(number) = self.number {
            // Futures are dropped where they are polled, or after their worker has ended.
            current::with(|worker| {
                if Arc::ptr_eq(&worker.handle, &self.home) {
                    worker.dismiss(number);
                }
            });
        }
    }
}

/// Waits for a task's result. Dropping it does not end the task.
///
/// It may be awaited on any executor, but by a waker that does not panic: async-task calls it at the end
/// of the task, and ends the process if it does.
pub struct JoinHandle<T> {
    /// Present until this is dropped.
    task: Option<FallibleTask<T>>,
    /// Whether the task has a waker of ours.
    waits: bool,
}

/// Why a task has no result.
#[derive(Debug)]
pub enum JoinError {
    /// It was cancelled, or the runtime has ended.
    Cancelled,
    /// It panicked.
    Panicked(Panic),
}

/// What a task panicked with.
pub struct Panic {
    message: Option<String>,
    /// Only so that an error can be looked at by several threads at once.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(task: Task<T>) -> Self {
        Self { task: Some(task.fallible()), waits: false }
    }

    /// Drops the task's future as soon as it is not running, and waits until that has happened. A result
    /// that was there already is given.
    pub async fn cancel(mut self) -> Option<T> {
        let task = self.task.take()?;
        // A task that panicked has nothing to give.
        let mut cancelled = std::pin::pin!(task.cancel());
        poll_fn(|cx| match panic::catch_unwind(AssertUnwindSafe(|| cancelled.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(_) => Poll::Ready(None),
        })
        .await
    }

    /// Whether the task has ended, one way or the other.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(FallibleTask::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.task else { return Poll::Ready(Err(JoinError::Cancelled)) };
        // async-task lets a task's panic go on in whoever asks for the result.
        let poll = match panic::catch_unwind(AssertUnwindSafe(|| Pin::new(task).poll(cx))) {
            Ok(poll) => poll.map(|result| result.ok_or(JoinError::Cancelled)),
            Err(payload) => Poll::Ready(Err(JoinError::Panicked(Panic::new(payload)))),
        };
        self.waits = poll.is_pending();
        poll
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if self.waits {
            // async-task keeps the latest waker until the task ends: one that does nothing takes our place.
            let _ = Pin::new(&mut *self).poll(&mut Context::from_waker(Waker::noop()));
        }
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

impl Panic {
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self { message: text.map(str::to_owned), payload: Mutex::new(payload) }
    }

    /// Its message, if it has one, as it mostly does.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// For [`std::panic::resume_unwind`]: to let it go on here.
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner()
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message).finish()
    }
}

impl JoinError {
    /// The message of the panic, if it was one and has one.
    #[must_use]
    pub fn panic_message(&self) -> Option<&str> {
        match self {
            Self::Cancelled => None,
            Self::Panicked(panic) => panic.message(),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.panic_message()) {
            (Self::Cancelled, _) => f.write_str("the task was cancelled"),
            (Self::Panicked(_), Some(message)) => write!(f, "the task panicked: {message}"),
            (Self::Panicked(_), None) => f.write_str("the task panicked"),
        }
    }
}

impl std::error::Error for JoinError {}

/// Lets all other tasks that are ready run first, and those that an event wakes by then.
pub fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        if current::with(|worker| worker.wake_after_events(cx.waker().clone())).is_none() {
            Waker::wake_by_ref(cx.waker());
        }
        Poll::Pending
    })
}
