//! Memory is given back (notes/protocol.md section 3).

use super::support::{echo_of, served_clients};
use super::watch::{OUTSIDE, leave};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::inspect::Process;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::{CaseResult, Stop};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// How soon memory must be back.
const SOON: Duration = Duration::from_secs(2);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("MM01", "memory/ten_thousand_connections_leave_nothing", Rung::Day2, ten_thousand)
        .needs(&[Need::Pid, Need::Restart])
        .timeout_s(30)
        .rule(
            "after 10,000 connections in turn the resident set is at most 8 MiB larger than after \
             the first 1,000",
            OUTSIDE,
        )
        .hint(
            "something of each closed connection is kept: its buffers, an entry in a table or a \
             list of deadlines. Remove the connection from every place that knows it",
        ),
    Case::new("MM02", "memory/large_requests_leave_no_large_buffers", Rung::Day2, large_requests)
        .needs(&[Need::Pid, Need::Restart])
        .timeout_s(20)
        .rule("a closed connection gives back the memory of its large requests", OUTSIDE)
        .hint(
            "free the buffers when the connection closes; a buffer kept for the next client must \
             be a small one",
        ),
    Case::new("MM03", "memory/a_flushed_queue_is_given_back", Rung::Day2, flushed_queue)
        .needs(&[Need::Pid, Need::Restart])
        .timeout_s(20)
        .rule("a connection that sends and reads on and on does not make the server grow", OUTSIDE)
        .hint(
            "bytes that were written must leave the write queue: don't keep them in front of an \
             offset, and don't append to a buffer that is never cleared",
        ),
];

fn ten_thousand(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    connections_in_turn(&server, 1_000)?;
    wait_until_all_are_gone(judge, &server)?;
    let after_first = process.resident_bytes()?;
    connections_in_turn(&server, 9_000)?;
    wait_until_all_are_gone(judge, &server)?;
    expect_resident(judge, &process, after_first, 8 * MIB)
}

/// Fifty at a time, each with a request and half of another one.
fn connections_in_turn(server: &Server, count: usize) -> CaseResult {
    let (request, reply) = echo_of(1000);
    let sent = [&request, &request[..700]].concat();
    for _ in 0..count / 50 {
        let mut clients = Vec::new();
        for _ in 0..50 {
            let mut client = server.client()?;
            client.send(&sent)?;
            clients.push(client);
        }
        for client in &mut clients {
            client.expect(&reply)?;
        }
        clients.truncate(49);
        leave(clients)?;
    }
    Ok(())
}

fn large_requests(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    // What an allocator keeps after the first round, it uses again in the next ones.
    fifty_large_requests(judge, &server)?;
    let after_first = process.resident_bytes()?;
    for _ in 0..3 {
        fifty_large_requests(judge, &server)?;
    }
    expect_resident(judge, &process, after_first, 32 * MIB)
}

/// The server holds 25 MiB of requests at once, and then none of it.
fn fifty_large_requests(judge: &Judge, server: &Server) -> CaseResult {
    let (request, reply) = echo_of(512 << 10);
    let mut clients = served_clients(server, 50)?;
    for client in &mut clients {
        // The last byte is missing: the server has to hold all the others.
        client.send(&request[..request.len() - 1])?;
    }
    for client in &mut clients {
        client.send("\n")?;
        client.expect(&reply)?;
    }
    leave(clients)?;
    wait_until_all_are_gone(judge, server)
}

fn flushed_queue(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    let mut client = server.client()?;
    let pushed = fill_and_read(&mut client, 24 << 20)?;
    let after_first = process.resident_bytes()?;
    for _ in 0..3 {
        // No more than in the first round, or the server would have a reason to grow.
        fill_and_read(&mut client, pushed)?;
    }
    expect_resident(judge, &process, after_first, 32 * MIB)
}

/// Requests of up to `most` bytes are sent, then all their replies are read. A rung with bounded
/// queues takes fewer. Returns how many bytes were sent before the first reply was read.
fn fill_and_read(client: &mut Client, most: usize) -> CaseResult<usize> {
    let (request, reply) = echo_of(1 << 20);
    let push = client.push_until_blocked(&request, most)?;
    for _ in 0..push.sent / request.len() {
        client.expect(&reply)?;
    }
    let begun = push.sent % request.len();
    if begun > 0 {
        client.ask(&request[begun..], &reply)?;
    }
    client.fence()?;
    Ok(push.sent)
}

fn wait_until_all_are_gone(judge: &Judge, server: &Server) -> CaseResult {
    let mut asking = server.connect().named("stats").open()?;
    judge.wait_until("no connection but the one that asks", SOON, || {
        Ok(asking.stats()?.number("curr_connections")? == 1)
    })
}

fn expect_resident(judge: &Judge, process: &Process, before: u64, growth: u64) -> CaseResult {
    let what = format!(
        "at most {} MiB above the {:.1} MiB of before",
        growth / MIB,
        before as f64 / MIB as f64
    );
    let mut now = before;
    let waited = judge.wait_until(&what, SOON, || {
        now = process.resident_bytes()?;
        Ok(now <= before + growth)
    });
    match waited {
        Ok(()) => Ok(()),
        // The same, with the figure.
        Err(Stop::Fail(mut failure)) => {
            failure.actual = format!("{:.1} MiB", now as f64 / MIB as f64);
            Err(Stop::Fail(failure))
        }
        Err(stop) => Err(stop),
    }
}
