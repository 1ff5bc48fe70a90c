//! How the loop works, seen through `/proc` (notes/protocol.md section 3).

use super::support::{echo_of, served_clients};
use super::watch::{
    OUTSIDE, does_not_spin, is_at_rest, leave, sleeps_if_it_can, sleeps_nowhere_else,
    stalled_reader, wait_until_asleep,
};
use crate::case::{Case, Need, Rung};
use crate::judge::Judge;
use crate::verdict::CaseResult;
use std::time::Duration;

/// How long a loop at rest is watched.
const REST: Duration = Duration::from_secs(2);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("ME01", "mechanism/one_thread_serves_everybody", Rung::Day2, one_thread)
        .until(Rung::W04)
        .needs(&[Need::Pid])
        .rule("the server has exactly one thread, however many clients there are", OUTSIDE)
        .hint("no thread per connection, no pool, and no runtime that brings its own threads"),
    Case::new("ME02", "mechanism/idle_loop_sleeps_in_its_wait_call", Rung::Day2, idle_loop_sleeps)
        .needs(&[Need::Pid])
        .rule("with nothing to do the loop sleeps in select, poll or epoll_wait", OUTSIDE)
        .hint(
            "if it sleeps in accept, the listener is blocking; if in nanosleep, a pause stands in \
             for a wait; if it runs, the wait call has a timeout of 0",
        ),
    Case::new(
        "ME03",
        "mechanism/fifty_idle_clients_do_not_hold_the_loop",
        Rung::Day2,
        fifty_idle_clients,
    )
    .needs(&[Need::Pid])
    .rule("with 50 silent clients the loop still sleeps in its wait call", OUTSIDE)
    .hint("if it sleeps in recvfrom or read, it waits for one client: read only what is reported"),
    Case::new("ME04", "mechanism/half_a_request_is_not_waited_for", Rung::Day2, half_a_request)
        .needs(&[Need::Pid])
        .rule("the loop never sleeps in recv to get the rest of a request", OUTSIDE)
        .hint(
            "read what is there, keep the part in the connection's buffer and go back to the wait \
             call; no read_exact, read_line or MSG_WAITALL",
        ),
    Case::new("ME05", "mechanism/a_stalled_reader_is_not_waited_for", Rung::Day2, no_blocking_send)
        .needs(&[Need::Pid])
        .rule("the loop never sleeps in send for a client that does not read", OUTSIDE)
        .hint(
            "no sendall or write_all: send what the kernel takes, queue the rest, and ask the wait \
             call to report when the socket is writable",
        ),
    Case::new("ME06", "mechanism/without_clients_it_is_at_rest", Rung::Day2, rests_alone)
        .needs(&[Need::Pid])
        .rule("without clients it wakes at most twice a second, with under 1 % of a core", OUTSIDE)
        .hint(
            "compute the wait call's timeout from the nearest deadline; none: wait without limit",
        ),
    Case::new("ME07", "mechanism/200_idle_clients_leave_it_at_rest", Rung::Day2, rests_with_200)
        .needs(&[Need::Pid])
        .rule("200 idle clients cost at most two wake-ups a second and 1 % of a core", OUTSIDE)
        .hint(
            "write interest must be off while a connection has nothing to write: an idle socket is \
             always writable, so that the wait call returns at once, for ever. A few wake-ups too \
             many: poll and epoll_wait count their timeout in milliseconds",
        ),
    Case::new(
        "ME08",
        "mechanism/write_interest_ends_with_the_queue",
        Rung::Day2,
        rests_after_reply,
    )
    .needs(&[Need::Pid])
    .rule("when a large reply has been flushed, the loop is at rest again", OUTSIDE)
    .hint("take write interest back in the moment in which the write queue becomes empty"),
    Case::new(
        "ME09",
        "mechanism/a_stalled_reader_does_not_make_it_spin",
        Rung::Day2,
        stall_is_quiet,
    )
    .needs(&[Need::Pid])
    .rule("while replies wait for a client that does not read, the loop sleeps", OUTSIDE)
    .hint("after EAGAIN (EWOULDBLOCK) from send go back to the wait call; never try in a loop"),
    Case::new(
        "ME10",
        "mechanism/an_end_of_input_does_not_make_it_spin",
        Rung::Day2,
        end_of_input_is_quiet,
    )
    .needs(&[Need::Pid])
    .rule("while replies wait for a client that has half-closed, the loop sleeps", OUTSIDE)
    .hint("at its end a socket stays readable for ever: drop read interest once recv returned 0"),
    Case::new("ME11", "mechanism/a_client_that_left_early_is_survived", Rung::Day2, left_early)
        .needs(&[Need::Restart])
        .rule("a connection reset before it was accepted holds up nobody", OUTSIDE)
        .hint(
            "the listener must be O_NONBLOCK, or accept can hang; ECONNABORTED from accept and \
             ECONNRESET from the first recv concern that one client",
        ),
    Case::new("ME12", "mechanism/a_second_request_wakes_it_again", Rung::Day2, second_request)
        .needs(&[Need::Pid])
        .rule(
            "a client that was answered is waited for, and its next request is answered too",
            "notes/protocol.md section 1, how a connection lives and ends",
        )
        .hint(
            "recv that fails with EAGAIN says that there is nothing more for now: keep the connection, \
             go back to the wait call and watch its socket again. FD_SETs are built anew in each \
             turn; an entry with EPOLLONESHOT is armed again with EPOLL_CTL_MOD (epoll_ctl(2))",
        ),
];

