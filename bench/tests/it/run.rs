//! `bench run`: against programs that answer rightly, wrongly, or not at all, and as its user meets
//! it.

use crate::scripted::{self, Act, honest};
use bench::cores::Cores;
use bench::data::{Calls, Data, Entry, Outcome};
use bench::measure::Timing;
use bench::notes;
use bench::programs::Program;
use bench::run::{Effort, compare};
use bench::scenario::Job;
use bench::scenarios;
use indicatif::ProgressBar;
use procfs::process::{Process, all_processes};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

const EFFORT: Effort = Effort {
    rounds: 2,
    timing: Timing { warmup: Duration::from_millis(20), duration: Duration::from_millis(50) },
    calls: false,
};

/// A program that leaves a line in the file `log` of its folder and then runs this script.
fn program(folder: &Path, name: &str, script: &str) -> Program {
    let path = folder.join(name);
    let log = folder.join("log");
    let text = format!("#!/bin/sh\necho {name} >>'{}'\n{script}\n", log.display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    Program::Built(path)
}

/// A script that says that it listens where in truth a server of this test does.
fn listens_at(server: &scripted::Server) -> String {
    format!("echo listening on {}; exec sleep 60", server.address)
}

/// What came of the small echo, by contender.
fn compare_echo(programs: &BTreeMap<&'static str, Program>) -> BTreeMap<String, Outcome> {
    let mut jobs: Vec<Job> = scenarios::find("echo").unwrap().jobs();
    jobs.retain(|job| {
        programs.contains_key(job.contender.name) && job.contender.arguments == [""; 0]
    });
    let cores = Cores::choose().unwrap();
    let entries = compare(&jobs, programs, cores, EFFORT, &ProgressBar::hidden());
    entries.into_iter().map(|Entry { contender, outcome, .. }| (contender, outcome)).collect()
}

#[test]
fn who_answers_wrongly_or_can_t_start_is_told_and_the_others_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let right = listens_at(&scripted::Server::start(honest));
    let wrong = listens_at(&scripted::Server::start(|request, reply| match request {
        70 => Act::Send(b"ECHO 31\r\n".to_vec()),
        _ => Act::Send(reply),
    }));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dies = format!("echo listening on {nobody}; echo 'out of memory' >&2; exit 3");
    let programs = BTreeMap::from([
        ("w04-epoll", program(folder, "w04-epoll", &right)),
        ("peer-tokio", program(folder, "peer-tokio", &wrong)),
        ("peer-mio", program(folder, "peer-mio", "echo 'error: cannot listen' >&2; exit 1")),
        ("peer-smol", program(folder, "peer-smol", &dies)),
        ("peer-libuv", Program::Missing("no libuv".to_owned())),
        ("peer-bare", program(folder, "peer-bare", &right)),
    ]);
    let outcomes = compare_echo(&programs);

    for name in ["w04-epoll", "peer-bare"] {
        let Outcome::Measured { rounds, .. } = &outcomes[name] else { panic!("{outcomes:?}") };
        assert_eq!(rounds.len(), 2);
        assert!(rounds.iter().all(|round| round.requests > 0 && round.latency[0] > 0));
    }
    let error = |name: &str| match &outcomes[name] {
        Outcome::Wrong(error) => error.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert!(error("peer-tokio").contains("a wrong reply"), "{}", error("peer-tokio"));
    let words = error("peer-mio");
    assert!(words.contains("exit status: 1") && words.contains("cannot listen"), "{words}");
    let words = error("peer-smol");
    assert!(words.contains("exit status: 3") && words.contains("out of memory"), "{words}");
    assert_eq!(outcomes["peer-libuv"], Outcome::Missing("no libuv".to_owned()));

    // In turn, the second round the other way; who failed is not asked again.
    let log = fs::read_to_string(folder.join("log")).unwrap();
    let started: Vec<&str> = log.lines().collect();
    let first = ["w04-epoll", "peer-tokio", "peer-mio", "peer-smol", "peer-bare"];
    assert_eq!(started, [&first[..], &["peer-bare", "w04-epoll"]].concat());
}

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments);
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_quick_run_measures_keeps_and_draws() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let run = "run --quick --scenario echo --contender w04-epoll --contender peer-bare --out";
    let mut arguments: Vec<&str> = run.split(' ').collect();
    arguments.push(out);
    let Output { status, stdout, stderr } = bench(&arguments).output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
    assert!(text(&stdout).contains("| w04-epoll"), "{}", text(&stdout));
    let data = Data::read(folder.path()).unwrap();
    assert_eq!(data.entries.len(), 2);
    assert!(data.entries.iter().all(|entry| entry.rounds().len() == 1));
    assert!(data.machine.cores >= 2 && data.machine.libraries.contains_key("tokio"));

    // What is drawn again is what was drawn.
    let pictures = ["throughput.svg", "latency.svg"].map(|file| folder.path().join(file));
    let drawn = pictures.each_ref().map(|path| fs::read(path).unwrap());
    pictures.iter().for_each(|path| fs::remove_file(path).unwrap());
    assert!(!bench(&["plot", "--check", "--out", out]).status().unwrap().success());
    assert!(bench(&["plot", "--out", out]).status().unwrap().success());
    assert!(pictures.each_ref().map(|path| fs::read(path).unwrap()) == drawn);
    assert!(bench(&["plot", "--check", "--out", out]).status().unwrap().success());
}

