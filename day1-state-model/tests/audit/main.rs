//! The audit finds what is planted, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod copy;
mod little;

use assert_cmd::Command;
use copy::Copy;
use day1_state_model::audit::{audit, rules};
use predicates::prelude::*;

/// Where the violations are planted: a file that the loop runs through.
const FILE: &str = "reactor/src/event_loop.rs";

/// One of each kind of call that can block; the line must be reported as this kind.
#[rustfmt::skip]
const PLANTED: &[(&str, &str)] = &[
    ("receive", "let _ = rustix::net::recv(&fd, &mut buffer, flags);"),
    ("receive", "let _ = socket.recv(&mut buffer);"),
    ("receive", "let _ = udp.recv_from(&mut buffer);"),
    ("receive", "let message = receiver.recv_timeout(FOREVER);"),
    ("receive", "let _ = stream.peek(&mut buffer);"),
    ("send", "let _ = unsafe { libc::send(fd, pointer, length, 0) };"),
    ("send", "sender.send(message).ok();"),
    ("accept", "let _ = listener.accept();"),
    ("accept", "let _ = rustix::net::accept4(&listener, SocketFlags::NONBLOCK);"),
    ("accept", "for client in listener.incoming() {}"),
    ("connect", "let _ = std::net::TcpStream::connect(address);"),
    ("connect", "let _ = rustix::net::connect(&fd, &address);"),
    ("read", "let _ = stream.read(&mut buffer);"),
    ("read", "let _ = std::io::Read::read(&mut stream, &mut buffer);"),
    ("read", "std::io::stdin().lock().read_line(&mut line).ok();"),
    ("read", "let _ = stream.read_exact(&mut buffer);"),
    ("write", "stream.write_all(b\"hello\").ok();"),
    ("write", "stream.flush().ok();"),
    ("write", "write!(stream, \"hello\").ok();"),
    ("write", "std::io::copy(&mut from, &mut to).ok();"),
    ("sleep", "std::thread::sleep(Duration::from_millis(1));"),
    ("sleep", "unsafe { libc::usleep(10) };"),
    ("sleep", "std::thread::park();"),
    ("sleep", "{ use std::thread::sleep as nap; nap(A_WHILE); }"),
    ("lock", "let guard = mutex.lock();"),
    ("lock", "let guard = shared.read();"),
    ("lock", "let guard = shared.write();"),
    ("join", "let _ = handle.join();"),
    ("join", "std::thread::scope(|scope| {});"),
    ("wait", "let guard = condvar.wait(guard);"),
    ("wait", "rustix::event::poll(&mut fds, None).ok();"),
    ("wait", "let _ = nix::sys::select::select(None, &mut read, None, None, None);"),
    ("wait", "let _ = rustix::event::epoll::wait(&epoll, &mut events, None);"),
    ("wait", "unsafe { libc::epoll_wait(fd, events, 1, -1) };"),
    ("process", "let _ = std::process::Command::new(\"ls\");"),
    ("process", "let _ = command.output();"),
    ("process", "let _ = command.status();"),
    ("wait", "let _ = child.wait();"),
    ("process", "let _ = nix::sys::wait::waitpid(pid, None);"),
    ("file", "let _ = std::fs::File::open(\"/etc/motd\");"),
    ("file", "let _ = File::create(\"/etc/motd\");"),
    ("read", "let _ = std::fs::read(\"/etc/motd\");"),
    ("read", "let _ = std::fs::read_to_string(\"/etc/motd\");"),
    ("file", "let _ = OpenOptions::new();"),
    ("file", "file.sync_all().ok();"),
    ("file", "let _ = paths.map(File::open);"),
    ("name look-up", "let _ = (\"example.org\", 80).to_socket_addrs();"),
    ("name look-up", "let _ = dns::lookup_host(\"example.org\");"),
    ("standard stream", "println!(\"hello\");"),
    ("standard stream", "eprintln!(\"hello\");"),
    ("standard stream", "print!(\"hello\");"),
    ("standard stream", "dbg!(1);"),
    ("standard stream", "let out = std::io::stdout();"),
    ("blocking mode", "stream.set_nonblocking(false).ok();"),
    ("blocking mode", "let _ = rustix::fs::fcntl_setfl(&fd, OFlags::empty());"),
    ("blocking mode", "stream.set_linger(Some(A_WHILE)).ok();"),
    ("sleep", "let later = move || std::thread::sleep(A_WHILE);"),
    ("sleep", "fn inner() { std::thread::sleep(A_WHILE); }"),
    ("receive", "info!(got = socket.recv(&mut buffer), \"a macro hides nothing\");"),
    ("lock", "assert!(matches!(mutex.lock(), Ok(_)));"),
    ("sleep", "my_macro! { thread::sleep(A_WHILE) }"),
];

