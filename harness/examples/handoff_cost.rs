//! What the hand-off to worker threads costs, and what it buys.
//!
//! `cargo run --release -p harness --example handoff_cost` prints the tables of `notes/w05-handoff.md`.
//! Every figure is a median over rounds in which the things compared take turns.

mod common;

use anyhow::{Context, Result, anyhow, bail, ensure};
use common::{Server, ask};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
/// Exchanges of one connection for one figure.
const EXCHANGES: usize = 3_000;
/// Connections that keep a server busy.
const CLIENTS: usize = 50;
/// How long delays are measured for one figure.
const SPELL: Duration = Duration::from_secs(3);

/// A request and its reply.
type Exchange = (&'static [u8], &'static [u8]);

const ECHO: Exchange = (b"echo 1\r\nx\r\n", b"ECHO 1\r\nx\r\n");
const COMPUTE: Exchange = (
    b"compute x\r\n",
    b"result: 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\r\n",
);
const BURN: Exchange = (b"burn 50\r\n", b"result: burned 50\r\n");

fn main() -> Result<()> {
    round_trips()?;
    throughput()?;
    delays()
}

/// One connection asks, waits, asks again.
fn round_trips() -> Result<()> {
    let handoff = Server::start("w05-handoff", &[])?;
    let inline = Server::start("w04-epoll", &[])?;
    let (mut theirs, mut ours) = (inline.connect()?, handoff.connect()?);
    let mut micros = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        micros[0].push(median_micros(&mut ours, ECHO)?);
        micros[1].push(median_micros(&mut ours, COMPUTE)?);
        micros[2].push(median_micros(&mut theirs, COMPUTE)?);
    }
    let [echo, compute, inline] = micros.map(median);
    println!("| one connection, closed loop | round trip, µs | against echo |");
    println!("| --- | ---: | ---: |");
    println!("| `echo` on w05-handoff (on the loop) | {echo:.1} | 1.00 |");
    println!("| `compute` on w05-handoff (handed off) | {compute:.1} | {:.2} |", compute / echo);
    println!("| `compute` on w04-epoll (on the loop) | {inline:.1} | {:.2} |\n", inline / echo);
    Ok(())
}

fn median_micros(client: &mut TcpStream, exchange: Exchange) -> Result<f64> {
    let mut micros = Vec::with_capacity(EXCHANGES);
    for _ in 0..EXCHANGES {
        micros.push(timed(client, exchange)?);
    }
    Ok(median(micros))
}

fn timed(client: &mut TcpStream, (request, reply): Exchange) -> Result<f64> {
    let before = Instant::now();
    ask(client, request, reply)?;
    Ok(before.elapsed().as_nanos() as f64 / 1_000.0)
}

/// Fifty connections ask as fast as they are answered.
fn throughput() -> Result<()> {
    let contenders = [
        ("w04-epoll, on the loop", "w04-epoll", &[][..]),
        ("w05-handoff, 1 worker", "w05-handoff", &["--workers", "1"]),
        ("w05-handoff, 2 workers", "w05-handoff", &["--workers", "2"]),
        ("w05-handoff, 4 workers", "w05-handoff", &["--workers", "4"]),
    ];
    // As much as a header line holds: some work for the processor.
    let long: &'static [u8] =
        Box::leak([b"compute ", vec![b'x'; 8_000].as_slice(), b"\n"].concat().into());
    // What is asked, and how often by each connection.
    let kinds: [(&str, Exchange, usize); 3] = [
        ("`compute`, 1 byte", COMPUTE, 200),
        ("`compute`, 8,000 bytes", (long, b"result: "), 200),
        ("`burn 1`", (b"burn 1\r\n", b"result: burned 1\r\n"), 20),
    ];
    println!(
        "| 50 connections, closed loop | server | tasks a second | against the loop | wakeups a task |"
    );
    println!("| --- | --- | ---: | ---: | ---: |");
    for (kind, exchange, asks) in kinds {
        let mut rates = [const { Vec::new() }; 4];
        let mut wakeups = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            for (i, (_, package, flags)) in contenders.iter().enumerate() {
                let server = Server::start(package, flags)?;
                rates[i].push(rate(&server, exchange, asks)?);
                wakeups[i].push(wakeups_a_task(&server)?);
            }
        }
        let rates = rates.map(median);
        for (i, wakeups) in wakeups.map(median).into_iter().enumerate() {
            let name = contenders[i].0;
            let wakeups = if wakeups > 0.0 { format!("{wakeups:.2}") } else { "–".to_owned() };
            println!(
                "| {kind} | {name} | {:.0} | {:.2} | {wakeups} |",
                rates[i],
                rates[i] / rates[0]
            );
        }
    }
    println!();
    Ok(())
}

