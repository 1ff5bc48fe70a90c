//! A scripted socket and a scripted executor, and a loop that visits one connection with them.

use conn_core::connection::{Connection, Fate, Interest, Scratch, Stream, Turn};
use conn_core::executor::{Executor, Submitted, Ticket};
use conn_core::id::{ConnId, TaskId};
use conn_core::policy::Limits;
use conn_core::service::{Outcome, Task};
use conn_core::state::ConnState;
use conn_core::stats::{ServerInfo, Stats};
use conn_core::write_policy::{AnyPolicy, Queue, Reason, Unbounded, Verdict, Window, WritePolicy};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// What the next `recv` gives.
#[derive(Clone, Debug)]
pub(crate) enum Recv {
    Bytes(Vec<u8>),
    WouldBlock,
    Interrupted,
    End,
    Reset,
}

/// What the next `send` gives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Send {
    UpTo(usize),
    WouldBlock,
    Interrupted,
    Broken,
}

/// A socket whose every answer is written down beforehand. When the script for sending is used up,
/// it takes everything.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) recv: VecDeque<Recv>,
    pub(crate) send: VecDeque<Send>,
    pub(crate) sent: Vec<u8>,
    pub(crate) sending_shut: bool,
    pub(crate) reset: bool,
    pub(crate) unacknowledged: usize,
    /// What the kernel has noted (`SO_ERROR`).
    pub(crate) error: Option<ErrorKind>,
}

