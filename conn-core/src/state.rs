//! The state machine of a connection: states, events, and one table.
//!
//! [`TABLE`] is the only place where a rule about state is written. The runtime looks rows up, the
//! tests walk them, the documents are printed from them. Where the next state depends on what is
//! left to do for the client, the row says so in its guard: a guard is a set of [`Pending`] values,
//! and since a connection has exactly one of those at any moment, two guards exclude each other
//! when their sets have nothing in common. What the table leaves out is in [`IMPOSSIBLE`], with the
//! reason; a test checks that the two lists together cover every case exactly once.

use std::fmt;

/// The phase that a connection is in. In the order of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnState {
    /// Accepted; no byte exchanged yet.
    Connecting,
    /// Waiting for the end of a request's header line.
    ReadingHeader,
    /// The header announced a body; waiting for the rest of it.
    ReadingBody,
    /// A request is being worked on elsewhere; nothing is queued for the client.
    Processing,
    /// Replies are queued and not yet taken by the socket.
    Writing,
    /// No more replies will come: the sending side is shut and what still arrives is thrown away.
    Closing,
    /// The descriptor is closed and the connection is forgotten.
    Closed,
}

impl ConnState {
    /// All states, in the order of a connection's life.
    pub const ALL: [Self; 7] = [
        Self::Connecting,
        Self::ReadingHeader,
        Self::ReadingBody,
        Self::Processing,
        Self::Writing,
        Self::Closing,
        Self::Closed,
    ];

    /// The state's name in logs and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "CONNECTING",
            Self::ReadingHeader => "READING_HEADER",
            Self::ReadingBody => "READING_BODY",
            Self::Processing => "PROCESSING",
            Self::Writing => "WRITING",
            Self::Closing => "CLOSING",
            Self::Closed => "CLOSED",
        }
    }

    /// One sentence: what a connection in this state is doing.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Connecting => "accept() returned it; it has not sent a byte yet",
            Self::ReadingHeader => "waits for the rest of a header line (or for its first byte)",
            Self::ReadingBody => "has a whole header; waits for the rest of the body it announced",
            Self::Processing => "waits for a request that is being worked on elsewhere",
            Self::Writing => "has replies queued that the socket has not taken yet",
            Self::Closing => {
                "will get no more replies: sending side shut, late input is thrown away"
            }
            Self::Closed => "its descriptor is closed and the registry has forgotten it",
        }
    }
}

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// The kernel reports input, an end of input or an error: `recv` will tell which.
    Readable,
    /// `recv` returned `EAGAIN`.
    ReadWouldBlock,
    /// A whole header line was read, and what it asks for has been noted.
    HeaderComplete,
    /// The announced body and its end of line were read (or thrown away, if it was too large).
    BodyComplete,
    /// The input can't be cut into requests any more; the error reply is queued.
    FramingLost,
    /// The task is over: its result has come back, or is not waited for any longer; the reply is queued.
    TaskDone,
    /// `send` took less than what is queued, or returned `EAGAIN`.
    WriteWouldBlock,
    /// `send` took the last queued byte.
    WriteComplete,
    /// So much is queued that no more requests are to be taken (from day 3 on).
    HighWater,
    /// So little is queued that requests are to be taken again (from day 3 on).
    LowWater,
    /// The queue has been long for a whole window, and the peer took too little of it (from day 3 on).
    SlowReader,
    /// A reply was queued although no request should have been taken (from day 3 on).
    BufferOverflow,
    /// `recv` returned 0: the peer will send no more, but may still read.
    PeerShutdown,
    /// `recv` or `send` failed: reset, broken pipe, or any other error of this socket.
    PeerReset,
    /// No byte moved either way for `--idle-timeout`.
    IdleTimeout,
    /// A request took longer than `--request-timeout` from its first byte to its last.
    RequestTimeout,
    /// Replies wait and the peer took none of them for `--idle-timeout`.
    StallTimeout,
    /// The server is stopping, and all that had arrived from this peer has been read.
    Drain,
    /// The server is stopping and has no more time.
    DrainTimeout,
    /// The time or the number of bytes for a graceful close is used up.
    LingerOver,
    /// The descriptor was closed.
    FdClosed,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 21] = [
        Self::Readable,
        Self::ReadWouldBlock,
        Self::HeaderComplete,
        Self::BodyComplete,
        Self::FramingLost,
        Self::TaskDone,
        Self::WriteWouldBlock,
        Self::WriteComplete,
        Self::HighWater,
        Self::LowWater,
        Self::SlowReader,
        Self::BufferOverflow,
        Self::PeerShutdown,
        Self::PeerReset,
        Self::IdleTimeout,
        Self::RequestTimeout,
        Self::StallTimeout,
        Self::Drain,
        Self::DrainTimeout,
        Self::LingerOver,
        Self::FdClosed,
    ];

    /// The event's name in logs and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Readable => "fd readable",
            Self::ReadWouldBlock => "recv EAGAIN",
            Self::HeaderComplete => "header complete",
            Self::BodyComplete => "body complete",
            Self::FramingLost => "framing lost",
            Self::TaskDone => "task done",
            Self::WriteWouldBlock => "send EAGAIN",
            Self::WriteComplete => "write complete",
            Self::HighWater => "high water",
            Self::LowWater => "low water",
            Self::SlowReader => "slow reader",
            Self::BufferOverflow => "buffer overflow",
            Self::PeerShutdown => "peer shut down",
            Self::PeerReset => "error",
            Self::IdleTimeout => "idle timeout",
            Self::RequestTimeout => "request timeout",
            Self::StallTimeout => "stall timeout",
            Self::Drain => "drain",
            Self::DrainTimeout => "drain timeout",
            Self::LingerOver => "linger over",
            Self::FdClosed => "fd closed",
        }
    }
}

