//! Counters and gauges, and how they are told to a client that asks for `stats`.

use crate::executor::TaskStats;
use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

/// What this workspace calls itself in `version` and `stats`, the same on every rung.
pub const VERSION: &str = concat!("teaching-lab/", env!("CARGO_PKG_VERSION"));

/// What does not change while a server runs.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The process.
    pub pid: u32,
    /// When it began to serve.
    pub started: Instant,
    /// Which readiness mechanism the loop sleeps in: `select`, `poll`, `epoll`.
    pub mechanism: &'static str,
    /// How many threads the server has.
    pub threads: usize,
}

/// What a server counts. Gauges go up and down; all others only grow.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Gauge: connections in the registry, those that linger included.
    pub curr_connections: u64,
    /// Connections ever accepted, refused ones included.
    pub total_connections: u64,
    /// Connections refused.
    pub rejected_connections: u64,
    /// Bytes received, those that were thrown away included.
    pub bytes_read: u64,
    /// Bytes that `send` accepted.
    pub bytes_written: u64,
    /// Gauge: bytes in all write queues together.
    pub bytes_queued: u64,
    /// The largest write queue that any one connection has had, in bytes.
    pub peak_bytes_queued: u64,
    /// Turns of the event loop.
    pub loop_iterations: u64,
    /// `recv` calls that returned `EAGAIN`.
    pub read_would_block: u64,
    /// `send` calls that took less than all, or returned `EAGAIN`.
    pub write_would_block: u64,
    /// Connections closed because of a time-out.
    pub timeouts: u64,
    /// Times that a connection's requests were held back because much was queued for it.
    pub reads_paused: u64,
    /// Connections closed because their peers kept taking too little.
    pub slow_reader_disconnects: u64,
    /// Tasks that were refused because there was no room for them.
    pub tasks_shed: u64,
    /// Tasks that were not waited for to their end.
    pub tasks_timed_out: u64,
}

impl Stats {
    /// Adds what another loop of the same server has counted.
    pub fn add(&mut self, other: &Self) {
        // Each field by its name, so that a new one can't be forgotten.
        let Self {
            curr_connections,
            total_connections,
            rejected_connections,
            bytes_read,
            bytes_written,
            bytes_queued,
            peak_bytes_queued,
            loop_iterations,
            read_would_block,
            write_would_block,
            timeouts,
            reads_paused,
            slow_reader_disconnects,
            tasks_shed,
            tasks_timed_out,
        } = other;
        self.curr_connections += curr_connections;
        self.total_connections += total_connections;
        self.rejected_connections += rejected_connections;
        self.bytes_read += bytes_read;
        self.bytes_written += bytes_written;
        self.bytes_queued += bytes_queued;
        // The largest of any one connection.
        self.peak_bytes_queued = self.peak_bytes_queued.max(*peak_bytes_queued);
        self.loop_iterations += loop_iterations;
        self.read_would_block += read_would_block;
        self.write_would_block += write_would_block;
        self.timeouts += timeouts;
        self.reads_paused += reads_paused;
        self.slow_reader_disconnects += slow_reader_disconnects;
        self.tasks_shed += tasks_shed;
        self.tasks_timed_out += tasks_timed_out;
    }

    /// Appends the reply to `stats`: one `STAT name value` line each, then `END`. `tasks` are the
    /// executor's figures, if it has workers.
    pub fn write_to(
        &self,
        info: &ServerInfo,
        tasks: Option<TaskStats>,
        now: Instant,
        out: &mut Vec<u8>,
    ) {
        let mut stat = |name: &str, value: &dyn Display| {
            write!(out, "STAT {name} {value}\r\n").expect("writing to a Vec does not fail");
        };
        stat("pid", &info.pid);
        stat("uptime", &now.saturating_duration_since(info.started).as_secs());
        stat("version", &VERSION);
        stat("mechanism", &info.mechanism);
        stat("threads", &info.threads);
        stat("curr_connections", &self.curr_connections);
        stat("total_connections", &self.total_connections);
        stat("rejected_connections", &self.rejected_connections);
        stat("bytes_read", &self.bytes_read);
        stat("bytes_written", &self.bytes_written);
        stat("bytes_queued", &self.bytes_queued);
        stat("peak_bytes_queued", &self.peak_bytes_queued);
        stat("loop_iterations", &self.loop_iterations);
        stat("read_would_block", &self.read_would_block);
        stat("write_would_block", &self.write_would_block);
        stat("timeouts", &self.timeouts);
        stat("reads_paused", &self.reads_paused);
        stat("slow_reader_disconnects", &self.slow_reader_disconnects);
        if let Some(tasks) = tasks {
            stat("tasks_done", &tasks.done);
            stat("tasks_failed", &tasks.failed);
            stat("tasks_panicked", &tasks.panicked);
            stat("tasks_shed", &self.tasks_shed);
            stat("tasks_timed_out", &self.tasks_timed_out);
            stat("tasks_queued", &tasks.queued);
            stat("peak_tasks_queued", &tasks.peak_queued);
            stat("workers_busy", &tasks.workers_busy);
            stat("wakeups", &tasks.wakeups);
        }
        out.extend_from_slice(b"END\r\n");
    }
}
