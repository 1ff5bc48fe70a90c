//! The command line, the ready line and the log (notes/protocol.md section 2).

use super::support::served_clients;
use crate::case::{Case, Need, Rung};
use crate::judge::Judge;
use crate::launch::Launch;
use crate::server::{Server, Signal, describe_exit};
use crate::verdict::CaseResult;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

/// The page and section of these rules.
pub(super) const COMMAND_LINE: &str = "notes/protocol.md section 2, the command line";

/// Options with the rung from which on a server takes them, and a value for each.
const OPTIONS: &[(&str, &str, Rung)] = &[
    ("--host", "127.0.0.1", Rung::Day2),
    ("--max-connections", "10", Rung::Day2),
    ("--max-header", "100", Rung::Day2),
    ("--max-body", "100", Rung::Day2),
    ("--idle-timeout", "1m", Rung::Day2),
    ("--request-timeout", "30s", Rung::Day2),
    ("--drain-timeout", "250ms", Rung::Day2),
    ("--high-water", "100000", Rung::Day3),
    ("--low-water", "100", Rung::Day3),
    ("--slow-reader-timeout", "5s", Rung::Day3),
    ("--workers", "2", Rung::W05),
    ("--blocking-threads", "2", Rung::Async),
    ("--queue-depth", "10", Rung::W05),
    ("--when-full", "shed", Rung::W05),
    ("--task-timeout", "1s", Rung::W05),
];

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("CM01", "cli/ready_is_one_line", Rung::Day2, ready_is_one_line)
        .needs(&[Need::Restart])
        .timeout_s(15)
        .rule(
            "`listening on ADDRESS:PORT` is written to standard output when the server is ready, \
             flushed, and nothing else ever is",
            COMMAND_LINE,
        )
        .hint("a pipe is block-buffered: flush after the line. Logs go to standard error"),
    Case::new("CM02", "cli/ready_line_names_ipv6_in_brackets", Rung::Day2, ipv6)
        .needs(&[Need::Restart, Need::Flags])
        .rule("`--host ::1` listens there and says `listening on [::1]:PORT`", COMMAND_LINE)
        .hint("an IPv6 address needs AF_INET6, and brackets where a port follows it"),
    Case::new("CM03", "cli/port_0_picks_a_free_one", Rung::Day2, port_zero)
        .needs(&[Need::Restart])
        .rule("with port 0 the kernel picks the port, and the ready line names it", COMMAND_LINE)
        .hint("ask getsockname(2) after bind for the port, rather than print what was asked for"),
    Case::new("CM04", "cli/host_may_be_a_name", Rung::Day2, host_name)
        .needs(&[Need::Restart, Need::Flags])
        .rule("`--host localhost` is looked up, and the ready line says the address", COMMAND_LINE)
        .hint("look names up with getaddrinfo(3) and take the first address that can be bound"),
    Case::new("CM05", "cli/options_stand_before_or_behind_the_port", Rung::Day2, either_side)
        .needs(&[Need::Restart, Need::Flags])
        .rule("options may stand in front of PORT or behind it", COMMAND_LINE)
        .hint("don't stop parsing options at the first argument that is none"),
    Case::new("CM07", "cli/every_option_of_the_rung_is_taken", Rung::Day2, every_option)
        .needs(&[Need::Restart, Need::Flags])
        .rule("a server takes every option of its rung", COMMAND_LINE)
        .hint("compare your options with the table; a duration is digits and ms, s or m"),
    Case::new("CM08", "cli/help_tells_options_and_default_port", Rung::Day2, help)
        .needs(&[Need::Restart, Need::Flags])
        .rule(
            "--help names the options and the default port on standard output, status 0",
            COMMAND_LINE,
        )
        .hint("help that was asked for is a result, not an error: standard output, exit status 0"),
    Case::new("CM09", "cli/version_is_told", Rung::Day2, version)
        .needs(&[Need::Restart, Need::Flags])
        .rule("--version answers on standard output with status 0", COMMAND_LINE)
        .hint("print name and version and exit before any socket is opened"),
    Case::new("CM10", "cli/bad_values_are_refused", Rung::Day2, bad_values)
        .needs(&[Need::Restart, Need::Flags])
        // Some languages take a second to start on a busy machine.
        .timeout_s(30)
        .rule(
            "a bad value: usage on standard error, nothing on standard output, status 2",
            COMMAND_LINE,
        )
        .hint("check every value before the socket is opened: at least 1, in range, with a unit"),
    Case::new("CM11", "cli/bad_arguments_are_refused", Rung::Day2, bad_arguments)
        .needs(&[Need::Restart, Need::Flags])
        .timeout_s(30)
        .rule("unknown options and bad ports: usage on standard error, status 2", COMMAND_LINE)
        .hint("a port is one number from 0 to 65535; what you don't know, refuse"),
    Case::new("CM12", "cli/options_of_later_rungs_are_refused", Rung::Day2, later_options)
        .until(Rung::W04)
        .needs(&[Need::Restart, Need::Flags])
        .timeout_s(30)
        .rule("a server refuses the options of later rungs", COMMAND_LINE)
        .hint("an option that is accepted and does nothing is a promise that is not kept"),
    Case::new("CM13", "cli/states_are_logged_at_debug_only", Rung::Day2, states_are_logged)
        .needs(&[Need::Restart])
        .rule(
            "RUST_LOG=debug logs every state transition on standard error; the default does not",
            COMMAND_LINE,
        )
        .hint("name the states READING_HEADER and READING_BODY in the one place that changes them"),
    Case::new("CM15", "cli/max_body_may_be_the_largest", Rung::Day2, largest_max_body)
        .needs(&[Need::Restart, Need::Flags])
        .rule(
            "`--max-body 2147483647` is taken, and a body of that size is then announced in peace",
            COMMAND_LINE,
        )
        .hint("2^31-1 is in range: compare with `>`; buffers grow with what arrives, not with `n`"),
    Case::new("CM14", "cli/nobody_else_is_let_in_by_default", Rung::Day2, default_host)
        .needs(&[Need::Restart, Need::Flags])
        .rule("without --host only 127.0.0.1 is listened on", COMMAND_LINE)
        .hint("bind INADDR_LOOPBACK, not INADDR_ANY, and print what getsockname(2) says"),
];

