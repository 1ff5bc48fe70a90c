//! What the first signal starts, and the second one ends (notes/protocol.md section 2).

use super::support::{echo_of, not_early, served_clients, unacknowledged, wait_until_arrived};
use super::watch::{sleeps_if_it_can, stalled_reader};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::inspect::{Process, TcpState};
use crate::judge::Judge;
use crate::server::{Server, Signal, describe_exit};
use crate::verdict::CaseResult;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

/// The page and section of these rules.
const SIGNALS: &str = "notes/protocol.md section 2, SIGTERM and SIGINT";
/// Nothing is left to do: the end must come at once. Shorter than a linger of 2 s.
const AT_ONCE: Duration = Duration::from_millis(1500);
/// How long a server lingers.
const LINGER: Duration = Duration::from_secs(2);
/// Something is left to do.
const DRAINED: Duration = Duration::from_secs(5);

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("SD01", "shutdown/sigterm_exits_with_0", Rung::Day2, sigterm)
        .needs(&[Need::Restart])
        .rule("SIGTERM makes an idle server exit with status 0", SIGNALS)
        .hint(
            "install a handler (sigaction) that wakes the loop through a pipe or an eventfd; the wait \
             call that the signal interrupts fails with EINTR, which is no error: go round the loop",
        ),
    Case::new("SD02", "shutdown/sigint_exits_with_0", Rung::Day2, sigint)
        .needs(&[Need::Restart])
        .rule("SIGINT makes an idle server exit with status 0", SIGNALS)
        .hint("handle SIGINT (Ctrl-C) exactly as SIGTERM, EINTR from the wait call included"),
    Case::new(
        "SD03",
        "shutdown/a_signal_right_after_ready_is_handled",
        Rung::Day2,
        right_after_ready,
    )
    .needs(&[Need::Restart])
    .rule("from the ready line on a signal ends the server with status 0", SIGNALS)
    .hint("install the signal handlers before you write the ready line"),
    Case::new(
        "SD04",
        "shutdown/idle_connections_are_dropped_at_once",
        Rung::Day2,
        idle_are_dropped,
    )
    .needs(&[Need::Restart])
    .rule("idle connections do not hold up the end", SIGNALS)
    .hint("who is owed nothing is closed at once: no linger, no wait for the client's close"),
    Case::new(
        "SD05",
        "shutdown/incomplete_requests_are_dropped",
        Rung::Day2,
        incomplete_are_dropped,
    )
    .needs(&[Need::Restart])
    .rule("a request that is not complete at the signal is dropped without a reply", SIGNALS)
    .hint("at the drain an incomplete header or body is no request: close, and send nothing"),
    Case::new("SD06", "shutdown/an_unread_request_is_answered", Rung::Day2, unread_is_answered)
        .needs(&[Need::Restart])
        .timeout_s(60)
        .rule("a whole request in the kernel's receive buffer at the signal is answered", SIGNALS)
        .hint("at the drain read every connection once more, whatever the last wait reported"),
    Case::new(
        "SD07",
        "shutdown/whole_requests_before_a_half_are_answered",
        Rung::Day2,
        whole_and_half,
    )
    .needs(&[Need::Restart])
    .timeout_s(60)
    .rule("of pipelined requests the whole ones are answered, the half one is dropped", SIGNALS)
    .hint("parse until the buffer holds no whole request; then flush, then close"),
    Case::new("SD08", "shutdown/who_waits_in_the_backlog_is_served", Rung::Day2, backlog_is_served)
        .needs(&[Need::Restart])
        .timeout_s(60)
        .rule(
            "a client that had connected and sent its request before the signal is served",
            SIGNALS,
        )
        .hint("closing the listener resets who waits in its backlog: accept until EAGAIN first"),
    Case::new("SD09", "shutdown/the_listener_closes_at_once", Rung::Day2, listener_closes)
        .needs(&[Need::Restart])
        .rule("while replies are still flushed, new connections are refused", SIGNALS)
        .hint("close the listening socket when the drain begins, not when it is over"),
    Case::new("SD10", "shutdown/a_large_queue_is_flushed", Rung::Day2, large_queue_is_flushed)
        .needs(&[Need::Restart])
        .rule("a client that reads gets every reply that was queued at the signal", SIGNALS)
        .hint("leave the loop only when every write queue is empty, not after one more send"),
    Case::new("SD11", "shutdown/late_input_destroys_no_reply", Rung::Day2, late_input)
        .needs(&[Need::Restart])
        .timeout_s(60)
        .rule("during the drain, too, the server lingers: late input destroys no reply", SIGNALS)
        .hint(
            "shutdown(SHUT_WR) after the last reply, read and throw away until the client's end, \
             then close: to close a socket with unread input sends a reset",
        ),
    Case::new("SD12", "shutdown/drain_timeout_gives_up", Rung::Day2, drain_timeout_gives_up)
        .needs(&[Need::Restart, Need::Flags])
        .rule(
            "after --drain-timeout the server gives up on the rest, and exits with status 0",
            SIGNALS,
        )
        .hint("the end of the drain is a deadline like any other: put it into the wait's timeout"),
    Case::new("SD13", "shutdown/a_running_burn_is_answered", Rung::Day2, burn_is_answered)
        .needs(&[Need::Restart])
        // The machine may have much else to do than to burn.
        .timeout_s(30)
        .rule("a task that runs at the signal ends, and its client gets the reply", SIGNALS)
        .hint("the handler only notes the signal; what the loop is doing goes on to its end"),
    Case::new("SD14", "shutdown/a_long_burn_ends_the_drain", Rung::Day2, long_burn)
        .needs(&[Need::Restart, Need::Flags])
        .rule(
            "with a burn longer than --drain-timeout the server exits with status 0, at the latest \
             when the burn is done",
            SIGNALS,
        )
        .timeout_s(30)
        .hint(
            "look at the drain's deadline after each task, before the next one is begun; a worker \
             that still runs one is not waited for",
        ),
    Case::new("SD15", "shutdown/a_second_sigterm_ends_the_drain", Rung::Day2, second_sigterm)
        .needs(&[Need::Restart])
        .rule("a second signal ends a server that drains on the spot, by that signal", SIGNALS)
        .hint("after the first signal restore SIG_DFL, or call _exit(128 + signal) in the handler"),
    Case::new("SD16", "shutdown/sigterm_after_sigint_ends_the_drain", Rung::Day2, int_then_term)
        .needs(&[Need::Restart])
        .rule("the second signal may be the other one of the two", SIGNALS)
        .hint("count signals, whichever of SIGTERM and SIGINT they are"),
    Case::new("SD17", "shutdown/a_second_signal_ends_a_burn", Rung::Day2, second_during_burn)
        .needs(&[Need::Restart, Need::Pid])
        .timeout_s(60)
        .rule("a second signal ends the process on the spot, even in the middle of a task", SIGNALS)
        .hint(
            "the loop is busy, so the handler itself must act on the second signal; signals that \
             are blocked and read from a signalfd wait for the loop. Put both signals into sa_mask \
             (sigaction(2)), or the second one can interrupt the handler of the first",
        ),
    Case::new("SD18", "shutdown/a_reply_under_way_is_not_destroyed", Rung::Day2, reply_under_way)
        .needs(&[Need::Restart])
        .rule(
            "a reply that the kernel still holds at the signal arrives, whatever comes in",
            SIGNALS,
        )
        .hint("close at once only if SIOCOUTQ is 0; else shut the sending side down and linger"),
    Case::new("SD19", "shutdown/the_limit_holds_between_short_tasks", Rung::Day2, short_tasks)
        .needs(&[Need::Restart, Need::Flags])
        .rule(
            "--drain-timeout is looked at after each task, also where each of them is short",
            SIGNALS,
        )
        .hint("many clients' tasks can fill one turn: look at signal and deadline between them"),
];

