//! The command as a person uses it: exit statuses, headlines and formats, against tiny servers
//! that each have one fault.

#![forbid(unsafe_code)]

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Listens and answers every line with `MN`, which is right for the barrier case only.
const ONLY_MN: &str = r#"
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    while client.recv(4096): client.sendall(b"MN\r\n")
"#;

fn harness() -> Command {
    Command::new(cargo_bin!("harness"))
}

/// A `--cmd` that runs this Python text.
fn python(text: &str) -> String {
    assert!(!text.contains('\''));
    format!("python3 -c '{text}' {{port}}")
}

fn check(command: &str) -> Command {
    let mut harness = harness();
    harness.args(["check", "--cmd", command]);
    harness
}

#[test]
fn list_names_every_case_with_its_rule() {
    harness()
        .args(["list"])
        .assert()
        .code(0)
        .stdout(contains("PR01 day2  protocol/echo_returns_body").and(contains("FD01")));
    harness().args(["list", "FD01"]).assert().code(0).stdout(contains("PR01").not());
}

#[test]
fn wrong_usage_is_exit_status_2() {
    harness().assert().code(2);
    harness().args(["check"]).assert().code(2).stderr(contains("--cmd"));
    check("./server").assert().code(2).stderr(contains("{port}"));
    check("true {port}").arg("nonsense").assert().code(2).stderr(contains("`nonsense`"));
    check("true {port}").args(["--as", "day9"]).assert().code(2).stderr(contains("day9"));
    check("true {port}").args(["--rung", "day2"]).assert().code(2);
    let unknown = ["check", "--rung", "day9"];
    harness().args(unknown).assert().code(2).stderr(contains("day2-select-loop"));
}

#[test]
fn a_server_that_exits_at_once_is_reported_with_its_last_lines() {
    let started = Instant::now();
    check(r#"sh -c "echo no such luck >&2; exit 7" {port}"#).assert().code(3).stderr(
        contains("SERVER DID NOT START")
            .and(contains("exited with status 7"))
            .and(contains("log: no such luck")),
    );
    assert!(started.elapsed() < Duration::from_secs(4), "the limit was waited for");
}

#[test]
fn a_program_that_is_not_there_is_exit_status_3() {
    check("./no-such-program {port}")
        .assert()
        .code(3)
        .stderr(contains("SERVER DID NOT START").and(contains("exited with status 127")));
}

