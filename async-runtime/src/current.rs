//! The worker of this thread, if it has one: how a future finds the loop that polls it.

use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::worker::Worker;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// What a future needs and a foreign thread has not.
pub(crate) const NO_RUNTIME: &str = "sockets, timers and tasks of async-runtime need one of its \
    workers: call this from inside of Runtime::block_on or a spawned task";

/// Makes `worker` the worker of this thread until what is returned is dropped.
///
/// # Panics
/// The thread has one already: it would stop that one for as long as the new one runs.
pub(crate) fn enter(worker: Rc<Worker>) -> Entered {
    CURRENT.with_borrow_mut(|current| {
        assert!(
            current.is_none(),
            "block_on was called inside of a task: use .await there, or spawn_blocking"
        );
        *current = Some(worker);
    });
    Entered
}

#[derive(Debug)]
pub(crate) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        let left = CURRENT.take();
        drop(left);
    }
}

/// Asks this thread's worker. `None` if there is none, or the thread is at its end.
pub(crate) fn with<T>(ask: impl FnOnce(&Rc<Worker>) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(ask)).ok().flatten()
}

/// Whether `worker` is this thread's.
pub(crate) fn is(worker: &Arc<Mailbox<WorkerMessage>>) -> bool {
    with(|current| Arc::ptr_eq(&current.handle.mailbox, worker)).unwrap_or(false)
}

/// Has `message` done at once if it is for this thread's worker, or else puts it into the mailbox.
///
/// # Errors
/// That worker has ended. The message is given back.
pub(crate) fn apply_or_push(
    worker: &Arc<Mailbox<WorkerMessage>>,
    message: WorkerMessage,
) -> Result<(), WorkerMessage> {
    if !is(worker) {
        return worker.push(message);
    }
    with(|current| current.apply(message));
    Ok(())
}

/// The mailbox of this thread's worker.
///
/// # Panics
/// There is no worker.
pub(crate) fn mailbox() -> Arc<Mailbox<WorkerMessage>> {
    with(|worker| Arc::clone(&worker.handle.mailbox)).expect(NO_RUNTIME)
}

/// When this turn of the worker began, as a time since the runtime's start. 0 without a worker.
pub(crate) fn turn_time() -> Duration {
    with(|worker| worker.turn_time()).unwrap_or_default()
}

/// Pending once a task has made many system calls in one go. A task whose input never ends would
/// otherwise never give way: none of its reads is ever pending.
pub(crate) fn poll_proceed(cx: &Context<'_>) -> Poll<()> {
    if with(|worker| worker.may_call()).unwrap_or(true) {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
