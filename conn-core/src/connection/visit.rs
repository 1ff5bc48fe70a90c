//! The visits: what a connection does when the loop calls on it.

use super::clocks::Linger;
use super::{Connection, Fate, Input, READ_BUDGET, Stream, Turn, Unparsed};
use crate::executor::{Executor, Submitted, Ticket};
use crate::id::TaskId;
use crate::policy::{LINGER_BYTES, TASK_SLICE};
use crate::protocol::{Frame, Header, Step};
use crate::reply::Reply;
use crate::service::{Outcome, Work, work_of};
use crate::state::{Action, ConnState, Event};
use std::io::{self, ErrorKind};
use std::mem;
use std::time::Instant;
use tracing::debug;

/// The largest buffer that is kept for the next visit, in bytes; a larger one is freed.
const KEEP: usize = 256 * 1024;

/// What one `recv` gave.
enum Received {
    Bytes(usize),
    WouldBlock,
    End,
    Failed(io::Error),
}

/// What one `send` gave.
enum Sent {
    /// All of what was queued.
    All(usize),
    /// Less than all: the socket is full. Possibly nothing (`EAGAIN`).
    Some(usize),
    Failed(io::Error),
}

impl<S: Stream> Connection<S> {
    /// The kernel reports input, an end of input, or an error.
    pub fn on_readable<E: Executor>(&mut self, turn: &mut Turn<E>) -> Fate {
        self.drained = false;
        // Readiness may be stale: an earlier visit of this turn may have changed what is wanted.
        let interest = self.interest();
        if interest.hang_up
            && let Ok(Some(error)) = self.stream.take_error()
        {
            return self.visit(turn, |conn, _| conn.lost(&error));
        }
        if !interest.read {
            return self.fate();
        }
        self.visit(turn, |conn, turn| match conn.apply(Event::Readable) {
            Action::Discard => conn.discard(turn),
            _ => conn.receive(turn),
        })
    }

    /// The kernel reports room for replies.
    pub fn on_writable<E: Executor>(&mut self, turn: &mut Turn<E>) -> Fate {
        if !self.interest().write {
            return self.fate();
        }
        self.visit(turn, Self::flush)
    }

    /// Goes on with requests that were read earlier.
    pub fn resume<E: Executor>(&mut self, turn: &mut Turn<E>) -> Fate {
        if self.fate() != Fate::Again {
            return self.fate();
        }
        self.visit(turn, |conn, turn| {
            let held = mem::take(&mut conn.read_buf);
            conn.take_requests(held, turn);
        })
    }

    /// The outcome of a task that was handed to the executor. One that is not waited for any more is
    /// dropped.
    pub fn on_task_done<E: Executor>(
        &mut self,
        task: TaskId,
        outcome: &Outcome,
        turn: &mut Turn<E>,
    ) -> Fate {
        if self.task.is_none_or(|ticket| ticket.task != task) {
            return self.fate();
        }
        self.visit(turn, |conn, turn| conn.go_on_after_task(outcome, turn))
    }

    /// The server stops: of this peer's input only what has arrived by now still counts, in the
    /// kernel's buffer or in ours.
    pub fn begin_drain<E: Executor>(&mut self, turn: &mut Turn<E>) -> Fate {
        self.visit(turn, |conn, turn| {
            if conn.input == Input::Open {
                conn.input = Input::Last(conn.stream.unread().unwrap_or(0));
            }
            conn.end_input_if_reached(turn.now);
        })
    }

    /// The server can wait no longer.
    pub fn abandon<E: Executor>(&mut self, turn: &mut Turn<E>) -> Fate {
        self.visit(turn, |conn, _| {
            conn.apply(Event::DrainTimeout);
        })
    }

    /// What is common to all visits: borrow the buffers, keep the gauges, tell the fate.
    pub(super) fn visit<E: Executor>(
        &mut self,
        turn: &mut Turn<E>,
        work: impl FnOnce(&mut Self, &mut Turn<E>),
    ) -> Fate {
        let queued_before = self.bytes_queued() as u64;
        self.write_buf.lend(&mut turn.scratch.output);
        work(self, turn);
        self.write_buf.give_back(&mut turn.scratch.output, KEEP);
        let fate = self.fate();
        if fate == Fate::Close
            && let Some(ticket) = self.task.take()
        {
            turn.executor.cancel(ticket.task);
        }
        let queued_after = if fate == Fate::Close { 0 } else { self.bytes_queued() as u64 };
        turn.stats.bytes_queued = turn.stats.bytes_queued + queued_after - queued_before;
        fate
    }

