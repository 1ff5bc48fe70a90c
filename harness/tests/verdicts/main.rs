//! How a case ends: each verdict provoked on purpose, on a listener inside this test or on a
//! small program.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod clients;

use harness::case::{Case, Need, Rung};
use harness::judge::Judge;
use harness::limits::Limits;
use harness::report::Verdict;
use harness::runner::{self, Options};
use harness::server::Signal;
use harness::target::{Origin, Target};
use harness::verdict::{CaseResult, Class, Failure};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn target(origin: Origin) -> Arc<Target> {
    Arc::new(Target {
        name: "test".into(),
        origin,
        rung: Rung::Day2,
        takes_flags: true,
        replay: String::new(),
        reference: None,
    })
}

/// A server inside this test: a thread per connection that does this with it.
fn listener(serve: fn(TcpStream)) -> Arc<Target> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    target(Origin::Running { address, pid: Some(std::process::id() as i32) })
}

fn python(text: &str) -> Arc<Target> {
    assert!(!text.contains('\''));
    target(Origin::Command(format!("python3 -c '{text}' {{port}}")))
}

/// Answers every read with `MN`.
fn answer_mn(mut stream: TcpStream) {
    while let Ok(1..) = stream.read(&mut [0; 4096]) {
        if stream.write_all(b"MN\r\n").is_err() {
            return;
        }
    }
}

fn verdict(case: Case, target: &Arc<Target>) -> Verdict {
    let case: &'static Case = Box::leak(Box::new(case));
    runner::run_case(case, target, &Options::default()).verdict
}

fn run(body: fn(&Judge) -> CaseResult, target: &Arc<Target>) -> Verdict {
    verdict(Case::new("ZZ01", "test/case", Rung::Day2, body), target)
}

fn failure(body: fn(&Judge) -> CaseResult, target: &Arc<Target>) -> Box<Failure> {
    match run(body, target) {
        Verdict::Fail { failure } => failure,
        other => panic!("{other:?}"),
    }
}

fn assert_pass(body: fn(&Judge) -> CaseResult, target: &Arc<Target>) {
    let verdict = run(body, target);
    assert!(matches!(verdict, Verdict::Pass), "{verdict:?}");
}

fn fence(judge: &Judge) -> CaseResult {
    judge.server(&[])?.client()?.fence()
}

#[test]
fn a_kept_rule_passes() {
    assert_pass(fence, &listener(answer_mn));
}

