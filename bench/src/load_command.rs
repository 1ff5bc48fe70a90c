//! `bench load`: one load on one server, which already listens or is started for it.

use crate::contenders::{self, Contender, Role};
use crate::cores::{Cores, pin};
use crate::load::{self, BUSY, Pace, Plan, Progress, Report, Verb};
use crate::programs::{self, Program};
use crate::scenario::Placement;
use crate::server::Server;
use anyhow::{Context, Result, bail};
use clap::Args;
use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{self, IsTerminal, Write, stdout};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// The longest warm-up or measuring: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The most requests a second: one each nanosecond.
const FASTEST: f64 = 1e9;
/// The most bytes of requests that one connection has under way.
const LARGEST_BATCH: usize = 256 << 20;

const OUTPUT: &str = "cannot write to standard output";

/// What `bench load` is told.
#[derive(Args, Debug)]
pub struct LoadCommand {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    flags: LoadFlags,
}

/// Who is asked.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Target {
    /// Where the server listens, for example 127.0.0.1:9090 (loopback only)
    #[arg(value_parser = resolve)]
    address: Option<SocketAddr>,
    /// Build this rung, start it on a core of its own, and stop it afterwards (`bench list`)
    #[arg(long, value_name = "R", value_parser = rung)]
    rung: Option<&'static Contender>,
    /// The same with this peer, for example peer-tokio
    #[arg(long, value_name = "P", value_parser = peer)]
    peer: Option<&'static Contender>,
}

/// The load, whoever the server is.
#[derive(Args, Clone, Debug)]
struct LoadFlags {
    /// Connections that send requests
    #[arg(long, value_name = "N", default_value_t = 50)]
    connections: usize,
    /// Connections beside them that send nothing and must stay open
    #[arg(long, value_name = "N", default_value_t = 0)]
    idle: usize,
    /// Requests that a connection sends together; the next ones follow when all are answered
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pipeline: u64,
    /// What to ask for
    #[arg(long, value_enum, default_value_t = Verb::Echo)]
    verb: Verb,
    /// Bytes of echo's body or compute's text, milliseconds of burn
    #[arg(long, value_name = "N", default_value_t = 64)]
    size: usize,
    /// Requests a second over all connections, each due at a fixed time (open loop); without it, as
    /// fast as the server answers (closed loop)
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Requests after which a connection is closed and another opened
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    churn: Option<u64>,
    /// How long to measure: 500ms, 10s, 1m
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Before that, the same load without measuring; 0s for none
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration_or_none)]
    warmup: Duration,
    /// Write JSON, as is done when standard output is not a terminal
    #[arg(long)]
    json: bool,
    /// Run on this core only
    #[arg(long, value_name = "N")]
    core: Option<usize>,
}

impl LoadCommand {
    /// Runs the load and prints what came of it; says whether there was no error.
    ///
    /// # Errors
    /// The load could not begin, or the server that was started for it broke.
    pub fn run(&self) -> Result<bool> {
        // Before a server is started: it would be left behind.
        let mut plan = self.flags.plan().unwrap_or_else(|reason| {
            clap::Error::raw(ErrorKind::ValueValidation, format!("{reason}\n")).exit()
        });
        let Target { address, rung, peer } = self.target;
        if let Some(contender) = rung.or(peer) {
            let server = start(contender, self.flags.core)?;
            plan.address = server.address;
            let flawless = self.flags.run(&plan)?;
            server.stop(Duration::ZERO)?;
            return Ok(flawless);
        }
        plan.address = address.context("no server was named")?;
        self.flags.run(&plan)
    }
}

/// Builds the contender and starts it, and has the load run on another core than the server.
fn start(contender: &'static Contender, load_core: Option<usize>) -> Result<Server> {
    eprintln!("building {}", contender.name);
    let program = match programs::build(&[contender])?.remove(contender.program) {
        Some(Program::Built(program)) => program,
        Some(Program::Missing(why)) => bail!("{} can't be had here: {why}", contender.name),
        None => bail!("the workspace has no program {}", contender.program),
    };
    let cores = Cores::choose()?;
    let cores = Cores { load: load_core.unwrap_or(cores.load), ..cores };
    Server::start_apart(
        contender.name,
        &program,
        &contender.command_line(&[]),
        cores,
        Placement::Apart,
    )
}

impl LoadFlags {
    fn run(&self, plan: &Plan) -> Result<bool> {
        if let Some(core) = self.core {
            pin(&[core]).context("--core")?;
        }
        let report = load::run(plan, show_progress())?;
        if self.json || !stdout().is_terminal() {
            let json = serde_json::to_string_pretty(&Figures::new(&report))?;
            writeln!(stdout(), "{json}").context(OUTPUT)?;
        } else {
            print_summary(&report).context(OUTPUT)?;
        }
        if report.cpu_share() > BUSY {
            eprintln!(
                "warning: the load generator was busy {:.0} % of the time: this measures the generator, not the server",
                report.cpu_share() * 100.0
            );
        }
        if let Some(error) = &report.first_error {
            eprintln!("error: {} errors, the first: {error}", report.errors);
        }
        Ok(report.errors == 0)
    }