#[test]
fn every_planted_call_is_found_with_its_file_and_line_and_nothing_else_is() {
    let copy = Copy::new();
    let functions = PLANTED.iter().map(|(_, line)| format!("fn planted() {{\n    {line}\n}}\n"));
    let first = copy.append(FILE, &functions.collect::<String>());
    // `accept` and the like also make a descriptor, which is another complaint about the same line.
    let (found, others): (Vec<_>, Vec<_>) = audit(copy.root(), &rules())
        .unwrap()
        .violations
        .into_iter()
        .partition(|found| found.what.contains("can block"));
    let mut found = found.into_iter();
    for (at, (kind, line)) in PLANTED.iter().enumerate() {
        let next = found.next().unwrap_or_else(|| panic!("{line} was not found"));
        let place = format!("{FILE}:{}", first + 3 * at + 1);
        let says = format!("in planted can block ({kind})");
        // Some lines hold two calls that can block; the first one decides.
        assert!(next.place == place && next.what.contains(&says), "{line}: {next:?}");
        while found.as_slice().first().is_some_and(|next| next.place == place) {
            found.next();
        }
    }
    assert_eq!(found.as_slice(), []);
    for other in others {
        let line: usize = other.place.rsplit(':').next().unwrap().parse().unwrap();
        assert!(other.what.contains("without O_NONBLOCK") && line >= first, "{other:?}");
    }
}

#[test]
fn one_planted_call_of_each_kind_fails_the_check() {
    let mut kinds: Vec<&str> = Vec::new();
    for (kind, line) in PLANTED {
        if kinds.contains(kind) {
            continue;
        }
        kinds.push(kind);
        let copy = Copy::new();
        let at = copy.append(FILE, &format!("fn planted() {{ {line} }}\n"));
        check(&copy).failure().code(1).stdout(
            predicate::str::contains("FAIL  3. ")
                .and(predicate::str::contains(format!("{FILE}:{at} ")))
                .and(predicate::str::contains("4 of 5 criteria pass")),
        );
    }
}

#[test]
fn each_kind_of_call_is_planted_at_least_once() {
    use day1_state_model::audit::Kind::*;
    // Exhaustive, so that a new kind is a compile error here.
    let is_violation = |kind| match kind {
        Receive | Send | Accept | Connect | Read | Write | File | Sleep | Lock | Join | Wait
        | Process | NameLookup | Terminal | BlockingMode => true,
        // Log lines are the exception that the contract allows.
        Log => false,
    };
    let kinds = [
        Receive,
        Send,
        Accept,
        Connect,
        Read,
        Write,
        File,
        Sleep,
        Lock,
        Join,
        Wait,
        Process,
        NameLookup,
        Terminal,
        BlockingMode,
        Log,
    ];
    for kind in kinds.into_iter().filter(|kind| is_violation(*kind)) {
        assert!(PLANTED.iter().any(|(planted, _)| *planted == kind.name()), "{kind:?}");
    }
}

