//! What one request costs the server next to so many idle connections: system calls and CPU time.
//!
//! `cargo run --release -p harness --example idle_cost` prints the table of `notes/w04-epoll-migration.md`;
//! with numbers behind it, only the rows with so many idle connections. It needs `strace`, and as many
//! descriptors as idle connections.

mod common;

use anyhow::{Context, Result, ensure};
use common::{Server, ask};
use procfs::process::Process;
use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Requests for each figure.
const REQUESTS: u32 = 2_000;
/// The middle one of so many measurements of CPU time is taken.
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    harness::limits::raise_descriptor_limit();
    println!("| idle connections | server | system calls a request | CPU time a request, µs |");
    println!("| ---: | --- | ---: | ---: |");
    let chosen: Vec<usize> =
        env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let all = [10, 100, 1_000, 10_000];
    for idle in if chosen.is_empty() { all.to_vec() } else { chosen } {
        for (package, flags, most) in [
            ("day3-backpressure", &[][..], 1_000),
            ("day4-poll", &[], usize::MAX),
            ("w04-epoll", &[], usize::MAX),
            ("w04-epoll", &["--edge-triggered"], usize::MAX),
        ] {
            let name = [&[package], flags].concat().join(" ");
            if idle > most {
                println!("| {idle} | {name} | – | – |");
                continue;
            }
            let (calls, micros) = measure(package, flags, idle)?;
            println!("| {idle} | {name} | {calls:.2} | {micros:.1} |");
        }
    }
    Ok(())
}

/// System calls and microseconds of CPU time for one request.
fn measure(package: &str, flags: &[&str], idle: usize) -> Result<(f64, f64)> {
    let server = Server::start(package, flags)?;
    let mut clients = Vec::new();
    for _ in 0..idle {
        let mut client = server.connect()?;
        barrier(&mut client)?;
        clients.push(client);
    }
    let mut busy = server.connect()?;
    let pid = i32::try_from(server.child.id())?;
    let cpu_time = || anyhow::Ok(Process::new(pid)?.schedstat()?.sum_exec_runtime);

    let mut micros = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu_time()?;
        (0..REQUESTS).try_for_each(|_| barrier(&mut busy))?;
        micros.push((cpu_time()? - before) as f64 / 1_000.0 / f64::from(REQUESTS));
    }
    micros.sort_by(f64::total_cmp);

    let calls = count_calls(pid, || (0..REQUESTS).try_for_each(|_| barrier(&mut busy)))?;
    Ok((calls as f64 / f64::from(REQUESTS), micros[ROUNDS / 2]))
}

fn barrier(client: &mut TcpStream) -> Result<()> {
    ask(client, b"mn\r\n", b"MN\r\n")
}

/// How many system calls the process makes while `work` runs.
fn count_calls(pid: i32, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let table = folder.path().join("calls");
    let mut strace = Command::new("strace")
        .args(["-qq", "-c", "-U", "name,calls", "-o"])
        .arg(&table)
        .args(["-p", &pid.to_string()])
        .spawn()
        .context("strace is needed to count system calls")?;
    wait_for_tracer(pid)?;
    let result = work();
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&strace),
        rustix::process::Signal::INT,
    )?;
    strace.wait()?;
    result?;
    total(&table)
}

/// The sum of the second column.
fn total(table: &Path) -> Result<u64> {
    let text = fs::read_to_string(table)?;
    let calls = text.lines().filter(|line| !line.starts_with("total"));
    let counts = calls.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(counts.sum())
}

/// Until strace has attached itself to the process.
fn wait_for_tracer(pid: i32) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    while Process::new(pid)?.status()?.tracerpid == 0 {
        ensure!(Instant::now() < end, "strace did not attach to process {pid}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
