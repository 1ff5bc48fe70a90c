//! `bench load` as its user meets it.

use crate::scripted::{Act, Server, honest};
use std::process::{Command, Output};

fn bench_load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench")).arg("load").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_load_prints_its_figures_as_json_where_nobody_watches() {
    let server = Server::start(honest);
    let address = server.address.to_string();
    let output = bench_load(&[
        &address,
        "--rate",
        "1000",
        "--connections",
        "5",
        "--duration",
        "200ms",
        "--warmup",
        "0s",
        "--core",
        "0",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["requests"], 200);
    assert_eq!(figures["errors"], 0);
    assert_eq!(server.requests(), 200);
    let latency = &figures["latency_ns"];
    let percentiles =
        ["p50", "p90", "p99", "p999", "max"].map(|key| latency[key].as_u64().unwrap());
    assert!(percentiles.is_sorted() && percentiles[0] > 0, "{percentiles:?}");
}

#[test]
fn a_peer_is_started_for_a_load_and_stopped() {
    let load = "--peer peer-threads --connections 5 --duration 100ms --warmup 0s";
    let output = bench_load(&load.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(figures["requests"].as_u64().unwrap() > 0);
    assert_eq!(figures["errors"], 0);
}

#[test]
fn errors_are_told_and_give_status_1() {
    let server = Server::start(|_, _| Act::Send(b"SERVER_ERROR busy\r\n".to_vec()));
    let address = server.address.to_string();
    let output = bench_load(&[&address, "--connections", "3", "--duration", "1m"]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("3 errors") && message.contains("SERVER_ERROR busy"), "{message}");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["errors"], 3);
}

#[test]
fn what_cannot_begin_says_why_and_gives_status_1() {
    let server = Server::start(honest);
    let address = server.address.to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["127.0.0.1:1"], "cannot connect to 127.0.0.1:1: is a server listening there?"),
        (&[&address, "--idle", "100000000"], "ulimit -Hn"),
        (&[&address, "--connections", "18446744073709551615"], "ulimit -Hn"),
        (&[&address, "--core", "900"], "there is no such core"),
    ];
    for (arguments, words) in cases {
        let output = bench_load(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(message.starts_with("error: ") && message.contains(words), "{message}");
    }
}

#[test]
fn wrong_arguments_give_status_2() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "<ADDRESS|--rung <R>|--peer <P>>"),
        (&["127.0.0.1:9090", "--rung", "day4-poll"], "cannot be used with"),
        (&["--peer", "peer-threads", "--connections", "0"], "--connections or --idle"),
        (&["--rung", "peer-tokio"], "w05-handoff"),
        (&["--peer", "w04-epoll"], "peer-bare"),
        (&["nonsense"], "HOST:PORT"),
        (&["8.8.8.8:9090"], "only a loopback address"),
        (&["127.0.0.1:9090", "--connections", "0"], "--connections or --idle"),
        (&["127.0.0.1:9090", "--size", "1000000000"], "256 MiB"),
        (&["127.0.0.1:9090", "--pipeline", "0"], "at least 1"),
        (&["127.0.0.1:9090", "--churn", "0"], "at least 1"),
        (&["127.0.0.1:9090", "--rate", "0"], "above 0"),
        (&["127.0.0.1:9090", "--rate", "1e300"], "at most 1000000000"),
        (&["127.0.0.1:9090", "--duration", "4294967295m"], "at most"),
        (&["127.0.0.1:9090", "--duration", "5"], "digits and a unit"),
        (&["127.0.0.1:9090", "--duration", "0s"], "longer than 0"),
        (&["127.0.0.1:9090", "--verb", "get"], "possible values"),
        (&["127.0.0.1:9090", "--conections", "5"], "--connections"),
    ];
    for (arguments, words) in cases {
        let output = bench_load(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(words), "{arguments:?}: {message}");
        assert!(!message.contains("building"), "{arguments:?}: no server is started: {message}");
    }
}