    /// One `recv`, and all that follows from it.
    pub(super) fn receive<E: Executor>(&mut self, turn: &mut Turn<E>) {
        let budget = match self.input {
            Input::Last(left) => left.min(READ_BUDGET),
            _ => READ_BUDGET,
        };
        let mut scratch = mem::take(&mut turn.scratch.input);
        match self.recv(&mut scratch[..budget]) {
            Received::Bytes(count) => {
                turn.stats.bytes_read += count as u64;
                self.last_active = turn.now;
                if let Input::Last(left) = &mut self.input {
                    *left -= count;
                }
                self.take_input(&scratch[..count], turn);
            }
            Received::WouldBlock => {
                turn.stats.read_would_block += 1;
                self.apply(Event::ReadWouldBlock);
                // What had arrived is less than was promised; nothing more of it will come.
                if matches!(self.input, Input::Last(_)) {
                    self.input = Input::Last(0);
                }
                self.end_input_if_reached(turn.now);
            }
            Received::End => {
                self.input = Input::Ending;
                self.end_input_if_reached(turn.now);
            }
            Received::Failed(error) => self.lost(&error),
        }
        turn.scratch.input = scratch;
    }

    /// New input: parsed where it lies if nothing waits before it, else behind what waits.
    fn take_input<E: Executor>(&mut self, input: &[u8], turn: &mut Turn<E>) {
        if self.task.is_some() {
            self.read_buf.extend_from_slice(input);
            self.unparsed = Unparsed::Requests;
        } else if self.read_buf.is_empty() {
            let used = self.parse(input, turn);
            self.read_buf.extend_from_slice(&input[used..]);
            self.answer(turn);
        } else {
            let mut held = mem::take(&mut self.read_buf);
            held.extend_from_slice(input);
            self.take_requests(held, turn);
        }
    }

    /// Takes the requests out of `held`, which becomes the read buffer again.
    fn take_requests<E: Executor>(&mut self, mut held: Vec<u8>, turn: &mut Turn<E>) {
        let used = self.parse(&held, turn);
        let rest = held.len() - used;
        if rest > 0 && rest >= held.capacity() / 2 {
            held.drain(..used);
            self.read_buf = held;
        } else if rest > 0 {
            // A small rest must not hold on to the memory of what was before it.
            self.read_buf = held.split_off(used);
        }
        self.answer(turn);
    }

    /// After the requests: send the replies, and note what is still missing.
    fn answer<E: Executor>(&mut self, turn: &mut Turn<E>) {
        self.end_input_if_reached(turn.now);
        if self.state == ConnState::Writing {
            if self.stalled_since.is_none() {
                self.flush(turn);
            } else {
                // A socket that was full stays so until the kernel says otherwise.
                self.regulate(turn);
            }
        }
        self.set_request_clock(turn.now);
    }

    /// The clock of a request runs only while its own bytes are waited for.
    pub(super) fn set_request_clock(&mut self, now: Instant) {
        let mid_request = !self.read_buf.is_empty() || self.decoder.frame() != Frame::Header;
        if mid_request && self.takes_requests() {
            self.request_start.get_or_insert(now);
        } else {
            self.request_start = None;
        }
    }

