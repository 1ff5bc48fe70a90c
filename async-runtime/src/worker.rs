//! A worker: a run queue, an event loop, a timer wheel and a mailbox, and one thread that turns them.
//!
//! All it owns is used by its own thread alone, and without a lock. Other threads know its
//! [`WorkerHandle`], which has the mailbox.
//!
//! There is no condition variable. A worker that has nothing to run sleeps in
//! [`poll_once`](Worker::poll_once) and nowhere else, and an event, a timer or a message wakes it.

use crate::event_loop::EventLoop;
use crate::mailbox::Mailbox;
use crate::message::WorkerMessage;
use crate::runtime::Shared;
use crate::side::wake_all;
use crate::socket_messages;
use crate::timer_wheel::{TimerKey, TimerWheel};
use async_task::Runnable;
use rustix::io::Errno;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;
use std::{io, mem};

/// How finely sleeping tasks are told apart.
const TASK_TICK_MS: u64 = 1;

/// How many system calls on sockets a task may make before it gives way.
const CALLS_IN_ONE_GO: u32 = 64;

/// What others know of a worker.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    pub(crate) mailbox: Arc<Mailbox<WorkerMessage>>,
    /// How many of its tasks have not ended.
    pub(crate) tasks: AtomicUsize,
    /// How many turns it has taken; only the worker itself writes it.
    pub(crate) turns: AtomicU64,
}

impl WorkerHandle {
    pub(crate) fn new(mailbox: Arc<Mailbox<WorkerMessage>>) -> Self {
        Self { mailbox, tasks: AtomicUsize::new(0), turns: AtomicU64::new(0) }
    }
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) handle: Arc<WorkerHandle>,
    pub(crate) runtime: Arc<Shared>,
    /// Tasks that were woken, in the order in which they were.
    run_queue: RefCell<VecDeque<Runnable>>,
    event_loop: RefCell<Box<EventLoop>>,
    /// Tasks that sleep.
    timers: RefCell<TimerWheel<Waker>>,
    /// A waker of each task that has ever waited and has not ended, so that all can be cancelled.
    waiting: RefCell<Slab<Waker>>,
    /// The future of `block_on`, where this worker is there for one.
    root: Option<Arc<Root>>,
    /// When this turn's wait ended.
    now: Cell<Duration>,
    calls_left: Cell<u32>,
    stopping: Cell<bool>,
    /// Tasks that have given way: woken after the events, so that these come first.
    yielded: RefCell<Vec<Waker>>,
    /// Lists that are kept for their memory.
    mail: RefCell<Vec<WorkerMessage>>,
    woken: RefCell<Vec<Waker>>,
}

impl Worker {
    pub(crate) fn new(
        handle: Arc<WorkerHandle>,
        event_loop: Box<EventLoop>,
        runtime: Arc<Shared>,
        root: Option<Arc<Root>>,
    ) -> Self {
        runtime.clock.watch(&handle.mailbox);
        let mut timers = TimerWheel::new(TASK_TICK_MS);
        let now = runtime.clock.now();
        timers.advance(now, &mut Vec::new());
        Self {
            handle,
            runtime,
            run_queue: RefCell::default(),
            event_loop: RefCell::new(event_loop),
            timers: RefCell::new(timers),
            waiting: RefCell::default(),
            root,
            now: Cell::new(now),
            calls_left: Cell::new(CALLS_IN_ONE_GO),
            stopping: Cell::new(false),
            yielded: RefCell::default(),
            mail: RefCell::default(),
            woken: RefCell::default(),
        }
    }

    /// Turns until it is told to stop.
    pub(crate) fn run(&self) -> io::Result<()> {
        while !self.stopping.get() {
            self.turn()?;
        }
        Ok(())
    }

