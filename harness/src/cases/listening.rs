//! The socket that listens: what keeps it from opening, and what it must hold
//! (notes/protocol.md section 2).

use super::cli::COMMAND_LINE;
use super::support::served_clients;
use super::watch::leave;
use crate::case::{Case, Need, Rung};
use crate::judge::Judge;
use crate::launch::Launch;
use crate::server::{Signal, describe_exit};
use crate::verdict::{CaseResult, Stop};
use std::fs;
use std::net::{TcpListener, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("LS01", "listening/a_taken_port_is_an_error", Rung::Day2, taken_port)
        .needs(&[Need::Restart])
        .rule(
            "a port that is taken: `error: cannot listen on ADDRESS:PORT: …` on standard error, \
             status 1",
            COMMAND_LINE,
        )
        .hint("check what bind and listen return; no SO_REUSEPORT, no unwrap, no stack trace"),
    Case::new("LS02", "listening/a_foreign_address_is_an_error", Rung::Day2, foreign_address)
        .needs(&[Need::Restart, Need::Flags])
        .rule(
            "an address that is not ours: `error: cannot listen on …` on standard error, status 1",
            COMMAND_LINE,
        )
        .hint("bind fails with EADDRNOTAVAIL: say so in one line and exit with status 1"),
    Case::new("LS03", "listening/an_unknown_host_is_an_error", Rung::Day2, unknown_host)
        .needs(&[Need::Restart, Need::Flags])
        .rule(
            "a name that does not exist: `error: cannot listen on …` on standard error, status 1",
            COMMAND_LINE,
        )
        .hint("getaddrinfo(3) has failed: say so in one line and exit with status 1"),
    Case::new("LS04", "listening/a_port_can_be_used_again_at_once", Rung::Day2, restart_at_once)
        .needs(&[Need::Restart])
        .timeout_s(20)
        .rule("the listener has SO_REUSEADDR: a restart finds its port", COMMAND_LINE)
        .hint("setsockopt SO_REUSEADDR before bind; closed connections stay in TIME_WAIT a minute"),
    Case::new("LS05", "listening/the_backlog_holds_1024", Rung::Day2, backlog)
        .needs(&[Need::Restart])
        .rule("1,024 clients can connect before the first one is accepted", COMMAND_LINE)
        .hint("listen(fd, 1024) or more; the kernel cuts it to net.core.somaxconn"),
    Case::new(
        "LS06",
        "listening/who_waited_in_the_backlog_is_served",
        Rung::Day2,
        backlog_is_served,
    )
    .needs(&[Need::Restart])
    .rule("300 clients that connected during a pause are all served after it", COMMAND_LINE)
    .hint("accept until EAGAIN, and remember that a turn may bring more than one newcomer"),
];
fn taken_port(judge: &Judge) -> CaseResult {
    let first = judge.server(&[])?;
    let launch = judge.launch().port(first.address().port());
    expect_cannot_listen(judge, launch, "127.0.0.1")?;
    first.client()?.fence()
}

fn foreign_address(judge: &Judge) -> CaseResult {
    // TEST-NET-1 (RFC 5737) belongs to no machine.
    if TcpListener::bind("192.0.2.1:0").is_ok() {
        return Err(judge.skip("this machine lets programs bind foreign addresses"));
    }
    expect_cannot_listen(judge, judge.launch().flags(&["--host", "192.0.2.1"]), "192.0.2.1")
}

fn unknown_host(judge: &Judge) -> CaseResult {
    const NAME: &str = "no.such.host.invalid";
    let started = Instant::now();
    let known = (NAME, 0).to_socket_addrs().is_ok();
    if known || started.elapsed() > Duration::from_millis(1500) {
        return Err(judge.skip("the name service of this machine is too slow, or knows every name"));
    }
    expect_cannot_listen(judge, judge.launch().flags(&["--host", NAME]), NAME)
}

fn expect_cannot_listen(judge: &Judge, launch: Launch<'_>, host: &str) -> CaseResult {
    let ended = launch.run_to_exit()?;
    judge.ensure(ended.status.code() == Some(1), "exited with status 1", || {
        format!("{}\nstandard error: {}", describe_exit(ended.status), ended.stderr)
    })?;
    judge.equal("standard output", "", ended.stdout.as_str())?;
    let start = format!("error: cannot listen on {host}:");
    let told = |line: &str| {
        let rest = line.strip_prefix(&start).and_then(|rest| rest.split_once(": "));
        rest.is_some_and(|(port, reason)| port.parse::<u16>().is_ok() && !reason.is_empty())
    };
    let expected = format!("`{start}PORT: REASON` on standard error");
    judge.ensure(ended.stderr.lines().any(told), expected, || &ended.stderr)?;
    let words = ["panic", "backtrace", "Traceback", "goroutine", "Exception"];
    let found = words.into_iter().find(|word| ended.stderr.contains(word));
    judge.ensure(found.is_none(), "one line, no trace of the program's insides", || &ended.stderr)
}

fn restart_at_once(judge: &Judge) -> CaseResult {
    let first = judge.server(&[])?;
    let port = first.address().port();
    for mut client in served_clients(&first, 3)? {
        client.send("quit\r\n")?;
        // The server closes first: TIME_WAIT stays on its side.
        client.read_until_closed()?;
    }
    wait_for_time_wait(judge, port)?;
    // Longer than a drain may take: how it drains is for other cases to judge.
    first.signal(Signal::TERM)?;
    first.wait_exit(Duration::from_secs(8))?;
    let second = judge.launch().port(port).start()?;
    second.client()?.fence()?;
    // The port must be free when the case is over.
    second.signal(Signal::TERM)?;
    second.wait_exit(Duration::from_secs(8)).map(drop)
}

fn wait_for_time_wait(judge: &Judge, port: u16) -> CaseResult {
    // Local port and state of a line of the table; 06 is TIME_WAIT.
    let port = format!(":{port:04X}");
    let waits = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
        matches!(words[..], [_, local, _, "06"] if local.ends_with(&port))
    };
    let seen = judge.wait_until("TIME_WAIT on the server's port", Duration::from_secs(1), || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        Ok(table.lines().any(waits))
    });
    seen.map_err(|stop| match stop {
        Stop::Fail(_) => judge.skip("no connection stays in TIME_WAIT on this machine"),
        skip @ Stop::Skip(_) => skip,
    })
}

fn backlog(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let most = fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    let most = most.and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    server.pause()?;
    let mut clients = Vec::new();
    for _ in 0..most.min(1024) {
        clients.push(server.client()?);
    }
    server.resume()?;
    leave(clients)
}

fn backlog_is_served(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    server.pause()?;
    let mut clients = Vec::new();
    for _ in 0..300 {
        let mut client = server.client()?;
        client.send("mn\r\n")?;
        clients.push(client);
    }
    server.resume()?;
    clients.iter_mut().rev().try_for_each(|client| client.expect("MN\r\n"))?;
    leave(clients)?;
    bystanders.finish()
}