#[test]
fn comments_strings_tests_and_harmless_namesakes_are_not_found() {
    let copy = Copy::new();
    let harmless = r##"
/// std::thread::sleep(FOREVER) in a doc comment
fn planted() {
    // socket.recv(&mut buffer)
    /* File::open("x") */
    let text = "thread::sleep(FOREVER)";
    let raw = r#"mutex.lock()"#;
    let path = folder.join("file");
    let list = names.join(", ");
    let next = iterator.peek();
    let read = 1;
    let verb = Command::Compute(text);
    let state = Event::ReadWouldBlock;
    info!(lock = 3, "sleep(1), lock(), join()");
}
#[test]
fn a_test_may_wait() { std::thread::sleep(FOREVER); }
#[cfg(test)]
mod more_tests { fn wait_for_it() { socket.recv(&mut buffer); } }
#[cfg(all(test, unix))]
fn only_in_tests() { let _ = mutex.lock(); }
#[cfg(test)]
mod planted_tests;
"##;
    copy.append(FILE, harmless);
    let folder = copy.path("reactor/src/event_loop");
    std::fs::create_dir_all(&folder).unwrap();
    let test_file = folder.join("planted_tests.rs");
    std::fs::write(test_file, "fn helper() { std::thread::sleep(A_WHILE); }\n").unwrap();
    assert_eq!(audit(copy.root(), &rules()).unwrap().violations, []);
}

#[test]
fn code_that_is_only_left_out_of_tests_is_audited() {
    let copy = Copy::new();
    copy.append(FILE, "#[cfg(not(test))]\nfn planted() { std::thread::sleep(A_WHILE); }\n");
    copy.append(
        FILE,
        "#[cfg(any(test, unix))]\nfn planted_too() { std::thread::sleep(A_WHILE); }\n",
    );
    assert_eq!(audit(copy.root(), &rules()).unwrap().violations.len(), 2);
}

#[test]
fn without_o_nonblock_every_reason_that_rests_on_it_falls() {
    for (file, maker, falls) in [
        ("reactor/src/listener.rs", "accept_with", "conn-core/src/connection/visit.rs"),
        ("reactor/src/listener.rs", "socket_with", "reactor/src/listener.rs"),
        ("reactor/src/signals.rs", "pipe_with", "reactor/src/signals.rs"),
    ] {
        let copy = Copy::new();
        copy.replace(file, "NONBLOCK", "CLOEXEC");
        let found = audit(copy.root(), &rules()).unwrap().violations;
        let blocking = format!("`{maker}` in ");
        assert!(
            found.iter().any(|found| found.place.starts_with(file)
                && found.what.starts_with(&blocking)
                && found.what.contains("makes a descriptor without O_NONBLOCK")),
            "{found:?}"
        );
        assert!(
            found.iter().any(|found| found.place.starts_with(falls)
                && found.what.contains("rests on a descriptor")
                && found.what.contains(maker)),
            "{found:?}"
        );
        check(&copy).failure().code(1).stdout(predicate::str::contains("without O_NONBLOCK"));
    }
}

#[test]
fn a_call_that_is_gone_leaves_a_stale_reason_and_fails_the_check() {
    let copy = Copy::new();
    copy.replace("reactor/src/serve.rs", "to_socket_addrs", "to_addresses");
    check(&copy).failure().code(1).stdout(predicate::str::contains(
        "stale: there is a reason for `to_socket_addrs` in bind_any",
    ));
}

#[test]
fn a_crate_that_nobody_decided_about_fails_the_check() {
    let copy = Copy::new();
    copy.replace("Cargo.toml", "\"reactor\",", "\"reactor\",\n    \"day9-surprise\",");
    check(&copy)
        .failure()
        .code(1)
        .stdout(predicate::str::contains("crate day9-surprise is not audited"));
}

#[test]
fn a_folder_that_is_not_the_workspace_is_a_clear_error() {
    let empty = tempfile::tempdir().unwrap();
    Command::cargo_bin("day1-state-model")
        .unwrap()
        .args(["--check", "--root"])
        .arg(empty.path())
        .assert()
        .code(1)
        .stdout("")
        .stderr(predicate::str::contains("give the workspace's folder with --root"));
}

#[test]
fn source_that_is_not_rust_is_an_error_with_its_place() {
    let copy = Copy::new();
    let at = copy.append(FILE, "fn planted( {\n");
    check(&copy).code(1).stderr(predicate::str::contains(format!("{FILE}:{at}")));
}

fn check(copy: &Copy) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("day1-state-model").unwrap();
    command.arg("--check").arg("--root").arg(copy.root()).assert()
}
