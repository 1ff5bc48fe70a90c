//! A socket between a future, which reads and writes, and a worker, which watches.
//!
//! The future may run on any thread. The worker that watches the socket is its *home*: the first thread
//! on which a future had to wait for it, until it is migrated. Whatever the future wants from the home
//! is a [`WorkerMessage`]; on the home's own thread that is a function call.

use crate::current;
use crate::mailbox::Mailbox;
use crate::message::{SocketInterest, WorkerMessage};
use crate::side::{Seen, Side, wake_all};
use crate::sync::Mutex;
use rustix::io::Errno;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// From an event to the task that waits for it.
#[derive(Debug)]
pub(crate) struct AsyncSocketHandler {
    pub(crate) read: Side,
    pub(crate) write: Side,
    /// Ready once the connection has broken, which concerns also those who neither read nor write.
    pub(crate) hang_up: Side,
}

impl AsyncSocketHandler {
    pub(crate) fn on_readable(&self, lasting: bool, woken: &mut Vec<Waker>) {
        woken.extend(self.read.set_ready(lasting));
    }

    pub(crate) fn on_writable(&self, hung_up: bool, woken: &mut Vec<Waker>) {
        woken.extend(self.write.set_ready(hung_up));
    }

    pub(crate) fn on_hang_up(&self, woken: &mut Vec<Waker>) {
        woken.extend(self.hang_up.set_ready(true));
    }

    pub(crate) fn on_timeout(&self, woken: &mut Vec<Waker>) {
        self.sides().into_iter().for_each(|side| woken.extend(side.time_out()));
    }

    pub(crate) fn on_failure(&self, errno: Errno, woken: &mut Vec<Waker>) {
        self.sides().into_iter().for_each(|side| woken.extend(side.fail(errno)));
    }

    fn sides(&self) -> [&Side; 3] {
        [&self.read, &self.write, &self.hang_up]
    }
}

/// What the future and the worker share.
#[derive(Debug)]
pub(crate) struct AsyncSocketState {
    fd: OwnedFd,
    pub(crate) handler: AsyncSocketHandler,
    place: Mutex<Place>,
    /// Its number in the home's event loop; only the home uses it.
    pub(crate) token: AtomicUsize,
    /// In milliseconds; 0 is none.
    timeout_ms: AtomicU64,
    /// The turn of a worker in which bytes were last moved, in milliseconds since the runtime's start.
    active_ms: AtomicU64,
}

#[derive(Debug)]
struct Place {
    home: Option<Arc<Mailbox<WorkerMessage>>>,
    /// The home has not read yet that it is one: the registration is in its mailbox.
    arriving: bool,
    interest: Option<SocketInterest>,
}

impl AsyncSocketState {
    pub(crate) fn is_at_home(&self, worker: &Arc<Mailbox<WorkerMessage>>) -> bool {
        self.place.lock().home.as_ref().is_some_and(|home| Arc::ptr_eq(home, worker))
    }

    /// What it is to be watched for.
    pub(crate) fn interest(&self) -> Option<SocketInterest> {
        self.place.lock().interest
    }

