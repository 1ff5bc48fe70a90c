//! The futures of most models run on a thread that is no worker's, so that each of their wishes is a message.
//! A worker's own task has its wishes done at once.

use crate::event_loop::EventLoop;
use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::socket_messages;
use crate::sync::Mutex;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

loom::lazy_static! {
    /// The worker that becomes the home of a socket that has none.
    static ref HOME: Mutex<Option<Arc<Mailbox<WorkerMessage>>>> = Mutex::new(None);
}

/// A worker, as its own thread knows it.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) mailbox: Arc<Mailbox<WorkerMessage>>,
    pub(crate) event_loop: Rc<RefCell<Box<EventLoop>>>,
}

loom::thread_local! {
    static CURRENT: RefCell<Option<Current>> = RefCell::new(None);
}

pub(crate) fn enter(worker: &Current) {
    CURRENT.with(|current| current.replace(Some(worker.clone())));
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
    let current = CURRENT.with(|current| current.borrow().clone());
    match current.filter(|current| Arc::ptr_eq(&current.mailbox, worker)) {
        Some(Current { mailbox, event_loop }) => {
            socket_messages::apply(&event_loop, &mailbox, Duration::ZERO, message);
            Ok(())
        }
        None => worker.push(message),
    }
}

pub(crate) fn turn_time() -> Duration {
    Duration::ZERO
}

pub(crate) fn poll_proceed(_cx: &Context<'_>) -> Poll<()> {
    Poll::Ready(())
}
