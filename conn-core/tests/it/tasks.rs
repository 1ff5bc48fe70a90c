//! What a connection does while its task is worked on elsewhere.

use crate::common::{Recv, Scheduled, Scripted, Send, run, small_limits, turn};
use conn_core::connection::{Connection, Fate, Interest, Turn};
use conn_core::executor::{Executor, Submitted, Ticket};
use conn_core::id::{ConnId, TaskId};
use conn_core::service::{Outcome, Task};
use conn_core::state::ConnState;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

const S: Duration = Duration::from_secs(1);
const HANG_UP: Interest = Interest { hang_up: true, ..Interest::NONE };

/// A connection whose peer has sent `input`, with every task out on such a ticket.
fn tasks_out(input: &str, ticket: Ticket) -> (Connection<Scripted>, Turn<Scheduled>) {
    let mut turn = turn(small_limits(), [true; 8].into());
    turn.executor.ticket = ticket;
    let recv = [Recv::Bytes(input.as_bytes().to_vec())].into();
    let stream = Scripted { recv, ..Scripted::default() };
    let mut conn = Connection::new(ConnId(1), 3, stream, turn.now);
    assert_eq!(conn.on_readable(&mut turn), Fate::Wait);
    assert_eq!(conn.state(), ConnState::Processing);
    (conn, turn)
}

fn held() -> Ticket {
    Ticket { held: true, ..Ticket::default() }
}

fn timed(turn_length: Duration) -> Ticket {
    Ticket { deadline: Some(Instant::now() + turn_length), ..Ticket::default() }
}

#[test]
fn who_waits_for_room_is_not_read_from() {
    let (mut conn, mut turn) = tasks_out("compute 1\n", held());
    assert_eq!(conn.interest(), HANG_UP);
    conn.stream_mut().recv.push_back(Recv::Bytes(b"mn\n".to_vec()));
    // A report from before it was known.
    assert_eq!(conn.on_readable(&mut turn), Fate::Wait);
    assert_eq!(conn.stream().recv.len(), 1, "it stays in the kernel");
    assert_eq!(run(&mut conn, &mut turn), Fate::Wait);
    assert!(conn.stream().sent.ends_with(b"\r\nMN\r\n"), "and is read when the task is done");
}

#[test]
fn a_reset_is_noticed_although_nothing_is_read() {
    let (mut conn, mut turn) = tasks_out("compute 1\n", held());
    conn.stream_mut().error = Some(ErrorKind::ConnectionReset);
    assert_eq!(conn.on_readable(&mut turn), Fate::Close);
    assert_eq!(turn.executor.cancelled, [TaskId(1)], "nobody waits for the task any more");
}

#[test]
fn a_half_close_meanwhile_does_not_end_what_is_owed() {
    let (mut conn, mut turn) = tasks_out("compute 1\n", Ticket::default());
    conn.stream_mut().recv.push_back(Recv::End);
    assert_eq!(conn.on_readable(&mut turn), Fate::Wait);
    assert_eq!(conn.interest(), HANG_UP, "the end would be reported in every turn");
    assert_eq!(run(&mut conn, &mut turn), Fate::Close);
    assert!(conn.stream().sent.starts_with(b"result: 6b86b2"));
    assert!(turn.executor.cancelled.is_empty());
}

#[test]
fn a_task_that_takes_too_long_is_answered_and_its_late_result_dropped() {
    let (mut conn, mut turn) = tasks_out("burn 0\ncompute 1\nmn\n", timed(5 * S));
    turn.now += 4 * S;
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    assert!(conn.stream().sent.is_empty());
    let due = conn.deadline(turn.now, &turn.limits);
    assert_eq!(due, turn.executor.ticket.deadline, "the loop has to look when it is due");

    turn.now += S;
    turn.executor.ticket = Ticket::default();
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    assert_eq!(conn.stream().sent, b"SERVER_ERROR task timed out\r\n");
    assert_eq!(turn.stats.tasks_timed_out, 1);
    assert_eq!(turn.executor.cancelled, [TaskId(1)]);
    assert_eq!(conn.state(), ConnState::Processing, "the next task is out");

    // Both results come now; the first is late.
    assert_eq!(run(&mut conn, &mut turn), Fate::Wait);
    let sent = String::from_utf8_lossy(&conn.stream().sent).into_owned();
    assert!(!sent.contains("burned"), "{sent}");
    assert!(sent.ends_with("ddb7875b4b\r\nMN\r\n"), "{sent}");
    assert_eq!(sent.lines().count(), 3, "{sent}");
    assert_eq!(turn.stats.timeouts, 0, "it is the task that was slow, not the client");
}

#[test]
fn a_task_that_nobody_began_with_in_time_counts_as_timed_out_once() {
    let (mut conn, mut turn) = tasks_out("burn 0\nmn\n", timed(5 * S));
    let task = TaskId(1);
    assert_eq!(conn.on_task_done(task, &Outcome::TimedOut, &mut turn), Fate::Wait);
    assert_eq!(conn.stream().sent, b"SERVER_ERROR task timed out\r\nMN\r\n");
    assert_eq!(turn.stats.tasks_timed_out, 1);
    turn.now += 10 * S;
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    assert_eq!(turn.stats.tasks_timed_out, 1);
}

