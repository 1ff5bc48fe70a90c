//! The plain server: one thread, one loop, one file. Read it from top to bottom.
//!
//! One turn of the loop, in [`Server::run`]:
//!
//! ```text
//! wait      in select, poll or epoll_wait, until somebody is ready or the nearest deadline is due
//! serve     each connection that is ready: read a share, answer whole requests, write
//! accept    newcomers, after the others, so that no event of a closed descriptor reaches them
//! expire    look at the clocks that are due
//! ```
//!
//! [`Connection`] knows the protocol and its own clocks, [`Server`] knows all connections.

use crate::bugs::{Bug, Mechanism, bug};
use crate::options::Options;
use crate::pool::Pool;
use crate::sys::{self, Signals};
use crate::task::{Outcome, Task};
use crate::worker::{Completion, TaskId};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::select::{FD_SETSIZE, FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::io::Errno as AcceptError;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, accept_with, bind, listen, send,
    socket_with, sockopt,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGPIPE;
use signal_hook::flag;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use std::{fs, iter, mem, process, thread};
use tracing::{debug, info, warn};

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Every socket has these flags from the call that creates it.
const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
/// Bytes that one connection may read in a turn.
const READ_SHARE: usize = 64 << 10;
/// How long one connection may keep the others waiting with its tasks.
const TASK_SHARE: Duration = Duration::from_millis(10);
/// How long, and for how many bytes, a finished connection waits for its client to finish.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
/// How long the listener is left alone when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// How often a client that has not taken everything is asked what it has taken.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// Deadlines are rounded up to this, so that many of them cost few wake-ups.
const TICK: Duration = Duration::from_millis(500);
/// The least that a client takes of a long queue in `--slow-reader-timeout`.
const LEAST_TAKEN: usize = 64 << 10;
/// The largest `n` of an echo, and the largest `ms` of a burn.
const MAX_ANNOUNCED: u64 = (1 << 31) - 1;
const MAX_BURN: u64 = 10_000;

// --- Connection: one client's place in the protocol, its buffers and its clocks -------------------

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ReadingHeader,
    ReadingBody,
    /// The body is too large: it is thrown away as it comes.
    SkippingBody,
    /// A task is with the pool. What the client sends meanwhile waits in the kernel.
    Processing,
    /// No more requests are taken; replies are still to be written.
    Flushing,
    /// All is written and the sending side is shut down; what still arrives is thrown away.
    Lingering,
    Closed,
}

impl State {
    fn takes_requests(self) -> bool {
        matches!(self, Self::ReadingHeader | Self::ReadingBody | Self::SkippingBody)
    }

    /// Input is kept, to be understood now or later.
    fn keeps_input(self) -> bool {
        self.takes_requests() || self == Self::Processing
    }
}

/// What a connection ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    Idle,
    SlowRequest,
    Task,
    StalledReader,
    SlowReader,
    LingerOver,
}

/// The time in which a slow reader has to take something.
struct Window {
    ends: Instant,
    taken_before: u64,
}

/// What a connection needs from the server around it.
struct Turn {
    started: Instant,
    now: Instant,
    mechanism: Mechanism,
    options: Options,
    stats: Stats,
    scratch: Vec<u8>,
    /// Without one, tasks run on the loop.
    pool: Option<Pool>,
}

struct Connection {
    fd: RawFd,
    socket: TcpStream,
    state: State,
    /// Received and not yet understood: the beginning of a request, or requests whose turn will come.
    read_buf: Vec<u8>,
    /// Whole requests may wait in `read_buf`.
    has_more: bool,
    /// Bytes at its beginning that are known to hold no LF.
    scanned: usize,
    /// Bytes of the announced body that are still to come.
    body_left: usize,
    /// Replies; the first `written` bytes have been sent.
    write_buf: Vec<u8>,
    written: usize,
    /// The queue has reached high-water and not yet come down to low-water: no request is taken.
    paused: bool,
    /// The client has shut down its sending side.
    end_of_input: bool,
    /// Nothing more is read: the end of the input, or the server's drain.
    input_ended: bool,
    /// The drain owes this one no farewell.
    drop_at_once: bool,
    /// What the kernel was last told to watch for (epoll only).
    registered: Interest,
    // The clocks.
    last_read: Instant,
    last_written: Option<Instant>,
    request_started: Option<Instant>,
    /// What it waits for while PROCESSING, and when it no longer does.
    task: Option<TaskId>,
    task_due: Option<Instant>,
    /// Tasks whose results only a mistake takes.
    others: BTreeSet<TaskId>,
    /// Replies may wait, here or in the kernel: from `sample_at` on ask what the client has taken.
    unconfirmed: bool,
    sample_at: Instant,
    /// Bytes given to the kernel; how many of them the client had acknowledged when it was last
    /// asked about, and when that number last grew.
    handed_over: u64,
    taken: u64,
    taken_at: Instant,
    /// Only while the queue is at 80 % of high-water or above.
    window: Option<Window>,
    linger_until: Instant,
    linger_left: usize,
    /// Its entry in the server's deadlines.
    look_at: Option<Instant>,
}

impl Connection {
    fn new(socket: TcpStream, now: Instant) -> Self {
        Self {
            fd: socket.as_raw_fd(),
            socket,
            state: State::ReadingHeader,
            read_buf: Vec::new(),
            has_more: false,
            scanned: 0,
            body_left: 0,
            write_buf: Vec::new(),
            written: 0,
            paused: false,
            end_of_input: false,
            input_ended: false,
            drop_at_once: false,
            registered: Interest::default(),
            last_read: now,
            last_written: None,
            request_started: None,
            task: None,
            task_due: None,
            others: BTreeSet::new(),
            unconfirmed: false,
            sample_at: now,
            handed_over: 0,
            taken: 0,
            taken_at: now,
            window: None,
            linger_until: now,
            linger_left: LINGER_BYTES,
            look_at: None,
        }
    }

    fn enter(&mut self, state: State) {
        debug!(fd = self.fd, from = ?self.state, to = ?state, "transition");
        self.state = state;
    }

    fn queued(&self) -> usize {
        self.write_buf.len() - self.written
    }

    /// What to watch for: computed each time, so that it can never be stale.
    fn interest(&self) -> Interest {
        let read = match self.state {
            // What waits in the buffer is answered before more is read, so the buffer stays small.
            State::ReadingHeader | State::ReadingBody | State::SkippingBody => {
                !self.input_ended && !self.has_more && !self.paused
            }
            // Read and thrown away: a client that sends all before it reads must not get stuck.
            State::Flushing => !self.input_ended,
            State::Lingering => !self.end_of_input,
            // BUG keeps-reading-from-waiting-clients: input is read on while a task is under way; who
            // pipelines faster than the workers work fills the memory (notes/protocol.md section 2,
            // --when-full).
            State::Processing => bug(Bug::KeepsReadingFromWaitingClients) && !self.input_ended,
            State::Closed => false,
        };
        // BUG write-set-always-armed: every connection is watched for writability, also with
        // nothing to write; an idle socket is always writable, so the wait call returns at once,
        // for ever, and takes a whole core (day 2's quest, the pseudocode: only if write_buf is not
        // empty).
        Interest { read, write: self.queued() > 0 || bug(Bug::WriteSetAlwaysArmed) }
    }

    /// One visit: write, read, answer, write. An error is the end of this client and nobody else's.
    fn serve(&mut self, ready: Interest, share: usize, turn: &mut Turn) -> io::Result<()> {
        if ready.write {
            self.flush(turn)?;
        }
        let unasked = ready.read && self.state == State::Processing && !self.interest().read;
        // BUG hang-up-ignored-while-processing: a hang-up that comes while a task runs is passed over;
        // epoll reports it again at once, and the descriptor is not given back before the task is done
        // (epoll_ctl(2), EPOLLHUP).
        if unasked && !bug(Bug::HangUpIgnoredWhileProcessing) {
            // No input was asked for, so this is the end of the client.
            let error = self.socket.take_error()?;
            return Err(error.unwrap_or_else(|| ErrorKind::ConnectionReset.into()));
        }
        while ready.read && self.interest().read {
            // With that mistake goes a buffer on the stack.
            let share = if bug(Bug::ReadsUntilEagain) { 1 << 10 } else { share };
            let received = self.receive(share, turn)?;
            // BUG reads-until-eagain: one client is served until its socket is empty; while it
            // floods that is never, and the others starve (the EventLoop progress report: an I/O
            // budget, for fairness).
            if !(received && bug(Bug::ReadsUntilEagain)) {
                break;
            }
            self.take_requests(turn);
            self.flush(turn)?;
        }
        // BUG pause-forgets-what-was-read: after a pause the loop waits for input first; requests
        // that were read before it lie there until their client sends more (notes/protocol.md
        // section 5, day3-backpressure).
        if !(bug(Bug::PauseForgetsWhatWasRead) && ready.write && !ready.read) {
            self.take_requests(turn);
        }
        self.flush(turn)?;
        self.finish(turn)
    }

