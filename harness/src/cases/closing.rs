//! How a connection ends: half-close, graceful close, reset, and a peer that vanishes.

use super::support::{
    BIG, SOON, TINY, Watcher, echo_of, not_early, reader_with_queue, served_clients,
};
use super::watch::does_not_spin;
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::connect::Connect;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::{CaseResult, Stop};
use socket2::{SockRef, Socket};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const LIFE: &str = "notes/protocol.md section 1, how a connection lives and ends";

/// How long a server lingers at most.
const LINGER: Duration = Duration::from_secs(2);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("CL01", "closing/half_close_gets_every_reply", Rung::Day2, half_close_small)
        .rule("a client that shuts down its sending side still gets every reply, then EOF", LIFE)
        .hint(
            "recv that returns 0 ends the input only: answer what has arrived, flush, and close \
             when the write queue is empty",
        ),
    Case::new("CL02", "closing/half_close_gets_a_long_queue", Rung::Day2, half_close_large)
        .rule("a half-closed client gets a reply of 8 MiB to its last byte", LIFE)
        .hint(
            "after recv has returned 0, stop watching for input and keep watching for room; close \
             only when the write queue is empty",
        )
        .timeout_s(30),
    Case::new("CL03", "closing/half_close_drops_an_incomplete_request", Rung::Day2, incomplete)
        .rule("a request that is incomplete when the client half-closes is dropped silently", LIFE)
        .hint("at the end of the input, a line without LF or a short body is no request"),
    Case::new("CL04", "closing/half_close_without_a_request", Rung::Day2, half_close_at_once)
        .rule("a client that half-closes right after connecting is closed", LIFE)
        .hint("recv that returns 0 with an empty write queue: close(2) and remove"),
    Case::new("CL05", "closing/quit_flushes_first", Rung::Day2, quit_flushes_first)
        .rule(
            "`quit` sends all that was queued before it, ends the connection, and nothing behind \
             it is answered",
            "notes/protocol.md section 1, on the wire",
        )
        .hint("`quit` is a state (flush, then close), not a call of close(2)")
        .timeout_s(30),
    Case::new("CL06", "closing/sending_side_is_shut_down_first", Rung::Day2, shut_down_first)
        .rule("after its last reply the server shuts down its sending side and still reads", LIFE)
        .hint("shutdown(fd, SHUT_WR) first, then read and throw away, then close(2)"),
    Case::new("CL07", "closing/unread_input_does_not_destroy_the_last_reply", Rung::Day2, unread)
        .rule("input behind the last request never turns the end into a reset", LIFE)
        .hint(
            "close(2) with unread bytes in the receive buffer sends RST: shutdown(SHUT_WR), then \
             recv until 0, 2 s or 1 MiB, then close(2)",
        ),
    Case::new("CL08", "closing/linger_ends_after_two_seconds", Rung::Day2, linger_time)
        .rule("a client that stays connected after the end is closed after 2 s", LIFE)
        .hint("the lingering connection needs a deadline that bounds the wait call's time-out"),
    Case::new("CL09", "closing/linger_ends_after_one_mebibyte", Rung::Day2, linger_bytes)
        .rule("a client that goes on sending after the end is cut off after 1 MiB", LIFE)
        .hint("count what the lingering connection throws away, and close(2) at 1 MiB"),
    Case::new("CL10", "closing/lingering_counts_as_a_connection", Rung::Day2, linger_counts)
        .rule("until its descriptor is closed, a lingering connection is a connection", LIFE)
        .hint("remove the connection when its descriptor is closed, not when it begins to linger"),
    Case::new("CL11", "closing/client_that_closes_ends_the_linger", Rung::Day2, linger_is_ended)
        .rule("a lingering connection is closed as soon as the client closes", LIFE)
        .hint("keep watching a lingering connection for input: recv that returns 0 ends it"),
    Case::new("CL12", "closing/reset_while_idle", Rung::Day2, reset_while_idle)
        .rule("an idle connection that is reset is removed", LIFE)
        .hint(
            "recv that fails with ECONNRESET ends the connection like one that returns 0; poll reports \
             a reset as POLLIN | POLLERR | POLLHUP, so test the bits of revents, don't compare",
        ),
    Case::new("CL13", "closing/reset_in_the_middle_of_a_request", Rung::Day2, reset_mid_request)
        .rule("a connection that is reset in the middle of a request is removed", LIFE)
        .hint(
            "recv that fails with ECONNRESET ends the connection, whatever its state, and its buffers \
             go with it: a newcomer with the same descriptor begins with empty ones",
        ),
    Case::new("CL14", "closing/reset_with_replies_queued", Rung::Day2, reset_with_replies)
        .rule("a connection that is reset while replies are queued is removed with them", LIFE)
        .hint("send or recv that fails with other than EAGAIN or EINTR: drop the queue, close(2)")
        .timeout_s(30),
    Case::new("CL15", "closing/write_after_reset_is_not_fatal", Rung::Day2, broken_pipe)
        .rule("writing to a client that half-closed and then reset does not end the server", LIFE)
        .hint("send with MSG_NOSIGNAL, or ignore SIGPIPE (signal(7)): EPIPE ends one connection")
        .timeout_s(30),
    Case::new("CL16", "closing/peer_vanishes_with_replies_queued", Rung::Day2, vanish)
        .rule("a peer that is gone without a word is removed when TCP finds out", LIFE)
        .hint("send or recv that fails with other than EAGAIN or EINTR: close(2) and remove")
        .timeout_s(15),
    Case::new("CL17", "closing/reset_before_accept", Rung::Day2, reset_before_accept)
        .needs(&[Need::Restart])
        .rule("clients that reset before they were accepted do not stop the accepting", LIFE)
        .hint(
            "accept may fail with ECONNABORTED, and the first recv with ECONNRESET: both concern \
             one client only (accept(2), error handling)",
        ),
    Case::new("CL18", "closing/urgent_data_is_harmless", Rung::Day2, urgent_data)
        .needs(&[Need::Pid])
        .rule(
            "urgent data neither breaks the framing nor keeps the loop busy",
            "notes/protocol.md section 3",
        )
        .hint(
            "an urgent byte that is kept apart makes select's third set and POLLPRI report for \
             ever: set SO_OOBINLINE, or don't ask for exceptional conditions (tcp(7))",
        ),
];