#[test]
fn calls_are_counted_for_the_requests_that_made_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let run = "run --rounds 1 --scenario active-1000 --contender peer-bare --out";
    let mut arguments: Vec<&str> = run.split(' ').collect();
    arguments.push(out);
    let Output { status, stderr, .. } = bench(&arguments).output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
    let data = Data::read(folder.path()).unwrap();
    match &data.entries[0].outcome {
        // A recv and a send for each, and a share of a wait, although a thousand are under way.
        Outcome::Measured { calls: Some(Calls::Counted { calls, requests }), .. } => {
            assert!((2 * requests..3 * requests).contains(calls), "{calls} for {requests}");
        }
        Outcome::Measured { calls: Some(Calls::Unknown(why)), .. } => {
            assert!(why.contains("strace"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

/// A running `bench`, killed at the end whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_interrupt_takes_the_server_along() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let run = "run --rounds 100 --scenario echo --contender w04-epoll --out";
    let mut arguments: Vec<&str> = run.split(' ').collect();
    arguments.push(out);
    let mut running = Running(bench(&arguments).spawn().unwrap());
    let pid = running.0.id() as i32;
    let server = || {
        let stats = all_processes().unwrap().flatten().filter_map(|process| process.stat().ok());
        let mut servers = stats.filter(|stat| stat.ppid == pid && stat.comm == "w04-epoll");
        servers.next().map(|stat| (stat.pid, stat.starttime))
    };
    // The server is built first, which takes its time.
    let deadline = Instant::now() + Duration::from_secs(600);
    let (server, started) = loop {
        if let Some(server) = server() {
            break server;
        }
        assert!(running.0.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        assert!(Instant::now() < deadline, "no server was started");
        std::thread::sleep(Duration::from_millis(5));
    };
    let bench = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(bench, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(128 + 15));
    let deadline = Instant::now() + Duration::from_secs(10);
    let runs = || {
        let stat = Process::new(server).and_then(|process| process.stat());
        stat.is_ok_and(|stat| stat.starttime == started && stat.state != 'Z')
    };
    while runs() {
        assert!(Instant::now() < deadline, "the server still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_name_that_does_not_exist_is_met_with_those_that_do() {
    for (option, known) in [("--scenario", "idle-9000"), ("--contender", "w04-epoll")] {
        let output = bench(&["run", option, "nothing"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let message = text(&output.stderr);
        assert!(message.contains("`nothing`") && message.contains(known), "{message}");
    }
    let list = bench(&["list"]).output().unwrap();
    assert!(text(&list.stdout).contains("idle-9000") && text(&list.stdout).contains("w04-epoll"));
}

#[test]
fn a_full_disk_behind_standard_output_is_told() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = bench(&["list"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.starts_with("error: cannot write to standard output: "), "{message}");
}

#[test]
fn data_that_could_not_be_kept_is_not_measured() {
    let folder = tempfile::NamedTempFile::new().unwrap();
    let out = folder.path().to_str().unwrap();
    let output = bench(&["run", "--scenario", "echo", "--out", out]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.starts_with("error: cannot write ") && message.lines().count() == 1,
        "{message}"
    );
}

#[test]
fn the_notes_are_what_the_data_beside_them_gives() {
    let data = Data::read(&notes::folder()).unwrap();
    let stale = notes::stale(&data, &notes::folder()).unwrap();
    assert!(stale.is_empty(), "run `cargo run --release -p bench -- plot`: {stale:?}");
}