fn rate(server: &Server, (request, reply): Exchange, asks: usize) -> Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(server.connect()?);
    }
    let before = Instant::now();
    thread::scope(|scope| {
        let started: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(move || converse(client, request, reply, asks)))
            .collect();
        started.into_iter().try_for_each(join)
    })?;
    Ok((CLIENTS * asks) as f64 / before.elapsed().as_secs_f64())
}

/// What a client's thread came to.
fn join(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a client panicked"))?
}

fn converse(client: TcpStream, request: &[u8], start_of_reply: &[u8], asks: usize) -> Result<()> {
    let mut replies = BufReader::new(client.try_clone()?);
    let mut client = client;
    let mut line = Vec::new();
    for _ in 0..asks {
        client.write_all(request)?;
        line.clear();
        replies.read_until(b'\n', &mut line)?;
        ensure!(line.starts_with(start_of_reply), "a wrong reply: {}", line.escape_ascii());
    }
    Ok(())
}

/// 0 where there are no workers.
fn wakeups_a_task(server: &Server) -> Result<f64> {
    let mut client = server.connect()?;
    client.write_all(b"stats\n")?;
    let (mut done, mut wakeups) = (1.0, 0.0);
    for line in BufReader::new(client).lines() {
        let line = line?;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["STAT", "tasks_done", value] => done = value.parse()?,
            ["STAT", "wakeups", value] => wakeups = value.parse()?,
            ["END"] => return Ok(wakeups / done),
            _ => {}
        }
    }
    bail!("stats did not end")
}

/// How long one connection waits for `echo`, while nobody or four others `burn 50` without pause.
fn delays() -> Result<()> {
    println!(
        "| `echo` on one connection, ms | p50 quiet | p99 quiet | p50 burning | p99 burning | p99 against quiet |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for package in ["day4-poll", "w04-epoll", "w05-handoff"] {
        let server = Server::start(package, &[])?;
        let mut figures = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let (p50, p99) = spell(&server, 0)?;
            figures[0].push(p50);
            figures[1].push(p99);
            let (p50, p99) = spell(&server, 4)?;
            figures[2].push(p50);
            figures[3].push(p99);
        }
        let [quiet50, quiet99, busy50, busy99] = figures.map(median);
        println!(
            "| {package} | {quiet50:.3} | {quiet99:.3} | {busy50:.3} | {busy99:.3} | {:.1} |",
            busy99 / quiet99
        );
    }
    Ok(())
}

/// The 50th and the 99th percentile of the delays of a while, in milliseconds.
fn spell(server: &Server, burning: usize) -> Result<(f64, f64)> {
    let over = AtomicBool::new(false);
    let mut burners = Vec::new();
    for _ in 0..burning {
        burners.push(server.connect()?);
    }
    let mut client = server.connect()?;
    thread::scope(|scope| {
        let over = &over;
        let burn = |mut burner: TcpStream| {
            scope.spawn(move || -> Result<()> {
                while !over.load(Ordering::Relaxed) {
                    ask(&mut burner, BURN.0, BURN.1)?;
                }
                Ok(())
            })
        };
        let burning: Vec<_> = burners.into_iter().map(burn).collect();
        let measured = measure_delays(&mut client);
        over.store(true, Ordering::Relaxed);
        // A figure counts only if all of them burned until the end.
        burning.into_iter().try_for_each(join)?;
        measured
    })
}

fn measure_delays(client: &mut TcpStream) -> Result<(f64, f64)> {
    let mut delays = Vec::new();
    let end = Instant::now() + SPELL;
    while Instant::now() < end {
        delays.push(timed(client, ECHO)? / 1_000.0);
        // A client that asks now and then, as people do.
        thread::sleep(Duration::from_millis(1));
    }
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied();
    at(0.50).zip(at(0.99)).context("nothing was measured")
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