/// What is left to do for the client: the first of these that applies, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Pending {
    /// Replies are queued.
    Replies,
    /// Nothing is queued; a task is being worked on.
    Task,
    /// Nothing is left, and the server takes no more input (after `quit`, lost framing, a drain).
    Farewell,
    /// Nothing is left, and nothing that could still come matters: the peer sends no more, or has
    /// acknowledged all that it will get.
    Nothing,
    /// Nothing is queued; the rest of a body is awaited.
    Body,
    /// Nothing is queued; the next header is awaited.
    Header,
}

impl Pending {
    /// All values, in order of precedence.
    pub const ALL: [Self; 6] =
        [Self::Replies, Self::Task, Self::Farewell, Self::Nothing, Self::Body, Self::Header];

    /// The words that stand for it in a guard.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replies => "replies queued",
            Self::Task => "task out",
            Self::Body => "body awaited",
            Self::Header => "header awaited",
            Self::Farewell => "input cut",
            Self::Nothing => "all done",
        }
    }
}

/// What a transition makes the runtime do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Call `recv` once, into the read buffer, and take the requests out of it.
    Receive,
    /// Call `recv` once and throw the bytes away.
    Discard,
    /// Keep everything as it is and watch for readability.
    AwaitReadable,
    /// Keep what is unsent and watch for writability.
    AwaitWritable,
    /// Keep everything as it is until the task's result comes.
    AwaitTask,
    /// Append the reply (or the task) to what is queued, in request order.
    QueueReply,
    /// Leave requests where they are, in the read buffer and in the kernel.
    PauseRequests,
    /// Take requests again, first those in the read buffer.
    ResumeRequests,
    /// Shut the sending side down, so that the peer sees the end, and start the linger clock.
    ShutdownSend,
    /// Close the descriptor.
    CloseSocket,
    /// Drop the connection's record: buffers and registry entry.
    Remove,
}

