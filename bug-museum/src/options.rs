//! The command line: that of day 3 and of week 5, and what the museum adds.

use crate::bugs::{Bug, Mechanism};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use std::io::{self, Write};
use std::process;
use std::time::Duration;

/// One plain server, and the mistakes that it can be told to make
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// TCP port to listen on; 0 picks a free one
    #[arg(default_value_t = 9090)]
    pub(crate) port: u16,

    /// The mistake to make; --list explains them all
    #[arg(long, value_name = "NAME", hide_possible_values = true)]
    pub(crate) bug: Option<Bug>,

    /// Explain every mistake, and serve nobody
    #[arg(long)]
    pub(crate) list: bool,

    /// With --list: for programs
    #[arg(long, requires = "list")]
    pub(crate) json: bool,

    /// What to wait with [default: what the mistake needs, or select]
    #[arg(long, value_name = "CALL")]
    mechanism: Option<Mechanism>,

    /// IPv4 or IPv6 address to listen on, or a name
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// Connections served at once; more are refused [default: 10000, or what FD_SETSIZE leaves]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,

    /// Longest header line
    #[arg(long, value_name = "BYTES", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(crate) max_header: u32,

    /// Longest body
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(..=0x7FFF_FFFF))]
    pub(crate) max_body: u32,

    /// Close a connection on which no byte moves for this long (250ms, 2s, 1m)
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) idle_timeout: Duration,

    /// Close a connection whose request takes longer than this to arrive
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) request_timeout: Duration,

    /// On SIGTERM or SIGINT, give up on unanswered clients after this long
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) drain_timeout: Duration,

    /// Take no more requests from a connection with this many bytes queued
    #[arg(long, value_name = "BYTES", default_value_t = 65536, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(crate) high_water: u32,

    /// Take them again at this many or less [default: half of high-water]
    #[arg(long, value_name = "BYTES")]
    pub(crate) low_water: Option<u32>,

    /// Disconnect a client that hardly moves a long queue for this long
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) slow_reader_timeout: Duration,

    /// Threads for CPU work (handoff only) [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 12))]
    workers: Option<u32>,

    /// Tasks that may wait for a worker (handoff only) [default: 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    queue_depth: Option<u32>,

    /// What becomes of a task for which there is no room (handoff only) [default: wait]
    #[arg(long, value_name = "POLICY")]
    when_full: Option<WhenFull>,

    /// Answer for a task that takes longer than this (handoff only) [default: none]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) task_timeout: Option<Duration>,
}

/// What becomes of a task for which the queue has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenFull {
    /// Its client waits, the others go on
    Wait,
    /// Its client is told that the server is busy
    Shed,
}

impl Options {
    /// Parses the command line, or ends the process: status 0 after `--help` and `--version`,
    /// status 2 with the reason and the usage on standard error if the arguments are wrong.
    pub(crate) fn parse_or_exit() -> Self {
        Self::try_parse().and_then(Self::checked).unwrap_or_else(|error| {
            let told = error.print().is_ok();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // clap leaves the usage out where only a value is wrong.
            if told && !asked && !error.to_string().contains("Usage:") {
                let _ = writeln!(io::stderr(), "\n{}", Self::command().render_usage());
            }
            process::exit(error.exit_code())
        })
    }

    fn checked(self) -> Result<Self, clap::Error> {
        if self.low_water() > self.high_water as usize {
            let why = "--low-water is above --high-water: a pause would end before it began";
            return Err(Self::command().error(ErrorKind::ValueValidation, why));
        }
        let of_the_pool = self.workers.is_some()
            || self.queue_depth.is_some()
            || self.when_full.is_some()
            || self.task_timeout.is_some();
        if of_the_pool && self.mechanism() != Mechanism::Handoff {
            let why = "tasks run on the loop: the options of a pool need --mechanism handoff";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, why));
        }
        Ok(self)
    }

    /// What was asked for, or what the mistake needs.
    pub(crate) fn mechanism(&self) -> Mechanism {
        let needed = self.bug.map_or(Mechanism::Select, |bug| bug.exhibit().mechanism);
        self.mechanism.unwrap_or(needed)
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.unwrap_or(4) as usize
    }

    pub(crate) fn queue_depth(&self) -> usize {
        self.queue_depth.unwrap_or(1024) as usize
    }

    pub(crate) fn when_full(&self) -> WhenFull {
        self.when_full.unwrap_or(WhenFull::Wait)
    }

    pub(crate) fn low_water(&self) -> usize {
        self.low_water.unwrap_or(self.high_water / 2) as usize
    }
}

/// Parses digits and a unit: `250ms`, `2s`, `1m`. Not 0.
fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    match (digits.parse::<u32>(), unit_ms) {
        (Ok(count @ 1..), Some(unit_ms)) => Ok(Duration::from_millis(u64::from(count) * unit_ms)),
        _ => Err("digits and a unit are expected, and not 0: 250ms, 2s or 1m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_digits_and_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["", "5", "s", "0s", "-1s", "1.5s", "1h", "1 s", "99999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }
}