    /// One turn: what others ask for, some tasks, some events.
    pub(crate) fn turn(&self) -> io::Result<()> {
        let turns = &self.handle.turns;
        turns.store(turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.read_mail();
        self.run_tasks();
        self.poll_once()
    }

    fn read_mail(&self) {
        let mut mail = self.mail.take();
        self.handle.mailbox.take_all(&mut mail);
        for message in mail.drain(..) {
            // What is dropped along with a timer or a socket may be code of others, a waker: if it panics,
            // which the panic hook tells, the worker goes on.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| self.apply(message)));
        }
        self.mail.replace(mail);
    }

    /// Does what a message asks for. The worker's own tasks call this without a message's detour.
    pub(crate) fn apply(&self, message: WorkerMessage) {
        let now = self.now.get();
        match socket_messages::apply(&self.event_loop, &self.handle.mailbox, now, message) {
            Some(WorkerMessage::Run(runnable)) => self.schedule(runnable),
            Some(WorkerMessage::CancelTimer(key)) => self.cancel_timer(key),
            Some(WorkerMessage::Shutdown) => self.stopping.set(true),
            // To wake was all it was for, or it was about a socket.
            _ => {}
        }
    }

    /// Runs tasks in the order in which they were woken, as many as the budget allows: a task that wakes
    /// itself for ever comes last each time, and keeps neither the others nor the sockets waiting.
    fn run_tasks(&self) {
        for _ in 0..self.runtime.task_budget {
            let Some(runnable) = self.next_task() else { break };
            self.calls_left.set(CALLS_IN_ONE_GO);
            // A panic of the task is caught in there, for whoever joins it.
            runnable.run();
        }
    }

    /// The task whose turn it is. The queue is free again: a task that runs, or is dropped, may wake others.
    fn next_task(&self) -> Option<Runnable> {
        self.run_queue.borrow_mut().pop_front()
    }

    /// Waits for events if there is nothing to do, or else only asks for them, and wakes whom they
    /// concern. **The only place where a worker sleeps.**
    fn poll_once(&self) -> io::Result<()> {
        let timeout = if self.has_work() || !self.handle.mailbox.fall_asleep() {
            Some(Duration::ZERO)
        } else {
            self.until_next_timer()
        };
        let mut woken = self.woken.take();
        let polled = self.event_loop.borrow_mut().poll_once(timeout, &mut woken);
        let now = self.runtime.clock.now();
        self.now.set(now);
        self.timers.borrow_mut().advance(now, &mut woken);
        self.event_loop.borrow_mut().expire_timeouts(now, &mut woken);
        woken.append(&mut self.yielded.borrow_mut());
        // Only now, with nothing in use: a waker runs code of others.
        wake_all(woken.drain(..));
        self.woken.replace(woken);
        polled
    }

    fn has_work(&self) -> bool {
        self.stopping.get()
            || !self.run_queue.borrow().is_empty()
            || !self.yielded.borrow().is_empty()
            || self.root.as_ref().is_some_and(|root| root.woken.load(Ordering::Acquire))
    }

    fn until_next_timer(&self) -> Option<Duration> {
        let task = self.timers.borrow().next();
        let socket = self.event_loop.borrow().next_timeout();
        let first = [task, socket].into_iter().flatten().min()?;
        self.runtime.clock.until(first)
    }

    /// Puts a task that was woken at the end of the queue.
    pub(crate) fn schedule(&self, runnable: Runnable) {
        self.run_queue.borrow_mut().push_back(runnable);
    }

    /// Wakes a task once there has been a look at the events.
    pub(crate) fn wake_after_events(&self, waker: Waker) {
        self.yielded.borrow_mut().push(waker);
    }

    /// Starts a timer that wakes `waker`.
    pub(crate) fn start_timer(&self, deadline: Duration, waker: Waker) -> TimerKey {
        self.timers.borrow_mut().insert(deadline, waker)
    }

    /// Whether a timer has not expired; if so, it wakes `waker` from now on.
    pub(crate) fn renew_timer(&self, key: TimerKey, waker: &Waker) -> bool {
        let mut timers = self.timers.borrow_mut();
        let Some(armed) = timers.get_mut(key) else { return false };
        if !armed.will_wake(waker) {
            let replaced = mem::replace(armed, waker.clone());
            drop(timers);
            drop(replaced);
        }
        true
    }

    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        let cancelled = self.timers.borrow_mut().cancel(key);
        drop(cancelled);
    }

    /// Notes that a task of this worker waits for the first time.
    pub(crate) fn admit(&self, waker: Waker) -> usize {
        self.waiting.borrow_mut().insert(waker)
    }

    /// Notes that this task has ended.
    pub(crate) fn dismiss(&self, task: usize) {
        let waker = self.waiting.borrow_mut().try_remove(task);
        drop(waker);
    }

    /// Whether the task that runs may make another system call, which is counted.
    pub(crate) fn may_call(&self) -> bool {
        let left = self.calls_left.get();
        self.calls_left.set(left.saturating_sub(1));
        left > 0
    }

    /// Lets the future of `block_on` begin anew with its calls.
    pub(crate) fn refill_calls(&self) {
        self.calls_left.set(CALLS_IN_ONE_GO);
    }

    pub(crate) fn turn_time(&self) -> Duration {
        self.now.get()
    }

    /// Ends: cancels all tasks, and hands the sockets to `heir` or else tells those who wait for them.
    pub(crate) fn finish(&self, heir: Option<&Arc<Mailbox<WorkerMessage>>>) {
        // Twice, for what came in until the mailbox was closed.
        self.cancel_tasks();
        self.give_away_sockets(heir);
        self.handle.mailbox.close().into_iter().for_each(|message| self.apply(message));
        self.cancel_tasks();
        self.give_away_sockets(heir);
    }

    /// Drops every task's future. That may wake others, or start some.
    fn cancel_tasks(&self) {
        loop {
            let waiting: Vec<Waker> =
                self.waiting.borrow().iter().map(|(_, w)| w.clone()).collect();
            waiting.into_iter().for_each(Waker::wake);
            if self.run_queue.borrow().is_empty() {
                return;
            }
            // A task that is not run but dropped is cancelled.
            while let Some(runnable) = self.next_task() {
                drop(runnable);
            }
        }
    }

    fn give_away_sockets(&self, heir: Option<&Arc<Mailbox<WorkerMessage>>>) {
        loop {
            let Some(socket) = self.event_loop.borrow().any_socket() else { return };
            if let Some(heir) = heir {
                let to = Arc::clone(heir);
                self.apply(WorkerMessage::MigrateSocket { socket: Arc::clone(&socket), to });
                if !socket.is_at_home(&self.handle.mailbox) {
                    continue;
                }
            }
            self.apply(WorkerMessage::CloseSocket(Arc::clone(&socket)));
            socket.fail(Errno::SHUTDOWN);
        }
    }
}

/// The future of `block_on`: not a task, since it need not be `Send`, but woken like one.
#[derive(Debug)]
pub(crate) struct Root {
    woken: AtomicBool,
    worker: Arc<WorkerHandle>,
}

impl Root {
    pub(crate) fn new(worker: Arc<WorkerHandle>) -> Self {
        Self { woken: AtomicBool::new(true), worker }
    }

    /// Whether it was woken since the last time.
    pub(crate) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Root {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            // After the end of `block_on` nobody listens, and nobody has to.
            let _ = crate::current::apply_or_push(&self.worker.mailbox, WorkerMessage::Wake);
        }
    }
}

#[cfg(test)]
mod tests;