impl Action {
    /// The action in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "recv into the read buffer, parse",
            Self::Discard => "recv, throw away",
            Self::AwaitReadable => "keep the buffers, watch for readability",
            Self::AwaitWritable => "keep the unsent bytes, watch for writability",
            Self::AwaitTask => "wait for the result",
            Self::QueueReply => "queue the reply, in request order",
            Self::PauseRequests => "take no more requests",
            Self::ResumeRequests => "take requests again",
            Self::ShutdownSend => "shut the sending side down, linger",
            Self::CloseSocket => "log, close the descriptor",
            Self::Remove => "forget the connection",
        }
    }
}

/// One rule: in one of the states `from`, when `event` happens and what is left to do is one of
/// `guard`, the connection moves to `to` and the runtime carries out `action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The rule's name in logs and documents: a letter for its state (M: more than one) and a number.
    pub id: &'static str,
    /// The states that the rule holds in.
    pub from: &'static [ConnState],
    /// What happened.
    pub event: Event,
    /// The rule holds for these values of [`Pending`], taken after the event was noted.
    pub guard: &'static [Pending],
    /// The next state.
    pub to: ConnState,
    /// What the runtime does.
    pub action: Action,
    /// Why it is so.
    pub why: &'static str,
}

/// A set of cases that cannot come up, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// In these states,
    pub from: &'static [ConnState],
    /// these events
    pub events: &'static [Event],
    /// with any of this left to do
    pub guard: &'static [Pending],
    /// cannot happen, because of this.
    pub why: &'static str,
}

use Action::{
    AwaitReadable, AwaitTask, AwaitWritable, CloseSocket, Discard, PauseRequests, QueueReply,
    Receive, Remove, ResumeRequests, ShutdownSend,
};
use ConnState::{Closed, Closing, Connecting, Processing, ReadingBody, ReadingHeader, Writing};
use Event::{
    BodyComplete, BufferOverflow, Drain, DrainTimeout, FdClosed, FramingLost, HeaderComplete,
    HighWater, IdleTimeout, LingerOver, LowWater, PeerReset, PeerShutdown, ReadWouldBlock,
    Readable, RequestTimeout, SlowReader, StallTimeout, TaskDone, WriteComplete, WriteWouldBlock,
};
use Pending::{Body, Farewell, Header, Nothing, Replies, Task};

/// A guard that always holds.
pub const ALWAYS: &[Pending] = &Pending::ALL;

/// Every state but [`ConnState::Closed`]: the `ANY` of the model.
pub const ANY: &[ConnState] =
    &[Connecting, ReadingHeader, ReadingBody, Processing, Writing, Closing];

const fn row(
    id: &'static str,
    from: &'static [ConnState],
    event: Event,
    guard: &'static [Pending],
    to: ConnState,
    action: Action,
    why: &'static str,
) -> Row {
    Row { id, from, event, guard, to, action, why }
}

