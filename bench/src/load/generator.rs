//! The loop: waits for events, takes replies, sends the next requests.

use crate::load::connection::{Batch, Connection};
use crate::load::schedule::{Schedule, nanoseconds};
use crate::load::system::System;
use crate::load::traffic::{Traffic, excerpt};
use crate::load::{Plan, Progress, Report};
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use rustix::event::epoll::EventFlags;
use rustix::thread::set_current_timer_slack;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The most events of one wait: between two waits the clock is looked at, and what is due is sent.
const EVENTS: usize = 64;
/// The most bytes of one `recv`.
const SCRATCH: usize = 128 << 10;
/// Between two reports of progress.
const TICK: u64 = 100_000_000;
/// Without a reply for so long after the end, the rest is given up: a `burn` takes up to 10 s.
const PATIENCE: u64 = 15_000_000_000;
/// The longest latency that is told from longer ones: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// A load that runs. Times are in nanoseconds since its beginning.
#[derive(Debug)]
pub(super) struct Generator {
    address: SocketAddr,
    pipeline: usize,
    churn: u64,
    closed_loop: bool,
    schedule: Schedule,
    system: System,
    traffic: Traffic,
    /// `None`: it broke.
    connections: Vec<Option<Connection>>,
    /// Sockets of which nothing is to be heard.
    idle: Vec<Option<OwnedFd>>,
    /// At a fixed rate: connections without a batch, the longest waiting first.
    free: VecDeque<usize>,
    scratch: Vec<u8>,
    patience: u64,
    begin: Instant,
    /// The next request's number.
    next: u64,
    /// Connections that have not broken.
    alive: usize,
    /// Requests sent and not answered.
    under_way: usize,
    last_reply: u64,
    latency: Histogram<u64>,
    connects: u64,
    errors: u64,
    first_error: Option<String>,
}

/// What the generator's thread has cost at one moment.
#[derive(Clone, Copy, Debug)]
struct Cost {
    at: u64,
    cpu: Duration,
    calls: u64,
}

impl Generator {
    /// Over these connected sockets.
    ///
    /// # Errors
    /// Descriptors or memory have run out.
    pub(super) fn new(plan: &Plan, active: Vec<OwnedFd>, idle: Vec<OwnedFd>) -> Result<Self> {
        let mut system = System::new().context("epoll_create1")?;
        for (token, socket) in (0..).zip(active.iter().chain(&idle)) {
            system.watch(socket, token).context("epoll_ctl")?;
        }
        let schedule = Schedule::new(plan);
        Ok(Self {
            address: plan.address,
            pipeline: plan.pipeline,
            churn: plan.churn.unwrap_or(u64::MAX),
            closed_loop: schedule.due(0).is_none(),
            schedule,
            system,
            traffic: Traffic::new(plan.verb, plan.size, plan.pipeline),
            alive: active.len(),
            free: (0..active.len()).collect(),
            connections: active.into_iter().map(|socket| Some(Connection::new(socket))).collect(),
            idle: idle.into_iter().map(Some).collect(),
            scratch: vec![0; SCRATCH],
            patience: PATIENCE,
            begin: Instant::now(),
            next: 0,
            under_way: 0,
            last_reply: 0,
            latency: Histogram::new_with_bounds(1, LONGEST, 3).context("a histogram")?,
            connects: 0,
            errors: 0,
            first_error: None,
        })
    }

    pub(super) fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<Report> {
        // A sleep may be prolonged by this much, 50 µs by default (prctl(2)).
        set_current_timer_slack(NonZeroU64::new(1)).context("PR_SET_TIMERSLACK")?;

        let measured = self.schedule.measured.clone();
        let (mut first, mut last) = (None, None);
        let mut tick = 0;
        let mut events = Vec::with_capacity(EVENTS);
        self.begin = Instant::now();
        loop {
            let now = self.now();
            if now >= measured.start && first.is_none() {
                first = Some(self.cost(now));
                tick = now;
            }
            if now >= measured.end && last.is_none() {
                last = Some(self.cost(now));
                tick = now;
            }
            if now >= tick {
                tick = now + TICK;
                progress(self.progress(now, false));
            }
            if self.is_over(now) {
                break;
            }
            self.hand_out(now);

            let due = if self.free.is_empty() { None } else { self.schedule.due(self.next) };
            let marks = [Some(tick), Some(measured.start), Some(measured.end), due];
            let until = marks.into_iter().flatten().filter(|&mark| mark > now).min();
            let timeout = until.unwrap_or(now).saturating_sub(self.now());
            self.system
                .wait(&mut events, Duration::from_nanos(timeout))
                .context("epoll_pwait2, which Linux has since 5.11")?;
            for event in &events {
                let (token, flags) = (event.data.u64() as usize, event.flags);
                match token.checked_sub(self.connections.len()) {
                    None => self.visit(token, flags),
                    Some(idle) => self.hear_idle(idle, flags),
                }
            }
        }
        let now = self.now();
        progress(self.progress(now, true));
        let first = first.unwrap_or_else(|| self.cost(now));
        let last = last.unwrap_or_else(|| self.cost(now));
        Ok(self.report(first, last))
    }

