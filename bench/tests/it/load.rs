//! The load generator.

use crate::scripted::{Act, Script, Server, honest};
use bench::load::{self, Pace, Plan, Report, Verb};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

fn plan(server: &Server) -> Plan {
    Plan {
        address: server.address,
        connections: 4,
        idle: 0,
        pipeline: 1,
        verb: Verb::Echo,
        size: 64,
        pace: Pace::Closed,
        churn: None,
        warmup: Duration::ZERO,
        duration: Duration::from_millis(300),
    }
}

fn run(plan: &Plan) -> Report {
    load::run(plan, |_| ()).unwrap()
}

fn assert_clean(report: &Report) {
    assert_eq!((report.errors, report.first_error.as_deref()), (0, None));
    assert!(report.requests > 0);
    assert_eq!(report.requests, report.latency.len());
}

#[test]
fn requests_are_counted_as_the_server_counts_them() {
    for (verb, size) in [
        (Verb::Echo, 0),
        (Verb::Echo, 5),
        (Verb::Echo, 40_000),
        (Verb::Compute, 100),
        (Verb::Burn, 0),
    ] {
        for pipeline in [1, 3, 16] {
            let server = Server::start(honest);
            let duration = Duration::from_millis(100);
            let report = run(&Plan { verb, size, pipeline, duration, ..plan(&server) });
            assert_clean(&report);
            assert_eq!(report.requests, server.requests(), "{verb:?} {size}, pipeline {pipeline}");
            assert_eq!(report.requests % pipeline as u64, 0);
        }
    }
}

#[test]
fn a_batch_larger_than_the_sockets_buffers_is_sent_and_taken_bit_by_bit() {
    let server = Server::start(honest);
    let report = run(&Plan { size: 1 << 20, pipeline: 16, connections: 2, ..plan(&server) });
    assert_clean(&report);
    assert_eq!(report.requests, server.requests());
}

#[test]
fn a_batch_leaves_in_one_piece() {
    let server = Server::start(honest);
    let report = run(&Plan { pipeline: 16, ..plan(&server) });
    assert_clean(&report);
    // One read for each batch, and one for each connection that only asks whether it was accepted.
    let reads = server.counts.reads.load(Ordering::SeqCst) as u64;
    assert!(reads <= report.requests / 16 + 1, "{reads} reads, {} requests", report.requests);
    // A send, a recv and a wait for each batch at most, and a few calls for the clocks.
    assert!(report.syscalls < report.requests / 16 * 3 + 20, "{report:?}");
}

#[test]
fn the_warmup_is_left_out() {
    let server = Server::start(honest);
    let warmup = Duration::from_millis(200);
    let report = run(&Plan { pace: Pace::Open(1000.0), warmup, ..plan(&server) });
    assert_clean(&report);
    assert_eq!((report.requests, server.requests()), (300, 500));
    assert_eq!(report.seconds, 0.3);
}

#[test]
fn a_fixed_rate_is_kept() {
    let server = Server::start(honest);
    for (rate, pipeline, expected) in [(2000.0, 1, 600), (333.0, 1, 100), (5000.0, 4, 1500)] {
        let report = run(&Plan { pace: Pace::Open(rate), pipeline, ..plan(&server) });
        assert_clean(&report);
        assert_eq!(report.requests, expected, "at {rate} a second");
    }
}

const STALL: Duration = Duration::from_millis(400);

fn stalls_once(number: usize, reply: Vec<u8>) -> Act {
    if number == 300 {
        thread::sleep(STALL);
    }
    Act::Send(reply)
}