#[test]
fn a_server_that_never_listens_is_given_up_at_the_limit() {
    check(r#"sh -c "exec sleep 60" {port}"#)
        .args(["--timeout-multiplier", "0.1"])
        .assert()
        .code(3)
        .stderr(contains("SERVER DID NOT START").and(contains("within 1.5s")));
}

#[test]
fn a_server_that_ignores_its_port_is_told_where_it_listens() {
    let elsewhere = ONLY_MN.replace("int(sys.argv[1])", "0");
    check(&python(&elsewhere))
        .args(["--timeout-multiplier", "0.2"])
        .assert()
        .code(3)
        .stderr(contains("SERVER DID NOT START").and(contains("it listens on 127.0.0.1:")));
}

#[test]
fn a_wrapper_around_the_server_is_refused() {
    let wrapper = format!(r#"sh -c 'python3 -c "$0" "$1"; true' '{ONLY_MN}' {{port}}"#);
    check(&wrapper).arg("PR03").assert().code(3).stderr(
        contains("the command starts the server as a child (pid ").and(contains("use `exec`")),
    );
}

#[test]
fn an_address_of_another_machine_is_refused() {
    for address in ["192.0.2.1:4000", "0.0.0.0:4000", "[2001:db8::1]:4000"] {
        let arguments = ["check", "--addr", address];
        harness().args(arguments).assert().code(2).stderr(contains("only a loopback address"));
    }
}

#[test]
fn a_server_that_leaves_a_descendant_breaks_a_rule() {
    let text = r#"
import os, select, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.setblocking(False)
if os.fork() == 0:
    listener.close()
    time.sleep(60)
sockets = [listener]
while True:
    for ready in select.select(sockets, [], [])[0]:
        if ready is listener:
            client, _ = listener.accept()
            client.setblocking(False)
            sockets.append(client)
        elif ready.recv(4096):
            ready.sendall(b"MN\r\n")
        else:
            sockets.remove(ready)
"#;
    check(&python(text)).arg("FD01").assert().code(1).stdout(
        contains("BROKEN RULE FD01").and(contains("left behind in its process group: python3")),
    );
}

#[test]
fn a_broken_rule_is_exit_status_1_and_its_text_names_the_command_to_run_again() {
    check(&python(ONLY_MN))
        .args(["PR04", "--seed", "5"])
        .assert()
        .code(1)
        .stderr(is_empty())
        .stdout(
            contains("BROKEN RULE PR04 protocol/unknown_verb_goes_on")
                .and(contains("expected: \"ERROR\\r\\n\""))
                .and(contains("^ byte 0 differs"))
                .and(contains("sleeps in"))
                .and(contains("run this again: cargo run -p harness -- check --cmd"))
                .and(contains("PR04 --seed 5")),
        );
}

#[test]
fn json_junit_and_tap_stand_alone_on_standard_output() {
    let run = |format| {
        let command = python(ONLY_MN);
        let output = check(&command).args(["PR04", "--format", format]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(json["cases"][0]["id"], "PR04");
    assert_eq!(json["cases"][0]["verdict"], "fail");
    assert!(run("junit").starts_with("<?xml"));
    assert!(run("tap").starts_with("TAP version 14\n1..1\nnot ok 1 - PR04"));
}

#[test]
fn cases_that_need_what_the_target_lacks_are_skipped() {
    let text = ONLY_MN.replace("listener.accept()", "listener.accept(); client.settimeout(5)");
    let mut server = std::process::Command::new("python3")
        .args(["-c", &text, "0"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let port = listening_port(server.id());
    harness()
        .args(["check", "--addr", &format!("127.0.0.1:{port}"), "FD01"])
        .assert()
        .code(0)
        .stdout(contains("skip  FD01").and(contains("--pid")));
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_server_that_does_not_run_at_the_address_is_exit_status_3() {
    // Nothing listens on port 1 of the loopback interface.
    harness()
        .args(["check", "--addr", "127.0.0.1:1"])
        .assert()
        .code(3)
        .stderr(contains("SERVER DID NOT START").and(contains("refused")));
}

#[test]
fn a_killed_harness_takes_its_server_along() {
    let mut harness = std::process::Command::new(cargo_bin!("harness"))
        .args(["check", "--wait-server", "--cmd", &python(ONLY_MN), "PR03"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(harness.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let pid = line.strip_prefix("server pid ").and_then(|rest| rest.split(':').next()).unwrap();
    let entry = format!("/proc/{pid}/fd/0");
    assert!(Path::new(&entry).exists(), "{line}");
    harness.kill().unwrap();
    harness.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    // A zombie still has its entry in /proc, but no descriptors.
    while Path::new(&entry).exists() {
        assert!(Instant::now() < deadline, "the server outlived the harness");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The port of the first listening socket of the process.
fn listening_port(pid: u32) -> u16 {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let sockets = harness::inspect::Process::new(pid as i32).and_then(|p| p.sockets());
        if let Some(socket) = sockets.ok().and_then(|all| all.first().cloned()) {
            return socket.local.port();
        }
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_soak_that_cannot_run_says_why() {
    let soak = |arguments: &[&str]| {
        let mut command = harness();
        command.arg("soak").args(arguments);
        command.assert()
    };
    soak(&[]).code(2).stderr(contains("--rung"));
    soak(&["--rung", "day4", "--duration", "30"]).code(2).stderr(contains("needs a unit"));
    soak(&["--cmd", "./server"]).code(2).stderr(contains("{port}"));
    soak(&["--cmd", "sh -c 'exit 7' {port}"]).code(3).stderr(contains("exited with status 7"));
}
