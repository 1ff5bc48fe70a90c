//! The policy at work on a connection whose socket is a script. Time is an argument.

#[expect(dead_code, reason = "not every test of the connection is repeated here")]
#[path = "../../conn-core/tests/it/common.rs"]
mod common;

use common::{Recv, Scheduled, Scripted, Send, request, run, small_limits, turn};
use conn_core::connection::{Connection, Fate, READ_BUDGET, Turn};
use conn_core::id::ConnId;
use conn_core::state::ConnState;
use conn_core::write_policy::{AnyPolicy, Queue, Verdict, WritePolicy};
use day3_backpressure::backpressure::Backpressure;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const S: Duration = Duration::from_secs(1);
/// `echo 100` with its body: 110 bytes, as many as come back with the longer header line.
const LARGE: &str = "echo 100\n0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\n";
const REPLY: usize = 112;

const POLICY: Backpressure =
    Backpressure { high_water: 500, low_water: 200, slow_reader_timeout: Duration::from_secs(5) };

/// A connection under `policy` whose peer has sent `input` and takes what `send` says.
fn visited(
    policy: impl WritePolicy + 'static,
    input: &str,
    send: &[Send],
) -> (Connection<Scripted>, Turn<Scheduled>, Fate) {
    let stream = Scripted {
        recv: VecDeque::from([Recv::Bytes(input.as_bytes().to_vec())]),
        send: send.iter().copied().collect(),
        ..Scripted::default()
    };
    let mut turn = turn(small_limits(), VecDeque::new());
    turn.write_policy = AnyPolicy::new(policy);
    let mut conn = Connection::new(ConnId(1), 7, stream, turn.now);
    let fate = conn.on_readable(&mut turn);
    let fate = go_on(&mut conn, &mut turn, fate);
    (conn, turn, fate)
}

/// Visits the connection as long as it asks for it.
fn go_on(conn: &mut Connection<Scripted>, turn: &mut Turn<Scheduled>, mut fate: Fate) -> Fate {
    for _ in 0..1_000 {
        if fate != Fate::Again {
            return fate;
        }
        fate = conn.resume(turn);
    }
    panic!("the connection asks for one visit after another, for ever");
}

/// The socket takes `count` bytes, of which the peer acknowledges none so far.
fn takes(conn: &mut Connection<Scripted>, turn: &mut Turn<Scheduled>, count: usize) -> Fate {
    let stream = conn.stream_mut();
    stream.send = VecDeque::from([Send::UpTo(count), Send::WouldBlock]);
    stream.unacknowledged += count;
    let fate = conn.on_writable(turn);
    go_on(conn, turn, fate)
}

#[test]
fn at_high_water_requests_stay_where_they_are() {
    let (conn, turn, fate) = visited(POLICY, &LARGE.repeat(20), &[Send::WouldBlock]);
    assert_eq!((fate, conn.state()), (Fate::Wait, ConnState::Writing));
    // The fifth reply reaches the mark; fifteen requests stay in the read buffer.
    assert_eq!(conn.bytes_queued(), 5 * REPLY);
    assert_eq!(turn.stats.reads_paused, 1);
    assert!(!conn.interest().read && conn.interest().write);
    assert!(conn.buffer_memory() < 20 * REPLY + READ_BUDGET, "{}", conn.buffer_memory());
}

#[test]
fn at_low_water_the_requests_in_the_buffer_go_on_without_new_input() {
    let (mut conn, mut turn, _) = visited(POLICY, &LARGE.repeat(20), &[Send::WouldBlock]);
    takes(&mut conn, &mut turn, 359);
    assert_eq!(conn.bytes_queued(), 201, "one byte above low-water: nothing happens");
    assert_eq!(turn.stats.reads_paused, 1);
    takes(&mut conn, &mut turn, 1);
    assert_eq!(conn.bytes_queued(), 200 + 3 * REPLY, "three more replies reach high-water");
    assert_eq!(turn.stats.reads_paused, 2);
    while !conn.interest().read {
        takes(&mut conn, &mut turn, 1_000);
    }
    assert_eq!(conn.stream().sent.len() + conn.bytes_queued(), 20 * REPLY);
}

#[test]
fn a_client_that_takes_its_replies_is_never_paused() {
    let (conn, turn, fate) = visited(POLICY, &LARGE.repeat(20), &[]);
    assert_eq!((fate, conn.state()), (Fate::Wait, ConnState::ReadingHeader));
    assert_eq!(conn.stream().sent.len(), 20 * REPLY);
    assert_eq!(turn.stats.reads_paused, 0);
    assert!(turn.stats.peak_bytes_queued < 500 + REPLY as u64);
}

#[test]
fn a_reply_above_high_water_is_queued_whole() {
    let policy = Backpressure { high_water: 10, low_water: 5, ..POLICY };
    let (conn, turn, _) = visited(policy, &LARGE.repeat(2), &[Send::WouldBlock]);
    assert_eq!(conn.bytes_queued(), REPLY);
    assert_eq!(turn.stats.reads_paused, 1);
}