#[test]
fn a_task_may_time_out_while_earlier_replies_wait() {
    let mut turn = turn(small_limits(), [true].into());
    turn.executor.ticket = timed(5 * S);
    let recv = [Recv::Bytes(b"mn\nburn 0\n".to_vec())].into();
    let stream = Scripted { recv, send: [Send::WouldBlock].into(), ..Scripted::default() };
    let mut conn = Connection::new(ConnId(1), 3, stream, turn.now);
    assert_eq!(conn.on_readable(&mut turn), Fate::Wait);
    assert_eq!((conn.state(), conn.awaits_task()), (ConnState::Writing, true));
    let due = conn.deadline(turn.now, &turn.limits);
    assert_eq!(due, turn.executor.ticket.deadline, "the loop has to look when it is due");
}

#[test]
fn a_client_was_not_idle_while_its_task_ran() {
    let (mut conn, mut turn) = tasks_out("burn 0\n", Ticket::default());
    turn.now += 600 * S;
    let outcome = Outcome::Burned(0);
    assert_eq!(conn.on_task_done(TaskId(1), &outcome, &mut turn), Fate::Wait);
    let idle = conn.deadline(turn.now, &turn.limits).unwrap();
    assert!(idle > turn.now, "the clock began with the reply");
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
}

#[test]
fn a_task_in_time_does_not_time_out_later() {
    let (mut conn, mut turn) = tasks_out("burn 0\n", timed(5 * S));
    assert_eq!(run(&mut conn, &mut turn), Fate::Wait);
    turn.now += 10 * S;
    assert_eq!(conn.check_deadlines(&mut turn), Fate::Wait);
    assert_eq!(conn.stream().sent, b"result: burned 0\r\n");
}

#[test]
fn what_was_read_ahead_of_a_drain_is_answered() {
    let (mut conn, mut turn) = tasks_out("compute 1\n", Ticket::default());
    conn.stream_mut().recv.push_back(Recv::Bytes(b"mn\n".to_vec()));
    assert_eq!(conn.on_readable(&mut turn), Fate::Wait);
    assert_eq!(conn.begin_drain(&mut turn), Fate::Wait);
    run(&mut conn, &mut turn);
    assert!(conn.stream().sent.ends_with(b"\r\nMN\r\n"), "it had arrived whole");
}

#[test]
fn who_is_owed_a_result_when_a_drain_begins_is_parted_from_gracefully() {
    let (mut conn, mut turn) = tasks_out("compute 1\n", Ticket::default());
    assert_eq!(conn.begin_drain(&mut turn), Fate::Wait);
    assert_eq!(run(&mut conn, &mut turn), Fate::Wait, "late input must not reset the reply away");
    assert!(conn.stream().sent.starts_with(b"result: 6b86b2"));
    assert!(conn.stream().sending_shut);
}

#[test]
fn a_drain_that_gives_up_cancels_the_task() {
    let (mut conn, mut turn) = tasks_out("burn 0\n", Ticket::default());
    assert_eq!(conn.begin_drain(&mut turn), Fate::Wait, "the request had arrived whole");
    assert_eq!(conn.abandon(&mut turn), Fate::Close);
    assert_eq!(turn.executor.cancelled, [TaskId(1)]);
}

/// Has no room for anything.
#[derive(Debug)]
struct Full;

impl Executor for Full {
    fn submit(&mut self, _: ConnId, _: Task<'_>, _: Instant) -> Submitted {
        Submitted::Busy
    }
}

#[test]
fn who_is_refused_is_told_at_once_and_goes_on() {
    let scheduled = turn(small_limits(), [].into());
    let mut turn = Turn {
        now: scheduled.now,
        limits: scheduled.limits,
        stats: scheduled.stats,
        info: scheduled.info,
        executor: Full,
        write_policy: scheduled.write_policy,
        scratch: scheduled.scratch,
    };
    let recv = [Recv::Bytes(b"compute 1\nmn\nfail x\n".to_vec())].into();
    let stream = Scripted { recv, ..Scripted::default() };
    let mut conn = Connection::new(ConnId(1), 3, stream, turn.now);
    assert_eq!(conn.on_readable(&mut turn), Fate::Wait);
    assert_eq!(conn.stream().sent, b"SERVER_ERROR busy\r\nMN\r\nSERVER_ERROR busy\r\n");
    assert_eq!((turn.stats.tasks_shed, conn.state()), (2, ConnState::ReadingHeader));
}

#[test]
fn the_result_of_another_task_is_dropped() {
    let (mut conn, mut turn) = tasks_out("burn 0\n", Ticket::default());
    let late = conn.on_task_done(TaskId(99), &Outcome::Burned(1), &mut turn);
    assert_eq!((late, conn.state()), (Fate::Wait, ConnState::Processing));
    assert!(conn.stream().sent.is_empty());
}