fn ready(judge: &Judge, flags: &[&str]) -> CaseResult<Server> {
    let server = judge.server(flags)?;
    // From this line on signals are handled.
    server.wait_for_ready_line()?;
    Ok(server)
}

/// A server that does a task of this group before its drain is over. From week 5 on the limit of the
/// drain holds for tasks as well, and a busy machine takes seconds over a fraction of one.
fn ready_for_a_task(judge: &Judge) -> CaseResult<Server> {
    let pooled = judge.rung() >= Rung::W05;
    ready(judge, if pooled { &["--drain-timeout", "1m"] } else { &[] })
}

fn sigterm(judge: &Judge) -> CaseResult {
    ends_cleanly(judge, Signal::TERM)
}

fn sigint(judge: &Judge) -> CaseResult {
    ends_cleanly(judge, Signal::INT)
}

fn ends_cleanly(judge: &Judge, signal: Signal) -> CaseResult {
    let server = ready(judge, &[])?;
    // No client: its close would wake the loop as well.
    sleeps_if_it_can(judge, &server);
    server.signal(signal)?;
    server.expect_clean_exit(AT_ONCE)
}

fn right_after_ready(judge: &Judge) -> CaseResult {
    for _ in 0..3 {
        let server = ready(judge, &[])?;
        server.signal(Signal::TERM)?;
        server.expect_clean_exit(AT_ONCE)?;
    }
    Ok(())
}