fn half_close_small(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let requests = "mn\r\necho 5\r\nhello\r\nfail a b\r\nmn\r\n";
    let replies = "MN\r\nECHO 5\r\nhello\r\nSERVER_ERROR a b\r\nMN\r\n";
    let mut client = server.connect().named("requests and end in one segment").open()?;
    client.send_last(requests)?;
    client.expect(replies)?;
    client.expect_eof()?;
    let mut client = server.connect().named("requests, then the end").open()?;
    client.send(requests)?;
    client.shutdown_write()?;
    client.expect(replies)?;
    client.expect_eof()
}

fn half_close_large(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = reader_with_queue(judge, &server, &mut watcher)?;
    client.shutdown_write()?;
    // The server has time to see the end of the input before any of its queue moves.
    watcher.number("bytes_queued")?;
    client.expect(echo_of(BIG).1)?;
    client.expect_eof()
}

fn incomplete(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    for rest in ["mn", "echo 5", "echo 5\r\n", "echo 5\r\nhe", "echo 5\r\nhello", "\r"] {
        let mut client = server.client()?;
        client.send(format!("mn\r\n{rest}"))?;
        client.shutdown_write()?;
        client.expect("MN\r\n")?;
        client.expect_eof()?;
    }
    Ok(())
}

fn half_close_at_once(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = server.client()?;
    client.shutdown_write()?;
    client.expect_eof()?;
    watcher.wait_for_others(judge, 0, SOON)
}

fn quit_flushes_first(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut small = server.connect().named("small").open()?;
    small.send("mn\r\necho 2\r\nhi\r\nquit\r\nmn\r\n")?;
    small.expect("MN\r\nECHO 2\r\nhi\r\n")?;
    small.expect_eof()?;

    let mut large = server.connect().named("large").receive_buffer(TINY).open()?;
    large.send(echo_of(BIG).0)?;
    large.send("quit\r\n")?;
    large.expect(echo_of(BIG).1)?;
    large.expect_eof()
}

/// A client that has sent `quit` and has seen the end, and is still connected.
fn client_after_quit(server: &Server) -> CaseResult<Client> {
    leave_with_quit(server.connect())
}

fn leave_with_quit(connect: Connect<'_>) -> CaseResult<Client> {
    let mut client = connect.named("leaving").open()?;
    client.send("mn\r\nquit\r\n")?;
    client.expect("MN\r\n")?;
    client.expect_eof()?;
    Ok(client)
}