#[test]
fn a_wrong_byte_is_a_broken_rule_with_a_mark_a_transcript_and_an_autopsy() {
    let failure = failure(
        |judge| judge.server(&[])?.connect().named("alice").open()?.ask("a\n", "MM\r\n"),
        &listener(answer_mn),
    );
    assert_eq!(failure.class, Class::BrokenRule);
    assert_eq!(failure.expected, r#""MM\r\n""#);
    assert!(failure.actual.starts_with("\"MN\\r\\n\"\n  ^ byte 1 differs"), "{}", failure.actual);
    assert_eq!(failure.client.as_deref(), Some("alice"));
    assert_eq!(failure.transcripts[0].client, "alice");
    assert!(failure.transcripts[0].lines[1].ends_with(r#"> "a\n""#));
    assert!(failure.autopsies[0].state.contains("alive"));
    assert!(failure.autopsies[0].threads.iter().any(|line| line.contains("sleeps in accept4")));
}

#[test]
fn silence_is_a_broken_rule_and_the_message_names_all_limits() {
    let failure = failure(
        |judge| {
            let server = judge.server(&[])?;
            server.connect().read_limit(Duration::from_millis(50)).open()?.expect("MN\r\n")
        },
        &listener(answer_mn),
    );
    assert!(failure.actual.ends_with("then nothing more came"), "{}", failure.actual);
    let times = failure.times.unwrap().to_string();
    for part in ["of at most 50.0ms", "of at most 10.0s", "run "] {
        assert!(times.contains(part), "{times}");
    }
}

#[test]
fn a_fence_notices_a_byte_too_many() {
    let failure = failure(
        fence,
        &listener(|mut stream| {
            stream.write_all(b"hello").unwrap();
            answer_mn(stream);
        }),
    );
    assert!(failure.actual.contains("^ byte 0 differs"), "{}", failure.actual);
}

#[test]
fn a_server_that_dies_is_a_crash_and_not_a_broken_rule() {
    let dies = python(
        r#"
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client, _ = listener.accept()
client.recv(4096)
print("last words", file=sys.stderr)
sys.exit(3)
"#,
    );
    let failure = failure(fence, &dies);
    assert_eq!(failure.class, Class::ServerCrash);
    assert!(failure.actual.contains("exited with status 3"), "{}", failure.actual);
    assert_eq!(failure.autopsies[0].log, ["last words"]);
}

#[test]
fn a_crash_that_no_client_noticed_still_fails_the_case() {
    let dies = python(
        r#"
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client, _ = listener.accept()
client.recv(4096)
client.sendall(b"MN\r\n")
client.recv(4096)
os.abort()
"#,
    );
    let failure = failure(
        |judge| {
            let server = judge.server(&[])?;
            server.client()?.fence()?;
            judge.wait_until("the process to be gone", Duration::from_secs(5), || {
                let threads = server.process()?.threads()?;
                Ok(threads.iter().all(|thread| thread.state == 'Z'))
            })
        },
        &dies,
    );
    assert_eq!(failure.class, Class::ServerCrash);
    assert!(failure.actual.contains("SIGABRT"), "{}", failure.actual);
}

#[test]
fn an_end_that_the_case_asked_for_is_no_crash() {
    let waits = python(
        r#"
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening on it", flush=True)
listener.accept()
"#,
    );
    assert_pass(
        |judge| {
            let server = judge.server(&[])?;
            server.wait_for_ready_line()?;
            server.signal(Signal::TERM)?;
            let status = server.wait_exit(Duration::from_secs(2))?;
            judge.equal("exit code", None, status.code())
        },
        &waits,
    );
    let failure = failure(
        |judge| {
            let server = judge.server(&[])?;
            server.signal(Signal::KILL)?;
            server.expect_clean_exit(Duration::from_secs(2))
        },
        &waits,
    );
    assert_eq!(failure.class, Class::BrokenRule);
    assert!(failure.actual.contains("SIGKILL"), "{}", failure.actual);
}

#[test]
fn a_paused_server_answers_after_it_goes_on() {
    let answers = python(
        r#"
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client, _ = listener.accept()
while client.recv(4096): client.sendall(b"MN\r\n")
listener.accept()
"#,
    );
    assert_pass(
        |judge| {
            let server = judge.server(&[])?;
            let mut client = server.client()?;
            client.fence()?;
            server.pause()?;
            client.send("mn\r\n")?;
            judge.ensure(client.received().is_empty(), "silence", || "bytes")?;
            server.resume()?;
            client.expect("MN\r\n")
        },
        &answers,
    );
}

#[test]
fn a_program_that_must_end_reports_its_status_and_its_words() {
    let ends = target(Origin::Command(r#"sh -c "echo out; echo err >&2; exit 2" {port}"#.into()));
    assert_pass(
        |judge| {
            let ended = judge.launch().run_to_exit()?;
            judge.equal("status", Some(2), ended.status.code())?;
            judge.equal("output", ("out\n", "err\n"), (&ended.stdout, &ended.stderr))
        },
        &ends,
    );
}

#[test]
fn a_case_that_hangs_is_ended_by_the_watchdog() {
    static HANGS: Case = Case::new("ZZ02", "test/hangs", Rung::Day2, |judge| {
        let _server = judge.server(&[])?;
        loop {
            thread::park();
        }
    });
    let options =
        Options { limits: Limits { multiplier: 0.02, disabled: false }, ..Options::default() };
    let report = runner::run_case(&HANGS, &listener(answer_mn), &options);
    let Verdict::Fail { failure } = report.verdict else { panic!("{report:?}") };
    assert!(failure.actual.contains("watchdog"), "{}", failure.actual);
    assert!(report.duration < Duration::from_secs(2));
}

#[test]
fn a_case_that_panics_is_a_fault_of_the_harness() {
    let failure = failure(|_| panic!("oh"), &listener(answer_mn));
    assert_eq!(failure.class, Class::HarnessFault);
    assert!(failure.actual.contains("oh"), "{}", failure.actual);
}

#[test]
fn the_table_of_expectations_is_checked_in_both_directions() {
    let target = listener(answer_mn);
    let later = |body| Case::new("ZZ03", "test/later", Rung::Day3, body);
    let breaks = |judge: &Judge| judge.server(&[])?.client()?.ask("a\n", "wrong");
    let reason = "day 2 does not do that";
    assert!(matches!(verdict(later(fence), &target), Verdict::NotApplicable { .. }));
    let expected = verdict(later(breaks).fails_before(reason), &target);
    assert!(matches!(expected, Verdict::ExpectedFailure { .. }), "{expected:?}");
    let unexpected = verdict(later(fence).fails_before(reason), &target);
    assert!(matches!(unexpected, Verdict::UnexpectedPass { .. }), "{unexpected:?}");
    // A fault is not the failure that was expected.
    let fault = verdict(later(|_| panic!("oh")).fails_before(reason), &target);
    assert!(matches!(fault, Verdict::Fail { .. }), "{fault:?}");
}

#[test]
fn what_the_target_lacks_is_a_skip() {
    let target = listener(answer_mn);
    let case = Case::new("ZZ04", "test/restart", Rung::Day2, fence);
    let skipped = verdict(case.needs(&[Need::Restart]), &target);
    assert!(matches!(skipped, Verdict::Skip { .. }), "{skipped:?}");
    let flags = run(|judge| judge.server(&["--idle-timeout", "1s"]).map(drop), &target);
    assert!(matches!(flags, Verdict::Skip { .. }), "{flags:?}");
}

#[test]
fn random_numbers_come_back_with_the_seed() {
    static DRAWS: std::sync::Mutex<Vec<u64>> = std::sync::Mutex::new(Vec::new());
    static DRAW: Case = Case::new("ZZ05", "test/draw", Rung::Day2, |judge| {
        DRAWS.lock().unwrap().push(judge.rng().u64(..));
        Ok(())
    });
    let target = listener(answer_mn);
    for seed in [1, 1, 2] {
        let options = Options { seed, ..Options::default() };
        let _ = runner::run_case(&DRAW, &target, &options);
    }
    let draws = DRAWS.lock().unwrap();
    assert_eq!(draws[0], draws[1]);
    assert_ne!(draws[0], draws[2]);
}

#[test]
fn repeated_runs_that_differ_are_flaky() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static TURN: AtomicUsize = AtomicUsize::new(0);
    static CASES: [Case; 2] = [
        Case::new("ZZ06", "test/every_second", Rung::Day2, |judge| {
            let turn = TURN.fetch_add(1, Ordering::SeqCst);
            judge.equal("turn", 0, turn % 2)
        }),
        Case::new("ZZ07", "test/always", Rung::Day2, |_| Ok(())),
    ];
    let cases: Vec<&'static Case> = CASES.iter().collect();
    let origin = Origin::Command("true {port}".into());
    let options = Options { repeat: 4, ..Options::default() };
    let report = runner::run(&cases, &target(origin), &options, |_| {});
    assert!(report.cases[0].is_flaky() && report.cases[0].verdict.is_unexpected());
    assert_eq!((report.cases[0].runs, report.cases[0].failures), (4, 2));
    assert_eq!((report.counts.passed, report.counts.failed), (1, 1));
}

/// A server that accepts nothing and runs until it is ended; `HOST` and `START` are filled in.
const MERE_LISTENER: &str = r#"
import os, signal, socket, sys
listener = socket.create_server(("HOST", int(sys.argv[1])))
START
signal.pause()
"#;

#[test]
fn the_bound_address_is_told_apart_from_the_one_to_connect_to() {
    let every = python(&MERE_LISTENER.replace("HOST", "0.0.0.0").replace("START", ""));
    let body: fn(&Judge) -> CaseResult = |judge| {
        let server = judge.server(&[])?;
        judge.equal("reachable", "127.0.0.1", &*server.address().ip().to_string())?;
        judge.equal("bound", "0.0.0.0", &*server.bound_address()?.ip().to_string())
    };
    assert_pass(body, &every);
}

#[test]
fn what_survives_is_reported_also_where_the_server_chose_its_port() {
    let start = "if os.fork() == 0: listener.close(); signal.pause()";
    let forks = python(&MERE_LISTENER.replace("HOST", "127.0.0.1").replace("START", start));
    let failure = failure(|judge| judge.launch().port(0).start().map(drop), &forks);
    assert_eq!(failure.class, Class::BrokenRule);
    assert!(failure.actual.contains("left behind in its process group"), "{}", failure.actual);
}