impl Read for Scripted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.recv.pop_front() {
            Some(Recv::Bytes(mut bytes)) => {
                let count = bytes.len().min(into.len());
                into[..count].copy_from_slice(&bytes[..count]);
                let rest = bytes.split_off(count);
                if !rest.is_empty() {
                    self.recv.push_front(Recv::Bytes(rest));
                }
                Ok(count)
            }
            Some(Recv::Interrupted) => Err(ErrorKind::Interrupted.into()),
            Some(Recv::End) => {
                self.recv.push_front(Recv::End);
                Ok(0)
            }
            Some(Recv::Reset) => Err(ErrorKind::ConnectionReset.into()),
            Some(Recv::WouldBlock) | None => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Scripted {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        assert!(!self.sending_shut, "a reply was sent after the end");
        assert!(!from.is_empty(), "send was called with nothing to send");
        let count = match self.send.pop_front() {
            Some(Send::UpTo(count)) => count.min(from.len()),
            Some(Send::WouldBlock) => return Err(ErrorKind::WouldBlock.into()),
            Some(Send::Interrupted) => return Err(ErrorKind::Interrupted.into()),
            Some(Send::Broken) => return Err(ErrorKind::BrokenPipe.into()),
            None => from.len(),
        };
        self.sent.extend_from_slice(&from[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Scripted {
    fn shutdown_send(&mut self) -> io::Result<()> {
        self.sending_shut = true;
        Ok(())
    }

    fn reset_on_close(&mut self) -> io::Result<()> {
        self.reset = true;
        Ok(())
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        Ok(self.unacknowledged)
    }

    fn unread(&self) -> io::Result<usize> {
        let unread = self.recv.iter().map(|recv| match recv {
            Recv::Bytes(bytes) => bytes.len(),
            _ => 0,
        });
        Ok(unread.sum())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.error.map(io::Error::from))
    }
}

/// Runs tasks at once, or, for those that the script says so, when it is asked to.
#[derive(Debug, Default)]
pub(crate) struct Scheduled {
    /// For each task in turn: whether it is worked on elsewhere.
    pub(crate) elsewhere: VecDeque<bool>,
    pub(crate) outcomes: VecDeque<(TaskId, Outcome)>,
    pub(crate) submitted: u64,
    pub(crate) cancelled: Vec<TaskId>,
    /// How the next tasks are received that are worked on elsewhere.
    pub(crate) ticket: Ticket,
}

impl Executor for Scheduled {
    fn submit(&mut self, _from: ConnId, task: Task<'_>, _now: Instant) -> Submitted {
        let outcome = task.run(|| Duration::ZERO);
        if self.elsewhere.pop_front().unwrap_or(false) {
            self.submitted += 1;
            let task = TaskId(self.submitted);
            self.outcomes.push_back((task, outcome));
            return Submitted::Later(Ticket { task, ..self.ticket });
        }
        // A task of 100 ms uses up the connection's share of the turn.
        let took = if outcome == Outcome::Burned(0) { 100 } else { 0 };
        Submitted::Done(outcome, Instant::now() + Duration::from_millis(took))
    }

    fn cancel(&mut self, task: TaskId) {
        self.cancelled.push(task);
    }
}

/// Some policy: pauses at so many bytes, resumes at none, disconnects who takes nothing for 5 s.
#[derive(Debug)]
pub(crate) struct PauseAt(pub(crate) usize);

impl WritePolicy for PauseAt {
    fn window(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn long(&self) -> usize {
        self.0
    }

    fn decide(&self, queue: &Queue) -> Verdict {
        match queue.window {
            _ if !queue.paused && queue.waiting >= self.0 => Verdict::Pause,
            _ if queue.paused && queue.waiting == 0 => Verdict::Resume,
            Window::None if queue.paused => Verdict::BeginWindow,
            Window::Running | Window::Over { .. } if !queue.paused => Verdict::EndWindow,
            Window::Over { taken: 0 } => Verdict::Disconnect(Reason::SlowReaderSustained),
            Window::Over { .. } => Verdict::BeginWindow,
            Window::None | Window::Running => Verdict::GoOn,
        }
    }
}

pub(crate) fn turn(limits: Limits, elsewhere: VecDeque<bool>) -> Turn<Scheduled> {
    let now = Instant::now();
    Turn {
        now,
        limits,
        stats: Stats::default(),
        info: ServerInfo { pid: 1, started: now, mechanism: "script", threads: 1 },
        executor: Scheduled { elsewhere, ..Scheduled::default() },
        write_policy: AnyPolicy::new(Unbounded),
        scratch: Scratch::default(),
    }
}

/// What must hold between two visits.
pub(crate) fn check_invariants(conn: &Connection<Scripted>, fate: Fate, turn: &Turn<Scheduled>) {
    let state = conn.state();
    let interest = conn.interest();
    if fate == Fate::Close {
        assert_eq!(state, ConnState::Closing);
        assert_eq!(turn.stats.bytes_queued, 0, "what a closed connection had queued still counts");
        return;
    }
    assert_eq!(state == ConnState::Writing, conn.bytes_queued() > 0, "{state}");
    assert_eq!(interest.write, state == ConnState::Writing, "{state}");
    assert_eq!(turn.stats.bytes_queued, conn.bytes_queued() as u64, "the gauge has drifted");
    assert_eq!(
        conn.deadline(turn.now, &turn.limits).is_some(),
        state != ConnState::Processing || turn.executor.ticket.deadline.is_some(),
        "{state}"
    );
    let waits = interest != Interest::NONE || fate == Fate::Again;
    assert!(waits, "nothing would ever wake {state}");
    assert!(!interest.hang_up || conn.awaits_task(), "{state}");
}

/// Visits the connection as a loop would, until it is closed or nothing more can happen.
pub(crate) fn run(conn: &mut Connection<Scripted>, turn: &mut Turn<Scheduled>) -> Fate {
    let mut fate = Fate::Wait;
    loop {
        check_invariants(conn, fate, turn);
        if fate == Fate::Close {
            return fate;
        }
        turn.now = Instant::now();
        let interest = conn.interest();
        if fate == Fate::Again {
            fate = conn.resume(turn);
        } else if interest.read && !conn.stream().recv.is_empty() {
            fate = conn.on_readable(turn);
        } else if interest.write {
            fate = conn.on_writable(turn);
        } else if let Some((task, outcome)) = turn.executor.outcomes.pop_front() {
            fate = conn.on_task_done(task, &outcome, turn);
        } else {
            return fate;
        }
    }
}

/// Limits small enough that a test meets them.
pub(crate) fn small_limits() -> Limits {
    Limits { max_header: 64, max_body: 200, ..Limits::default() }
}

/// A request, and the reply it must get. Some end the connection.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) ends: bool,
}

fn exchange(request: impl Into<Vec<u8>>, reply: impl Into<Vec<u8>>) -> Exchange {
    Exchange { request: request.into(), reply: reply.into(), ends: false }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("ends the line", |byte| *byte != b'\n' && *byte != b'\r');
    prop::collection::vec(byte, 0..40)
}

fn eol() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r\n")]
}

/// Requests that leave the connection open. The replies are spelled out here, not computed by the
/// code under test; only SHA-256 is the library's.
pub(crate) fn request() -> impl Strategy<Value = Exchange> {
    let cat = |parts: &[&[u8]]| parts.concat();
    prop_oneof![
        (prop::collection::vec(any::<u8>(), 0..=200), eol(), eol()).prop_map(
            move |(body, eol1, eol2)| {
                let len = body.len().to_string();
                exchange(
                    cat(&[b"echo ", len.as_bytes(), eol1.as_bytes(), &body, eol2.as_bytes()]),
                    cat(&[b"ECHO ", len.as_bytes(), b"\r\n", &body, b"\r\n"]),
                )
            }
        ),
        (201_usize..400, eol()).prop_map(move |(len, eol)| {
            exchange(
                cat(&[format!("echo {len}\n").as_bytes(), &vec![b'\n'; len], eol.as_bytes()]),
                "SERVER_ERROR object too large\r\n",
            )
        }),
        (text(), eol()).prop_map(move |(text, eol)| {
            use sha2::Digest;
            let digest: String =
                sha2::Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
            exchange(cat(&[b"compute ", &text, eol.as_bytes()]), format!("result: {digest}\r\n"))
        }),
        (text(), eol()).prop_map(move |(text, eol)| exchange(
            cat(&[b"fail x", &text, eol.as_bytes()]),
            cat(&[b"SERVER_ERROR x", &text, b"\r\n"])
        )),
        (text(), eol()).prop_map(move |(text, eol)| exchange(
            cat(&[b"PANIC x", &text, eol.as_bytes()]),
            cat(&[b"SERVER_ERROR task panicked: x", &text, b"\r\n"])
        )),
        Just(exchange("burn 0\n", "result: burned 0\r\n")),
        Just(exchange("mn\r\n", "MN\r\n")),
        Just(exchange("\n", "ERROR\r\n")),
        Just(exchange("get key\r\n", "ERROR\r\n")),
        Just(exchange("version\n", format!("VERSION {}\r\n", conn_core::stats::VERSION))),
        Just(exchange("mn 1\n", "CLIENT_ERROR this request takes no argument\r\n")),
        Just(exchange("fail\n", "CLIENT_ERROR a message is missing\r\n")),
    ]
}

/// How a conversation may end.
pub(crate) fn last_request() -> impl Strategy<Value = Exchange> {
    prop_oneof![
        4 => Just(exchange("", "")),
        1 => Just(exchange("echo 10\nabc", "")),
        1 => Just(exchange("compu", "")),
        1 => Just(Exchange { ends: true, ..exchange("quit\nmn\n", "") }),
        1 => Just(Exchange {
            ends: true,
            ..exchange(vec![b'x'; 90], "CLIENT_ERROR line too long\r\n")
        }),
        1 => Just(Exchange {
            ends: true,
            ..exchange("echo 3\nabcdef\nmn\n", "CLIENT_ERROR bad data chunk\r\n")
        }),
        1 => Just(Exchange {
            ends: true,
            ..exchange(
                [b"echo 201\n".as_slice(), &[b'y'; 203]].concat(),
                "SERVER_ERROR object too large\r\nCLIENT_ERROR bad data chunk\r\n"
            )
        }),
    ]
}