#[test]
fn the_clock_of_a_request_stands_still_while_it_is_held_back() {
    let patient = Backpressure { slow_reader_timeout: 3600 * S, ..POLICY };
    let (mut conn, mut turn, _) = visited(patient, &(LARGE.repeat(5) + "m"), &[Send::WouldBlock]);
    turn.now += 40 * S;
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait, "30 s are for requests that are read");
    // From here on the rest of the request is waited for.
    takes(&mut conn, &mut turn, 1_000);
    conn.stream_mut().unacknowledged = 0;
    turn.now += 30 * S - Duration::from_millis(1);
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    turn.now += Duration::from_millis(1);
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Close);
    assert_eq!(turn.stats.timeouts, 1);
}

#[test]
fn who_takes_too_little_for_a_whole_window_is_disconnected() {
    let (mut conn, mut turn, _) = visited(POLICY, &LARGE.repeat(5), &[Send::WouldBlock]);
    turn.now += 5 * S - Duration::from_millis(1);
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    turn.now += Duration::from_millis(1);
    assert_eq!(conn.deadline(turn.now, &turn.limits), Some(turn.now));
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Close);
    assert_eq!((turn.stats.slow_reader_disconnects, turn.stats.timeouts), (1, 0));
    assert!(conn.stream().reset, "what the kernel holds for it must go as well");
}

#[test]
fn what_send_accepts_is_no_progress_until_the_peer_acknowledges_it() {
    for (acknowledged, fate) in [(499, Fate::Close), (500, Fate::Wait)] {
        // The queue is filled up again at once, so that it stays long whatever the socket takes.
        let policy = Backpressure { low_water: 500, ..POLICY };
        let (mut conn, mut turn, _) = visited(policy, &LARGE.repeat(20), &[Send::WouldBlock]);
        for _ in 0..10 {
            takes(&mut conn, &mut turn, 100);
            assert!(conn.bytes_queued() >= policy.long());
        }
        conn.stream_mut().unacknowledged = 1_000 - acknowledged;
        turn.now += 5 * S;
        assert_eq!(conn.check_deadlines(&mut turn), fate, "{acknowledged} of 500");
        if fate == Fate::Wait {
            // Nothing more in the next window.
            turn.now += 5 * S;
            assert_eq!(conn.check_deadlines(&mut turn), Fate::Close);
        }
        assert_eq!((turn.stats.slow_reader_disconnects, turn.stats.timeouts), (1, 0));
    }
}

#[test]
fn what_was_under_way_when_the_window_began_counts_when_it_arrives() {
    let policy = Backpressure { low_water: 500, ..POLICY };
    let stream = Scripted {
        recv: VecDeque::from([Recv::Bytes(LARGE.repeat(20).into_bytes())]),
        send: VecDeque::from([Send::UpTo(10)]),
        unacknowledged: 10,
        ..Scripted::default()
    };
    let mut turn = turn(small_limits(), VecDeque::new());
    turn.write_policy = AnyPolicy::new(policy);
    let mut conn = Connection::new(ConnId(1), 7, stream, turn.now);
    conn.on_readable(&mut turn);
    takes(&mut conn, &mut turn, 490);
    conn.stream_mut().unacknowledged = 0;
    turn.now += 5 * S;
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait, "10 + 490 bytes were taken");
}

#[test]
fn what_was_acknowledged_before_the_window_is_no_progress_in_it() {
    let policy = Backpressure { low_water: 500, ..POLICY };
    // 36 of three replies wait, far below the mark; then the client takes 300 bytes and asks for more.
    let (mut conn, mut turn, _) = visited(policy, &LARGE.repeat(3), &[Send::UpTo(300)]);
    conn.stream_mut().recv.push_back(Recv::Bytes(LARGE.repeat(20).into_bytes()));
    let fate = conn.on_readable(&mut turn);
    go_on(&mut conn, &mut turn, fate);
    assert!(conn.bytes_queued() >= policy.long());
    takes(&mut conn, &mut turn, 499);
    conn.stream_mut().unacknowledged = 0;
    turn.now += 5 * S;
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Close, "499 bytes in it, 300 before");
}

#[test]
fn a_visit_for_writing_asks_what_was_taken_before_it_judges() {
    let policy = Backpressure { low_water: 500, ..POLICY };
    let (mut conn, mut turn, _) = visited(policy, &LARGE.repeat(40), &[Send::WouldBlock]);
    for _ in 0..6 {
        takes(&mut conn, &mut turn, 100);
    }
    conn.stream_mut().unacknowledged = 0;
    turn.now += 5 * S;
    assert_eq!(takes(&mut conn, &mut turn, 1), Fate::Wait);
}

#[test]
fn between_the_marks_nothing_is_read() {
    let (mut conn, mut turn, _) = visited(POLICY, &LARGE.repeat(5), &[Send::WouldBlock]);
    assert!(!conn.interest().read, "paused, with an empty read buffer");
    takes(&mut conn, &mut turn, 200);
    assert!(!conn.interest().read, "{} queued", conn.bytes_queued());
    takes(&mut conn, &mut turn, 200);
    assert!(conn.interest().read, "{} queued", conn.bytes_queued());
}