#[test]
fn a_stall_shows_at_a_fixed_rate_and_hardly_in_a_closed_loop() {
    let duration = Duration::from_secs(1);
    let half = STALL.as_nanos() as u64 / 2;
    let p99 = |report: &Report| report.latency.value_at_quantile(0.99);

    // Four requests meet the stall, of thousands: nobody else was under way.
    let server = Server::start(stalls_once);
    let closed = run(&Plan { duration, ..plan(&server) });
    assert_clean(&closed);
    assert!(closed.latency.max() > half, "the stall was met");
    assert!(closed.requests > 400 && p99(&closed) < half, "{}", p99(&closed));

    // Of a thousand a second, hundreds were due meanwhile.
    let server = Server::start(stalls_once);
    let open = run(&Plan { duration, pace: Pace::Open(1000.0), ..plan(&server) });
    assert_clean(&open);
    assert_eq!(open.requests, 1000);
    assert!(p99(&open) > half, "{}", p99(&open));
    let delayed = open.latency.count_between(half, u64::MAX);
    assert!(delayed > 150, "{delayed} requests waited for half of the stall or longer");
}

#[test]
fn connections_are_replaced_after_so_many_requests() {
    for pipeline in [1, 2, 16] {
        let server = Server::start(honest);
        let report = run(&Plan { churn: Some(5), pipeline, ..plan(&server) });
        assert_clean(&report);
        // Four to begin with, and one to ask whether they have been accepted.
        let opened = server.counts.connections.load(Ordering::SeqCst) as u64 - 5;
        // The last ones of each connection may begin just behind the end.
        assert!(opened - report.connects <= 4, "{opened} opened, {} counted", report.connects);
        assert!(server.requests() - report.requests <= 4 * 5);
        // Each connection but the last four has served exactly five.
        assert!(server.requests().div_ceil(5) >= opened && server.requests() <= (opened + 4) * 5);
        assert!(report.connects > 0);
    }
}

#[test]
fn idle_connections_are_opened_and_stay() {
    let server = Server::start(honest);
    let report = run(&Plan { idle: 300, ..plan(&server) });
    assert_clean(&report);
    // Three waves of idle ones, one of active ones, and a question behind each.
    assert_eq!(server.counts.connections.load(Ordering::SeqCst), 300 + 3 + 4 + 1);
}

#[test]
fn an_idle_connection_that_is_closed_is_an_error() {
    let server = Server::start(honest);
    let mut closed = false;
    let plan = Plan { idle: 3, connections: 1, ..plan(&server) };
    let report = load::run(&plan, |progress| {
        if progress.requests > 0 && !closed {
            server.close_the_first();
            closed = true;
        }
    })
    .unwrap();
    assert_eq!(report.errors, 1);
    assert!(report.first_error.unwrap().contains("closed an idle connection"));
    assert_eq!(report.requests, server.requests(), "the others go on");
}

/// The reply with another byte at this place.
fn spoilt(mut reply: Vec<u8>, at: usize) -> Vec<u8> {
    reply[at] ^= 1;
    reply
}

#[test]
fn a_server_that_is_wrong_is_told_of() {
    let cases: &[(&str, Verb, usize, Script, &str)] = &[
        (
            "an error",
            Verb::Echo,
            64,
            |_, _| Act::Send(b"SERVER_ERROR busy\r\n".to_vec()),
            "got \"SERVER_ERROR busy",
        ),
        (
            "first byte",
            Verb::Echo,
            64,
            |_, r| Act::Send(spoilt(r, 0)),
            "from byte 0 on: expected \"ECHO 64",
        ),
        (
            "last byte",
            Verb::Echo,
            16_384,
            |_, r| {
                let last = r.len() - 1;
                Act::Send(spoilt(r, last))
            },
            "a wrong reply",
        ),
        (
            "last byte of a body",
            Verb::Echo,
            16_384,
            |n, r| {
                let last = r.len() - 3;
                Act::Send(if n == 70 { spoilt(r, last) } else { r })
            },
            "a wrong reply",
        ),
        (
            "somewhere within",
            Verb::Echo,
            16_384,
            |_, r| Act::Send(spoilt(r, 9_000)),
            "from byte 9000 on",
        ),
        (
            "a byte too few",
            Verb::Echo,
            64,
            |_, mut r| {
                r.remove(20);
                Act::Send(r)
            },
            "a wrong reply",
        ),
        (
            "a byte too many",
            Verb::Echo,
            64,
            |_, mut r| {
                r.push(b'!');
                Act::Send(r)
            },
            "bytes that nobody asked for: \"!\"",
        ),
        (
            "a digest",
            Verb::Compute,
            10,
            |n, r| Act::Send(if n == 70 { spoilt(r, 30) } else { r }),
            "a wrong reply",
        ),
        (
            "a close",
            Verb::Echo,
            64,
            |n, r| if n == 50 { Act::Close(r) } else { Act::Send(r) },
            "the server ",
        ),
        (
            "a close within",
            Verb::Echo,
            64,
            |n, r| if n == 50 { Act::Close(r[..20].to_vec()) } else { Act::Send(r) },
            "1 of 1 replies were missing",
        ),
        (
            "a reset",
            Verb::Echo,
            64,
            |n, r| if n == 50 { Act::Reset } else { Act::Send(r) },
            "1 of 1 replies were missing",
        ),
    ];
    for (name, verb, size, script, words) in cases {
        let server = Server::start(*script);
        let report = run(&Plan { verb: *verb, size: *size, ..plan(&server) });
        assert!(report.errors > 0, "{name}");
        let first = report.first_error.unwrap();
        assert!(first.contains(words), "{name}: {first}");
    }
}