    /// Whether all that was sent or is due has been answered, or never will be.
    fn is_over(&mut self, now: u64) -> bool {
        let end = self.schedule.measured.end;
        if self.alive == 0 && !self.connections.is_empty() {
            return true;
        }
        if now < end {
            return false;
        }
        let due = self.schedule.due_by(end).saturating_sub(self.next);
        let unanswered = self.under_way as u64 + due;
        if unanswered == 0 {
            return true;
        }
        // The server hangs, or needs more than twice the time for what is due at a fixed rate.
        let given_up =
            now > self.last_reply.max(end) + self.patience || now > 2 * end + self.patience;
        if given_up {
            self.errors += unanswered;
            self.first_error.get_or_insert_with(|| {
                let waited = Duration::from_nanos(now - end);
                format!("{unanswered} requests were not answered within {waited:.0?} after the end")
            });
        }
        given_up
    }

    /// Gives connections that have nothing to do what is to be sent.
    fn hand_out(&mut self, now: u64) {
        let due = if !self.closed_loop {
            self.schedule.due_by(now)
        } else if now < self.schedule.measured.end {
            u64::MAX
        } else {
            0
        };
        while self.next < due {
            let Some(index) = self.free.pop_front() else { return };
            self.send_batch(index, now, due - self.next);
        }
    }

    /// Has a connection send a batch of at most this many requests.
    fn send_batch(&mut self, index: usize, now: u64, most: u64) {
        let mut since = now;
        let used_up = self.connections[index].as_ref().is_some_and(|c| c.taken >= self.churn);
        if used_up {
            since = match self.connect_anew(index) {
                Ok(since) => since,
                Err(message) => return self.give_up(index, message),
            };
        }
        let Some(connection) = &mut self.connections[index] else { return };
        let count = (self.pipeline as u64).min(most).min(self.churn - connection.taken) as usize;
        connection.take(Batch { first: self.next, count, since });
        self.next += count as u64;
        self.under_way += count;
        if let Err(message) = connection.send(&mut self.system, &mut self.traffic) {
            self.give_up(index, message);
        }
    }

    /// Closes a connection and opens another in its place; says when that began.
    ///
    /// The old one is reset (SO_LINGER of 0, socket(7)), although nothing is lost: every reply has
    /// come. Closed in order it would keep its port for a minute, and soon none would be free.
    fn connect_anew(&mut self, index: usize) -> Result<u64, String> {
        if let Some(old) = self.connections[index].take() {
            self.system.close(old.socket);
        }
        let since = self.now();
        let connected = self.system.connect(self.address).and_then(|socket| {
            self.system.watch(&socket, index as u64)?;
            Ok(socket)
        });
        let socket = connected.map_err(|error| format!("cannot connect anew: {error}"))?;
        self.connections[index] = Some(Connection::new(socket));
        if self.schedule.measured.contains(&since) {
            self.connects += 1;
        }
        Ok(since)
    }

    /// Something happened on an active connection.
    fn visit(&mut self, index: usize, flags: EventFlags) {
        let Some(connection) = &mut self.connections[index] else { return };
        if flags.contains(EventFlags::OUT)
            && let Err(message) = connection.send(&mut self.system, &mut self.traffic)
        {
            return self.give_up(index, message);
        }
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if !hung_up && !flags.contains(EventFlags::IN) {
            return;
        }
        let (system, traffic) = (&mut self.system, &mut self.traffic);
        let (replies, outcome) = connection.receive(system, traffic, &mut self.scratch, hung_up);
        let (batch, unanswered) = (connection.batch, connection.unanswered());
        let now = self.now();
        self.count_replies(batch, unanswered, replies, now);
        match outcome {
            Err(message) => self.give_up(index, message),
            Ok(()) if replies == 0 || unanswered > 0 => {}
            Ok(()) if self.closed_loop && now < self.schedule.measured.end => {
                self.send_batch(index, now, u64::MAX);
            }
            Ok(()) => self.free.push_back(index),
        }
    }