    /// Works through `input` request by request; returns how many bytes were used up.
    fn parse<E: Executor>(&mut self, input: &[u8], turn: &mut Turn<E>) -> usize {
        let slice_end = turn.now + TASK_SLICE;
        let mut used = 0;
        self.unparsed = Unparsed::Fragment;
        while used < input.len() {
            if matches!(self.input, Input::Cut) {
                return input.len();
            }
            let between_requests = self.decoder.frame() == Frame::Header;
            if between_requests
                && (self.task.is_some() || turn.now >= slice_end || !self.has_room(turn))
            {
                self.unparsed = Unparsed::Requests;
                return used;
            }
            let (count, step) = self.decoder.step(&input[used..], &turn.limits);
            used += count;
            match step {
                Step::Incomplete => return used,
                Step::Header(Header::Announces(_)) => {
                    self.apply(Event::HeaderComplete);
                    continue;
                }
                Step::Header(Header::TooLarge) => {
                    self.queue(Reply::TooLarge, Event::HeaderComplete, turn);
                    continue;
                }
                Step::Header(Header::Bad(line)) => {
                    self.queue(Reply::BadLine(line), Event::HeaderComplete, turn);
                }
                Step::Header(Header::Command(command)) => self.work(work_of(command), turn),
                Step::Body(body) => self.queue(Reply::Echo(body), Event::BodyComplete, turn),
                Step::Skipped => {
                    self.apply(Event::BodyComplete);
                }
                Step::Lost(framing) => {
                    self.input = Input::Cut;
                    self.queue(Reply::BadFraming(framing), Event::FramingLost, turn);
                }
            }
            // That request is over; the clock of the next starts with its own first byte.
            self.request_start = None;
        }
        used
    }

    fn work<E: Executor>(&mut self, work: Work<'_>, turn: &mut Turn<E>) {
        match work {
            Work::Reply(reply) => self.queue(reply, Event::HeaderComplete, turn),
            Work::Stats => {
                // The asker's own replies of this visit are not in the gauge yet.
                let before = self.bytes_queued();
                let stats = turn.executor.server_stats(&turn.stats);
                let tasks = turn.executor.stats();
                stats.write_to(&turn.info, tasks, turn.now, self.write_buf.back());
                self.queued(before, Event::HeaderComplete, turn);
            }
            Work::Quit => {
                self.input = Input::Cut;
                self.apply_and_part(Event::HeaderComplete, turn.now);
            }
            Work::Task(task) => {
                // A blank ticket until the executor has answered: the table is asked first.
                self.task = Some(Ticket::default());
                self.apply(Event::HeaderComplete);
                match turn.executor.submit(self.id, task, turn.now) {
                    Submitted::Later(ticket) => self.task = Some(ticket),
                    Submitted::Done(outcome, now) => {
                        turn.now = now;
                        self.finish_task(&outcome, turn);
                    }
                    Submitted::Busy => self.finish_task(&Outcome::Busy, turn),
                }
            }
        }
    }

    /// Answers with `outcome`, then goes on with the requests behind the task, which have been waiting.
    pub(super) fn go_on_after_task<E: Executor>(&mut self, outcome: &Outcome, turn: &mut Turn<E>) {
        self.finish_task(outcome, turn);
        let held = mem::take(&mut self.read_buf);
        self.take_requests(held, turn);
    }

    fn finish_task<E>(&mut self, outcome: &Outcome, turn: &mut Turn<E>) {
        self.task = None;
        match outcome {
            Outcome::Busy => turn.stats.tasks_shed += 1,
            Outcome::TimedOut => turn.stats.tasks_timed_out += 1,
            _ => {}
        }
        self.queue(outcome.reply(), Event::TaskDone, turn);
    }

    fn queue<E>(&mut self, reply: Reply<'_>, event: Event, turn: &mut Turn<E>) {
        let before = self.bytes_queued();
        reply.write_to(self.write_buf.back());
        self.queued(before, event, turn);
    }

    /// A reply has been appended to a queue that was so long before.
    fn queued<E>(&mut self, before: usize, event: Event, turn: &mut Turn<E>) {
        let after = self.bytes_queued();
        turn.stats.peak_bytes_queued = turn.stats.peak_bytes_queued.max(after as u64);
        self.apply(event);
        self.check_room(after - before, turn);
    }

    /// Sends what is queued, until all is out or the socket is full, and regulates what is left.
    fn flush<E>(&mut self, turn: &mut Turn<E>) {
        match self.send() {
            Sent::All(count) => {
                self.note_sent(count, turn);
                self.stalled_since = None;
                self.regulate(turn);
                self.apply_and_part(Event::WriteComplete, turn.now);
            }
            Sent::Some(count) => {
                self.note_sent(count, turn);
                turn.stats.write_would_block += 1;
                // There was room only because the peer had taken something.
                if count > 0 || self.stalled_since.is_none() {
                    self.stalled_since = Some(turn.now);
                }
                self.apply(Event::WriteWouldBlock);
                self.regulate(turn);
            }
            Sent::Failed(error) => self.lost(&error),
        }
    }