/// To the ninth request the reply to the eighth.
fn stale(number: usize, reply: Vec<u8>) -> Act {
    static BEFORE: std::sync::Mutex<Vec<u8>> = std::sync::Mutex::new(Vec::new());
    let mut before = BEFORE.lock().unwrap();
    let sent = if number == 9 { before.clone() } else { reply.clone() };
    *before = reply;
    Act::Send(sent)
}

#[test]
fn a_stale_reply_is_noticed() {
    for size in [1, 64, 16_384] {
        let server = Server::start(stale);
        let report = run(&Plan { size, ..plan(&server) });
        assert_eq!(report.errors, 1, "{size} bytes: {:?}", report.first_error);
        assert!(report.first_error.unwrap().contains("a wrong reply"));
    }
}

#[test]
fn a_connection_that_broke_does_not_stop_the_others() {
    let server = Server::start(|n, r| if n == 50 { Act::Close(vec![]) } else { Act::Send(r) });
    let report = run(&Plan { ..plan(&server) });
    assert_eq!(report.errors, 1);
    assert!(report.requests > 100, "{report:?}");
    assert_eq!(report.requests, server.requests() - 1);
}

#[test]
fn a_load_without_a_connection_left_ends_early() {
    let server = Server::start(|_, _| Act::Close(vec![]));
    // Should it not, the test hangs.
    let report = run(&Plan { duration: Duration::from_secs(3600), ..plan(&server) });
    assert_eq!((report.errors, report.requests), (4, 0));

    // What came in front of the end is not missing afterwards.
    let server = Server::start(|_, r| Act::Close(r));
    let report = run(&Plan { duration: Duration::from_secs(3600), ..plan(&server) });
    assert_eq!((report.errors, report.requests), (4, 4));
}

#[test]
fn a_server_that_refuses_is_told_of() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(honest);
    let error = load::run(&Plan { address: free, ..plan(&server) }, |_| ()).unwrap_err();
    assert!(format!("{error:#}").contains("is a server listening there?"), "{error:#}");

    let server = Server::start(|n, r| if n == 20 { Act::Leave(r) } else { Act::Send(r) });
    let report = run(&Plan { churn: Some(1), ..plan(&server) });
    assert_eq!(report.errors, 4);
    let first = report.first_error.unwrap();
    // Whoever was in the backlog is reset, the others are refused.
    assert!(first.contains("refused") || first.contains("reset"), "{first}");
}

#[test]
fn progress_is_reported() {
    let server = Server::start(honest);
    let mut seen = Vec::new();
    load::run(&plan(&server), |progress| seen.push(progress)).unwrap();
    assert!(seen.len() >= 3);
    assert!(seen.windows(2).all(|two| two[0].requests <= two[1].requests));
    assert_eq!(seen[0].total, Duration::from_millis(300));
    assert!(seen.last().unwrap().elapsed >= seen[0].total);
}