    /// Reads one share; says whether there was anything.
    fn receive(&mut self, share: usize, turn: &mut Turn) -> io::Result<bool> {
        let mut left = share;
        while left > 0 {
            let room = left.min(READ_SHARE);
            match self.socket.read(&mut turn.scratch[..room]) {
                // BUG end-of-input-ignored: recv's 0 is taken for nothing to read; at its end a
                // socket stays readable: the loop spins, and the connection never ends (day 2's
                // quest, step 4).
                Ok(0) if bug(Bug::EndOfInputIgnored) => break,
                // BUG half-close-closes: recv's 0 is taken for the end of the client; who sends
                // all, shuts down its side and then reads gets no reply (notes/protocol.md section
                // 1, half-close).
                Ok(0) if bug(Bug::HalfCloseCloses) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(0) => {
                    // BUG end-of-input-ends-the-line: a line without its LF is obeyed when the
                    // input ends; half a request, of a client that broke off, is carried out
                    // (notes/protocol.md section 1, half-close).
                    let in_a_line = !matches!(self.read_buf.last(), None | Some(b'\n'));
                    if bug(Bug::EndOfInputEndsTheLine) && in_a_line {
                        self.read_buf.push(b'\n');
                    }
                    // The client sends no more. It still reads, so it gets every reply.
                    self.end_of_input = true;
                    self.input_ended = true;
                    break;
                }
                Ok(count) => {
                    left -= count;
                    turn.stats.bytes_read += count as u64;
                    self.last_read = turn.now;
                    // BUG request-clock-restarts-with-each-byte: the clock of a request starts anew
                    // with each byte; a byte now and then holds a connection open for ever:
                    // slowloris (notes/protocol.md section 1, slow request).
                    if bug(Bug::RequestClockRestartsWithEachByte) {
                        self.request_started = None;
                    }
                    if self.state.keeps_input() {
                        self.read_buf.extend_from_slice(&turn.scratch[..count]);
                    } else if self.state == State::Lingering {
                        self.linger_left = self.linger_left.saturating_sub(count);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // BUG read-eagain-closes: every -1 of recv is taken for an error; a connection ends
                // as soon as all that its client sent is read (day 1's quest, step 5: do not
                // close).
                Err(error) if bug(Bug::ReadEagainCloses) => return Err(error),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    turn.stats.read_would_block += 1;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(left < share)
    }

    // The protocol: bytes in the read buffer become replies in the write buffer.

    fn take_requests(&mut self, turn: &mut Turn) {
        let input = mem::take(&mut self.read_buf);
        let share_ends = turn.now + TASK_SHARE;
        let mut used = 0;
        self.has_more = false;
        while self.state.takes_requests() {
            // BUG pause-only-stops-reading: a pause stops recv, and not the requests already in the
            // read buffer; the queue grows past its bound by a whole buffer of them
            // (notes/protocol.md section 5, day3-backpressure).
            let paused = self.paused && !bug(Bug::PauseOnlyStopsReading);
            if paused || turn.now >= share_ends {
                self.has_more = used < input.len() && !bug(Bug::PauseForgetsWhatWasRead);
                // BUG pause-drops-what-was-read: the read buffer is cleared when a pause begins;
                // requests that had arrived are never answered (day 1's quest, step 5: do not
                // discard partial buffer).
                if bug(Bug::PauseDropsWhatWasRead) {
                    used = input.len();
                }
                break;
            }
            let (count, complete) = self.step(&input[used..], turn);
            used += count;
            // BUG one-request-per-read: after each request the loop goes back to the wait call; a
            // pipelined request lies in the read buffer until its client sends more (day 1's quest,
            // step 3: read_buf, partial read accumulator).
            if !complete || bug(Bug::OneRequestPerRead) && self.state == State::ReadingHeader {
                break;
            }
        }
        if self.state == State::Processing {
            self.has_more = used < input.len();
        }
        if !self.state.keeps_input() {
            return;
        }
        // A small rest must not hold on to the memory of what was before it.
        self.read_buf = if used == 0 { input } else { input[used..].to_vec() };
        // The clock of a request runs while its own bytes are waited for, and not during the work
        // on an earlier one or during a pause.
        let begun = !self.read_buf.is_empty() || self.state != State::ReadingHeader;
        if begun && !self.has_more && !self.paused && self.state.takes_requests() {
            self.request_started.get_or_insert(turn.now);
        } else {
            self.request_started = None;
        }
    }

    /// One step into `input`: how many bytes it used up, and whether another one can follow.
    fn step(&mut self, input: &[u8], turn: &mut Turn) -> (usize, bool) {
        match self.state {
            State::ReadingHeader => self.read_header(input, turn),
            State::ReadingBody => self.read_body(input, turn),
            State::SkippingBody => self.skip_body(input, turn),
            State::Processing | State::Flushing | State::Lingering | State::Closed => (0, false),
        }
    }

    fn read_header(&mut self, input: &[u8], turn: &mut Turn) -> (usize, bool) {
        let limit = turn.options.max_header as usize;
        // BUG line-limit-only-at-its-end: the length of a line is checked when its LF has come; a
        // client that sends none fills the memory (notes/protocol.md section 1, line too long).
        let unfinished = if bug(Bug::LineLimitOnlyAtItsEnd) { usize::MAX - 2 } else { limit };
        // The longest line ends within its own bytes, a CR and an LF.
        let window = &input[..input.len().min(unfinished + 2)];
        let seen = mem::take(&mut self.scanned).min(window.len());
        let Some(end) = window[seen..].iter().position(|&byte| byte == b'\n') else {
            // BUG header-must-come-whole: what one recv returns is taken for a whole line; a header
            // that comes in two segments is two unknown verbs (day 1's quest, READING_HEADER: need
            // more bytes).
            if bug(Bug::HeaderMustComeWhole) && !input.is_empty() {
                self.obey(input, turn);
                return (input.len(), true);
            }
            // A CR at the end may be the first half of the end of line.
            if window.strip_suffix(b"\r").unwrap_or(window).len() > unfinished {
                self.lose_framing(b"CLIENT_ERROR line too long\r\n", turn);
            }
            self.scanned = window.len();
            return (0, false);
        };
        let line = &window[..seen + end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limit {
            self.lose_framing(b"CLIENT_ERROR line too long\r\n", turn);
            return (0, false);
        }
        self.request_started = None;
        self.obey(line, turn);
        (seen + end + 1, true)
    }

    fn obey(&mut self, line: &[u8], turn: &mut Turn) {
        let line = trim_start(line);
        let verb_len = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let (verb, rest) = line.split_at(verb_len);
        // All behind the one space after the verb, inner and trailing spaces kept.
        let text = rest.strip_prefix(b" ").unwrap_or(rest);
        // BUG verbs-case-sensitive: verbs are compared byte by byte; MN is an unknown verb, to
        // clients that write it so (notes/protocol.md section 1, verbs).
        let verb =
            if bug(Bug::VerbsCaseSensitive) { verb.to_vec() } else { verb.to_ascii_lowercase() };
        match verb.as_slice() {
            b"echo" => match number(text, MAX_ANNOUNCED) {
                Some(size) => self.start_echo(size, turn),
                None => {
                    self.queue(&[b"CLIENT_ERROR usage: echo <bytes up to 2147483647>\r\n"], turn)
                }
            },
            b"burn" => match number(text, MAX_BURN) {
                Some(ms) => self.run_task(Task::Burn(ms), turn),
                None => {
                    self.queue(&[b"CLIENT_ERROR usage: burn <milliseconds up to 10000>\r\n"], turn)
                }
            },
            b"compute" => self.run_task(Task::Compute(text.to_vec()), turn),
            b"fail" | b"panic" if text.is_empty() => {
                self.queue(&[b"CLIENT_ERROR a message is missing\r\n"], turn);
            }
            b"fail" => self.run_task(Task::Fail(text.to_vec()), turn),
            b"panic" => self.run_task(Task::Panic(text.to_vec()), turn),
            b"version" | b"stats" | b"mn" | b"quit" if !trim_start(text).is_empty() => {
                self.queue(&[b"CLIENT_ERROR this request takes no argument\r\n"], turn);
            }
            b"version" => {
                self.queue(&[b"VERSION ", env!("CARGO_PKG_VERSION").as_bytes(), b"\r\n"], turn);
            }
            b"stats" => {
                let figures = turn.stats.figures(turn);
                self.queue(&[figures.as_bytes()], turn);
            }
            b"mn" => self.queue(&[b"MN\r\n"], turn),
            // BUG quit-drops-the-queue: quit closes at once; replies to what was asked before it
            // are lost (notes/protocol.md section 1, quit).
            b"quit" if bug(Bug::QuitDropsTheQueue) => {
                turn.stats.bytes_queued -= self.queued() as u64;
                self.written = self.write_buf.len();
                self.enter(State::Closed);
            }
            b"quit" => self.stop_reading(),
            // BUG bad-request-closes: an unknown verb ends the connection; a typing error costs the
            // session, and all that was pipelined behind it (notes/protocol.md section 1, when the
            // client is wrong).
            _ if bug(Bug::BadRequestCloses) => self.lose_framing(b"ERROR\r\n", turn),
            // BUG error-reply-jumps-the-queue: an error is sent on the spot, past the write queue;
            // it overtakes the replies to earlier requests (notes/protocol.md section 1: in the
            // order of the requests).
            _ if bug(Bug::ErrorReplyJumpsTheQueue) => {
                let _ = self.socket.write(b"ERROR\r\n");
            }
            _ => self.queue(&[b"ERROR\r\n"], turn),
        }
    }

    fn start_echo(&mut self, size: u64, turn: &mut Turn) {
        self.body_left = size as usize;
        if size > u64::from(turn.options.max_body) {
            // Said at once, so that a client that listens need not send the rest.
            self.queue(&[b"SERVER_ERROR object too large\r\n"], turn);
            // BUG oversized-body-parsed: a body that is too large is refused, and not skipped; its
            // bytes are taken for requests: a client can smuggle them in (notes/protocol.md section
            // 1, n above --max-body).
            if !bug(Bug::OversizedBodyParsed) {
                self.enter(State::SkippingBody);
            }
        } else {
            self.enter(State::ReadingBody);
        }
    }

    fn read_body(&mut self, input: &[u8], turn: &mut Turn) -> (usize, bool) {
        let mut size = self.body_left;
        // BUG body-read-as-a-line: a body is read up to the next LF, whatever its header announced;
        // an LF in the body breaks the framing (notes/protocol.md section 1: exactly n bytes, any
        // value).
        if bug(Bug::BodyReadAsALine)
            && let Some(end) = input.iter().position(|&byte| byte == b'\n')
        {
            size = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]).len();
        }
        let Some((mut body, rest)) = input.split_at_checked(size) else {
            // BUG body-must-come-whole: what one recv returns is taken for the whole body; a body
            // that comes in two segments is an error (day 1's quest, READING_BODY).
            if bug(Bug::BodyMustComeWhole) && !input.is_empty() {
                self.lose_framing(b"CLIENT_ERROR bad data chunk\r\n", turn);
            }
            return (0, false);
        };
        let used = body.len();
        let Some(eol) = self.end_of_body(rest, turn) else { return (0, false) };
        self.enter(State::ReadingHeader);
        // BUG body-stops-at-nul: a body is measured like a C string; binary bodies come back short,
        // cut at their first NUL (notes/protocol.md section 1: exactly n bytes, any value).
        if bug(Bug::BodyStopsAtNul) {
            body = body.split(|&byte| byte == 0).next().unwrap_or(body);
        }
        self.queue(&[b"ECHO ", body.len().to_string().as_bytes(), b"\r\n", body, b"\r\n"], turn);
        (used + eol, true)
    }

    fn skip_body(&mut self, input: &[u8], turn: &mut Turn) -> (usize, bool) {
        // BUG oversized-body-buffered: a body that is too large is collected, and thrown away when
        // it is complete; the limit that is to protect the memory does not (notes/protocol.md
        // section 1, n above --max-body).
        if bug(Bug::OversizedBodyBuffered) && input.len() < self.body_left {
            return (0, false);
        }
        let skipped = self.body_left.min(input.len());
        self.body_left -= skipped;
        if self.body_left > 0 {
            return (skipped, false);
        }
        let Some(eol) = self.end_of_body(&input[skipped..], turn) else { return (skipped, false) };
        self.enter(State::ReadingHeader);
        (skipped + eol, true)
    }

    /// The length of the end of line behind a body, once it is there. Anything else in its place
    /// means that nobody knows where the next request begins.
    fn end_of_body(&mut self, rest: &[u8], turn: &mut Turn) -> Option<usize> {
        match rest {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            // BUG cr-without-its-lf-is-an-error: CR and LF are expected in the same recv; a segment
            // that ends between the two closes the connection (notes/protocol.md section 1, EOL).
            [] | [b'\r'] if !(bug(Bug::CrWithoutItsLfIsAnError) && rest == b"\r") => None,
            _ => {
                self.lose_framing(b"CLIENT_ERROR bad data chunk\r\n", turn);
                return None;
            }
        }
        .inspect(|_| self.request_started = None)
    }

    /// Hands a task to the pool, or runs it here and now.
    fn run_task(&mut self, task: Task, turn: &mut Turn) {
        // BUG cpu-work-on-the-loop: the workers are started, and the loop runs the tasks itself; while
        // one client's task runs all others wait (the hand-off lesson, Done when).
        if let Some(pool) = &mut turn.pool
            && !bug(Bug::CpuWorkOnTheLoop)
        {
            match pool.submit(self.fd, task) {
                // BUG results-out-of-order: requests behind a task are answered while it runs, and
                // results are sent as they come; a client that pipelines takes one reply for another
                // (notes/protocol.md section 1: in the order of the requests).
                Some(id) if bug(Bug::ResultsOutOfOrder) => {
                    self.others.insert(id);
                }
                Some(id) => {
                    self.task = Some(id);
                    // BUG task-clock-ignored: --task-timeout is parsed, and no clock runs; a client
                    // waits for a long task as long as it takes (notes/protocol.md section 2,
                    // --task-timeout).
                    let clock = !bug(Bug::TaskClockIgnored) && !bug(Bug::TimeOutToldByTheWorker);
                    let limit = turn.options.task_timeout.filter(|_| clock);
                    self.task_due = limit.map(|limit| turn.now + limit);
                    self.enter(State::Processing);
                }
                None => self.queue(&[b"SERVER_ERROR busy\r\n"], turn),
            }
            return;
        }
        // BUG task-panic-ends-the-server: nothing catches a task's panic; one client's request ends
        // the connections of all (the chapter Event Loops, Error Handling).
        let outcome =
            if bug(Bug::TaskPanicEndsTheServer) { task.run_uncaught() } else { task.run() };
        // The work took its time: nobody's clock may start before it.
        // BUG clock-stale-after-task: the time is taken once a turn, and not again after a task;
        // the request behind a long task has timed out before the rest of it can come
        // (notes/protocol.md section 1, slow request).
        if !bug(Bug::ClockStaleAfterTask) {
            turn.now = Instant::now();
            self.last_read = turn.now;
        }
        self.queue(&[&outcome.reply()], turn);
    }

    /// A worker has done a task of this connection, or of one that had its descriptor before.
    fn end_task(&mut self, id: TaskId, outcome: &Outcome, turn: &mut Turn) -> io::Result<()> {
        let reply = if bug(Bug::WorkerSendsOnTheSocket) { Vec::new() } else { outcome.reply() };
        // BUG result-to-the-fds-new-owner: a result is addressed by its descriptor; when its client
        // has left it goes to the next one that got the number (the chapter Event Loops, Explicit
        // Lifetimes).
        let by_number = bug(Bug::ResultToTheFdsNewOwner) && self.state.keeps_input();
        if self.task == Some(id) || by_number {
            self.go_on(&reply, turn)?;
        } else if self.others.remove(&id) {
            self.queue(&[&reply], turn);
            self.serve(NOTHING, 0, turn)?;
        }
        Ok(())
    }

    /// Answers the task that was waited for, and turns to what came behind it.
    fn go_on(&mut self, reply: &[u8], turn: &mut Turn) -> io::Result<()> {
        (self.task, self.task_due) = (None, None);
        // Until now it was the client who waited.
        self.last_read = turn.now;
        self.enter(State::ReadingHeader);
        self.queue(&[reply], turn);
        // BUG blocking-send-on-the-loop: a result is sent until all of it is out; a client that does
        // not read stops the loop, and with it everybody (the hand-off lesson, Common mistakes).
        while bug(Bug::BlockingSendOnTheLoop) && self.queued() > 0 {
            poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
            self.flush(turn)?;
        }
        self.serve(NOTHING, 0, turn)
    }

    fn lose_framing(&mut self, reply: &[u8], turn: &mut Turn) {
        self.queue(&[reply], turn);
        self.stop_reading();
    }

    fn stop_reading(&mut self) {
        self.read_buf = Vec::new();
        self.has_more = false;
        self.request_started = None;
        self.enter(State::Flushing);
    }

    fn queue(&mut self, parts: &[&[u8]], turn: &mut Turn) {
        // What has been sent is cut off now and then, so that a long queue is seldom moved.
        if self.written > self.write_buf.len() / 2 {
            self.write_buf.drain(..self.written);
            self.written = 0;
        }
        let before = self.queued();
        for part in parts {
            self.write_buf.extend_from_slice(part);
        }
        turn.stats.bytes_queued += (self.queued() - before) as u64;
        turn.stats.peak_bytes_queued = turn.stats.peak_bytes_queued.max(self.queued() as u64);
        // BUG no-backpressure: replies are queued without a limit; a client that sends and never
        // reads takes all the memory (day 1's quest, self-test 3).
        let full = self.queued() >= turn.options.high_water as usize;
        if full && !self.paused && !bug(Bug::NoBackpressure) {
            self.paused = true;
            turn.stats.reads_paused += 1;
        }
        self.drop_at_once = false;
    }

    // Writing, and what comes of it.

    fn flush(&mut self, turn: &mut Turn) -> io::Result<()> {
        if self.queued() > 0 && !self.unconfirmed {
            // All that was sent before has been acknowledged. From now on the client is asked.
            self.unconfirmed = true;
            self.sample_at = turn.now + SAMPLE_EVERY;
            self.taken = self.handed_over;
            self.taken_at = turn.now;
        }
        while self.queued() > 0 {
            let waiting = &self.write_buf[self.written..];
            // BUG sigpipe-is-fatal: send without MSG_NOSIGNAL, and SIGPIPE not ignored; a reply to
            // a client that has left ends the server, without a word (notes/protocol.md section 1:
            // no signal ends the server).
            let sent = if bug(Bug::SigpipeIsFatal) {
                send(&self.socket, waiting, SendFlags::empty()).map_err(io::Error::from)
            } else {
                self.socket.write(waiting)
            };
            match sent {
                // BUG partial-write-resends-all: what send took is only taken off the queue if it
                // took all; the client gets parts of a large reply twice (day 2's quest, step 4:
                // remove sent bytes).
                Ok(count) if bug(Bug::PartialWriteResendsAll) && count < waiting.len() => {}
                // BUG partial-write-drops-the-rest: send is taken to send all; of a large reply
                // only what fits the socket's buffer arrives (day 1's quest, step 5: keep remaining
                // data in write_buf).
                Ok(count) if bug(Bug::PartialWriteDropsTheRest) => {
                    turn.stats.bytes_written += count as u64;
                    turn.stats.bytes_queued -= self.queued() as u64;
                    self.written = self.write_buf.len();
                }
                Ok(count) => {
                    self.written += count;
                    self.handed_over += count as u64;
                    self.last_written = Some(turn.now);
                    turn.stats.bytes_written += count as u64;
                    turn.stats.bytes_queued -= count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // BUG send-tries-until-done: EAGAIN from send is answered by the next send; until
                // this client has read, the loop spins and serves nobody else (day 1's quest, step
                // 5).
                Err(error)
                    if bug(Bug::SendTriesUntilDone) && error.kind() == ErrorKind::WouldBlock => {}
                // BUG write-eagain-closes: EAGAIN from send is taken for an error; who reads a
                // large reply slowly loses its end (day 1's quest, step 5: never means failed).
                Err(error) if bug(Bug::WriteEagainCloses) => return Err(error),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    turn.stats.write_would_block += 1;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if self.queued() == 0 {
            self.write_buf = Vec::new();
            self.written = 0;
        }
        // BUG pause-never-ends: nothing ends a pause; a client that reads its replies after all is
        // never served again (notes/protocol.md section 2, --low-water).
        let full = self.queued() >= turn.options.high_water as usize;
        self.paused &= full || self.queued() > turn.options.low_water() || bug(Bug::PauseNeverEnds);
        // BUG slow-reader-never-cut: no clock runs while a long queue hardly moves; a client that
        // takes a byte a second holds its place and its queue for ever (notes/protocol.md section
        // 1, slow for too long).
        let short = self.queued() * 5 < turn.options.high_water as usize * 4;
        if short || bug(Bug::SlowReaderNeverCut) {
            self.window = None;
        } else if self.window.is_none() {
            self.begin_window(turn);
        }
        Ok(())
    }

    /// Moves a connection that has nothing left to do towards its end.
    fn finish(&mut self, turn: &mut Turn) -> io::Result<()> {
        let answered = self.others.is_empty();
        if self.state.takes_requests() && self.input_ended && !self.has_more && answered {
            // An incomplete request is dropped.
            self.stop_reading();
        }
        if self.state == State::Flushing && self.queued() == 0 {
            // BUG no-linger: the socket is closed right after the last send; if input is still
            // unread the kernel sends a reset, and that destroys the reply on its way
            // (notes/protocol.md section 1, graceful close).
            if self.end_of_input || self.drop_at_once || bug(Bug::NoLinger) {
                self.enter(State::Closed);
            } else {
                // To close with input unread would send a reset, and that can destroy replies which
                // the client has not read yet.
                self.socket.shutdown(Shutdown::Write)?;
                self.linger_until = turn.now + LINGER_TIME;
                self.enter(State::Lingering);
            }
        } else if self.state == State::Lingering && (self.end_of_input || self.linger_left == 0) {
            self.enter(State::Closed);
        }
        Ok(())
    }

    /// The server stops: of this client's input only what has arrived by now still counts.
    fn begin_drain(&mut self, signalled_at: Instant, turn: &mut Turn) -> io::Result<()> {
        if !self.state.keeps_input() || self.input_ended {
            return Ok(());
        }
        // BUG sigterm-waits-for-idle-clients: the drain ends when the clients have gone; one that
        // is idle holds up the end until the time-out (notes/protocol.md section 2, SIGTERM: drop
        // idle connections).
        if bug(Bug::SigtermWaitsForIdleClients) && self.read_buf.is_empty() && self.queued() == 0 {
            return Ok(());
        }
        // Exactly what is there now: a client that keeps sending cannot prolong the drain.
        self.receive(sys::unread(&self.socket), turn)?;
        self.drop_at_once = self.queued() == 0
            && sys::unacknowledged(&self.socket) == 0
            && self.last_written.is_none_or(|at| at < signalled_at);
        self.input_ended = true;
        // Its turn comes at once, with an empty buffer too.
        self.has_more = true;
        Ok(())
    }

    // The clocks. None of them needs a timer of its own: each is a time at which something last
    // happened, compared when the server looks.

    /// Asks what the client has taken. A full socket reports room only in large steps, so bytes that
    /// `send` accepted say little.
    fn sample(&mut self, now: Instant) {
        if !self.unconfirmed {
            return;
        }
        // BUG stall-measured-by-send: what send accepts is taken for what the client takes; a full
        // socket makes room in large steps, so a slow but steady client is closed between two of
        // them (notes/protocol.md section 1, stalled reader).
        let unacknowledged =
            if bug(Bug::StallMeasuredBySend) { 0 } else { sys::unacknowledged(&self.socket) };
        let taken = self.handed_over.saturating_sub(unacknowledged as u64);
        if taken > self.taken {
            self.taken = taken;
            self.taken_at = now;
        }
        self.sample_at = now + SAMPLE_EVERY;
        self.unconfirmed = self.queued() > 0 || unacknowledged > 0;
    }

    fn begin_window(&mut self, turn: &Turn) {
        self.sample(turn.now);
        let ends = turn.now + turn.options.slow_reader_timeout;
        self.window = Some(Window { ends, taken_before: self.progress() });
    }

    /// What a window counts.
    fn progress(&self) -> u64 {
        // BUG slow-reader-measured-by-send: a slow reader's progress is what send accepts; that
        // comes in large steps: a client that reads steadily is cut between two of them
        // (notes/protocol.md section 1, slow for too long).
        if bug(Bug::SlowReaderMeasuredBySend) { self.handed_over } else { self.taken }
    }

    /// The next time-out of this connection.
    fn due(&self, options: &Options) -> Option<(Instant, Overdue)> {
        if self.state == State::Lingering {
            return Some((self.linger_until, Overdue::LingerOver));
        }
        let silent = if bug(Bug::IdleClockIgnoresWriting) {
            // BUG idle-clock-ignores-writing: the idle clock looks at received bytes only; a client
            // in the middle of a large reply is closed as idle (day 1's quest, step 3:
            // last_active).
            Some((self.last_read + options.idle_timeout, Overdue::Idle))
        } else if bug(Bug::StalledReaderNeverClosed) && self.unconfirmed {
            // BUG stalled-reader-never-closed: no clock runs while replies wait; a client that
            // stopped reading keeps its place and its queue for ever (notes/protocol.md section 1,
            // stalled reader).
            None
        } else if self.unconfirmed {
            Some((self.taken_at + options.idle_timeout, Overdue::StalledReader))
        // BUG idle-clock-strikes-while-processing: the idle clock runs on while a task does; the client
        // of a long task is closed for waiting (notes/protocol.md section 1: a request that is worked
        // on is not idle).
        } else if self.has_more
            || self.state == State::Processing && !bug(Bug::IdleClockStrikesWhileProcessing)
        {
            None
        } else {
            Some((self.last_read.max(self.taken_at) + options.idle_timeout, Overdue::Idle))
        };
        let request = self
            .request_started
            .filter(|_| !self.input_ended)
            .map(|started| (started + options.request_timeout, Overdue::SlowRequest));
        let task = self.task_due.map(|at| (at, Overdue::Task));
        let slow = self.window.as_ref().map(|window| (window.ends, Overdue::SlowReader));
        [silent, request, task, slow].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When to look at this connection even if nothing happens.
    fn next_look(&self, turn: &Turn) -> Option<Instant> {
        let due = self.due(&turn.options).map(|(at, _)| at);
        if !self.unconfirmed {
            return due.map(|at| rounded_up(at, turn.started, TICK));
        }
        let at = due.map_or(self.sample_at, |at| at.min(self.sample_at));
        Some(rounded_up(at, turn.started, SAMPLE_EVERY))
    }

    /// Closes the connection if one of its clocks has run out.
    fn check_clocks(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.sample(turn.now);
        let mut overdue = self.overdue(turn);
        if matches!(overdue, Some(Overdue::Idle | Overdue::SlowRequest))
            && !bug(Bug::ClocksBeforeReading)
        {
            // After a long task, what a client sent in time may still wait in the kernel. Only what
            // is there now: a client that never stops sending would never time out.
            let unread = sys::unread(&self.socket);
            self.serve(Interest { read: unread > 0, write: false }, unread, turn)?;
            overdue = self.overdue(turn);
        }
        match overdue {
            None => return Ok(()),
            _ if self.state == State::Closed => return Ok(()),
            Some(Overdue::LingerOver) => {}
            Some(Overdue::Task) => {
                if let (Some(pool), Some(id)) = (&mut turn.pool, self.task) {
                    pool.cancel(id);
                    pool.tasks_timed_out += 1;
                    // BUG late-result-delivered: a task that has timed out is still waited for; its
                    // result comes as one reply too many, and from then on each reply is taken for
                    // another (notes/protocol.md section 2, --task-timeout).
                    if bug(Bug::LateResultDelivered) {
                        self.others.insert(id);
                    }
                }
                return self.go_on(b"SERVER_ERROR task timed out\r\n", turn);
            }
            Some(Overdue::SlowReader) => {
                let Some(window) = &self.window else { return Ok(()) };
                let taken = self.progress() - window.taken_before;
                // BUG slow-reader-cut-though-it-moves: only the length of the queue is looked at,
                // not what was taken of it; a large reply on a slow line is cut off
                // (notes/protocol.md section 1, slow for too long).
                if taken >= LEAST_TAKEN.min(turn.options.high_water as usize) as u64
                    && !bug(Bug::SlowReaderCutThoughItMoves)
                {
                    self.begin_window(turn);
                    return Ok(());
                }
                turn.stats.slow_reader_disconnects += 1;
                warn!(
                    fd = self.fd,
                    bytes_queued = self.queued(),
                    reason = "slow_reader_sustained",
                    "disconnected"
                );
            }
            Some(reason) => {
                turn.stats.timeouts += 1;
                info!(fd = self.fd, ?reason, "timed out");
            }
        }
        self.enter(State::Closed);
        Ok(())
    }

    fn overdue(&self, turn: &Turn) -> Option<Overdue> {
        self.due(&turn.options).filter(|(at, _)| *at <= turn.now).map(|(_, reason)| reason)
    }
}

// --- Helpers of the protocol ----------------------------------------------------------------------

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| byte != b' ').unwrap_or(bytes.len());
    &bytes[start..]
}

/// The only argument as a number from 0 to `max`.
fn number(text: &[u8], max: u64) -> Option<u64> {
    let mut arguments = text.split(|&byte| byte == b' ').filter(|argument| !argument.is_empty());
    let (Some(digits), None) = (arguments.next(), arguments.next()) else { return None };
    let mut value = 0_u64;
    for digit in digits {
        let digit = char::from(*digit).to_digit(10)?;
        // Saturating, so that a number of any length is out of range instead of wrapped around.
        value = value.saturating_mul(10).saturating_add(digit.into());
    }
    (value <= max).then_some(value)
}

/// The next multiple of `tick`, counted from `start`.
fn rounded_up(at: Instant, start: Instant, tick: Duration) -> Instant {
    let ticks = at.saturating_duration_since(start).as_nanos().div_ceil(tick.as_nanos());
    start + tick * u32::try_from(ticks).unwrap_or(u32::MAX)
}

// --- Statistics -----------------------------------------------------------------------------------

#[derive(Default)]
struct Stats {
    curr_connections: u64,
    total_connections: u64,
    rejected_connections: u64,
    bytes_read: u64,
    bytes_written: u64,
    bytes_queued: u64,
    peak_bytes_queued: u64,
    loop_iterations: u64,
    read_would_block: u64,
    write_would_block: u64,
    timeouts: u64,
    reads_paused: u64,
    slow_reader_disconnects: u64,
}

impl Stats {
    fn figures(&self, turn: &Turn) -> String {
        let mut text = format!(
            "STAT pid {}\r\nSTAT uptime {}\r\nSTAT version {}\r\nSTAT mechanism {}\r\n",
            process::id(),
            turn.started.elapsed().as_secs(),
            env!("CARGO_PKG_VERSION"),
            turn.mechanism.name(),
        );
        let own = [
            ("threads", 1 + turn.pool.as_ref().map_or(0, Pool::threads)),
            ("curr_connections", self.curr_connections),
            ("total_connections", self.total_connections),
            ("rejected_connections", self.rejected_connections),
            ("bytes_read", self.bytes_read),
            ("bytes_written", self.bytes_written),
            ("bytes_queued", self.bytes_queued),
            ("peak_bytes_queued", self.peak_bytes_queued),
            ("loop_iterations", self.loop_iterations),
            ("read_would_block", self.read_would_block),
            ("write_would_block", self.write_would_block),
            ("timeouts", self.timeouts),
            ("reads_paused", self.reads_paused),
            ("slow_reader_disconnects", self.slow_reader_disconnects),
        ];
        let of_tasks = turn.pool.as_ref().map(Pool::figures);
        for (name, value) in own.into_iter().chain(of_tasks.into_iter().flatten()) {
            text += &format!("STAT {name} {value}\r\n");
        }
        text + "END\r\n"
    }
}

// --- The three wait calls -------------------------------------------------------------------------

/// What a descriptor is watched for, or what it is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Interest {
    read: bool,
    write: bool,
}

const READ: Interest = Interest { read: true, write: false };
const NOTHING: Interest = Interest { read: false, write: false };

/// A descriptor that is ready. A hang-up or an error counts as both: the next recv or send tells.
type Ready = (RawFd, Interest);
/// A descriptor, and what it is watched for.
type Watched<'a> = (BorrowedFd<'a>, Interest);

fn wait_with_select(
    watched: &[Watched<'_>],
    max_fd: RawFd,
    timeout: Option<Duration>,
) -> nix::Result<Vec<Ready>> {
    // Built anew each time: the kernel clears the bits of those that are not ready.
    let (mut read, mut write, mut error) = (FdSet::new(), FdSet::new(), FdSet::new());
    for (fd, interest) in watched {
        if interest.read {
            read.insert(*fd);
            error.insert(*fd);
        }
        if interest.write {
            write.insert(*fd);
        }
    }
    let micros = timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000));
    let mut timeout =
        micros.map(|micros| TimeVal::microseconds(i64::try_from(micros).unwrap_or(i64::MAX)));
    // BUG max-fd-without-plus-one: select gets max_fd where it wants max_fd + 1; the client with
    // the highest descriptor, mostly the newest, is not served until another one comes (day 2's
    // quest, self-test 2).
    let count = if bug(Bug::MaxFdWithoutPlusOne) { max_fd } else { max_fd + 1 };
    select(count, &mut read, &mut write, &mut error, timeout.as_mut())?;
    let mut ready = Vec::new();
    for (fd, _) in watched {
        // BUG urgent-data-spins: the third set is watched and not looked at; it reports urgent
        // data: one such byte makes select return at once until its client leaves (select(2),
        // exceptfds).
        let exceptional = error.contains(*fd) && !bug(Bug::UrgentDataSpins);
        let interest =
            Interest { read: read.contains(*fd) || exceptional, write: write.contains(*fd) };
        if interest != NOTHING {
            ready.push((fd.as_raw_fd(), interest));
        }
    }
    Ok(ready)
}

/// Milliseconds, rounded up, so that the loop does not wake before its deadline.
fn milliseconds(timeout: Duration) -> i32 {
    // BUG poll-timeout-in-seconds: the seconds of select's timeval are handed to poll; poll takes
    // milliseconds: a deadline in a minute wakes the loop every 60 ms, one in half a second lets it
    // spin (poll(2), timeout).
    if bug(Bug::PollTimeoutInSeconds) {
        return i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
    }
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

fn wait_with_poll(watched: &[Watched<'_>], timeout: Option<Duration>) -> nix::Result<Vec<Ready>> {
    let mut fds: Vec<PollFd<'_>> = watched
        .iter()
        .map(|(fd, interest)| {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, interest.read);
            events.set(PollFlags::POLLOUT, interest.write);
            PollFd::new(*fd, events)
        })
        .collect();
    let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
        PollTimeout::try_from(milliseconds(timeout)).unwrap_or(PollTimeout::MAX)
    });
    poll(&mut fds, timeout)?;
    let mut ready = Vec::new();
    for ((fd, _), polled) in watched.iter().zip(&fds) {
        let events = polled.revents().unwrap_or(PollFlags::empty());
        let failed = events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
        let interest = if bug(Bug::PollEventsCompared) {
            // BUG poll-events-compared: revents is compared with == where a bit is to be tested;
            // when two events come together, POLLIN with POLLHUP, neither is seen: the connection
            // stays and poll returns at once (poll(2), revents).
            Interest { read: events == PollFlags::POLLIN, write: events == PollFlags::POLLOUT }
        } else {
            Interest {
                read: failed || events.contains(PollFlags::POLLIN),
                write: failed || events.contains(PollFlags::POLLOUT),
            }
        };
        if interest != NOTHING {
            ready.push((fd.as_raw_fd(), interest));
        }
    }
    Ok(ready)
}

fn wait_with_epoll(epoll: &Epoll, timeout: Option<Duration>) -> nix::Result<Vec<Ready>> {
    let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
        EpollTimeout::try_from(milliseconds(timeout)).unwrap_or(EpollTimeout::MAX)
    });
    // A client that has half-closed, where that is asked for.
    let hung_up = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP | EpollFlags::EPOLLRDHUP;
    let mut events = [EpollEvent::empty(); 1024];
    let count = epoll.wait(&mut events, timeout)?;
    let mut ready = Vec::new();
    for event in &events[..count] {
        let flags = event.events();
        let failed = flags.intersects(hung_up);
        let interest = Interest {
            read: failed || flags.contains(EpollFlags::EPOLLIN),
            write: failed || flags.contains(EpollFlags::EPOLLOUT),
        };
        ready.push((event.data() as RawFd, interest));
    }
    Ok(ready)
}

