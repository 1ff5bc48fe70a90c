//! Corners of a connection's life that need two things at once, so that no other case comes by them:
//! each is a row of the transition table.

use super::support::{BIG, SOON, TINY, Watcher, echo_of, not_early};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::{Server, Signal};
use crate::verdict::CaseResult;
use std::time::Duration;

const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";
const NEEDS: &[Need] = &[Need::Restart, Need::Flags];

/// So much may be queued that nobody is paused: then input is read while replies wait.
const NO_PAUSE: &str = "--high-water=67108864";

/// The requests that make a queue.
const PIECES: usize = 128;

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("RW01", "rows/half_close_while_replies_wait", Rung::Day3, half_close_while_writing)
        .needs(NEEDS)
        .rule("who half-closes while its replies wait gets them all, and then the end", LIFE)
        .hint("recv returning 0 says nothing about sending: flush first, then close"),
    Case::new("RW02", "rows/slow_request_while_replies_wait", Rung::Day3, slow_while_writing)
        .needs(NEEDS)
        .rule(
            "the clock of a slow request runs while replies to earlier ones wait, if it is not paused",
            LIFE,
        )
        .hint("whether a request is slow depends on its own bytes, not on what is queued"),
    Case::new("RW03", "rows/idle_in_the_middle_of_a_body", Rung::Day2, idle_in_a_body)
        .needs(NEEDS)
        .rule("--idle-timeout holds in the middle of a body too", LIFE)
        .hint("look at the idle clock in every state that waits for input, not between requests only"),
    Case::new("RW04", "rows/a_late_drain_gives_up_on_newcomers", Rung::Day2, late_drain)
        .needs(&[Need::Restart, Need::Flags, Need::Pid])
        .timeout_s(20)
        .rule(
            "when the drain begins late because of a task, its time is over for newcomers as well",
            "notes/protocol.md section 2, SIGTERM and SIGINT",
        )
        .hint("the time of a drain begins with the signal, not when the loop gets to it"),
    Case::new("RW05", "rows/drain_waits_for_a_reply_under_way", Rung::Day2, reply_before_half_a_request)
        .needs(&[Need::Restart])
        .rule(
            "at a drain, half a request does not destroy the reply before it that the kernel still \
             holds",
            "notes/protocol.md section 2, SIGTERM and SIGINT",
        )
        .hint("close at once only if SIOCOUTQ is 0; else shut the sending side down and linger"),
];

/// A client for which replies wait at the server, and which is not paused. Also the whole reply.
fn with_replies_waiting(
    judge: &Judge,
    server: &Server,
    watcher: &mut Watcher,
) -> CaseResult<(Client, Vec<u8>)> {
    let mut client = server.connect().named("reader").receive_buffer(TINY).open()?;
    // In pieces, so that none of them is a slow request.
    let (request, reply) = echo_of(BIG / PIECES);
    for _ in 0..PIECES {
        client.send(&request)?;
    }
    watcher.wait_for(judge, "replies to be queued", "bytes_queued", SOON, |bytes| bytes > 0)?;
    Ok((client, reply.repeat(PIECES)))
}

fn half_close_while_writing(judge: &Judge) -> CaseResult {
    let server = judge.server(&[NO_PAUSE])?;
    let mut watcher = Watcher::new(&server)?;
    let (mut client, reply) = with_replies_waiting(judge, &server, &mut watcher)?;
    let before = watcher.number("bytes_read")?;
    client.send("mn\r\n")?;
    watcher.wait_for(judge, "`mn` to be read", "bytes_read", SOON, |bytes| bytes >= before + 4)?;
    client.shutdown_write()?;
    // The watcher is answered in the turn that the end is seen in, or in a later one.
    watcher.number("bytes_queued")?;
    client.expect([reply.as_slice(), b"MN\r\n"].concat())?;
    client.expect_eof()
}

fn slow_while_writing(judge: &Judge) -> CaseResult {
    let server = judge.server(&[NO_PAUSE, "--request-timeout", "1s"])?;
    let mut watcher = Watcher::new(&server)?;
    let (mut client, _) = with_replies_waiting(judge, &server, &mut watcher)?;
    client.send("ech")?;
    watcher.wait_for_others(judge, 0, Duration::from_secs(4))?;
    judge.equal("timeouts", 1, watcher.number("timeouts")?)
}

fn idle_in_a_body(judge: &Judge) -> CaseResult {
    let limit = Duration::from_millis(300);
    let server = judge.server(&["--idle-timeout", "300ms"])?;
    let mut client = server.client()?;
    client.send("echo 5\r\nhe")?;
    client.expect_closed_within(not_early(limit), limit + Duration::from_secs(1)).map(drop)
}

fn late_drain(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--drain-timeout", "100ms"])?;
    server.wait_for_ready_line()?;
    let mut watcher = Watcher::new(&server)?;
    let mut burns = server.connect().named("burns").open()?;
    let mut in_a_body = server.connect().named("in a body").open()?;
    in_a_body.send("echo 5\r\nhe")?;
    watcher.wait_for_others(judge, 2, SOON)?;
    let (process, limit) = (server.process()?, Duration::from_secs(5));
    let before = process.cpu()?;
    burns.send("burn 1000\r\n")?;
    judge.wait_until("the burn to run", limit, || {
        Ok(process.cpu()? >= before + Duration::from_millis(50))
    })?;
    let mut newcomer = server.connect().named("newcomer").open()?;
    newcomer.send("mn\r\n")?;
    in_a_body.send("l")?;
    server.signal(Signal::TERM)?;
    server.expect_clean_exit(Duration::from_secs(15))
}

fn reply_before_half_a_request(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    server.wait_for_ready_line()?;
    let mut watcher = Watcher::new(&server)?;
    // Less than the server's kernel takes of a reply, and more than the client's does.
    let mut client = server.connect().named("slow").receive_buffer(TINY).open()?;
    let (request, reply) = echo_of(1_000_000);
    let before = watcher.number("bytes_read")?;
    client.send(&request)?;
    let all_read = before + request.len() as u64;
    watcher.wait_for(judge, "all of it to be read", "bytes_read", SOON, |read| read >= all_read)?;
    if watcher.number("bytes_queued")? > 0 {
        return Err(judge.skip("the kernel takes less than 1 MB of a reply that nobody reads"));
    }
    client.send("echo 5\r\nhe")?;
    let half_read = all_read + 10;
    watcher.wait_for(judge, "the half to be read", "bytes_read", SOON, |read| read >= half_read)?;
    server.signal(Signal::TERM)?;
    client.expect(&reply)?;
    client.expect_eof()?;
    drop(client);
    drop(watcher);
    server.expect_clean_exit(Duration::from_secs(5))
}
