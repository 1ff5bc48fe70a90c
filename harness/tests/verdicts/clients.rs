//! What the test client does to a server, and what it notices.

use super::{assert_pass, failure, listener, run};
use harness::client::{Ending, Push};
use harness::report::Verdict;
use std::io::Read;
use std::thread;
use std::time::Duration;

#[test]
fn a_push_stops_when_the_server_takes_no_more_or_at_the_given_size() {
    let never_reads = listener(|stream| {
        thread::park();
        drop(stream);
    });
    assert_pass(
        |judge| {
            let mut client = judge.server(&[])?.client()?;
            let push = client.push_until_blocked(b"mn\r\n", 64 << 20)?;
            judge.ensure(push.blocked, "a blocked send", || format!("{push:?}"))?;
            judge.ensure(push.sent > 4096, "some bytes first", || format!("{push:?}"))
        },
        &never_reads,
    );
    let discards = listener(|mut stream| while let Ok(1..) = stream.read(&mut [0; 65536]) {});
    assert_pass(
        |judge| {
            let mut client = judge.server(&[])?.client()?;
            let push = client.push_until_blocked(b"abc", 1000)?;
            judge.equal("push", Push { sent: 1000, blocked: false }, push)
        },
        &discards,
    );
}

#[test]
fn orderly_ends_and_resets_are_told_apart() {
    let closes = listener(|mut stream| {
        let _ = stream.read(&mut [0; 2]);
    });
    assert_pass(
        |judge| {
            let mut client = judge.server(&[])?.client()?;
            client.send("mn")?;
            client.expect_eof()
        },
        &closes,
    );
    // Unread input turns the close into a reset.
    let failure = failure(
        |judge| {
            let mut client = judge.server(&[])?.client()?;
            client.send("mn and more")?;
            client.expect_eof()
        },
        &closes,
    );
    assert!(failure.actual.contains("reset"), "{}", failure.actual);
}

#[test]
fn an_idle_close_is_measured_from_both_sides() {
    let after_100_ms = listener(|stream| {
        thread::sleep(Duration::from_millis(100));
        drop(stream);
    });
    assert_pass(
        |judge| {
            let mut client = judge.server(&[])?.client()?;
            let (least, most) = (Duration::from_millis(90), Duration::from_millis(1500));
            let ending = client.expect_closed_within(least, most)?;
            judge.equal("ending", Ending::Eof, ending)
        },
        &after_100_ms,
    );
    let too_early = failure(
        |judge| {
            let (least, most) = (Duration::from_secs(1), Duration::from_secs(2));
            judge.server(&[])?.client()?.expect_closed_within(least, most).map(drop)
        },
        &after_100_ms,
    );
    assert!(too_early.actual.starts_with("closed after"), "{}", too_early.actual);
    let too_late = failure(
        |judge| {
            let (least, most) = (Duration::ZERO, Duration::from_millis(20));
            judge.server(&[])?.client()?.expect_closed_within(least, most).map(drop)
        },
        &after_100_ms,
    );
    assert!(too_late.actual.starts_with("still open after"), "{}", too_late.actual);
}

#[test]
fn a_reset_arrives_as_a_reset_and_a_vanished_client_sends_nothing() {
    let tells = listener(|mut first| {
        let end = first.read(&mut [0; 16]);
        RESULTS.lock().unwrap().push(format!("{:?}", end.map_err(|error| error.kind())));
    });
    static RESULTS: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let ends = || RESULTS.lock().unwrap().clone();
    assert_pass(
        |judge| {
            let server = judge.server(&[])?;
            server.client()?.reset()?;
            judge.wait_until("the reset to arrive", Duration::from_secs(2), || {
                Ok(RESULTS.lock().unwrap().len() == 1)
            })
        },
        &tells,
    );
    assert_eq!(ends(), ["Err(ConnectionReset)"]);
    let vanished = run(
        |judge| {
            let server = judge.server(&[])?;
            server.client()?.vanish()?;
            // A later client that resets proves that the vanished one has not been heard.
            server.client()?.reset()?;
            judge.wait_until("the reset to arrive", Duration::from_secs(2), || {
                Ok(RESULTS.lock().unwrap().len() == 2)
            })
        },
        &tells,
    );
    match vanished {
        Verdict::Pass => assert_eq!(ends().last().unwrap(), "Err(ConnectionReset)"),
        Verdict::Skip { reason } => assert!(reason.contains("TCP_REPAIR"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
