//! Each clock runs out when it should, not before, and only for whom it should. Time is an argument.

use crate::common::{Recv, Scheduled, Scripted, Send, run, small_limits, turn};
use conn_core::connection::{Connection, Fate, Stream, Turn};
use conn_core::id::{ConnId, TaskId};
use conn_core::policy::{LINGER_BYTES, LINGER_TIME};
use conn_core::service::Outcome;
use conn_core::state::ConnState;
use std::collections::VecDeque;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// A connection whose peer has sent `input`, at time 0 of the returned turn.
fn after(input: &str, send: &[Send], elsewhere: bool) -> (Connection<Scripted>, Turn<Scheduled>) {
    let mut recv = VecDeque::new();
    if !input.is_empty() {
        recv.push_back(Recv::Bytes(input.as_bytes().to_vec()));
    }
    let stream = Scripted { recv, send: send.iter().copied().collect(), ..Scripted::default() };
    let mut turn = turn(small_limits(), VecDeque::from([elsewhere]));
    let mut conn = Connection::new(ConnId(1), 7, stream, turn.now);
    if !input.is_empty() {
        conn.on_readable(&mut turn);
    }
    (conn, turn)
}

fn fate_after(conn: &mut Connection<Scripted>, turn: &mut Turn<Scheduled>, wait: Duration) -> Fate {
    turn.now += wait;
    conn.check_deadlines(turn)
}

#[test]
fn an_idle_connection_is_closed_after_the_idle_timeout() {
    for input in ["", "mn\n"] {
        let (mut conn, mut turn) = after(input, &[], false);
        // The first look finds that the reply has been acknowledged.
        assert_eq!(fate_after(&mut conn, &mut turn, Duration::ZERO), Fate::Wait);
        assert_eq!(fate_after(&mut conn, &mut turn, 59 * S), Fate::Wait);
        assert_eq!(fate_after(&mut conn, &mut turn, S), Fate::Close);
        assert_eq!(turn.stats.timeouts, 1);
    }
}

#[test]
fn one_byte_now_and_then_does_not_extend_a_request() {
    let (mut conn, mut turn) = after("echo 100\n", &[], false);
    for _ in 0..29 {
        turn.now += S;
        conn = with_input(conn, "x", &mut turn);
        assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    }
    assert_eq!(conn.state(), ConnState::ReadingBody);
    assert_eq!(conn.frame_bytes_remaining(), 100 - 29);
    assert_eq!(fate_after(&mut conn, &mut turn, S), Fate::Close);
}

#[test]
fn the_clock_of_a_request_starts_with_its_own_first_byte() {
    let (mut conn, mut turn) = after("mn\n", &[], false);
    turn.now += 29 * S;
    conn = with_input(conn, "m", &mut turn);
    assert_eq!(fate_after(&mut conn, &mut turn, 29 * S), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, S), Fate::Close);
}

#[test]
fn each_request_has_a_clock_of_its_own() {
    let (mut conn, mut turn) = after("m", &[], false);
    turn.now += 20 * S;
    // The end of one request and the beginning of the next, in one piece.
    conn = with_input(conn, "n\nm", &mut turn);
    assert_eq!(fate_after(&mut conn, &mut turn, 20 * S), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, 10 * S), Fate::Close);
}

#[test]
fn a_client_that_always_has_more_input_cannot_put_off_its_time_out() {
    let (mut conn, mut turn) = after("echo 100\n", &[], false);
    push(&mut conn, "x");
    assert_eq!(fate_after(&mut conn, &mut turn, 30 * S), Fate::Close);
    assert_eq!(turn.stats.bytes_read, 10, "what had arrived was read before the verdict");
}

#[test]
fn a_socket_that_breaks_while_late_input_is_read_is_closed_once() {
    let (mut conn, mut turn) = after("m", &[Send::Broken], false);
    push(&mut conn, "n\n");
    push(&mut conn, "mn\n");
    assert_eq!(fate_after(&mut conn, &mut turn, 30 * S), Fate::Close);
    assert_eq!(turn.stats.bytes_read, 3, "nothing is read from a socket that is broken");
}

#[test]
fn a_client_is_not_blamed_for_input_that_waits_in_the_kernel() {
    let (mut conn, mut turn) = after("m", &[], false);
    let mut conn = {
        turn.now += 31 * S;
        push(&mut conn, "n\n");
        conn
    };
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait, "its last byte has arrived");
    assert_eq!(conn.stream().sent, b"MN\r\n");
}

#[test]
fn a_request_that_is_worked_on_is_not_idle() {
    let (mut conn, mut turn) = after("compute 1\n", &[], true);
    assert_eq!(conn.state(), ConnState::Processing);
    assert_eq!(fate_after(&mut conn, &mut turn, 3600 * S), Fate::Wait);
    assert_eq!(conn.on_task_done(TaskId(1), &Outcome::Burned(1), &mut turn), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, Duration::ZERO), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, 59 * S), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, S), Fate::Close);
}