/// The transition table.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    //  id     from                             event            guard         to             action          why
    row("C1",  &[Connecting],                   Readable,        ALWAYS,       ReadingHeader, Receive,        "the first bytes, or a hang-up, are there"),

    row("H1",  &[ReadingHeader],                Readable,        ALWAYS,       ReadingHeader, Receive,        "more of the header, or of the next request"),
    row("H2",  &[ReadingHeader],                ReadWouldBlock,  ALWAYS,       ReadingHeader, AwaitReadable,  "not ready yet is not an error: what came so far is kept"),
    row("H3",  &[ReadingHeader],                HeaderComplete,  &[Replies],   Writing,       QueueReply,     "a request without a body, or a bad one, is answered at once"),
    row("H4",  &[ReadingHeader],                HeaderComplete,  &[Task],      Processing,    AwaitTask,      "CPU work goes to the executor"),
    row("H5",  &[ReadingHeader],                HeaderComplete,  &[Body],      ReadingBody,   Receive,        "the header says how many bytes follow"),
    row("H6",  &[ReadingHeader],                HeaderComplete,  &[Farewell],  Closing,       ShutdownSend,   "quit, and nothing is owed"),
    row("H7",  &[ReadingHeader],                FramingLost,     &[Replies],   Writing,       QueueReply,     "the line is too long: one error reply, then the end"),

    row("B1",  &[ReadingBody],                  Readable,        ALWAYS,       ReadingBody,   Receive,        "more of the body"),
    row("B2",  &[ReadingBody],                  ReadWouldBlock,  ALWAYS,       ReadingBody,   AwaitReadable,  "not ready yet is not an error: the partial body is kept"),
    row("B3",  &[ReadingBody],                  BodyComplete,    &[Replies],   Writing,       QueueReply,     "the request is whole"),
    row("B4",  &[ReadingBody],                  BodyComplete,    &[Header],    ReadingHeader, AwaitReadable,  "an oversized body has passed; its error reply left long ago"),
    row("B5",  &[ReadingBody],                  FramingLost,     &[Replies],   Writing,       QueueReply,     "the body does not end where the header said: one error reply, then the end"),

    row("P1",  &[Processing],                   Readable,        ALWAYS,       Processing,    Receive,        "what comes meanwhile waits in the read buffer; a reset shows at once"),
    row("P2",  &[Processing],                   ReadWouldBlock,  ALWAYS,       Processing,    AwaitTask,      "nothing has come meanwhile"),
    row("P3",  &[Processing],                   TaskDone,        &[Replies],   Writing,       QueueReply,     "the result is the reply"),
    row("P4",  &[Processing],                   PeerShutdown,    ALWAYS,       Processing,    AwaitTask,      "half-close: the reply is still owed"),
    row("P5",  &[Processing],                   Drain,           ALWAYS,       Processing,    AwaitTask,      "the request had arrived whole: it is answered"),

    row("W1",  &[Writing],                      Readable,        ALWAYS,       Writing,       Receive,        "pipelined requests are read while replies wait"),
    row("W2",  &[Writing],                      ReadWouldBlock,  ALWAYS,       Writing,       AwaitWritable,  "nothing more has come; the replies still wait"),
    row("W3",  &[Writing],                      HeaderComplete,  ALWAYS,       Writing,       QueueReply,     "the next pipelined request: its reply goes behind the others (`quit` has none)"),
    row("W4",  &[Writing],                      BodyComplete,    ALWAYS,       Writing,       QueueReply,     "the next pipelined request is whole"),
    row("W5",  &[Writing],                      FramingLost,     ALWAYS,       Writing,       QueueReply,     "one error reply behind the others, then the end"),
    row("W6",  &[Writing],                      TaskDone,        ALWAYS,       Writing,       QueueReply,     "the result goes behind the replies before it"),
    row("W7",  &[Writing],                      WriteWouldBlock, ALWAYS,       Writing,       AwaitWritable,  "the socket is full: the rest is kept and retried when it has room"),
    row("W8",  &[Writing],                      WriteComplete,   &[Header],    ReadingHeader, AwaitReadable,  "keep-alive: the next request may come"),
    row("W9",  &[Writing],                      WriteComplete,   &[Body],      ReadingBody,   AwaitReadable,  "the next request has begun already"),
    row("W10", &[Writing],                      WriteComplete,   &[Task],      Processing,    AwaitTask,      "an earlier task is still out"),
    row("W11", &[Writing],                      WriteComplete,   &[Farewell],  Closing,       ShutdownSend,   "the last reply is out: say so, then let late input run dry"),
    row("W12", &[Writing],                      WriteComplete,   &[Nothing],   Closing,       CloseSocket,    "half-close: every reply is out and nothing more can come"),
    row("W13", &[Writing],                      HighWater,       ALWAYS,       Writing,       PauseRequests,  "backpressure: who does not take its replies is asked nothing more"),
    row("W14", &[Writing],                      LowWater,        ALWAYS,       Writing,       ResumeRequests, "it has taken enough to go on"),
    row("W15", &[Writing],                      SlowReader,      ALWAYS,       Closing,       CloseSocket,    "it has had a whole window and took too little"),
    row("W16", &[Writing],                      BufferOverflow,  ALWAYS,       Closing,       CloseSocket,    "a broken invariant must not cost memory without bound"),
    row("W17", &[Writing],                      PeerShutdown,    ALWAYS,       Writing,       AwaitWritable,  "half-close: what is queued is still owed"),
    row("W18", &[Writing],                      Drain,           ALWAYS,       Writing,       AwaitWritable,  "what is queued is still owed"),

    row("M1",  &[ReadingHeader, ReadingBody],   PeerShutdown,    ALWAYS,       Closing,       CloseSocket,    "nothing is owed; an incomplete request is dropped silently"),
    row("C2",  &[Connecting],                   Drain,           ALWAYS,       Closing,       CloseSocket,    "it has asked for nothing"),
    row("M2",  &[ReadingHeader, ReadingBody],   Drain,           &[Nothing],   Closing,       CloseSocket,    "idle, or in the middle of a request: nothing is owed"),
    row("M3",  &[ReadingHeader, ReadingBody],   Drain,           &[Farewell],  Closing,       ShutdownSend,   "its last reply is still under way, and late input must not destroy it"),

    row("L1",  &[Closing],                      Readable,        ALWAYS,       Closing,       Discard,        "unread input would turn the close into a reset that destroys the last reply"),
    row("L2",  &[Closing],                      ReadWouldBlock,  ALWAYS,       Closing,       AwaitReadable,  "the peer has not closed yet"),
    row("L3",  &[Closing],                      PeerShutdown,    ALWAYS,       Closing,       CloseSocket,    "both sides are done"),
    row("L4",  &[Closing],                      LingerOver,      ALWAYS,       Closing,       CloseSocket,    "the peer had 2 s or 1 MiB to finish, whichever came first"),

    row("M4",  ANY,                             PeerReset,       ALWAYS,       Closing,       CloseSocket,    "there is nobody left to talk to"),
    row("M5",  &[Connecting, ReadingHeader, ReadingBody], IdleTimeout,     ALWAYS,       Closing,       CloseSocket,    "nothing moved for too long"),
    row("M6",  &[ReadingHeader, ReadingBody, Writing], RequestTimeout,  ALWAYS,       Closing,       CloseSocket,    "the request trickles in too slowly"),
    row("W19", &[Writing],                      StallTimeout,    ALWAYS,       Closing,       CloseSocket,    "the peer takes nothing of what it asked for"),
    row("M7",  ANY,                             DrainTimeout,    ALWAYS,       Closing,       CloseSocket,    "the server can wait no longer"),
    row("L6",  &[Closing],                      FdClosed,        ALWAYS,       Closed,        Remove,         "the end"),
];