fn one_thread(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut clients = served_clients(&server, 50)?;
    clients[0].ask("burn 20\r\n", "result: burned 20\r\n")?;
    judge.equal("threads", 1, server.process()?.threads()?.len())?;
    bystanders.finish()
}

fn idle_loop_sleeps(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    sleeps_nowhere_else(judge, &server.process()?)?;
    // And again after it has worked.
    let mut client = server.client()?;
    client.fence()?;
    drop(client);
    sleeps_nowhere_else(judge, &server.process()?)
}

fn fifty_idle_clients(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut clients = Vec::new();
    for number in 0..50 {
        clients.push(server.connect().named(&format!("idle {number}")).open()?);
    }
    sleeps_nowhere_else(judge, &server.process()?)?;
    // The last one first: a server that serves one after the other is found out.
    clients.iter_mut().rev().try_for_each(|client| client.fence())
}

fn half_a_request(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut client = server.connect().named("half a header").open()?;
    client.send("ech")?;
    sleeps_nowhere_else(judge, &server.process()?)?;
    client.ask("o 2\r\nok\r\n", "ECHO 2\r\nok\r\n")?;
    bystanders.finish()
}

fn no_blocking_send(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let _stalled = stalled_reader(judge, &server)?;
    sleeps_nowhere_else(judge, &server.process()?)
}

fn rests_alone(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    is_at_rest(judge, &server.process()?, REST)
}

fn rests_with_200(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let clients = served_clients(&server, 200)?;
    is_at_rest(judge, &server.process()?, REST)?;
    leave(clients)
}

fn rests_after_reply(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let (request, reply) = echo_of(8 << 20);
    let mut client = server.connect().receive_buffer(64 << 10).open()?;
    client.send(&request)?;
    // Until the client reads, the reply is more than the kernel holds: write interest is on.
    wait_until_asleep(judge, &server.process()?)?;
    client.expect(&reply)?;
    client.fence()?;
    is_at_rest(judge, &server.process()?, REST / 2)
}

fn stall_is_quiet(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let _stalled = stalled_reader(judge, &server)?;
    wait_until_asleep(judge, &server.process()?)?;
    does_not_spin(judge, &server.process()?, REST * 3 / 4)
}

fn end_of_input_is_quiet(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut stalled = stalled_reader(judge, &server)?;
    stalled.shutdown_write()?;
    // Its reply proves that the end of the input has been there for a turn.
    server.client()?.fence()?;
    does_not_spin(judge, &server.process()?, REST * 3 / 4)
}

fn second_request(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    for word in ["one", "two", "six"] {
        client.ask(format!("echo 3\r\n{word}\r\n"), format!("ECHO 3\r\n{word}\r\n"))?;
        // All that it sent is read, and the loop waits for more.
        sleeps_if_it_can(judge, &server);
    }
    Ok(())
}

fn left_early(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    for _ in 0..3 {
        server.pause()?;
        for _ in 0..5 {
            let mut client = server.connect().named("leaves early").open()?;
            client.send("mn\r\n")?;
            client.reset()?;
        }
        let silent = server.connect().named("leaves early, silent").open()?;
        silent.reset()?;
        server.resume()?;
        server.client()?.fence()?;
    }
    bystanders.finish()
}