/// What to register with epoll for this descriptor.
fn registration(fd: RawFd, interest: Interest) -> EpollEvent {
    let mut flags = EpollFlags::empty();
    flags.set(EpollFlags::EPOLLIN, interest.read);
    flags.set(EpollFlags::EPOLLOUT, interest.write);
    EpollEvent::new(flags, fd as u64)
}

/// What to register for a connection.
fn registration_of(conn: &Connection, interest: Interest) -> EpollEvent {
    let event = registration(conn.fd, interest);
    let mut flags = event.events();
    // BUG epoll-edge-not-drained: edge-triggered, but a socket is read as with level: one share,
    // and back to the wait; the rest of a large request raises no second edge, so it hangs
    // (epoll(7), level-triggered and edge-triggered).
    flags.set(EpollFlags::EPOLLET, bug(Bug::EpollEdgeNotDrained));
    // BUG epoll-one-shot-not-rearmed: EPOLLONESHOT without an epoll_ctl after each event; the first
    // event of a connection is its last: a second request is never read (epoll_ctl(2),
    // EPOLLONESHOT).
    flags.set(EpollFlags::EPOLLONESHOT, bug(Bug::EpollOneShotNotRearmed));
    // BUG half-close-drops-the-result: while a task runs EPOLLRDHUP is watched for, and taken for the end
    // of the client; who sends all and shuts down its side gets no result (notes/protocol.md section 1,
    // half-close).
    let gone = bug(Bug::HalfCloseDropsTheResult) && conn.state == State::Processing;
    flags.set(EpollFlags::EPOLLRDHUP, gone);
    EpollEvent::new(flags, event.data())
}