fn shut_down_first(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = client_after_quit(&server)?;
    // A closed socket answers the first byte with a reset, and the next ones fail.
    for _ in 0..5 {
        client.try_send("x").map_err(|error| {
            let expected = "the server to take bytes for a while after it sent FIN";
            judge.broken(expected, format!("a byte after EOF: {error}"))
        })?;
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn unread(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    // Less than 1 MiB, and more than one recv takes.
    let more = vec![b'z'; 512 << 10];
    for (request, reply) in
        [("mn\r\nquit\r\n", "MN\r\n"), ("echo 2\r\nabc\r\n", "CLIENT_ERROR bad data chunk\r\n")]
    {
        let mut client = server.client()?;
        client.send([request.as_bytes(), &more].concat())?;
        client.expect(reply)?;
        client.expect_eof()?;
    }
    let mut client = server.connect().named("long line").open()?;
    client.send(&more)?;
    client.expect("CLIENT_ERROR line too long\r\n")?;
    client.expect_eof()
}

fn linger_time(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let before = Instant::now();
    let _client = client_after_quit(&server)?;
    watcher.wait_for_others(judge, 0, LINGER + Duration::from_millis(2500))?;
    judge.ensure(before.elapsed() >= not_early(LINGER), "at least 2 s of lingering", || {
        format!("the connection was gone {:.2?} after `quit` was sent", before.elapsed())
    })
}

fn linger_bytes(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let read_before = watcher.number("bytes_read")?;
    // Its own kernel must not take all that it sends.
    let mut client = leave_with_quit(server.connect().send_buffer(64 << 10))?;
    let chunk = vec![b'z'; 64 << 10];
    let ended = (0..256).any(|_| client.try_send(&chunk).is_err());
    watcher.wait_for_others(judge, 0, LINGER + Duration::from_millis(2500))?;
    let read = watcher.number("bytes_read")? - read_before;
    let expected = "a client cut off in sending 16 MiB, and at most 4 MiB read";
    judge.ensure(ended && read <= 4 << 20, expected, || {
        format!("{}, {read} bytes read", if ended { "cut off" } else { "not cut off" })
    })
}

fn linger_counts(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let before = Instant::now();
    let _client = client_after_quit(&server)?;
    let others = watcher.others()?;
    if before.elapsed() >= LINGER {
        return Err(judge.skip("this machine was too slow: the linger may be over"));
    }
    judge.equal("connections while one lingers, beside the asker", 1, others)
}

fn linger_is_ended(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let client = client_after_quit(&server)?;
    drop(client);
    watcher.wait_for_others(judge, 0, Duration::from_millis(1500))
}

fn reset_while_idle(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    for client in served_clients(&server, 3)? {
        client.reset()?;
    }
    watcher.wait_for_others(judge, 0, SOON)
}

fn reset_mid_request(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    for start in ["m", "echo 5\r\nhe", "echo 99999999\r\nhe"] {
        let mut client = server.client()?;
        client.ask("mn\r\n", "MN\r\n")?;
        client.send(start)?;
        client.reset()?;
    }
    watcher.wait_for_others(judge, 0, SOON)
}

fn reset_with_replies(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let client = reader_with_queue(judge, &server, &mut watcher)?;
    client.reset()?;
    watcher.wait_for_others(judge, 0, SOON)?;
    judge.equal("bytes_queued", 0, watcher.number("bytes_queued")?)
}

fn broken_pipe(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let mut client = reader_with_queue(judge, &server, &mut watcher)?;
    // A reset after the FIN makes the very next send fail with EPIPE, not ECONNRESET.
    client.shutdown_write()?;
    watcher.number("bytes_queued")?;
    client.reset()?;
    watcher.wait_for_others(judge, 0, SOON)
}

fn vanish(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    let client = reader_with_queue(judge, &server, &mut watcher)?;
    client.vanish()?;
    // The kernel asks a full peer again after 200 ms, 400 ms, … and is answered with RST.
    watcher.wait_for_others(judge, 0, Duration::from_secs(8))?;

    let mut client = server.client()?;
    client.send("burn 50\r\nburn 50\r\nmn\r\n")?;
    client.vanish()?;
    watcher.wait_for_others(judge, 0, SOON)
}

fn reset_before_accept(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut watcher = Watcher::new(&server)?;
    watcher.number("curr_connections")?;
    server.pause()?;
    for number in 0..20 {
        let mut client = server.connect().named("aborting").open()?;
        if number % 2 == 0 {
            client.send("mn\r\n")?;
        }
        client.reset()?;
    }
    let mut client = server.client()?;
    server.resume()?;
    client.fence()?;
    watcher.wait_for_others(judge, 1, SOON)
}

/// A space more or less does not matter where these are sent, so that both kinds of server are
/// right: those that read an urgent byte in its place, and those that leave it out.
fn urgent_data(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let fault = |error| Stop::fault("a client that sends urgent data", error);
    let mut client = TcpStream::connect(server.address()).map_err(fault)?;
    client.set_read_timeout(Some(judge.scale(SOON))).map_err(fault)?;
    client.write_all(b"echo 3").map_err(fault)?;
    send_urgent_space(&client).map_err(fault)?;
    client.write_all(b"\r\nabc\r\n").map_err(fault)?;
    send_urgent_space(&client).map_err(fault)?;
    client.write_all(b"mn\r\n").map_err(fault)?;
    let wanted = b"ECHO 3\r\nabc\r\nMN\r\n";
    let mut reply = vec![0; wanted.len()];
    client.read_exact(&mut reply).map_err(|error| {
        judge.broken("the replies to two requests with urgent spaces in them", error)
    })?;
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    judge.equal("replies", shown(wanted), shown(&reply))?;

    // Nothing follows this one.
    send_urgent_space(&client).map_err(fault)?;
    bystanders.finish()?;
    does_not_spin(judge, &server.process()?, Duration::from_millis(500))
}

fn send_urgent_space(client: &TcpStream) -> std::io::Result<()> {
    let socket: SockRef<'_> = SockRef::from(client);
    Socket::send_out_of_band(&socket, b" ").map(drop)
}