#[test]
fn the_clock_of_a_skipped_body_runs_again_after_the_pause() {
    let patient = Backpressure { slow_reader_timeout: 3600 * S, ..POLICY };
    // The reply to the last header, which comes before its body, reaches high-water.
    let input = LARGE.repeat(4) + &"mn\n".repeat(7) + "echo 201\n";
    let (mut conn, mut turn, _) = visited(patient, &input, &[Send::WouldBlock]);
    assert_eq!(turn.stats.reads_paused, 1, "{} queued", conn.bytes_queued());
    takes(&mut conn, &mut turn, 1_000);
    conn.stream_mut().unacknowledged = 0;
    turn.now += 30 * S;
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Close);
}

#[test]
fn all_is_drained_only_after_eagain() {
    let (mut conn, mut turn, _) = visited(POLICY, "mn\n", &[]);
    assert!(!conn.has_drained(), "a short count is not the end");
    conn.on_readable(&mut turn);
    assert!(conn.has_drained());
    let (mut conn, mut turn, _) = visited(POLICY, &LARGE.repeat(20), &[Send::WouldBlock]);
    conn.on_readable(&mut turn);
    assert!(!conn.has_drained(), "paused: what was reported is still there");
}

#[test]
fn nothing_is_left_over_of_who_has_just_come() {
    let turn = turn(small_limits(), VecDeque::new());
    let conn = Connection::new(ConnId(1), 7, Scripted::default(), turn.now);
    assert!(conn.has_drained(), "or it would inherit what its descriptor's last owner left");
}

#[test]
fn a_window_that_ends_in_a_visit_for_writing_is_judged_there() {
    let policy = Backpressure { low_water: 500, ..POLICY };
    let (mut conn, mut turn, _) = visited(policy, &LARGE.repeat(20), &[Send::WouldBlock]);
    turn.now += 5 * S;
    assert_eq!(takes(&mut conn, &mut turn, 1), Fate::Close);
    assert_eq!(turn.stats.slow_reader_disconnects, 1);
}

/// A policy that never pauses, as a bug might make it.
#[derive(Debug)]
struct ForgetsToPause;

impl WritePolicy for ForgetsToPause {
    fn window(&self) -> Duration {
        POLICY.window()
    }

    fn long(&self) -> usize {
        POLICY.long()
    }

    fn decide(&self, queue: &Queue) -> Verdict {
        match POLICY.decide(queue) {
            Verdict::Pause => Verdict::GoOn,
            verdict => verdict,
        }
    }
}

#[test]
fn a_broken_pause_costs_one_connection_and_no_memory() {
    let (conn, turn, fate) = visited(ForgetsToPause, &LARGE.repeat(20), &[Send::WouldBlock]);
    assert_eq!(fate, Fate::Close);
    assert_eq!(turn.stats.peak_bytes_queued, 6 * REPLY as u64);
    assert_eq!(turn.stats.bytes_queued, 0);
    assert_eq!((turn.stats.slow_reader_disconnects, turn.stats.timeouts), (0, 0));
    assert!(conn.stream().reset);
}

fn send_script() -> impl Strategy<Value = VecDeque<Send>> {
    let send = prop_oneof![
        3 => (1_usize..200).prop_map(Send::UpTo),
        2 => Just(Send::WouldBlock),
        1 => Just(Send::Interrupted),
    ];
    prop::collection::vec(send, 0..60).prop_map(VecDeque::from)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bound_loses_a_byte_and_no_queue_passes_it(
        requests in prop::collection::vec(request(), 0..40),
        chunk in 1_usize..3_000,
        send in send_script(),
        elsewhere in prop::collection::vec(any::<bool>(), 0..12),
        high_water in 1_usize..600,
        low in 0_usize..=100,
    ) {
        let input: Vec<u8> = requests.iter().flat_map(|one| one.request.clone()).collect();
        let expected: Vec<u8> = requests.iter().flat_map(|one| one.reply.clone()).collect();
        let largest = requests.iter().map(|one| one.reply.len()).max().unwrap_or(0);
        let recv = input.chunks(chunk).map(|piece| Recv::Bytes(piece.to_vec())).collect();
        let mut turn = turn(small_limits(), elsewhere.into());
        let policy = Backpressure { high_water, low_water: high_water * low / 100, ..POLICY };
        turn.write_policy = AnyPolicy::new(policy);
        let stream = Scripted { recv, send, ..Scripted::default() };
        let mut conn = Connection::new(ConnId(1), 7, stream, Instant::now());
        let fate = run(&mut conn, &mut turn);

        prop_assert_eq!(fate, Fate::Wait);
        prop_assert_eq!(
            conn.stream().sent.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        let bound = (high_water - 1 + largest) as u64;
        prop_assert!(turn.stats.peak_bytes_queued <= bound, "{} of {bound}", turn.stats.peak_bytes_queued);
        prop_assert_eq!(conn.buffer_memory(), 0);
    }
}
