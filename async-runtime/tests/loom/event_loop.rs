//! epoll in a few lines, edge-triggered, for one socket.

use crate::async_socket::AsyncSocketState;
use crate::doorbell::{Doorbell, Sleep};
use crate::sync::Mutex;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// The kernel's side of the socket.
struct Kernel {
    bytes: usize,
    /// Whose poll has it.
    watcher: Option<Arc<Sleep>>,
}

loom::lazy_static! {
    static ref KERNEL: Mutex<Kernel> = Mutex::new(Kernel { bytes: 0, watcher: None });
}

/// The peer sends a byte.
pub(crate) fn send() {
    let mut kernel = KERNEL.lock();
    kernel.bytes += 1;
    if let Some(watcher) = &kernel.watcher {
        watcher.set_readable(true);
    }
}

/// What recv(2) does: all bytes that there are, or nothing.
pub(crate) fn recv() -> Option<usize> {
    let mut kernel = KERNEL.lock();
    Some(std::mem::take(&mut kernel.bytes)).filter(|bytes| *bytes > 0)
}

#[derive(Debug)]
pub(crate) struct EventLoop {
    sleep: Arc<Sleep>,
    socket: Option<Arc<AsyncSocketState>>,
}

impl EventLoop {
    pub(crate) fn new() -> (Box<Self>, Doorbell) {
        let sleep = Sleep::new();
        (Box::new(Self { sleep: Arc::clone(&sleep), socket: None }), Doorbell(sleep))
    }

    pub(crate) fn poll_once(&mut self, may_sleep: bool, woken: &mut Vec<Waker>) {
        if self.sleep.wait(may_sleep).readable
            && let Some(socket) = &self.socket
        {
            socket.handler.on_readable(false, woken);
        }
    }

    pub(crate) fn register(
        &mut self,
        socket: Arc<AsyncSocketState>,
        _now: Duration,
    ) -> io::Result<()> {
        assert!(self.socket.replace(socket).is_none(), "registered twice");
        let mut kernel = KERNEL.lock();
        assert!(kernel.watcher.is_none(), "two workers watch it");
        kernel.watcher = Some(Arc::clone(&self.sleep));
        if kernel.bytes > 0 {
            self.sleep.set_readable(true);
        }
        Ok(())
    }

    pub(crate) fn modify(&mut self, socket: &Arc<AsyncSocketState>) -> io::Result<()> {
        if !self.watches(socket) {
            // The message had to follow its socket, which was closed meanwhile.
            return Ok(());
        }
        let kernel = KERNEL.lock();
        if kernel.bytes > 0 {
            self.sleep.set_readable(true);
        }
        Ok(())
    }

    pub(crate) fn deregister(
        &mut self,
        socket: &Arc<AsyncSocketState>,
    ) -> Option<Arc<AsyncSocketState>> {
        if !self.watches(socket) {
            return None;
        }
        KERNEL.lock().watcher = None;
        // epoll forgets its event along with the descriptor.
        self.sleep.set_readable(false);
        self.socket.take()
    }

    pub(crate) fn set_timeout(&mut self, _socket: &Arc<AsyncSocketState>, _now: Duration) {}

    pub(crate) fn watches(&self, socket: &Arc<AsyncSocketState>) -> bool {
        self.socket.as_ref().is_some_and(|watched| Arc::ptr_eq(watched, socket))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.socket.is_none()
    }
}