/// The whole line, as it must be.
fn expect_ready_line(judge: &Judge, server: &Server) -> CaseResult {
    server.wait_for_ready_line()?;
    let wanted = format!("listening on {}\n", server.address());
    judge.equal("standard output", wanted, server.stdout())
}

fn ready_is_one_line(judge: &Judge) -> CaseResult {
    let server = judge.launch().env("RUST_LOG", "debug").start()?;
    expect_ready_line(judge, &server)?;
    let mut clients = served_clients(&server, 3)?;
    clients[0].ask("panic p\r\n", "SERVER_ERROR task panicked: p\r\n")?;
    clients.pop().map_or(Ok(()), |client| client.reset())?;
    drop(clients);
    server.signal(Signal::TERM)?;
    // Longer than a drain may take: how it drains is for other cases to judge.
    server.wait_exit(Duration::from_secs(8))?;
    expect_ready_line(judge, &server)
}

fn ipv6(judge: &Judge) -> CaseResult {
    if TcpListener::bind("[::1]:0").is_err() {
        return Err(judge.skip("no IPv6 on this machine"));
    }
    let server = judge.server(&["--host", "::1"])?;
    expect_ready_line(judge, &server)?;
    judge.ensure(server.address().is_ipv6(), "a listener on [::1]", || server.address())?;
    server.client()?.fence()
}

fn default_host(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    judge.equal("the address it is bound to", server.address(), server.bound_address()?)
}

fn port_zero(judge: &Judge) -> CaseResult {
    let server = judge.launch().port(0).start()?;
    expect_ready_line(judge, &server)?;
    server.client()?.fence()
}

fn host_name(judge: &Judge) -> CaseResult {
    let known: Vec<SocketAddr> = match "localhost:0".to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(judge.skip(format!("`localhost` is unknown here: {error}"))),
    };
    let server = judge.server(&["--host", "localhost"])?;
    expect_ready_line(judge, &server)?;
    let ip = server.address().ip();
    judge.ensure(
        known.iter().any(|address| address.ip() == ip),
        format!("one of {known:?}"),
        || ip,
    )?;
    server.client()?.fence()
}

fn either_side(judge: &Judge) -> CaseResult {
    for arguments in [["--max-header", "20", "0"], ["0", "--max-header", "20"]] {
        honours_max_header_of_20(&judge.launch().without_port().flags(&arguments).start()?)?;
    }
    Ok(())
}

fn honours_max_header_of_20(server: &Server) -> CaseResult {
    let mut client = server.client()?;
    client.fence()?;
    client.ask(format!("{}\r\n", "x".repeat(30)), "CLIENT_ERROR line too long\r\n")
}

fn every_option(judge: &Judge) -> CaseResult {
    let known = OPTIONS.iter().filter(|(_, _, since)| *since <= judge.rung());
    let arguments: Vec<&str> = known.flat_map(|(name, value, _)| [*name, *value]).collect();
    judge.launch().arguments(&arguments).start()?.client()?.fence()
}