// --- Server: all connections, and the loop --------------------------------------------------------

pub(crate) struct Server {
    epoll: Option<Epoll>,
    signals: Signals,
    /// None once the server drains.
    listener: Option<TcpListener>,
    /// Descriptors have run out: no accept before this.
    accept_after: Option<Instant>,
    /// What epoll was last told about the listener.
    listener_registered: bool,
    max_connections: usize,
    connections: BTreeMap<RawFd, Connection>,
    /// The highest descriptor of all, for select.
    max_fd: RawFd,
    /// Connections with requests left in their buffers, whose turn comes without waiting.
    again: BTreeSet<RawFd>,
    /// When to look at which connection's clocks.
    deadlines: BTreeSet<(Instant, RawFd)>,
    drain_until: Option<Instant>,
    turn: Turn,
    mistaken: Mistaken,
}

/// What only a mistake remembers.
#[derive(Default)]
struct Mistaken {
    left_in_sets: Option<BTreeSet<RawFd>>,
    buffers: BTreeMap<RawFd, Vec<u8>>,
    to_clean_up: Vec<RawFd>,
    remembered: Vec<Vec<u8>>,
    duplicates: Vec<TcpStream>,
    unflushed: Option<BufWriter<io::Stdout>>,
}

impl Server {
    /// Listens, and says so on standard output.
    pub(crate) fn start(options: Options, mechanism: Mechanism) -> Result<Self> {
        sys::give_back_large_buffers();
        let limit = getrlimit(Resource::Nofile);
        // Not being allowed to is no reason not to serve.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        // BUG second-signal-waits: both signals only set the flag; a drain or a task that takes too
        // long can't be ended by a second Ctrl-C (notes/protocol.md section 2, a second signal).
        let signals = Signals::install(!bug(Bug::SecondSignalWaits))
            .context("cannot install signal handlers")?;
        if bug(Bug::SigpipeIsFatal) {
            // Rust's runtime ignores SIGPIPE; in C this is how a process begins.
            flag::register_conditional_default(SIGPIPE, Arc::new(AtomicBool::new(true)))?;
        }
        let epoll = match mechanism {
            Mechanism::Epoll | Mechanism::Handoff => {
                Some(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)
            }
            Mechanism::Select | Mechanism::Poll => None,
        };
        let with_pool = mechanism == Mechanism::Handoff;
        let pool = with_pool.then(|| Pool::start(&options)).transpose()?;
        let listener = open_listener(&options)
            .with_context(|| format!("cannot listen on {}", endpoint(&options)))?;
        let address = listener.local_addr()?;
        let room = match mechanism {
            // The kernel gives out the lowest free number, so all below it will be used.
            Mechanism::Select if !bug(Bug::FdSetsizeIgnored) => {
                // Reading the folder opens one more, which is closed again.
                let open = fs::read_dir("/proc/self/fd")?.count() - 1;
                FD_SETSIZE.saturating_sub(open)
            }
            _ => 10_000,
        };
        let mut server = Self {
            max_fd: signals.pipe.as_raw_fd().max(listener.as_raw_fd()),
            epoll,
            signals,
            listener: Some(listener),
            accept_after: None,
            listener_registered: false,
            max_connections: options.max_connections.map_or(room, |limit| limit as usize),
            connections: BTreeMap::new(),
            again: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            drain_until: None,
            turn: Turn {
                started: Instant::now(),
                now: Instant::now(),
                mechanism,
                options,
                stats: Stats::default(),
                scratch: vec![0; READ_SHARE],
                pool,
            },
            mistaken: Mistaken::default(),
        };
        if let Some(epoll) = &server.epoll {
            let fd = server.signals.pipe.as_raw_fd();
            epoll.add(&server.signals.pipe, registration(fd, READ))?;
            if let Some(pool) = &server.turn.pool {
                epoll.add(pool.wakeup(), registration(pool.wakeup().as_raw_fd(), READ))?;
            }
        }
        // Only now: whoever reads this line may connect, or send a signal.
        // BUG ready-line-not-flushed: the ready line is written to a buffered standard output and
        // not flushed; in a terminal it shows, but whoever reads it through a pipe waits for ever
        // (notes/protocol.md section 2, ready).
        if bug(Bug::ReadyLineNotFlushed) {
            let stdout = server.mistaken.unflushed.insert(BufWriter::new(io::stdout()));
            writeln!(stdout, "listening on {address}")?;
            return Ok(server);
        }
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "listening on {address}")
            .and_then(|()| stdout.flush())
            .context("cannot write to standard output")?;
        Ok(server)
    }

    /// Serves until a signal has come and nobody is owed anything any more.
    pub(crate) fn run(mut self) -> Result<()> {
        loop {
            if let (Some(signalled_at), None) = (self.signals.came(), self.drain_until) {
                // BUG sigterm-exits-at-once: the signal ends the loop as it is; requests that had
                // arrived and replies that were queued are lost (the chapter Event Loops,
                // Shutdown).
                if bug(Bug::SigtermExitsAtOnce) {
                    return Ok(());
                }
                self.begin_drain(signalled_at)?;
            }
            if let Some(until) = self.drain_until
                && (self.connections.is_empty() || until <= Instant::now())
            {
                info!(given_up = self.connections.len(), "drained");
                self.turn.pool.into_iter().for_each(|pool| pool.finish(until));
                return Ok(());
            }
            let ready = self.wait()?;
            self.turn.now = Instant::now();
            self.turn.stats.loop_iterations += 1;
            // BUG clocks-before-reading: time-outs are looked at before what has arrived is read;
            // after a long task clients are closed for the server's own delay (notes/protocol.md
            // section 1: a loop that was busy blames no client).
            if bug(Bug::ClocksBeforeReading) {
                self.expire();
            }
            self.dispatch(&ready)?;
            self.expire();
        }
    }

    fn wait(&mut self) -> Result<Vec<Ready>> {
        self.watch_listener()?;
        let timeout = self.timeout();
        let outcome = match (&self.epoll, self.turn.mechanism) {
            (Some(epoll), _) => wait_with_epoll(epoll, timeout),
            (None, Mechanism::Poll) => wait_with_poll(&self.watched(), timeout),
            (None, _) => wait_with_select(&self.watched(), self.max_fd, timeout),
        };
        match outcome {
            Ok(ready) => {
                // BUG fd-sets-not-rebuilt: the sets that select has changed are handed to it again;
                // it clears the bits of those that are not ready, so after the first events the
                // server is deaf (day 2's quest, step 2).
                if bug(Bug::FdSetsNotRebuilt) {
                    self.mistaken.left_in_sets = Some(ready.iter().map(|(fd, _)| *fd).collect());
                }
                Ok(ready)
            }
            // BUG eintr-is-fatal: an interrupted wait call is taken for a broken one; the first
            // signal ends the server with an error, in the middle of its work (select(2), EINTR).
            Err(error) if bug(Bug::EintrIsFatal) => Err(error).context("cannot wait"),
            // A signal: nobody is ready, and the pipe will tell.
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(error) => Err(error).context("cannot wait"),
        }
    }

    /// Everything to watch, for the mechanisms that are told all in every turn.
    fn watched(&self) -> Vec<Watched<'_>> {
        let listener = self.listener.as_ref().filter(|_| self.accept_after.is_none());
        iter::once((self.signals.pipe.as_fd(), READ))
            .chain(listener.map(|listener| (listener.as_fd(), READ)))
            .chain(self.connections.values().map(|conn| (conn.socket.as_fd(), conn.interest())))
            .filter(|(fd, _)| {
                let left = &self.mistaken.left_in_sets;
                left.as_ref().is_none_or(|left| left.contains(&fd.as_raw_fd()))
            })
            .collect()
    }

    fn timeout(&self) -> Option<Duration> {
        // BUG sleep-in-the-loop: the loop asks without waiting and sleeps a little between; every
        // client waits for the sleep, and an idle server is never at rest (day 1's quest, step 4).
        if bug(Bug::SleepInTheLoop) {
            thread::sleep(Duration::from_millis(20));
            return Some(Duration::ZERO);
        }
        // BUG zero-timeout: the wait call gets a time-out of 0; the loop turns without a pause and
        // takes a whole core, with nobody connected (day 2's quest, pass criterion 5: a time-out,
        // and a reason for it).
        if !self.again.is_empty() || bug(Bug::ZeroTimeout) {
            return Some(Duration::ZERO);
        }
        // BUG results-polled-for: no worker wakes the loop, which looks for results every 10 ms; each
        // result waits for that, and a server with nothing to do is never at rest (the hand-off lesson,
        // Warmup).
        if bug(Bug::ResultsPolledFor) {
            return Some(Duration::from_millis(10));
        }
        // BUG time-outs-only-on-activity: the wait call waits without a deadline; while nobody
        // sends anything nobody is timed out either (the chapter Event Loops, Timers).
        if bug(Bug::TimeOutsOnlyOnActivity) {
            return None;
        }
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let nearest =
            [deadline, self.accept_after, self.drain_until].into_iter().flatten().min()?;
        Some(nearest.saturating_duration_since(Instant::now()))
    }

    fn dispatch(&mut self, ready: &[Ready]) -> Result<()> {
        let signals = self.signals.pipe.as_raw_fd();
        let listener = self.listener.as_ref().map(AsRawFd::as_raw_fd);
        let wakeup = self.turn.pool.as_ref().map(|pool| pool.wakeup().as_raw_fd());
        let mut newcomers = false;
        let again: Vec<Ready> = self.again.iter().map(|fd| (*fd, NOTHING)).collect();
        for &(fd, interest) in ready.iter().chain(&again) {
            if fd == signals {
                self.signals.clear()?;
            } else if Some(fd) == listener {
                newcomers = true;
            } else if Some(fd) == wakeup {
                self.take_completions()?;
            } else {
                self.visit(fd, |conn, turn| conn.serve(interest, READ_SHARE, turn));
            }
            if self.is_called_away() {
                // The kernel reports the others again.
                return Ok(());
            }
        }
        if bug(Bug::ResultsPolledFor) {
            self.take_completions()?;
        }
        if newcomers {
            self.accept()?;
        }
        // BUG late-clean-up-hits-newcomer: a socket is closed at once, and its entry removed at the
        // end of the turn, by number; a newcomer that has got the number by then is thrown out (the
        // chapter Event Loops, Explicit Lifetimes).
        if bug(Bug::LateCleanUpHitsNewcomer) {
            mem::take(&mut self.mistaken.to_clean_up).into_iter().for_each(|fd| self.remove(fd));
        }
        Ok(())
    }

    /// Brings what the workers have done to those who wait for it.
    fn take_completions(&mut self) -> Result<()> {
        let Some(pool) = &mut self.turn.pool else { return Ok(()) };
        for Completion { id, fd, outcome } in pool.take_completions()? {
            self.visit(fd, |conn, turn| conn.end_task(id, &outcome, turn));
        }
        Ok(())
    }

    /// Whether there is something more urgent than the rest of this turn.
    fn is_called_away(&self) -> bool {
        match self.drain_until {
            None => self.signals.came().is_some(),
            Some(until) => until <= self.turn.now,
        }
    }

    /// Visits one connection, if it is still there, and does what follows from it.
    fn visit(
        &mut self,
        fd: RawFd,
        visit: impl FnOnce(&mut Connection, &mut Turn) -> io::Result<()>,
    ) {
        let Some(conn) = self.connections.get_mut(&fd) else { return };
        let outcome = visit(conn, &mut self.turn);
        if let Err(error) = outcome {
            info!(fd, %error, "connection lost");
            conn.enter(State::Closed);
            // BUG reset-leaks-descriptor: the error path forgets the connection and not to close
            // its socket; every reset costs a descriptor, until there are none (the chapter Event
            // Loops, Error Handling: who closes it on error?).
            if bug(Bug::ResetLeaksDescriptor)
                && let Ok(leaked) = conn.socket.try_clone()
            {
                mem::forget(leaked);
            }
        }
        if conn.state == State::Closed {
            // BUG closed-but-not-removed: the socket is shut down, and its entry stays in the
            // registry; descriptors and places are used up, one by each client that leaves (day 2's
            // quest, step 1: remove).
            if bug(Bug::ClosedButNotRemoved) {
                let _ = conn.socket.shutdown(Shutdown::Both);
                self.again.remove(&fd);
                return;
            }
            self.remove(fd);
            if bug(Bug::LateCleanUpHitsNewcomer) {
                self.mistaken.to_clean_up.push(fd);
            }
            return;
        }
        if conn.has_more && !conn.paused && conn.state.takes_requests() {
            self.again.insert(fd);
        } else {
            self.again.remove(&fd);
        }
        let look_at = conn.next_look(&self.turn);
        if look_at != conn.look_at {
            if let Some(before) = conn.look_at {
                self.deadlines.remove(&(before, fd));
            }
            self.deadlines.extend(look_at.map(|at| (at, fd)));
            conn.look_at = look_at;
        }
        let interest = conn.interest();
        if let Some(epoll) = &self.epoll
            && interest != conn.registered
        {
            // BUG epoll-write-interest-stays: EPOLLOUT is not taken back when the queue is empty;
            // after its first large reply a connection makes the loop spin (epoll_ctl(2),
            // EPOLL_CTL_MOD).
            let kept = bug(Bug::EpollWriteInterestStays) && conn.registered.write;
            // BUG epoll-write-interest-never-added: nobody asks for EPOLLOUT when send has taken
            // only a part; large replies stop in the middle (day 1's quest, step 5: register fd for
            // write readiness).
            let forgotten = bug(Bug::EpollWriteInterestNeverAdded);
            let wanted = Interest { write: (interest.write || kept) && !forgotten, ..interest };
            let changed = epoll.modify(&conn.socket, &mut registration_of(conn, wanted));
            conn.registered = if kept { wanted } else { interest };
            if let Err(error) = changed {
                warn!(fd, %error, "cannot be watched");
                self.remove(fd);
            }
        }
    }

    /// Forgets a connection. Dropping it closes its socket.
    fn remove(&mut self, fd: RawFd) {
        let Some(mut conn) = self.connections.remove(&fd) else { return };
        // BUG connections-not-counted-down: connections are counted when they come, and not when
        // they go; stats shows clients that left long ago (notes/protocol.md section 4,
        // curr_connections).
        if !bug(Bug::ConnectionsNotCountedDown) {
            self.turn.stats.curr_connections -= 1;
        }
        self.turn.stats.bytes_queued -= conn.queued() as u64;
        if let (Some(pool), Some(id)) = (&mut self.turn.pool, conn.task) {
            pool.cancel(id);
        }
        self.again.remove(&fd);
        // BUG timer-survives-its-client: closing a connection does not cancel its timer; it strikes
        // whoever has the descriptor's number by then (the chapter Event Loops, Explicit
        // Lifetimes).
        if let Some(at) = conn.look_at
            && !bug(Bug::TimerSurvivesItsClient)
        {
            self.deadlines.remove(&(at, fd));
        }
        if fd == self.max_fd {
            self.find_max_fd();
        }
        // BUG max-fd-lowered-by-each-close: each close takes one off max_fd instead of looking for
        // the new maximum; when a client with a low descriptor leaves, those with the highest are
        // no longer served (day 2's quest, step 1: recalculate max_fd).
        if bug(Bug::MaxFdLoweredByEachClose) && fd != self.max_fd {
            self.max_fd -= 1;
        }
        // BUG buffers-survive-their-client: buffers are indexed by descriptor, and not cleared when
        // it closes; the next client with that number inherits half a request (the chapter Event
        // Loops, Explicit Lifetimes).
        if bug(Bug::BuffersSurviveTheirClient) {
            self.mistaken.buffers.insert(fd, mem::take(&mut conn.read_buf));
        }
        // BUG closed-connections-remembered: something of every closed connection is kept for
        // later; memory grows with each client that was ever served (the chapter Event Loops, Error
        // Handling: who frees its buffers?).
        if bug(Bug::ClosedConnectionsRemembered) {
            self.mistaken.remembered.push(self.turn.scratch[..4096].to_vec());
        }
        // There is a free descriptor again.
        self.accept_after = None;
    }

    fn find_max_fd(&mut self) {
        let listener = self.listener.as_ref().map(AsRawFd::as_raw_fd);
        let last = self.connections.last_key_value().map(|(fd, _)| *fd);
        let signals = self.signals.pipe.as_raw_fd();
        self.max_fd = signals.max(listener.unwrap_or(-1)).max(last.unwrap_or(-1));
    }

    /// With no descriptor left the listener would be ready in every turn: a spin. So for a while it
    /// is not watched.
    fn watch_listener(&mut self) -> Result<()> {
        if self.accept_after.is_some_and(|after| after <= Instant::now()) {
            self.accept_after = None;
        }
        let (Some(epoll), Some(listener)) = (&self.epoll, &self.listener) else { return Ok(()) };
        let wanted = self.accept_after.is_none();
        if wanted != self.listener_registered {
            if wanted {
                let mut event = registration(listener.as_raw_fd(), READ);
                if bug(Bug::EpollListenerEdgeAcceptsOne) {
                    event = EpollEvent::new(event.events() | EpollFlags::EPOLLET, event.data());
                }
                epoll.add(listener, event)?;
            } else {
                epoll.delete(listener)?;
            }
            self.listener_registered = wanted;
        }
        Ok(())
    }

    /// Takes who waits in the backlog, but not those who keep coming meanwhile.
    fn accept(&mut self) -> Result<()> {
        for _ in 0..BACKLOG {
            let Some(listener) = &self.listener else { break };
            // BUG client-socket-blocks: client sockets stay blocking; the loop sleeps in one
            // client's recv or send, and everybody waits with it (day 1's quest, step 4).
            let flags = if bug(Bug::ClientSocketBlocks) { SocketFlags::CLOEXEC } else { FLAGS };
            // BUG not-close-on-exec: client sockets are not close-on-exec; a program that the
            // server starts inherits them, and holds the connections open (notes/protocol.md
            // section 3).
            let flags = if bug(Bug::NotCloseOnExec) { SocketFlags::NONBLOCK } else { flags };
            match accept_with(listener, flags) {
                Ok(socket) => {
                    self.admit(TcpStream::from(socket));
                    // BUG epoll-listener-edge-accepts-one: the listener is edge-triggered, and each
                    // edge is answered by one accept; of a burst of clients the first is served,
                    // the others wait for somebody new to come (epoll(7), level-triggered and
                    // edge-triggered).
                    if bug(Bug::EpollListenerEdgeAcceptsOne) {
                        break;
                    }
                }
                Err(AcceptError::AGAIN) => break,
                // BUG accept-emfile-is-fatal: EMFILE from accept is taken for a broken listener;
                // one client too many ends the server and all it was serving (the chapter Event
                // Loops, Error Handling).
                Err(error @ AcceptError::MFILE) if bug(Bug::AcceptEmfileIsFatal) => {
                    return Err(error).context("cannot accept");
                }
                // BUG accept-emfile-spins: EMFILE from accept is logged, and the listener watched
                // on; who waits in the backlog makes the wait call return at once, for ever
                // (notes/protocol.md section 3: out of descriptors).
                Err(AcceptError::MFILE) if bug(Bug::AcceptEmfileSpins) => break,
                Err(
                    error @ (AcceptError::MFILE
                    | AcceptError::NFILE
                    | AcceptError::NOBUFS
                    | AcceptError::NOMEM),
                ) => {
                    warn!(%error, "cannot accept: newcomers wait");
                    self.accept_after = Some(Instant::now() + ACCEPT_PAUSE);
                    break;
                }
                Err(error @ (AcceptError::BADF | AcceptError::INVAL | AcceptError::NOTSOCK)) => {
                    return Err(error).context("cannot accept");
                }
                // ECONNABORTED and the like: only this one is lost.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn admit(&mut self, mut socket: TcpStream) {
        let fd = socket.as_raw_fd();
        self.turn.stats.total_connections += 1;
        // Setting a bit beyond the set's last would write past its end.
        // BUG fd-setsize-ignored: nobody looks whether a descriptor fits the set; with a descriptor
        // above 1023 the server crashes, or in C overwrites its own memory (select(2), BUGS).
        let unwatchable = self.turn.mechanism == Mechanism::Select
            && fd as usize >= FD_SETSIZE
            && !bug(Bug::FdSetsizeIgnored);
        if unwatchable || self.connections.len() >= self.max_connections {
            self.turn.stats.rejected_connections += 1;
            info!(fd, "refused: too many connections");
            // Best effort: the socket is new, so its buffer has room for one line.
            let _ = socket.write(b"SERVER_ERROR too many connections\r\n");
            // BUG refusal-leaks-descriptor: a client beyond the limit is told so, and its socket
            // not closed; it waits for ever, and every refusal costs a descriptor (the chapter
            // Event Loops, Error Handling: who closes it?).
            if bug(Bug::RefusalLeaksDescriptor) {
                mem::forget(socket);
            }
            return;
        }
        debug!(fd, "accepted");
        // BUG epoll-registration-left-by-dup: a second handle of the socket, for writing, is never
        // closed; the connection does not end, and epoll goes on reporting what the registry has
        // forgotten (epoll(7), questions and answers, 6).
        if bug(Bug::EpollRegistrationLeftByDup) {
            self.mistaken.duplicates.extend(socket.try_clone());
        }
        let mut conn = Connection::new(socket, self.turn.now);
        if let Some(inherited) = self.mistaken.buffers.remove(&fd) {
            conn.read_buf = inherited;
        }
        if let Some(epoll) = &self.epoll {
            conn.registered = conn.interest();
            if let Err(error) = epoll.add(&conn.socket, registration_of(&conn, conn.registered)) {
                warn!(fd, %error, "cannot be watched");
                return;
            }
        }
        self.connections.insert(fd, conn);
        self.turn.stats.curr_connections += 1;
        // BUG max-fd-not-updated: max_fd is computed once, from the listener; select does not look
        // at clients, whose numbers are higher: they connect and are never served (day 2's quest,
        // step 1).
        if !bug(Bug::MaxFdNotUpdated) {
            self.max_fd = self.max_fd.max(fd);
        }
        if let Some(left) = &mut self.mistaken.left_in_sets {
            left.insert(fd);
        }
        self.visit(fd, |_, _| Ok(()));
    }

    /// Looks at the clocks that are due. Comes after dispatch: what had arrived has been read by now.
    fn expire(&mut self) {
        while let Some((at, fd)) = self.deadlines.first().copied()
            && at <= self.turn.now
            && !self.is_called_away()
        {
            self.deadlines.pop_first();
            if let Some(conn) = self.connections.get_mut(&fd) {
                if bug(Bug::TimerSurvivesItsClient) && conn.look_at != Some(at) {
                    self.turn.stats.timeouts += 1;
                    self.remove(fd);
                    continue;
                }
                conn.look_at = None;
            }
            self.visit(fd, Connection::check_clocks);
        }
    }

    /// The first signal: finish what has arrived, take nothing new.
    fn begin_drain(&mut self, signalled_at: Instant) -> Result<()> {
        info!(connections = self.connections.len(), "draining");
        self.drain_until = Some(signalled_at + self.turn.options.drain_timeout);
        self.accept()?;
        // BUG sigterm-keeps-accepting: the listener stays open during the drain; newcomers prolong
        // it, and are cut off at its end (notes/protocol.md section 2, SIGTERM).
        if !bug(Bug::SigtermKeepsAccepting) {
            self.listener = None;
        }
        // BUG drain-drops-queued-tasks: the signal empties the task queue; clients whose requests had
        // arrived are not answered (notes/protocol.md section 2, SIGTERM).
        if bug(Bug::DrainDropsQueuedTasks) {
            self.turn.pool.as_mut().map(Pool::drop_queued);
        }
        self.accept_after = None;
        self.find_max_fd();
        let fds: Vec<RawFd> = self.connections.keys().copied().collect();
        for fd in fds {
            self.visit(fd, |conn, turn| conn.begin_drain(signalled_at, turn));
        }
        Ok(())
    }
}

/// Host and port in one piece: `127.0.0.1:9090`, `[::1]:9090`.
fn endpoint(options: &Options) -> String {
    match options.host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{}", options.port),
        _ => format!("{}:{}", options.host, options.port),
    }
}