const fn never(
    from: &'static [ConnState],
    events: &'static [Event],
    guard: &'static [Pending],
    why: &'static str,
) -> Impossible {
    Impossible { from, events, guard, why }
}

/// What the table leaves out, and why it cannot happen.
#[rustfmt::skip]
pub const IMPOSSIBLE: &[Impossible] = &[
    never(&[Connecting], &[ReadWouldBlock, HeaderComplete, BodyComplete, FramingLost, PeerShutdown], ALWAYS,
        "recv is called only after `fd readable`, which leaves this state"),
    never(&[Connecting, ReadingHeader, ReadingBody, Processing], &[WriteWouldBlock, WriteComplete], ALWAYS,
        "send is called only while replies are queued, and then the state is WRITING"),
    never(&[Connecting, ReadingHeader, ReadingBody, Closing], &[TaskDone], ALWAYS,
        "no task is out; a result that comes after the client has left finds no connection"),
    never(&[Connecting], &[RequestTimeout], ALWAYS, "the clock of a request starts with its first byte"),
    never(&[Connecting, ReadingHeader, ReadingBody, Processing], &[StallTimeout], ALWAYS, "nothing is queued"),
    never(&[ReadingHeader], &[HeaderComplete], &[Header, Nothing],
        "every header asks for a reply, a task, a body or the end, and input that has ended completes nothing"),
    never(&[ReadingHeader], &[BodyComplete], ALWAYS, "no body is awaited"),
    never(&[ReadingHeader, ReadingBody], &[Drain], &[Replies, Task, Body, Header],
        "nothing is queued or worked on, and the input has just been ended"),
    never(&[ReadingHeader, ReadingBody], &[FramingLost], &[Task, Body, Header, Farewell, Nothing],
        "the error reply has just been queued"),
    never(&[ReadingBody], &[HeaderComplete], ALWAYS, "what comes is body until it is complete"),
    never(&[ReadingBody], &[BodyComplete], &[Task, Body, Farewell, Nothing],
        "a whole body is echoed or was skipped; it starts no task and ends nothing"),
    never(&[Processing], &[HeaderComplete, BodyComplete, FramingLost], ALWAYS,
        "requests behind a task wait in the read buffer, unparsed"),
    never(&[Processing], &[TaskDone], &[Task, Body, Header, Farewell, Nothing], "the result has just been queued"),
    never(&[Processing], &[IdleTimeout, RequestTimeout], ALWAYS,
        "a connection whose request is being worked on is not idle, and its clocks stand still"),
    never(&[Connecting, ReadingHeader, ReadingBody, Processing, Closing], &[HighWater, LowWater, SlowReader, BufferOverflow], ALWAYS,
        "nothing is queued, or nothing more will be sent"),
    never(&[Writing], &[WriteComplete], &[Replies], "complete means that nothing is queued"),
    never(&[Writing], &[IdleTimeout], ALWAYS, "the clock of a stalled reader never runs out later"),
    never(&[Closing], &[Drain], ALWAYS, "the input of who lingers has been cut already"),
    never(&[Closing], &[HeaderComplete, BodyComplete, FramingLost, WriteWouldBlock, WriteComplete], ALWAYS,
        "what arrives is thrown away unparsed, and nothing is sent"),
    never(&[Closing], &[IdleTimeout, RequestTimeout, StallTimeout], ALWAYS, "the linger clock runs instead"),
    never(&[Connecting, ReadingHeader, ReadingBody, Processing, Writing], &[LingerOver], ALWAYS,
        "the linger clock runs only in CLOSING"),
    never(&[Connecting, ReadingHeader, ReadingBody, Processing, Writing], &[FdClosed], ALWAYS,
        "a descriptor is closed only from CLOSING"),
    never(&[Closed], &Event::ALL, ALWAYS, "the descriptor is gone: nobody reports events for it"),
];