    /// After how long without a byte a wait has failed.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self.timeout_ms.load(Ordering::Acquire) {
            0 => None,
            ms => Some(Duration::from_millis(ms)),
        }
    }

    /// When bytes were last moved, as a time since the runtime's start.
    pub(crate) fn active(&self) -> Duration {
        Duration::from_millis(self.active_ms.load(Ordering::Relaxed))
    }

    /// Says that bytes have been moved, or that the time-out begins anew.
    pub(crate) fn touch(&self, now: Duration) {
        let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.active_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// Sends `message`, which is about this socket, to its home, wherever that is by now.
    pub(crate) fn send(&self, mut message: WorkerMessage) {
        loop {
            let place = self.place.lock();
            let arriving = place.arriving;
            let Some(home) = place.home.clone() else { return };
            drop(place);
            // Also on the home's own thread nothing may overtake the registration.
            let sent =
                if arriving { home.push(message) } else { current::apply_or_push(&home, message) };
            message = match sent {
                Ok(()) => return,
                Err(message) => message,
            };
            // That worker has ended. Either it has handed the socket on, or it was the last.
            if self.is_at_home(&home) {
                return self.fail(Errno::SHUTDOWN);
            }
        }
    }

    /// Makes `to` the home. The message is sent under the lock: whoever finds the new home here sends
    /// what comes after it.
    ///
    /// # Errors
    /// `to` has ended. Nothing has changed.
    pub(crate) fn move_to(
        self: &Arc<Self>,
        to: &Arc<Mailbox<WorkerMessage>>,
    ) -> Result<(), WorkerMessage> {
        let mut place = self.place.lock();
        to.push(WorkerMessage::RegisterSocket(Arc::clone(self)))?;
        place.arriving = true;
        let left = place.home.replace(Arc::clone(to));
        drop(place);
        drop(left);
        Ok(())
    }

    /// The home has read that it is one.
    pub(crate) fn arrived(&self) {
        self.place.lock().arriving = false;
    }

    /// Tells whoever waits, now or later, that nothing will come.
    pub(crate) fn fail(&self, errno: Errno) {
        let mut woken = Vec::new();
        self.handler.on_failure(errno, &mut woken);
        wake_all(woken);
    }

    /// Makes sure that the home watches for `direction`; without a home, this thread's worker becomes it.
    fn watch(self: &Arc<Self>, direction: SocketInterest) {
        let message = {
            let mut place = self.place.lock();
            match place.interest {
                Some(interest) if interest.contains(direction) => return,
                Some(interest) => {
                    place.interest = Some(interest.with(direction));
                    WorkerMessage::ModifySocket(Arc::clone(self))
                }
                None => {
                    self.touch(current::turn_time());
                    place.interest = Some(direction);
                    place.home = Some(current::mailbox());
                    WorkerMessage::RegisterSocket(Arc::clone(self))
                }
            }
        };
        self.send(message);
    }
}

impl AsFd for AsyncSocketState {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The future's end of it. Dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct AsyncSocket(Arc<AsyncSocketState>);

/// What a system call on a descriptor has brought.
pub(crate) enum Progress<T> {
    /// As much as was asked for, or there is no telling.
    Full(T),
    /// Less than was asked for: there is no more at the moment.
    Short(T),
}

impl AsyncSocket {
    /// Takes over a non-blocking descriptor. `connected` is false while a connect(2) is under way: only
    /// an event tells when it is over.
    pub(crate) fn new(fd: OwnedFd, connected: bool) -> Self {
        Self(Arc::new(AsyncSocketState {
            fd,
            // A call may be worth a try before anybody watches.
            handler: AsyncSocketHandler {
                read: Side::new(true),
                write: Side::new(connected),
                hang_up: Side::new(false),
            },
            place: Mutex::new(Place { home: None, arriving: false, interest: None }),
            token: AtomicUsize::new(usize::MAX),
            timeout_ms: AtomicU64::new(0),
            active_ms: AtomicU64::new(0),
        }))
    }

    pub(crate) fn poll_read<T>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(BorrowedFd<'_>) -> Result<Progress<T>, Errno>,
    ) -> Poll<io::Result<T>> {
        self.poll_call(cx, &self.0.handler.read, SocketInterest::Readable, call)
    }

    pub(crate) fn poll_write<T>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(BorrowedFd<'_>) -> Result<Progress<T>, Errno>,
    ) -> Poll<io::Result<T>> {
        self.poll_call(cx, &self.0.handler.write, SocketInterest::Writable, call)
    }