fn help(judge: &Judge) -> CaseResult {
    let ended = judge.launch().without_port().flags(&["--help"]).run_to_exit()?;
    judge.equal("exit status", Some(0), ended.status.code())?;
    let known = OPTIONS.iter().filter(|(_, _, since)| *since <= judge.rung());
    for word in known.map(|(name, _, _)| *name).chain(["9090"]) {
        judge
            .ensure(ended.stdout.contains(word), format!("{word} in the help"), || &ended.stdout)?;
    }
    Ok(())
}

fn version(judge: &Judge) -> CaseResult {
    let ended = judge.launch().without_port().flags(&["--version"]).run_to_exit()?;
    judge.equal("exit status", Some(0), ended.status.code())?;
    judge.ensure(!ended.stdout.trim().is_empty(), "a version on standard output", || ended.stderr)
}

fn bad_values(judge: &Judge) -> CaseResult {
    let mut bad = vec![
        vec!["--max-connections", "0"],
        vec!["--max-header", "many"],
        vec!["--max-body", "2147483648"],
        vec!["--idle-timeout", "30"],
        vec!["--request-timeout", "0s"],
        vec!["--drain-timeout", "s"],
    ];
    if judge.rung() >= Rung::Day3 {
        bad.push(vec!["--high-water", "100", "--low-water", "101"]);
    }
    if judge.rung() >= Rung::W05 {
        bad.extend([vec!["--workers", "0"], vec!["--queue-depth", "0"]]);
    }
    if judge.rung() >= Rung::Async {
        bad.push(vec!["--blocking-threads", "0"]);
    }
    bad.iter().try_for_each(|arguments| expect_usage(judge, judge.launch(), arguments))
}

fn bad_arguments(judge: &Judge) -> CaseResult {
    expect_usage(judge, judge.launch(), &["--no-such-option"])?;
    expect_usage(judge, judge.launch().port(0), &["0"])?;
    expect_usage(judge, judge.launch().without_port(), &["99999"])?;
    expect_usage(judge, judge.launch().without_port(), &["http"])?;
    expect_usage(judge, judge.launch().port(0), &["--idle-timeout", "10s", "--max-header"])
}

fn later_options(judge: &Judge) -> CaseResult {
    let later = OPTIONS.iter().filter(|(_, _, since)| *since > judge.rung());
    for (name, value, _) in later {
        expect_usage(judge, judge.launch(), &[name, value])?;
    }
    Ok(())
}

/// The words that the server was started with, for a report.
fn shown(arguments: &[&str]) -> String {
    format!("`{}`", arguments.join(" "))
}

fn expect_usage(judge: &Judge, launch: Launch<'_>, arguments: &[&str]) -> CaseResult {
    let ended = launch.arguments(arguments).run_to_exit()?;
    let shown = shown(arguments);
    judge.ensure(
        ended.status.code() == Some(2),
        format!("{shown}: exited with status 2"),
        || format!("{}\nstandard error: {}", describe_exit(ended.status), ended.stderr),
    )?;
    judge.equal(&format!("{shown}: standard output"), "", ended.stdout.as_str())?;
    let says_usage = ended.stderr.to_lowercase().contains("usage");
    judge.ensure(says_usage, format!("{shown}: `usage` on standard error"), || &ended.stderr)
}

fn states_are_logged(judge: &Judge) -> CaseResult {
    let talkative = judge.launch().env("RUST_LOG", "debug").start()?;
    let quiet = judge.server(&[])?;
    for server in [&talkative, &quiet] {
        let mut client = server.client()?;
        client.send("echo 3\r\nab")?;
        // A reply to somebody else: the header has been read.
        server.client()?.fence()?;
        client.ask("c\r\n", "ECHO 3\r\nabc\r\n")?;
        client.send("quit\r\n")?;
        client.read_until_closed()?;
    }
    for state in ["READING_HEADER", "READING_BODY"] {
        let logged = |server: &Server| plain(&server.log()).contains(&plain(state));
        judge.wait_until(
            &format!("{state} in the log with RUST_LOG=debug"),
            Duration::from_secs(2),
            || Ok(logged(&talkative)),
        )?;
        judge
            .ensure(!logged(&quiet), format!("no {state} in the log by default"), || quiet.log())?;
    }
    Ok(())
}

fn largest_max_body(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-body", "2147483647"])?;
    let mut client = server.client()?;
    client.send("echo 2147483647\r\n")?;
    server.client()?.fence()?;
    // An incomplete request is dropped without a word, a refused one is answered.
    client.shutdown_write()?;
    client.expect_eof()
}

/// `READING_HEADER`, `ReadingHeader` and `reading-header` are the same name.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