/// Listens on the first address of the host that can be listened on.
fn open_listener(options: &Options) -> io::Result<TcpListener> {
    let mut last_error = None;
    for address in (options.host.as_str(), options.port).to_socket_addrs()? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(|| io::Error::other("the name has no address")))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    // BUG listener-blocks: the listener is blocking, and accepted from until EAGAIN; behind the
    // last newcomer accept sleeps until the next one comes, and meanwhile nobody is served (day 1's
    // quest, step 4).
    let flags = if bug(Bug::ListenerBlocks) { SocketFlags::CLOEXEC } else { FLAGS };
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // BUG no-reuseaddr: SO_REUSEADDR is not set; while old connections are in TIME_WAIT, for a
    // minute, the server can't be started again (notes/protocol.md section 2, SO_REUSEADDR).
    sockopt::set_socket_reuseaddr(&socket, !bug(Bug::NoReuseaddr))?;
    // Accepted sockets inherit both. Urgent data stays in the stream: apart from it, a socket would
    // be exceptional for ever, and select return at once.
    sockopt::set_socket_oobinline(&socket, !bug(Bug::UrgentDataSpins))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    // BUG backlog-of-one: listen gets a backlog of 1; clients that come together while the loop is
    // busy are turned away by the kernel, or wait seconds for its next try (notes/protocol.md
    // section 2, backlog).
    listen(&socket, if bug(Bug::BacklogOfOne) { 1 } else { BACKLOG })?;
    Ok(TcpListener::from(socket))
}