    /// The heart of every future on a descriptor: try, and if that would block, have oneself woken.
    fn poll_call<T>(
        &self,
        cx: &mut Context<'_>,
        side: &Side,
        direction: SocketInterest,
        mut call: impl FnMut(BorrowedFd<'_>) -> Result<Progress<T>, Errno>,
    ) -> Poll<io::Result<T>> {
        loop {
            let Poll::Ready(seen) = self.poll_side(cx, side, direction) else {
                return Poll::Pending;
            };
            let seen = seen?;
            if current::poll_proceed(cx).is_pending() {
                return Poll::Pending;
            }
            match call(self.0.as_fd()) {
                Ok(progress) => {
                    if self.0.timeout().is_some() {
                        self.0.touch(current::turn_time());
                    }
                    return Poll::Ready(Ok(match progress {
                        Progress::Full(value) => value,
                        Progress::Short(value) => {
                            side.came_short(seen);
                            value
                        }
                    }));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => side.would_block(seen),
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Takes back that a read is worth a try, unless something was announced.
    pub(crate) fn assume_no_input(&self) {
        let side = &self.0.handler.read;
        if self.0.interest().is_none() {
            side.would_block(side.seen());
        }
    }

    /// Ready if a read is worth a try.
    pub(crate) fn poll_read_ready(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.poll_side(cx, &self.0.handler.read, SocketInterest::Readable).map_ok(drop)
    }

    /// Ready if a write is worth a try.
    pub(crate) fn poll_write_ready(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.poll_side(cx, &self.0.handler.write, SocketInterest::Writable).map_ok(drop)
    }

    /// Ready once, when the connection has broken.
    pub(crate) fn poll_hang_up(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let side = &self.0.handler.hang_up;
        // It is reported whatever a descriptor is watched for.
        let direction = self.0.interest().unwrap_or(SocketInterest::Readable);
        self.poll_side(cx, side, direction).map_ok(|seen| side.would_block(seen))
    }

    fn poll_side(
        &self,
        cx: &Context<'_>,
        side: &Side,
        direction: SocketInterest,
    ) -> Poll<io::Result<Seen>> {
        let poll = side.poll_ready(cx);
        if poll.is_pending() {
            // Whoever watches finds our waker: it was left before.
            self.0.watch(direction);
        }
        poll
    }

    pub(crate) fn try_read<T>(
        &self,
        call: impl FnMut(BorrowedFd<'_>) -> Result<Progress<T>, Errno>,
    ) -> io::Result<T> {
        self.try_call(&self.0.handler.read, call)
    }

    pub(crate) fn try_write<T>(
        &self,
        call: impl FnMut(BorrowedFd<'_>) -> Result<Progress<T>, Errno>,
    ) -> io::Result<T> {
        self.try_call(&self.0.handler.write, call)
    }

    /// Makes the call also if nothing was announced, since what came a moment ago may not have been yet.
    fn try_call<T>(
        &self,
        side: &Side,
        mut call: impl FnMut(BorrowedFd<'_>) -> Result<Progress<T>, Errno>,
    ) -> io::Result<T> {
        let seen = side.seen();
        let outcome = loop {
            match call(self.0.as_fd()) {
                Err(Errno::INTR) => {}
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(Progress::Full(value)) => Ok(value),
            Ok(Progress::Short(value)) => {
                side.came_short(seen);
                Ok(value)
            }
            Err(errno) => {
                if errno == Errno::AGAIN {
                    side.would_block(seen);
                }
                Err(errno.into())
            }
        }
    }

    /// Waits until `call` brings something. Dropped before that, it takes its waker along.
    pub(crate) async fn read_with<T>(
        &self,
        mut call: impl FnMut(BorrowedFd<'_>) -> Result<Progress<T>, Errno>,
    ) -> io::Result<T> {
        struct Forget<'a>(&'a AsyncSocket);
        impl Drop for Forget<'_> {
            fn drop(&mut self) {
                self.0.forget_reader();
            }
        }
        let _forget = Forget(self);
        poll_fn(|cx| self.poll_read(cx, &mut call)).await
    }

    /// The future that waited to read is gone.
    pub(crate) fn forget_reader(&self) {
        self.0.handler.read.forget();
    }

    /// The future that waited to write is gone.
    pub(crate) fn forget_writer(&self) {
        self.0.handler.write.forget();
    }

    /// Lets a wait fail with `TimedOut` once no byte has moved for `timeout`, in steps of the coarse wheel.
    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) {
        let socket = Arc::clone(&self.0);
        let ms =
            timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let ms = if timeout.is_some() { ms.max(1) } else { 0 };
        socket.timeout_ms.store(ms, Ordering::Release);
        self.0.send(match timeout {
            Some(_) => WorkerMessage::SetSocketTimeout(socket),
            None => WorkerMessage::CancelSocketTimeout(socket),
        });
    }

    /// Whether `worker` watches it, or will as soon as it has read its mail.
    pub(crate) fn is_at_home(&self, worker: &Arc<Mailbox<WorkerMessage>>) -> bool {
        self.0.is_at_home(worker)
    }

    /// Has another worker watch it. One that nobody watches yet gets its home where a future first waits.
    pub(crate) fn migrate(&self, to: Arc<Mailbox<WorkerMessage>>) {
        self.0.send(WorkerMessage::MigrateSocket { socket: Arc::clone(&self.0), to });
    }
}

impl AsFd for AsyncSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for AsyncSocket {
    fn drop(&mut self) {
        self.0.send(WorkerMessage::CloseSocket(Arc::clone(&self.0)));
    }
}
