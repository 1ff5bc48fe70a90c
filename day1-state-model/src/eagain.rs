//! What "not ready yet" means on each of the loop's I/O paths.
//!
//! For `recv` and `send` the rules are rows of the transition table. The loop's own descriptors
//! have no state machine; their rules are here, as data.

use conn_core::state::{Action, ConnState, Event, Row};

/// A way in which bytes, clients or wake-ups reach the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IoPath {
    /// Input of a client.
    Recv,
    /// Replies to a client.
    Send,
    /// New clients.
    Accept,
    /// The one line to a client that cannot be served.
    Refusal,
    /// The wait call.
    Wait,
    /// The pipe that signals write to.
    Signals,
    /// The eventfd by which workers wake the loop, both ends of it.
    Wakeup,
}

/// The rule for one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoRule {
    /// The path.
    pub path: IoPath,
    /// The call and its answer.
    pub answer: &'static str,
    /// What happens to the state.
    pub state: &'static str,
    /// What is watched from then on.
    pub interest: &'static str,
    /// What happens to the buffers.
    pub buffers: &'static str,
    /// The functions that meet the answer, as `(file, function)`; none if it is ignored on purpose.
    pub met_in: &'static [(&'static str, &'static str)],
}

/// The rules of all paths.
pub const RULES: &[IoRule] = &[
    IoRule {
        path: IoPath::Recv,
        answer: "recv() = EAGAIN",
        state: "kept (see the rows)",
        interest: "unchanged: readable again, unless input is paused",
        buffers: "read_buf keeps the partial request; nothing is closed, nothing is dropped",
        met_in: &[("conn-core/src/connection/visit.rs", "Connection::recv")],
    },
    IoRule {
        path: IoPath::Send,
        answer: "send() = EAGAIN, or a short count",
        state: "WRITING (see the rows)",
        interest: "writable as well, from now until the queue is empty",
        buffers: "write_buf keeps what is unsent; bytes_queued says how much that is",
        met_in: &[("conn-core/src/connection/visit.rs", "Connection::send")],
    },
    IoRule {
        path: IoPath::Accept,
        answer: "accept() = EAGAIN",
        state: "none: nobody is waiting",
        interest: "unchanged: the listener stays watched",
        buffers: "none",
        met_in: &[("reactor/src/listener.rs", "Listener::accept")],
    },
    IoRule {
        path: IoPath::Refusal,
        answer: "send() of a refusal = EAGAIN",
        state: "none: there is no connection",
        interest: "none: the socket is closed at once",
        buffers: "none: the line is lost (best effort, says the contract)",
        met_in: &[],
    },
    IoRule {
        path: IoPath::Wait,
        answer: "the wait call = EINTR",
        state: "kept",
        interest: "unchanged: nothing counts as ready, the turn ends, the loop waits again",
        buffers: "kept",
        met_in: &[
            ("day2-select-loop/src/select.rs", "Select::wait"),
            ("day4-poll/src/poll.rs", "Poll::wait"),
            ("w04-epoll/src/epoll.rs", "Epoll::wait"),
        ],
    },
    IoRule {
        path: IoPath::Signals,
        answer: "read() of the signals' pipe = EAGAIN (EINTR: once more)",
        state: "kept; the server drains if a byte had come before",
        interest: "unchanged: the pipe stays watched",
        buffers: "the pipe is empty now, so it does not wake the loop again",
        met_in: &[("reactor/src/signals.rs", "Signals::take")],
    },
    IoRule {
        path: IoPath::Wakeup,
        answer: "read() or write() of the eventfd = EAGAIN",
        state: "kept",
        interest: "unchanged: the eventfd stays watched",
        buffers: "nothing to read: no results have come; no room: it is readable already",
        met_in: &[
            ("w05-handoff/src/wakeup.rs", "Wakeup::clear"),
            ("w05-handoff/src/wakeup.rs", "Wakeup::notify"),
        ],
    },
];

/// What a connection is watched for after an action that waits; `None` for any other action.
#[must_use]
pub const fn watched_after(action: Action) -> Option<&'static str> {
    match action {
        Action::AwaitReadable => Some("readable"),
        Action::AwaitWritable => Some("writable"),
        Action::AwaitTask => Some("the task's result"),
        _ => None,
    }
}

/// The rows of `table` for `event`, each state on its own.
pub(crate) fn rows_for(table: &[Row], event: Event) -> impl Iterator<Item = (ConnState, &Row)> {
    table
        .iter()
        .filter(move |row| row.event == event)
        .flat_map(|row| row.from.iter().map(move |from| (*from, row)))
}