    /// What the flags ask for, of a server yet to be named; or why they don't go together.
    fn plan(&self) -> Result<Plan, &'static str> {
        if self.connections == 0 && self.idle == 0 {
            return Err("no connections: give at least one by --connections or --idle");
        }
        // A 64-bit machine's usize holds it.
        let pipeline = self.pipeline as usize;
        // Whatever is asked for takes a few bytes.
        if pipeline.saturating_mul(self.size.saturating_add(32)) > LARGEST_BATCH {
            return Err("--pipeline times --size is more than 256 MiB for each connection");
        }
        Ok(Plan {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            connections: self.connections,
            idle: self.idle,
            pipeline,
            verb: self.verb,
            size: self.size,
            pace: self.rate.map_or(Pace::Closed, Pace::Open),
            churn: self.churn,
            warmup: self.warmup,
            duration: self.duration,
        })
    }
}

/// A report as JSON.
#[derive(Debug, Serialize)]
struct Figures<'a> {
    requests: u64,
    requests_per_second: f64,
    connects: u64,
    errors: u64,
    first_error: Option<&'a str>,
    seconds: f64,
    latency_ns: Latency,
    generator_cpu_share: f64,
    generator_syscalls_per_request: f64,
}

/// Percentiles, in nanoseconds.
#[derive(Debug, Serialize)]
struct Latency {
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl<'a> Figures<'a> {
    fn new(report: &'a Report) -> Self {
        let at = |quantile| report.latency.value_at_quantile(quantile);
        Self {
            requests: report.requests,
            requests_per_second: report.requests_per_second(),
            connects: report.connects,
            errors: report.errors,
            first_error: report.first_error.as_deref(),
            seconds: report.seconds,
            latency_ns: Latency {
                mean: report.latency.mean(),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: report.latency.max(),
            },
            generator_cpu_share: report.cpu_share(),
            generator_syscalls_per_request: report.syscalls_per_request(),
        }
    }
}

fn print_summary(report: &Report) -> io::Result<()> {
    let mut stdout = stdout().lock();
    let at = |quantile| report.latency.value_at_quantile(quantile) as f64 / 1000.0;
    writeln!(stdout, "{:.0} requests/s", report.requests_per_second())?;
    writeln!(
        stdout,
        "latency   p50 {:.1} µs   p90 {:.1} µs   p99 {:.1} µs   p99.9 {:.1} µs   max {:.1} µs",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    )?;
    writeln!(
        stdout,
        "{} requests in {:.2} s, {} connects, {} errors",
        report.requests, report.seconds, report.connects, report.errors
    )?;
    writeln!(
        stdout,
        "the generator itself: {:.0} % of a core, {:.2} system calls a request",
        report.cpu_share() * 100.0,
        report.syscalls_per_request()
    )
}

/// A bar on a terminal, and nothing elsewhere (indicatif sees to that).
fn show_progress() -> impl FnMut(Progress) {
    let bar = ProgressBar::new(0);
    // The template is known to be right; without it there would still be a bar.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {msg}") {
        bar.set_style(style);
    }
    move |progress: Progress| {
        bar.set_length(progress.total.as_millis() as u64);
        bar.set_position(progress.elapsed.as_millis() as u64);
        bar.set_message(format!(
            "{:.1} s of {:.1} s, {} requests",
            progress.elapsed.as_secs_f64(),
            progress.total.as_secs_f64(),
            progress.requests
        ));
        if progress.elapsed >= progress.total {
            bar.finish_and_clear();
        }
    }
}

fn rung(name: &str) -> Result<&'static Contender, String> {
    contender(name, |role| role == Role::Rung)
}

fn peer(name: &str) -> Result<&'static Contender, String> {
    contender(name, |role| role != Role::Rung)
}

fn contender(name: &str, fits: fn(Role) -> bool) -> Result<&'static Contender, String> {
    let of_its_kind = || contenders::CONTENDERS.iter().filter(|contender| fits(contender.role));
    of_its_kind().find(|contender| contender.name == name).ok_or_else(|| {
        let names: Vec<&str> = of_its_kind().map(|contender| contender.name).collect();
        format!("there are: {}", names.join(", "))
    })
}

fn resolve(address: &str) -> Result<SocketAddr, String> {
    let found = address.to_socket_addrs().ok().and_then(|mut found| found.next());
    let found = found.ok_or("HOST:PORT is expected, such as 127.0.0.1:9090")?;
    if !found.ip().is_loopback() {
        return Err("only a loopback address is accepted, such as 127.0.0.1:9090".to_owned());
    }
    Ok(found)
}

/// Digits and a unit, as on a server's command line (notes/protocol.md, section 2).
fn duration(text: &str) -> Result<Duration, String> {
    let duration = duration_or_none(text)?;
    if duration.is_zero() { Err("it must be longer than 0".to_owned()) } else { Ok(duration) }
}

fn duration_or_none(text: &str) -> Result<Duration, String> {
    let expected = || "digits and a unit are expected: 250ms, 2s or 1m".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (digits, unit) = text.split_at(unit_at);
    let count = u64::from(digits.parse::<u32>().map_err(|_| expected())?);
    let duration = match unit {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(count * 60),
        _ => return Err(expected()),
    };
    if duration > LONGEST { Err("it may be a day at most: 1440m".to_owned()) } else { Ok(duration) }
}

fn at_least_one(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number of at least 1 is expected".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= FASTEST => Ok(rate),
        _ => Err("a number above 0 is expected: requests a second, at most 1000000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_digits_and_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(duration_or_none("0s"), Ok(Duration::ZERO));
        assert!(duration("0s").is_err());
        for bad in ["", "1", "s", "1441m", "-1s", "1.5s", "1h", "1 s", "5000000000s", "1µs"] {
            assert!(duration_or_none(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_is_a_number_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for bad in ["", "0", "-1", "1e300", "inf", "NaN", "many"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