fn idle_are_dropped(judge: &Judge) -> CaseResult {
    let server = ready(judge, &[])?;
    let mut clients = served_clients(&server, 20)?;
    clients.push(server.connect().named("silent").open()?);
    // None of them closes: the server must not wait for that.
    server.signal(Signal::TERM)?;
    server.expect_clean_exit(AT_ONCE)?;
    clients.iter_mut().try_for_each(|client| client.expect_closed().map(drop))
}

fn incomplete_are_dropped(judge: &Judge) -> CaseResult {
    let server = ready(judge, &[])?;
    let mut clients = Vec::new();
    for part in ["mn", "echo 5\r\nhel", "echo 5\r\nhello", "compute half"] {
        let mut client = server.connect().named(part).open()?;
        client.send(part)?;
        clients.push(client);
    }
    server.signal(Signal::TERM)?;
    clients.iter_mut().try_for_each(|client| client.expect_closed().map(drop))?;
    drop(clients);
    server.expect_clean_exit(DRAINED)
}

/// Lets the clients speak while the server is busy with a task and, moreover, stopped: it finds
/// what they said and the signal together.
fn speak_then_terminate(
    judge: &Judge,
    server: &Server,
    words: impl FnOnce() -> CaseResult,
) -> CaseResult {
    let mut busy = burning(judge, server, "burn 200\r\n")?;
    server.pause()?;
    words()?;
    server.signal(Signal::TERM)?;
    server.resume()?;
    busy.expect("result: burned 200\r\n")?;
    busy.expect_eof()
}

fn unread_is_answered(judge: &Judge) -> CaseResult {
    let server = ready_for_a_task(judge)?;
    let mut clients = served_clients(&server, 3)?;
    speak_then_terminate(judge, &server, || clients.iter_mut().try_for_each(|c| c.send("mn\r\n")))?;
    for client in clients.iter_mut().rev() {
        client.expect("MN\r\n")?;
        client.expect_eof()?;
    }
    drop(clients);
    server.expect_clean_exit(DRAINED)
}

fn whole_and_half(judge: &Judge) -> CaseResult {
    let server = ready_for_a_task(judge)?;
    let mut client = server.client()?;
    client.fence()?;
    let words = "mn\r\necho 3\r\nabc\r\nfail no\r\necho 5\r\nhe";
    speak_then_terminate(judge, &server, || client.send(words))?;
    client.expect("MN\r\nECHO 3\r\nabc\r\nSERVER_ERROR no\r\n")?;
    client.expect_eof()?;
    drop(client);
    server.expect_clean_exit(DRAINED)
}

fn backlog_is_served(judge: &Judge) -> CaseResult {
    let server = ready_for_a_task(judge)?;
    let mut clients = Vec::new();
    speak_then_terminate(judge, &server, || {
        for _ in 0..5 {
            let mut client = server.client()?;
            client.send("echo 2\r\nok\r\n")?;
            clients.push(client);
        }
        Ok(())
    })?;
    for client in clients.iter_mut().rev() {
        client.expect("ECHO 2\r\nok\r\n")?;
        client.expect_eof()?;
    }
    drop(clients);
    server.expect_clean_exit(DRAINED)
}

fn listener_closes(judge: &Judge) -> CaseResult {
    let server = ready(judge, &[])?;
    let stalled = stalled_reader(judge, &server)?;
    server.signal(Signal::TERM)?;
    wait_until_refusing(judge, &server)?;
    stalled.reset()?;
    server.expect_clean_exit(DRAINED)
}

/// Waits until connections are refused: the drain has begun.
fn wait_until_refusing(judge: &Judge, server: &Server) -> CaseResult {
    judge.wait_until("new connections to be refused", Duration::from_secs(2), || {
        Ok(TcpStream::connect(server.address()).is_err())
    })
}