#[test]
fn a_reader_that_takes_nothing_is_closed_even_if_it_keeps_sending() {
    let blocked = [Send::UpTo(1), Send::WouldBlock, Send::WouldBlock, Send::WouldBlock];
    let (mut conn, mut turn) = after("mn\n", &blocked, false);
    assert_eq!(conn.state(), ConnState::Writing);
    // The first look notes how far the peer is; the clock runs from there.
    assert_eq!(fate_after(&mut conn, &mut turn, Duration::ZERO), Fate::Wait);
    turn.now += 59 * S;
    conn = with_input(conn, "mn\n", &mut turn);
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, S), Fate::Close);
    assert_eq!(turn.stats.timeouts, 1);
}

/// A peer that acknowledges one byte now and then survives; one that stops does not.
fn lives_as_long_as_it_acknowledges(send: &[Send], state: ConnState) {
    let (mut conn, mut turn) = after("compute 1\n", send, false);
    assert_eq!(conn.state(), state);
    for unacknowledged in (10..70).rev() {
        conn.stream_mut().unacknowledged = unacknowledged;
        assert_eq!(fate_after(&mut conn, &mut turn, 50 * S), Fate::Wait);
    }
    assert_eq!(fate_after(&mut conn, &mut turn, 59 * S), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, S), Fate::Close);
}

#[test]
fn a_client_that_takes_a_reply_out_of_the_kernel_is_not_idle() {
    lives_as_long_as_it_acknowledges(&[], ConnState::ReadingHeader);
}

#[test]
fn a_reader_that_acknowledges_survives_though_the_socket_stays_full() {
    lives_as_long_as_it_acknowledges(&[Send::UpTo(70)], ConnState::Writing);
}

#[test]
fn a_reader_that_takes_a_little_now_and_then_survives() {
    let (mut conn, mut turn) = after("compute 1\n", &[Send::UpTo(1); 40], false);
    for _ in 0..30 {
        turn.now += 50 * S;
        assert_eq!(conn.on_writable(&mut turn), Fate::Wait);
        assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    }
    assert_eq!(conn.state(), ConnState::Writing);
}

#[test]
fn a_client_whose_framing_is_lost_has_no_request_clock_any_more() {
    let blocked = [Send::UpTo(1), Send::WouldBlock, Send::WouldBlock];
    let (mut conn, mut turn) = after("echo 3\nabcdef", &blocked, false);
    assert_eq!(fate_after(&mut conn, &mut turn, Duration::ZERO), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, 40 * S), Fate::Wait, "the reply is still owed");
    // What it goes on sending is thrown away meanwhile, so that it comes to reading the reply.
    let mut conn = with_input(conn, &"x".repeat(1 << 20), &mut turn);
    while conn.stream().unread().is_ok_and(|unread| unread > 0) {
        assert_eq!(conn.on_readable(&mut turn), Fate::Wait);
    }
    conn.stream_mut().send.clear();
    assert_eq!(conn.on_writable(&mut turn), Fate::Wait);
    assert_eq!(conn.stream().sent, b"CLIENT_ERROR bad data chunk\r\n");
    assert_eq!(conn.state(), ConnState::Closing);
}

#[test]
fn a_request_that_a_half_close_cut_off_has_no_clock_any_more() {
    let blocked = [Send::UpTo(1), Send::UpTo(1)];
    let (mut conn, mut turn) = after("mn\nm", &blocked, false);
    conn.stream_mut().recv.push_back(Recv::End);
    conn.on_readable(&mut turn);
    turn.now += 40 * S;
    assert_eq!(conn.on_writable(&mut turn), Fate::Wait);
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait, "the reply is still owed");
    assert_eq!(conn.on_writable(&mut turn), Fate::Close);
    assert_eq!(conn.stream().sent, b"MN\r\n");
}

#[test]
fn a_graceful_close_ends_after_two_seconds() {
    let (mut conn, mut turn) = after("quit\n", &[], false);
    assert_eq!(conn.state(), ConnState::Closing);
    assert_eq!(fate_after(&mut conn, &mut turn, LINGER_TIME - S), Fate::Wait);
    assert_eq!(fate_after(&mut conn, &mut turn, S), Fate::Close);
    assert_eq!(turn.stats.timeouts, 0, "that was no time-out");
}

#[test]
fn a_graceful_close_ends_after_a_mebibyte() {
    let (mut conn, mut turn) = after("quit\n", &[], false);
    let half = "x".repeat(LINGER_BYTES as usize / 2);
    push(&mut conn, &half);
    assert_eq!(run(&mut conn, &mut turn), Fate::Wait);
    push(&mut conn, &half);
    assert_eq!(run(&mut conn, &mut turn), Fate::Close);
    assert_eq!(turn.stats.bytes_read, 5 + LINGER_BYTES);
}

fn push(conn: &mut Connection<Scripted>, input: &str) {
    conn.stream_mut().recv.push_back(Recv::Bytes(input.as_bytes().to_vec()));
}

fn with_input(
    mut conn: Connection<Scripted>,
    input: &str,
    turn: &mut Turn<Scheduled>,
) -> Connection<Scripted> {
    push(&mut conn, input);
    conn.on_readable(turn);
    conn
}
