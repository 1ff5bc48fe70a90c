//! Why the calls that could block do not: the audit's data, and the only part of it that a new day
//! has to touch.
//!
//! A new crate is added to `AUDITED` (or to `OUTSIDE`, if no loop runs in it). Then
//! `cargo run -p day1-state-model -- --check` names every call in it that needs a line in
//! `REASONS`. A line that no longer fits a call is stale, and that fails as well.

use super::{Basis, Reason, Rules, Site};
use crate::eagain::IoPath;
use Basis::{InMemory, NonBlocking, OnAWorker, OutsideTheLoop, OwnCode, ShortLock, TheWait};

/// The crates that are in the loop's path, in the order of the lessons.
const AUDITED: &[&str] = &[
    "conn-core",
    "reactor",
    "day2-select-loop",
    "day3-backpressure",
    "day4-poll",
    "w04-epoll",
    "w05-handoff",
];

/// The other crates of the workspace, and why no loop of a server runs through them.
const OUTSIDE: &[(&str, &str)] = &[
    ("day1-state-model", "it prints documents and serves nobody"),
    ("harness", "it tests the servers from outside, as a client"),
    ("note-parts", "it rewrites notes, and no server links it"),
    ("bench", "it measures the servers from outside, as a client"),
    ("peers", "they are what the servers are measured against"),
    ("charts", "it draws pictures for the notes"),
    (
        "async-runtime",
        "its loops run futures: an accept that is awaited looks like one that blocks, and no call \
         names the task that it runs; the harness watches its threads (LO01, HO05)",
    ),
    ("bug-museum", "its server blocks on purpose: it is what the harness has to catch"),
];

/// Where the loop begins: what can be reached from here runs while clients wait.
const LOOP: Site = Site::new("reactor/src/event_loop.rs", "EventLoop::run", "");

const ACCEPT: Site = Site::new("reactor/src/listener.rs", "Listener::accept", "accept_with");
const LISTENER: Site = Site::new("reactor/src/listener.rs", "Listener::bind", "socket_with");
const WAKEUP: Site = Site::new("w05-handoff/src/wakeup.rs", "Wakeup::new", "from_flags");
const SIGNALS: Site = Site::new("reactor/src/signals.rs", "Signals::install", "pipe_with");

const fn reason(
    file: &'static str,
    function: &'static str,
    call: &'static str,
    basis: Basis,
    why: &'static str,
) -> Reason {
    Reason { site: Site::new(file, function, call), basis, why }
}

const fn non_blocking(path: IoPath, made_at: Site) -> Basis {
    NonBlocking { path, made_at }
}

