//! One connection from accept to close: every state, and every way out of it
//! (notes/protocol.md sections 1 and 3). What `closing`, `timeouts` and `descriptors` look at one
//! by one is here walked through state by state.

use super::support::{BIG, SOON, TINY, Watcher, echo_of, expect_descriptors, reader_with_queue};
use super::watch::OUTSIDE;
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::time::Duration;

const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const RESTART_PID: &[Need] = &[Need::Restart, Need::Pid];

/// A lingering connection would last 2 s, so that an earlier end tells that it was noticed.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("LC01", "lifecycle/every_state_in_turn", Rung::Day2, every_state)
        .needs(RESTART_PID)
        .rule(
            "a connection goes from accept through every state to its close, one after the other",
            LIFE,
        )
        .hint(
            "CONNECTING, READING_HEADER, READING_BODY, WRITING and CLOSING each have one way on: \
             compare with the transition table of day 1",
        ),
    Case::new("LC02", "lifecycle/reset_in_every_state", Rung::Day2, reset_everywhere)
        .needs(RESTART_PID)
        .timeout_s(20)
        .rule(
            "whatever state a connection is in, a reset removes it, its descriptor is closed, and \
             nobody else notices",
            LIFE,
        )
        .hint("an error leads from every state to the close: one function that every path calls"),
    Case::new("LC03", "lifecycle/close_in_every_state", Rung::Day2, close_everywhere)
        .needs(RESTART_PID)
        .timeout_s(20)
        .rule(
            "whatever state a connection is in, a client that closes is removed, its descriptor is \
             closed, and nobody else notices",
            LIFE,
        )
        .hint(
            "the end of the input (recv returned 0) leads from every state to the close, after the \
             replies that are still owed",
        ),
    Case::new("LC04", "lifecycle/half_close_ends_the_linger", Rung::Day2, half_close_in_closing)
        .needs(&[Need::Restart])
        .rule("a lingering connection is closed when the client shuts down its side, too", LIFE)
        .hint(
            "while lingering, recv returning 0 says that nothing more comes: close then, and don't \
             wait for the 2 s to be over",
        ),
    Case::new("LC05", "lifecycle/server_closes_in_every_state", Rung::Day2, server_closes)
        .needs(RESTART_PID)
        .rule(
            "wherever the server ends a connection, it is by FIN, and the descriptor is freed",
            LIFE,
        )
        .hint(
            "a header that is too long, a body without EOL, `quit`: all of them flush, shut down \
             the sending side, linger, and close",
        ),
    Case::new("LC06", "lifecycle/a_thousand_cycles_of_ten", Rung::Day2, thousand_cycles)
        .needs(RESTART_PID)
        .timeout_s(40)
        .rule(
            "after 1,000 cycles of 10 connections the server has not one descriptor more",
            OUTSIDE,
        )
        .hint(
            "list /proc/PID/fd while it runs: what is left over? close(2) belongs to the one place \
             that removes a connection from the registry",
        ),
];

/// The states that a client can bring a connection into and keep it in.
#[derive(Debug, Clone, Copy)]
enum State {
    Connecting,
    Header,
    Body,
    SkippedBody,
    Idle,
    Writing,
    Closing,
}

const STATES: [State; 7] = [
    State::Connecting,
    State::Header,
    State::Body,
    State::SkippedBody,
    State::Idle,
    State::Writing,
    State::Closing,
];

impl State {
    fn reach(self, judge: &Judge, server: &Server, watcher: &mut Watcher) -> CaseResult<Client> {
        let before = watcher.others()?;
        let connect = || server.connect().named(&format!("in state {self:?}"));
        let mut client = match self {
            Self::Writing => return reader_with_queue(judge, server, watcher),
            _ => connect().receive_buffer(TINY).open()?,
        };
        match self {
            Self::Connecting | Self::Writing => {}
            Self::Header => client.ask("mn\r\necho 5", "MN\r\n")?,
            Self::Body => client.ask("mn\r\necho 5\r\nhe", "MN\r\n")?,
            Self::SkippedBody => {
                client.ask("echo 2147483647\r\nhe", "SERVER_ERROR object too large\r\n")?;
            }
            Self::Idle => client.fence()?,
            Self::Closing => {
                client.ask("mn\r\nquit\r\n", "MN\r\n")?;
                client.expect_eof()?;
            }
        }
        let expected = format!("a connection in state {self:?} to be counted");
        watcher.wait_for(judge, &expected, "curr_connections", SOON, |now| now > before + 1)?;
        Ok(client)
    }
}

