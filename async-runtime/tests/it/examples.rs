//! The examples, as programs.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// `cargo run --example`, which builds it first if need be and then becomes it.
fn example(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "--package", "async-runtime", "--example", name]);
    command.arg("--").args(arguments);
    command
}

/// What it printed, once it has ended well.
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Ends with the test, also if that fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_client_and_the_server_talk_to_each_other() {
    let started = example("async_tcp_echo_server", &["0"]).stdout(Stdio::piped()).spawn();
    let mut server = Server(started.unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim_end().strip_prefix("listening on 127.0.0.1:").unwrap();
    for _ in 0..3 {
        let client = example("async_tcp_client", &[port]).output().unwrap();
        assert_eq!(printed(client), "hello, runtime\n");
    }
    kill_process(Pid::from_child(&server.0), Signal::INT).unwrap();
    assert!(server.0.wait().unwrap().success());
}

#[test]
fn a_connection_that_moves_a_thousand_times_loses_nothing() {
    let printed = printed(example("migration", &[]).output().unwrap());
    let figures: Vec<_> = printed.lines().collect();
    assert_eq!(figures.len(), 2, "{printed}");
    for (figures, mover) in figures.into_iter().zip(["its own task", "another thread"]) {
        let start = format!("moved by {mover}: migrations=1000 bytes=");
        assert!(figures.starts_with(&start) && figures.ends_with(" lost=0"), "{figures}");
    }
}