/// One line for one call. Two calls of the same name in one function need two lines.
#[rustfmt::skip]
const REASONS: &[Reason] = &[
    // What the loop does with its clients.
    reason("conn-core/src/connection/visit.rs", "Connection::recv", "read",
        non_blocking(IoPath::Recv, ACCEPT),
        "the stream is a client's socket, O_NONBLOCK from accept4 on: no data is EAGAIN, no wait"),
    reason("conn-core/src/connection/visit.rs", "Connection::send", "write",
        non_blocking(IoPath::Send, ACCEPT),
        "the same socket: no room is EAGAIN, no wait"),
    reason("reactor/src/socket.rs", "Socket::read", "read",
        non_blocking(IoPath::Recv, ACCEPT),
        "hands Connection::recv on to the client's socket, O_NONBLOCK from accept4 on"),
    reason("reactor/src/socket.rs", "Socket::write", "write",
        non_blocking(IoPath::Send, ACCEPT),
        "hands Connection::send on to the client's socket, O_NONBLOCK from accept4 on"),
    reason("reactor/src/event_loop.rs", "EventLoop::admit", "write",
        non_blocking(IoPath::Refusal, ACCEPT),
        "one line to a new, empty socket that is O_NONBLOCK; no room would be EAGAIN, and ignored"),
    reason("reactor/src/listener.rs", "Listener::accept", "accept_with",
        non_blocking(IoPath::Accept, LISTENER),
        "the listener is O_NONBLOCK from socket() on: nobody waiting is EAGAIN, not a wait"),
    reason("reactor/src/event_loop.rs", "EventLoop::accept", "accept",
        OwnCode { function: "Listener::accept" },
        "our own function, whose body is read as well"),

    // What wakes the loop.
    reason("day2-select-loop/src/select.rs", "Select::wait", "select",
        TheWait,
        "the one place to sleep: any descriptor wakes it, and the nearest deadline at the latest"),
    reason("day4-poll/src/poll.rs", "Poll::wait", "poll",
        TheWait,
        "the same place, asked with a list"),
    reason("w04-epoll/src/epoll.rs", "Epoll::wait", "wait",
        TheWait,
        "the same place; the kernel keeps the list"),
    reason("reactor/src/event_loop.rs", "EventLoop::wait", "wait",
        OwnCode { function: "Select::wait" },
        "our own pollers, whose bodies are read as well"),
    reason("reactor/src/signals.rs", "Signals::take", "read",
        non_blocking(IoPath::Signals, SIGNALS),
        "the pipe is O_NONBLOCK from pipe2 on: once it is empty, EAGAIN ends the loop"),

    // What the loop shares with the workers.
    reason("w05-handoff/src/task_queue.rs", "TaskQueue::try_push", "lock",
        ShortLock, "held while one item is moved; a full queue is an answer, not a wait"),
    reason("w05-handoff/src/task_queue.rs", "TaskQueue::figures", "lock",
        ShortLock, "held while one item is moved"),
    reason("w05-handoff/src/completion_queue.rs", "CompletionQueue::take_all", "lock",
        ShortLock, "held while two lists change places, or one result is appended"),
    reason("w05-handoff/src/completion_queue.rs", "CompletionQueue::wakeups", "lock",
        ShortLock, "held while two lists change places, or one result is appended"),
    reason("w05-handoff/src/wakeup.rs", "Wakeup::clear", "read",
        non_blocking(IoPath::Wakeup, WAKEUP),
        "the eventfd is O_NONBLOCK from the start: a counter of 0 is EAGAIN, and nothing is lost"),

    // What only workers do.
    reason("w05-handoff/src/completion_queue.rs", "CompletionQueue::push", "lock",
        OnAWorker, "held while one result is appended"),
    reason("w05-handoff/src/wakeup.rs", "Wakeup::notify", "write",
        non_blocking(IoPath::Wakeup, WAKEUP),
        "on a worker, and O_NONBLOCK: a counter at its end is EAGAIN, and readable already"),
    reason("w05-handoff/src/task_queue.rs", "TaskQueue::push", "lock",
        OnAWorker, "or whoever else may wait; the loop uses only try_push"),
    reason("w05-handoff/src/task_queue.rs", "TaskQueue::push", "wait",
        OnAWorker, "or whoever else may wait; the loop uses only try_push"),
    reason("w05-handoff/src/task_queue.rs", "TaskQueue::pop", "lock",
        OnAWorker, "it has nothing else to do"),
    reason("w05-handoff/src/task_queue.rs", "TaskQueue::pop", "wait",
        OnAWorker, "it has nothing else to do"),
    reason("w05-handoff/src/task_queue.rs", "TaskQueue::take_refused", "lock",
        OnAWorker, "between taking a task and running it"),
    reason("w05-handoff/src/worker_pool.rs", "Member::drop", "lock",
        OnAWorker, "at its end"),

    // Calls with a dangerous name and nothing to wait for.
    reason("conn-core/src/stats.rs", "Stats::write_to", "write",
        InMemory, "formats into a Vec"),
    reason("reactor/src/socket.rs", "Socket::reset_on_close", "set_socket_linger",
        InMemory, "with a time of 0 the close waits for nobody: it drops what is queued"),
    reason("reactor/src/signals.rs", "Signals::install", "from",
        InMemory, "File::from takes over a descriptor that is open already: no system call"),

    // Before the first client and after the last one.
    reason("reactor/src/cli.rs", "parse", "stderr",
        OutsideTheLoop, "before: where the operator looks"),
    reason("reactor/src/cli.rs", "parse", "writeln",
        OutsideTheLoop, "before: what is wrong with the command line"),
    reason("reactor/src/serve.rs", "bind_any", "to_socket_addrs",
        OutsideTheLoop, "before: the host's name is looked up once, at start"),
    reason("reactor/src/serve.rs", "room_for_connections", "read_dir",
        OutsideTheLoop, "before: the open descriptors are counted once, in /proc, which is memory"),
    reason("reactor/src/serve.rs", "announce", "stdout",
        OutsideTheLoop, "before: the one line that says `listening on`"),
    reason("reactor/src/serve.rs", "announce", "lock",
        OutsideTheLoop, "before: standard output, with no other thread to hold it"),
    reason("reactor/src/serve.rs", "announce", "writeln",
        OutsideTheLoop, "before: the one line that says `listening on`"),
    reason("reactor/src/serve.rs", "announce", "flush",
        OutsideTheLoop, "before: whoever waits for that line gets it now"),
    reason("w05-handoff/src/task_queue.rs", "TaskQueue::close", "lock",
        ShortLock, "held while one item is moved"),
    reason("w05-handoff/src/worker_pool.rs", "WorkerPool::finish", "join",
        OutsideTheLoop, "after: every worker has ended by then"),
    reason("w05-handoff/src/worker_pool.rs", "Staff::wait_until_gone", "lock",
        OutsideTheLoop, "after: the workers are waited for"),
    reason("w05-handoff/src/worker_pool.rs", "Staff::wait_until_gone", "wait",
        OutsideTheLoop, "after: the workers are waited for"),
    reason("w05-handoff/src/worker_pool.rs", "Staff::wait_until_gone", "wait_until",
        OutsideTheLoop, "after: the workers are waited for, until the drain's deadline"),
    reason("reactor/src/cli.rs", "failure", "stderr",
        OutsideTheLoop, "after: where the operator looks"),
    reason("reactor/src/cli.rs", "failure", "writeln",
        OutsideTheLoop, "after: why the server could not start, or ended"),
    reason("w05-handoff/src/worker_pool.rs", "Member::of", "lock",
        OutsideTheLoop, "before: the workers are started"),
    reason("reactor/src/logging.rs", "start", "stderr",
        OutsideTheLoop, "before: only names the stream that log lines will go to"),
];

/// The log, which is the one exception: the contract allows it, and this is what it costs.
const LOG: &str = "A line goes to standard error at once, and if that is a pipe that nobody \
    empties, it waits. Give the log a file or a reader; at `info` no ordinary request is logged.";

/// The rules for this workspace.
#[must_use]
pub fn rules() -> Rules {
    Rules {
        audited: AUDITED.to_vec(),
        outside: OUTSIDE.to_vec(),
        loop_entry: LOOP,
        reasons: REASONS.to_vec(),
        log: LOG,
    }
}