/// Brings one connection after the other into each state, ends it this way, and looks whether
/// anything is left.
fn end_everywhere(judge: &Judge, end: impl Fn(Client) -> CaseResult) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    let bystanders = server.bystanders()?;
    let mut watcher = Watcher::new(&server)?;
    let expected = "the two bystanders and the one that asks to be counted";
    watcher.wait_for(judge, expected, "curr_connections", SOON, |now| now == 3)?;
    let before = process.descriptors()?.len();
    for state in STATES {
        let client = state.reach(judge, &server, &mut watcher)?;
        end(client)?;
        let expected = format!("a connection in state {state:?} to be removed");
        watcher.wait_for(judge, &expected, "curr_connections", AT_ONCE, |now| now == 3)?;
        expect_descriptors(judge, &process, before, &format!("an end in state {state:?}"))?;
    }
    judge.equal("bytes_queued", 0, watcher.number("bytes_queued")?)?;
    bystanders.finish()
}

fn reset_everywhere(judge: &Judge) -> CaseResult {
    end_everywhere(judge, Client::reset)
}

fn close_everywhere(judge: &Judge) -> CaseResult {
    end_everywhere(judge, |client| {
        drop(client);
        Ok(())
    })
}

fn every_state(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, SOON)?;
    let before = process.descriptors()?.len();
    let mut client = server.connect().named("one").receive_buffer(TINY).open()?;
    watcher.wait_for_others(judge, 1, SOON)?;
    let (request, reply) = echo_of(BIG);
    let (header, body) = request.split_at(request.len() - BIG - 2);
    let mut sent = 0;
    for part in [&header[..3], &header[3..], &body[..BIG / 2], &body[BIG / 2..]] {
        judge.equal(
            "bytes_queued while the request arrives",
            0,
            watcher.number("bytes_queued")?,
        )?;
        client.send(part)?;
        sent += part.len() as u64;
        let expected = format!("the first {sent} bytes of a request to be read");
        watcher.wait_for(judge, &expected, "bytes_read", SOON, |read| read >= sent)?;
    }
    watcher.wait_for(judge, "the reply to be queued", "bytes_queued", SOON, |bytes| bytes > 0)?;
    client.expect(reply)?;
    watcher.wait_for(judge, "the reply to be written", "bytes_queued", SOON, |bytes| bytes == 0)?;
    client.ask("mn\r\nquit\r\n", "MN\r\n")?;
    client.expect_eof()?;
    drop(client);
    watcher.wait_for_others(judge, 0, AT_ONCE)?;
    expect_descriptors(judge, &process, before, "the end")
}

fn half_close_in_closing(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = State::Closing.reach(judge, &server, &mut watcher)?;
    client.shutdown_write()?;
    watcher.wait_for_others(judge, 0, AT_ONCE)
}

fn server_closes(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-header", "100", "--max-body", "10"])?;
    let process = server.process()?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, SOON)?;
    let before = process.descriptors()?.len();
    let long_line = "x".repeat(101);
    let (too_large, bad_chunk) =
        ("SERVER_ERROR object too large\r\n", "CLIENT_ERROR bad data chunk\r\n");
    let skipped = [too_large, bad_chunk].concat();
    let ends = [
        ("as the first request", "quit\r\n", ""),
        ("in a header", long_line.as_str(), "CLIENT_ERROR line too long\r\n"),
        ("in a body", "echo 2\r\nab!", bad_chunk),
        ("in a body that is skipped", "echo 11\r\n01234567890!", skipped.as_str()),
        ("behind replies", "mn\r\necho 2\r\nab\r\nquit\r\n", "MN\r\nECHO 2\r\nab\r\n"),
    ];
    for (name, request, reply) in ends {
        let mut client = server.connect().named(name).open()?;
        client.ask(request, reply)?;
        client.expect_eof()?;
        drop(client);
        watcher.wait_for_others(judge, 0, AT_ONCE)?;
        expect_descriptors(judge, &process, before, &format!("an end {name}"))?;
    }
    Ok(())
}

fn thousand_cycles(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let process = server.process()?;
    let mut watcher = Watcher::new(&server)?;
    watcher.wait_for_others(judge, 0, SOON)?;
    let before = process.descriptors()?.len();
    for cycle in 0..1000 {
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = server.connect().named("in a cycle").open()?;
            client.send("mn\r\n")?;
            clients.push(client);
        }
        for client in clients.iter_mut().rev() {
            client.expect("MN\r\n")?;
        }
        // One in ten politely. The others leave no port in TIME_WAIT behind.
        if cycle % 10 == 0 {
            continue;
        }
        clients.into_iter().try_for_each(Client::reset)?;
    }
    watcher.wait_for_others(judge, 0, SOON)?;
    expect_descriptors(judge, &process, before, "10,000 connections")?;
    judge.equal("total_connections", 10_001, watcher.number("total_connections")?)
}
