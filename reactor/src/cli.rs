//! What an operator types: the options that every server has.

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};
use conn_core::policy::{Limits, MAX_ANNOUNCED};
use std::fmt::Display;
use std::io::{self, Write};
use std::net::IpAddr;
use std::process::{self, ExitCode};
use std::time::Duration;

/// Options of every server of the lab. A day adds its own and no more.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// TCP port to listen on; 0 picks a free one
    #[arg(default_value_t = 9090)]
    pub port: u16,

    /// IPv4 or IPv6 address to listen on, or a name
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub host: String,

    /// Connections served at once; more are refused [default: 10000, or what FD_SETSIZE leaves]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,

    /// Longest header line
    #[arg(long, value_name = "BYTES", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub max_header: u32,

    /// Longest body
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(..=MAX_ANNOUNCED))]
    pub max_body: u64,

    /// Close a connection on which no byte moves for this long (250ms, 2s, 1m)
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub idle_timeout: Duration,

    /// Close a connection whose request takes longer than this to arrive
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,

    /// On SIGTERM or SIGINT, give up on unanswered clients after this long
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub drain_timeout: Duration,
}

impl ServerOptions {
    /// The limits that a connection obeys.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            max_header: self.max_header as usize,
            max_body: self.max_body,
            idle_timeout: self.idle_timeout,
            request_timeout: self.request_timeout,
        }
    }

    /// Host and port as they are written in one piece: `127.0.0.1:9090`, `[::1]:9090`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Parses the command line, or ends the process: status 0 after `--help` and `--version`, status 2
/// with the reason and the usage on standard error if the arguments are wrong.
#[must_use]
pub fn parse<C: Parser>() -> C {
    C::try_parse().unwrap_or_else(|error| {
        let told = error.print().is_ok();
        let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        // clap leaves the usage out where only a value is wrong.
        if told && !asked && !error.to_string().contains("Usage:") {
            let _ = writeln!(io::stderr(), "\n{}", C::command().render_usage());
        }
        process::exit(error.exit_code())
    })
}

/// Ends the process with status 2, the message and the usage of `C` on standard error: for what no
/// single argument shows, as when two of them contradict each other.
pub fn refuse<C: CommandFactory>(message: impl Display) -> ! {
    C::command().error(ErrorKind::ValueValidation, message).exit()
}

/// One line on standard error, and the status of a server that can't serve.
pub fn failure(message: impl Display) -> ExitCode {
    // If nobody reads it, the status still tells.
    let _ = writeln!(io::stderr(), "error: {message}");
    ExitCode::FAILURE
}

/// Parses digits and a unit: `250ms`, `2s`, `1m`. Not 0.
///
/// # Errors
/// What is wrong with the text, for the operator.
pub fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "" => return Err("a unit is missing: write 250ms, 2s or 1m".to_owned()),
        _ => return Err("digits and a unit are expected: 250ms, 2s or 1m".to_owned()),
    };
    let count = digits
        .parse::<u32>()
        .map_err(|_| "digits and a unit are expected: 250ms, 2s or 1m".to_owned())?;
    if count == 0 {
        return Err("it must be longer than 0".to_owned());
    }
    Ok(Duration::from_millis(u64::from(count) * unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_digits_and_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for wrong in
            ["", "5", "s", "0s", "0ms", "-1s", "+1s", "1.5s", "1h", "1 s", "1S", "99999999999s"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