fn large_queue_is_flushed(judge: &Judge) -> CaseResult {
    // A busy machine takes longer over the signal than a slow reader may take over its replies.
    let pauses = judge.rung() >= Rung::Day3;
    let server = ready(judge, if pauses { &["--slow-reader-timeout", "10m"] } else { &[] })?;
    let (request, reply) = echo_of(64 << 10);
    let connect = server.connect().named("slow reader");
    let mut client = connect.receive_buffer(64 << 10).send_buffer(32 << 10).open()?;
    let push = client.push_until_blocked(&request, 128 * request.len())?;
    server.pause()?;
    let arrived = push.sent - unacknowledged(&client)?;
    server.signal(Signal::TERM)?;
    server.resume()?;
    wait_until_refusing(judge, &server)?;
    // What had arrived whole must be answered; what the signal met on its way, may be.
    for number in 0..arrived / request.len() {
        client.expect(&reply)?;
        // Slow at first: the queue outlives any short grace.
        if number < 20 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let (rest, _) = client.read_until_closed()?;
    judge.equal("bytes behind the last whole reply", 0, rest.len() % reply.len())?;
    drop(client);
    server.expect_clean_exit(DRAINED)
}

fn late_input(judge: &Judge) -> CaseResult {
    let server = ready(judge, &[])?;
    // Small enough for the server's receive buffer, more than the client's takes of the reply.
    let (request, reply) = echo_of(40_000);
    let mut client = server.connect().receive_buffer(2048).open()?;
    client.fence()?;
    // It finds the request and the signal together, and has nothing else to do: the linger is short.
    server.pause()?;
    client.send(&request)?;
    wait_until_arrived(judge, &client)?;
    // Before the signal: the linger cannot have begun earlier.
    let before = Instant::now();
    server.signal(Signal::TERM)?;
    server.resume()?;
    // The server is done with its side, and a part of the reply still waits in its kernel.
    let mut taken = 0;
    judge.wait_until("the server to end its replies", Duration::from_secs(3), || {
        // Makes room where a send buffer is small; the last part stays.
        if taken + 2048 < reply.len() {
            taken += client.read_exact(512)?.len();
        }
        Ok(server_end(&server, &client)? != Some(TcpState::Established))
    })?;
    for _ in 0..3 {
        let _ = client.try_send([b'x'; 1000]);
    }
    let rest = client.expect(&reply[taken..]).and_then(|()| client.expect_eof());
    if rest.is_err() && before.elapsed() >= LINGER {
        return Err(judge.skip("this machine was too slow: the linger may be over"));
    }
    rest?;
    drop(client);
    server.expect_clean_exit(DRAINED)
}

/// The state of the server's end of the client's connection.
fn server_end(server: &Server, client: &Client) -> CaseResult<Option<TcpState>> {
    let (local, remote) = (server.address(), client.local_address()?);
    let sockets = Process::new(std::process::id() as i32)?.network_sockets()?;
    let end = sockets.into_iter().find(|s| s.local == local && s.remote == remote);
    Ok(end.map(|socket| socket.state))
}

fn drain_timeout_gives_up(judge: &Judge) -> CaseResult {
    const TIMEOUT: Duration = Duration::from_millis(600);
    let server = ready(judge, &["--drain-timeout", "600ms"])?;
    let _stalled = stalled_reader(judge, &server)?;
    let signalled = Instant::now();
    server.signal(Signal::TERM)?;
    server.expect_clean_exit(TIMEOUT + AT_ONCE)?;
    let waited = signalled.elapsed();
    judge.ensure(waited >= not_early(TIMEOUT), "600 ms for the client to read", || {
        format!("it ended after {waited:.1?}")
    })
}

/// Sends a `burn` and waits until it runs.
fn burning(judge: &Judge, server: &Server, request: &str) -> CaseResult<Client> {
    let connect = server.connect().named("burn").read_limit(Duration::from_secs(20));
    let mut client = connect.open()?;
    client.fence()?;
    let process = server.process()?;
    let before = process.cpu()?;
    client.send(request)?;
    judge.wait_until("the burn to run", Duration::from_secs(20), || {
        Ok(process.cpu()? >= before + Duration::from_millis(50))
    })?;
    Ok(client)
}

/// Sends SIGTERM in the middle of the `burn`, of which the server must have done less than `most`
/// then. It stands still meanwhile, so that nothing depends on how busy the machine is.
fn terminate_while_burning(
    judge: &Judge,
    server: &Server,
    request: &str,
    most: Duration,
) -> CaseResult<Client> {
    let process = server.process()?;
    let before = process.cpu()?;
    let client = burning(judge, server, request)?;
    server.pause()?;
    let used = process.cpu()?.saturating_sub(before);
    if used >= most {
        return Err(judge.skip("this machine was too slow: the burn was over before the signal"));
    }
    server.signal(Signal::TERM)?;
    server.resume()?;
    Ok(client)
}

fn burn_is_answered(judge: &Judge) -> CaseResult {
    let server = ready_for_a_task(judge)?;
    let burn = Duration::from_millis(400);
    let mut client = terminate_while_burning(judge, &server, "burn 400\r\n", burn)?;
    client.expect("result: burned 400\r\n")?;
    client.expect_eof()?;
    drop(client);
    server.expect_clean_exit(DRAINED)
}

fn long_burn(judge: &Judge) -> CaseResult {
    let server = ready(judge, &["--drain-timeout", "100ms"])?;
    // Those behind the first one must not be begun: they take longer than any machine needs for it.
    let requests = "burn 500\r\nburn 10000\r\nburn 10000\r\n";
    let burn = Duration::from_millis(500);
    let _client = terminate_while_burning(judge, &server, requests, burn)?;
    server.expect_clean_exit(Duration::from_secs(15))
}

fn second_sigterm(judge: &Judge) -> CaseResult {
    two_signals_while_draining(judge, Signal::TERM, Signal::TERM)
}

fn int_then_term(judge: &Judge) -> CaseResult {
    two_signals_while_draining(judge, Signal::INT, Signal::TERM)
}

fn two_signals_while_draining(judge: &Judge, first: Signal, second: Signal) -> CaseResult {
    let server = ready(judge, &[])?;
    let _stalled = stalled_reader(judge, &server)?;
    server.signal(first)?;
    wait_until_refusing(judge, &server)?;
    server.signal(second)?;
    expect_death_by(judge, &server, &[second])
}

fn second_during_burn(judge: &Judge) -> CaseResult {
    let server = ready(judge, &[])?;
    let _client = burning(judge, &server, "burn 10000\r\n")?;
    // Two different ones: two of a kind that meet are one to the kernel (signal(7)). Which of
    // these two is taken first is up to the kernel, too.
    server.signal(Signal::TERM)?;
    wait_until_taken(judge, &server.process()?, Signal::TERM)?;
    server.signal(Signal::INT)?;
    expect_death_by(judge, &server, &[Signal::TERM, Signal::INT])
}

/// Waits for a busy server's handler to be done with the signal, or for a second: a server that
/// blocks its signals leaves it pending.
fn wait_until_taken(judge: &Judge, process: &Process, signal: Signal) -> CaseResult {
    let bit = 1 << (signal.as_raw() - 1);
    let deadline = Instant::now() + judge.scale(Duration::from_secs(1));
    let mut taken_at = None;
    while Instant::now() < deadline {
        let status = procfs::process::Process::new(process.pid())?.status()?;
        if (status.shdpnd | status.sigpnd) & bit == 0 {
            // What it works after the kernel delivered the signal, it works behind the handler.
            let cpu = process.cpu()?;
            if cpu >= *taken_at.get_or_insert(cpu) + Duration::from_millis(20) {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn expect_death_by(judge: &Judge, server: &Server, signals: &[Signal]) -> CaseResult {
    let status = server.wait_exit(AT_ONCE)?;
    let by = |signal: &Signal| {
        let number = signal.as_raw();
        status.signal() == Some(number) || status.code() == Some(128 + number)
    };
    let numbers: Vec<String> = signals.iter().map(|s| s.as_raw().to_string()).collect();
    let expected = format!("death by signal {0}, or status 128 + {0}", numbers.join(" or "));
    judge.ensure(signals.iter().any(by), expected, || describe_exit(status))
}

fn reply_under_way(judge: &Judge) -> CaseResult {
    let server = ready(judge, &[])?;
    let mut client = server.connect().named("slow").receive_buffer(4096).open()?;
    let (request, reply) = echo_of(300_000);
    client.send(request)?;
    client.expect(&reply[..1000])?;
    server.signal(Signal::TERM)?;
    wait_until_refusing(judge, &server)?;
    // Late input: a socket that was closed answers it with a reset.
    client.send("mn\r\n")?;
    client.expect(&reply[1000..])?;
    client.expect_eof()?;
    drop(client);
    server.expect_clean_exit(DRAINED)
}

fn short_tasks(judge: &Judge) -> CaseResult {
    let server = ready(judge, &["--drain-timeout", "100ms"])?;
    // More than 5 s of work, of which a drain may do a tenth of a second.
    let mut clients = served_clients(&server, 900)?;
    clients.iter_mut().try_for_each(|client| client.send("burn 6\r\n"))?;
    server.signal(Signal::TERM)?;
    server.expect_clean_exit(DRAINED)
}
