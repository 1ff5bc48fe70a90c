//! The rules of the audit on a little loop of our own: one file, and reasons to match.

use day1_state_model::audit::{Basis, Reason, Report, Rules, Site, Source, judge, scan};
use day1_state_model::eagain::IoPath;

const LITTLE: &str = "
fn turn() { step(); }
fn step() { let n = pipe.read(&mut [0; 8]); }
fn start() { let (r, w) = pipe_with(PipeFlags::NONBLOCK); look_up().to_socket_addrs(); }
";

fn little(text: &str, change: impl FnOnce(&mut Rules)) -> Report {
    let made_at = Site::new("loop.rs", "start", "pipe_with");
    let reason = |function, call, basis| Reason {
        site: Site::new("loop.rs", function, call),
        basis,
        why: "because",
    };
    let mut rules = Rules {
        audited: Vec::new(),
        outside: Vec::new(),
        loop_entry: Site::new("loop.rs", "turn", ""),
        reasons: vec![
            reason("step", "read", Basis::NonBlocking { path: IoPath::Signals, made_at }),
            reason("start", "to_socket_addrs", Basis::OutsideTheLoop),
        ],
        log: "log",
    };
    change(&mut rules);
    let sources = [Source { file: "loop.rs".to_owned(), text: text.to_owned() }];
    judge(scan(&sources).unwrap(), &rules)
}

fn complaints(report: &Report) -> Vec<String> {
    report.violations.iter().map(|found| format!("{} {}", found.place, found.what)).collect()
}

#[test]
fn the_little_loop_is_clean() {
    assert_eq!(complaints(&little(LITTLE, |_| {})), [""; 0]);
}

#[test]
fn a_second_call_in_the_same_function_needs_a_reason_of_its_own() {
    let twice = LITTLE.replace("fn step() {", "fn step() { let m = pipe.read(&mut [0; 8]);");
    let found = complaints(&little(&twice, |_| {}));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("loop.rs:3 `.read()` in step can block (read)"), "{found:?}");
}

#[test]
fn what_runs_outside_the_loop_must_not_be_called_from_it() {
    for call in ["start();", "let f = self::start;", "info!(now = start());"] {
        let inside = LITTLE.replace("fn step() {", &format!("fn step() {{ {call}"));
        let found = complaints(&little(&inside, |_| {}));
        assert_eq!(found.len(), 1, "{call}: {found:?}");
        assert!(found[0].contains("but the loop calls it: turn → step → start"), "{found:?}");
    }
}

#[test]
fn a_stale_reason_fails() {
    let found = complaints(&little(LITTLE, |rules| {
        let again = rules.reasons[1];
        rules.reasons.push(again);
    }));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("loop.rs stale: there is a reason for `to_socket_addrs` in start")
    );
}

#[test]
fn a_loop_that_is_not_there_fails() {
    let found = complaints(&little(LITTLE, |rules| rules.loop_entry.function = "run"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("the loop is not there"), "{found:?}");
}

#[test]
fn a_reason_that_points_to_no_function_of_ours_fails() {
    let found = complaints(&little(LITTLE, |rules| {
        rules.reasons[0].basis = Basis::OwnCode { function: "Pipe::read" };
    }));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("Pipe::read, which is not in the audited source"), "{found:?}");
}

#[test]
fn a_descriptor_counts_as_non_blocking_only_if_its_own_function_says_so() {
    let cases = [
        ("pipe_with(PipeFlags::NONBLOCK)", true),
        ("pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)", true),
        ("{ let flags = PipeFlags::NONBLOCK; pipe_with(flags) }", true),
        ("pipe_with(FLAGS)", true),
        ("{ let (r, w) = pipe_with(PipeFlags::empty()); r.set_nonblocking(true); (r, w) }", true),
        ("pipe_with(PipeFlags::CLOEXEC)", false),
        ("pipe_with(flags)", false),
        ("pipe_with(OTHER)", false),
        ("pipe_with(\"NONBLOCK\")", false),
        ("pipe_with(PipeFlags::empty() /* NONBLOCK */)", false),
    ];
    for (call, clean) in cases {
        let text = LITTLE.replace("pipe_with(PipeFlags::NONBLOCK)", call)
            + "const FLAGS: PipeFlags = PipeFlags::CLOEXEC.union(PipeFlags::NONBLOCK);\n\
               const OTHER: PipeFlags = PipeFlags::CLOEXEC;\n\
               fn elsewhere() { let flags = PipeFlags::NONBLOCK; }\n";
        let found = complaints(&little(&text, |_| {}));
        assert_eq!(found.is_empty(), clean, "{call}: {found:?}");
    }
}

#[test]
fn a_call_on_self_is_our_own_only_if_the_type_has_such_a_method() {
    let own = "impl Conn { fn turn(&mut self) { self.recv(); } fn recv(&mut self) {} }";
    let foreign = "impl Conn { fn turn(&mut self) { self.recv(); self.socket.recv(); } }\
                   impl Other { fn recv(&mut self) {} }";
    let calls = |text: &str| {
        let sources = [Source { file: "loop.rs".to_owned(), text: text.to_owned() }];
        scan(&sources).unwrap().calls.len()
    };
    assert_eq!((calls(own), calls(foreign)), (0, 2));
}