    /// Counts replies of a batch that have just become complete.
    fn count_replies(&mut self, batch: Batch, unanswered: usize, replies: usize, now: u64) {
        if replies == 0 {
            return;
        }
        self.under_way -= replies;
        self.last_reply = now;
        if self.closed_loop {
            self.record(batch.since, now, replies as u64);
            return;
        }
        let end = batch.first + (batch.count - unanswered) as u64;
        for request in end - replies as u64..end {
            let due = self.schedule.due(request).unwrap_or(batch.since);
            self.record(due, now, 1);
        }
    }

    fn record(&mut self, since: u64, now: u64, count: u64) {
        if self.schedule.measured.contains(&since) {
            self.latency.saturating_record_n(now.saturating_sub(since), count);
        }
    }

    /// Something happened on a connection on which nothing should.
    fn hear_idle(&mut self, index: usize, flags: EventFlags) {
        // That it is writable is reported once, at the beginning.
        if flags == EventFlags::OUT {
            return;
        }
        let Some(socket) = self.idle[index].take() else { return };
        let message = match self.system.receive(&socket, &mut self.scratch) {
            Ok(0) => {
                "the server closed an idle connection: is its --idle-timeout too short?".into()
            }
            Ok(count) => {
                format!("an idle connection was told \"{}\"", excerpt(&self.scratch[..count]))
            }
            Err(error) => format!("an idle connection broke: {error}"),
        };
        self.blame(message);
    }

    /// A connection is of no more use.
    fn give_up(&mut self, index: usize, message: String) {
        if let Some(connection) = self.connections[index].take() {
            self.under_way -= connection.unanswered();
            self.system.close(connection.socket);
        }
        self.alive -= 1;
        self.blame(message);
    }

    fn blame(&mut self, message: String) {
        self.errors += 1;
        self.first_error.get_or_insert(message);
    }

    fn now(&self) -> u64 {
        nanoseconds(self.begin.elapsed())
    }

    fn progress(&self, now: u64, over: bool) -> Progress {
        Progress {
            elapsed: Duration::from_nanos(now),
            total: Duration::from_nanos(self.schedule.measured.end),
            requests: self.latency.len(),
            over,
        }
    }

    fn cost(&mut self, at: u64) -> Cost {
        Cost { at, cpu: self.system.cpu_time(), calls: self.system.calls() }
    }

    fn report(self, first: Cost, last: Cost) -> Report {
        // Not from one look at the clock to the other: requests are counted to the nanosecond.
        let measured = self.schedule.measured;
        Report {
            requests: self.latency.len(),
            connects: self.connects,
            errors: self.errors,
            first_error: self.first_error,
            seconds: (last.at.min(measured.end).saturating_sub(measured.start)) as f64 / 1e9,
            latency: self.latency,
            cpu_seconds: (last.cpu - first.cpu).as_secs_f64(),
            syscalls: last.calls - first.calls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Pace, Verb};
    use std::net::{TcpListener, TcpStream};

    /// On a server that never accepts, let alone answers.
    fn unanswered(pace: Pace) -> Report {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sockets = [0, 1].map(|_| {
            let socket = TcpStream::connect(address).unwrap();
            socket.set_nonblocking(true).unwrap();
            OwnedFd::from(socket)
        });
        let plan = Plan {
            address,
            connections: 2,
            idle: 0,
            pipeline: 3,
            verb: Verb::Mn,
            size: 0,
            pace,
            churn: None,
            warmup: Duration::ZERO,
            duration: Duration::from_millis(100),
        };
        let mut generator = Generator::new(&plan, sockets.into(), Vec::new()).unwrap();
        generator.patience = 100_000_000;
        generator.run(&mut |_| ()).unwrap()
    }

    #[test]
    fn requests_that_are_never_answered_are_errors() {
        let closed = unanswered(Pace::Closed);
        assert_eq!((closed.requests, closed.errors), (0, 6));
        assert!(closed.first_error.unwrap().contains("6 requests were not answered"));
        // Those that were due and could not be sent count as well.
        assert_eq!(unanswered(Pace::Open(1000.0)).errors, 100);
    }
}