    fn note_sent<E>(&mut self, count: usize, turn: &mut Turn<E>) {
        if count > 0 {
            self.write_buf.consume(count);
            // All that went before has been acknowledged, or is being asked about already.
            self.unconfirmed.get_or_insert(self.bytes_sent);
            self.bytes_sent += count as u64;
            turn.stats.bytes_written += count as u64;
            self.last_active = turn.now;
        }
    }

    /// Ends the input once all of it that counts has been read and understood.
    fn end_input_if_reached(&mut self, now: Instant) {
        let (ended, event) = match self.input {
            _ if self.unparsed == Unparsed::Requests => return,
            Input::Last(0) if self.has_taken_everything() => (Input::Ended, Event::Drain),
            Input::Last(0) => (Input::Cut, Event::Drain),
            Input::Ending => (Input::Ended, Event::PeerShutdown),
            Input::Last(_) | Input::Open | Input::Cut | Input::Ended => return,
        };
        self.input = ended;
        self.request_start = None;
        self.apply_and_part(event, now);
    }

    /// Whether the peer is owed nothing, not even bytes that the kernel still holds for it.
    fn has_taken_everything(&self) -> bool {
        self.write_buf.is_empty()
            && self.task.is_none()
            && self.stream.unacknowledged().is_ok_and(|bytes| bytes == 0)
    }

    /// Applies an event after which nothing may be owed any more, and if the table says so, shuts
    /// the sending side down and starts the linger clock.
    fn apply_and_part(&mut self, event: Event, now: Instant) {
        if self.apply(event) != Action::ShutdownSend {
            return;
        }
        match self.stream.shutdown_send() {
            Ok(()) => self.linger = Some(Linger { since: now, bytes_left: LINGER_BYTES }),
            Err(error) => self.lost(&error),
        }
    }

    /// One `recv` whose bytes nobody wants.
    fn discard<E>(&mut self, turn: &mut Turn<E>) {
        match self.recv(&mut turn.scratch.input) {
            Received::Bytes(count) => {
                turn.stats.bytes_read += count as u64;
                let left = self.linger.map_or(0, |linger| linger.bytes_left);
                match left.checked_sub(count as u64) {
                    Some(bytes_left @ 1..) => {
                        self.linger = self.linger.map(|linger| Linger { bytes_left, ..linger });
                    }
                    _ => {
                        self.apply(Event::LingerOver);
                    }
                }
            }
            Received::WouldBlock => {
                turn.stats.read_would_block += 1;
                self.apply(Event::ReadWouldBlock);
            }
            Received::End => {
                self.apply(Event::PeerShutdown);
            }
            Received::Failed(error) => self.lost(&error),
        }
    }

    /// The socket failed. Whatever the reason, only this client is affected.
    fn lost(&mut self, error: &io::Error) {
        // Clients come and go, and a line for each costs more than to serve it.
        debug!(conn = self.id.0, fd = self.fd, state = %self.state, %error, "connection lost");
        self.apply(Event::PeerReset);
    }

    /// The only place that meets a short or an interrupted `recv`, or one without data.
    fn recv(&mut self, into: &mut [u8]) -> Received {
        let received = loop {
            break match self.stream.read(into) {
                Ok(0) => Received::End,
                Ok(count) => Received::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Received::WouldBlock,
                Err(error) => Received::Failed(error),
            };
        };
        self.drained = matches!(received, Received::WouldBlock);
        received
    }

    /// The only place that meets a short or an interrupted `send`, or one without room. A short
    /// count means that the socket is full, so the call that would return `EAGAIN` is saved.
    fn send(&mut self) -> Sent {
        loop {
            let waiting = self.write_buf.waiting();
            return match self.stream.write(waiting) {
                Ok(count) if count == waiting.len() => Sent::All(count),
                Ok(count) => Sent::Some(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Sent::Some(0),
                Err(error) => Sent::Failed(error),
            };
        }
    }
}
