//! The futures of a model run on a thread that is no worker's, so that each of their wishes is a message.

use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::sync::Mutex;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

loom::lazy_static! {
    /// The worker that becomes the home of a socket that has none.
    static ref HOME: Mutex<Option<Arc<Mailbox<WorkerMessage>>>> = Mutex::new(None);
}

pub(crate) fn set_mailbox(home: &Arc<Mailbox<WorkerMessage>>) {
    *HOME.lock() = Some(Arc::clone(home));
}

pub(crate) fn mailbox() -> Arc<Mailbox<WorkerMessage>> {
    HOME.lock().clone().unwrap()
}

pub(crate) fn apply_or_push(
    worker: &Arc<Mailbox<WorkerMessage>>,
    message: WorkerMessage,
) -> Result<(), WorkerMessage> {
    worker.push(message)
}

pub(crate) fn turn_time() -> Duration {
    Duration::ZERO
}

pub(crate) fn poll_proceed(_cx: &Context<'_>) -> Poll<()> {
    Poll::Ready(())
}