/// The row of each event, state and pending work. Events first: which one it is, the code knows.
static INDEX: [[[Option<&Row>; Pending::ALL.len()]; ConnState::ALL.len()]; Event::ALL.len()] = {
    let mut index = [[[None; Pending::ALL.len()]; ConnState::ALL.len()]; Event::ALL.len()];
    let mut r = 0;
    while r < TABLE.len() {
        let row = &TABLE[r];
        let mut f = 0;
        while f < row.from.len() {
            let mut g = 0;
            while g < row.guard.len() {
                let cell =
                    &mut index[row.event as usize][row.from[f] as usize][row.guard[g] as usize];
                assert!(cell.is_none(), "two rows of the table cover the same case");
                *cell = Some(row);
                g += 1;
            }
            f += 1;
        }
        r += 1;
    }
    index
};

/// Finds the row for `event` in state `from` with `pending` left to do; `None` if the case is
/// [`IMPOSSIBLE`]. Costs one array access.
#[must_use]
#[inline]
pub fn lookup(from: ConnState, event: Event, pending: Pending) -> Option<&'static Row> {
    INDEX[event as usize][from as usize][pending as usize]
}

/// Formats a guard: `always`, or the conditions joined by `or`.
#[must_use]
pub fn guard_name(guard: &[Pending]) -> String {
    if guard.len() == Pending::ALL.len() {
        return "always".to_owned();
    }
    guard.iter().map(|pending| pending.name()).collect::<Vec<_>>().join(" or ")
}

impl fmt::Display for ConnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
