//! What a worker does about a message that concerns a socket.

use crate::async_socket::AsyncSocketState;
use crate::event_loop::EventLoop;
use crate::mailbox::Mailbox;
use crate::message::WorkerMessage::{
    self, CancelSocketTimeout, CloseSocket, MigrateSocket, ModifySocket, RegisterSocket,
    SetSocketTimeout,
};
use rustix::io::Errno;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Does what `message` asks of the worker `me`, at the time `now`. Messages about something else are
/// given back.
pub(crate) fn apply(
    event_loop: &RefCell<Box<EventLoop>>,
    me: &Arc<Mailbox<WorkerMessage>>,
    now: Duration,
    message: WorkerMessage,
) -> Option<WorkerMessage> {
    let (RegisterSocket(socket)
    | ModifySocket(socket)
    | CloseSocket(socket)
    | SetSocketTimeout(socket)
    | CancelSocketTimeout(socket)
    | MigrateSocket { socket, .. }) = &message
    else {
        return Some(message);
    };
    if !socket.is_at_home(me) {
        // It has moved on, and so does the message.
        let socket = Arc::clone(socket);
        socket.send(message);
        return None;
    }
    match message {
        RegisterSocket(socket) => {
            socket.arrived();
            let registered = event_loop.borrow_mut().register(Arc::clone(&socket), now);
            fail_unless(registered, &socket);
        }
        ModifySocket(socket) => {
            let modified = event_loop.borrow_mut().modify(&socket);
            fail_unless(modified, &socket);
        }
        CloseSocket(socket) => {
            // Not `drop(…)` in one line: the loop would still be borrowed.
            let closed = event_loop.borrow_mut().deregister(&socket);
            drop(closed);
        }
        SetSocketTimeout(socket) | CancelSocketTimeout(socket) => {
            socket.touch(now);
            event_loop.borrow_mut().set_timeout(&socket, now);
        }
        MigrateSocket { socket, to } => migrate(event_loop, &socket, me, &to, now),
        _ => {}
    }
    None
}

/// Hands a socket to another worker. Whatever happens to it while nobody watches is its first event
/// there: to register a descriptor that is ready already is an event in itself (epoll(7)).
fn migrate(
    event_loop: &RefCell<Box<EventLoop>>,
    socket: &Arc<AsyncSocketState>,
    me: &Arc<Mailbox<WorkerMessage>>,
    to: &Arc<Mailbox<WorkerMessage>>,
    now: Duration,
) {
    if Arc::ptr_eq(me, to) {
        return;
    }
    let Some(socket) = event_loop.borrow_mut().deregister(socket) else { return };
    if socket.move_to(to).is_err() {
        // That worker has ended: it stays here.
        let registered = event_loop.borrow_mut().register(Arc::clone(&socket), now);
        fail_unless(registered, &socket);
    }
}

/// A socket that can't be watched never has an event: whoever waits has to know.
fn fail_unless(watched: io::Result<()>, socket: &AsyncSocketState) {
    if let Err(error) = watched {
        socket.fail(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
}
