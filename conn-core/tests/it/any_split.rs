//! However the network cuts the input and however little it takes of the output, the replies are
//! byte for byte those of the uncut stream, and no sequence of events leaves the table.
//!
//! A connection asserts that every event finds its row, so a test that runs has not left the table.

use crate::common::{
    Exchange, PauseAt, Recv, Scheduled, Scripted, Send, check_invariants, last_request, request,
    run, small_limits, turn,
};
use conn_core::connection::{Connection, Fate, Turn};
use conn_core::id::ConnId;
use conn_core::state::ConnState;
use conn_core::write_policy::AnyPolicy;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

fn connection(stream: Scripted) -> Connection<Scripted> {
    Connection::new(ConnId(1), 7, stream, Instant::now())
}

fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<conn_core::service::RequestedPanic>() {
                default(info);
            }
        }));
    });
}

/// Cuts `input` at `cuts` and strews `EAGAIN` and `EINTR` between the pieces.
fn cut(input: &[u8], cuts: &[(Index, u8)]) -> VecDeque<Recv> {
    let mut at: Vec<(usize, u8)> =
        cuts.iter().map(|(index, kind)| (index.index(input.len() + 1), *kind)).collect();
    at.sort_unstable();
    let mut script = VecDeque::new();
    let mut from = 0;
    for (to, kind) in at {
        if to > from {
            script.push_back(Recv::Bytes(input[from..to].to_vec()));
            from = to;
        }
        match kind % 3 {
            0 => script.push_back(Recv::WouldBlock),
            1 => script.push_back(Recv::Interrupted),
            _ => {}
        }
    }
    if from < input.len() {
        script.push_back(Recv::Bytes(input[from..].to_vec()));
    }
    script
}

fn send_script() -> impl Strategy<Value = VecDeque<Send>> {
    let send = prop_oneof![
        3 => (1_usize..50).prop_map(Send::UpTo),
        1 => Just(Send::WouldBlock),
        1 => Just(Send::Interrupted),
    ];
    prop::collection::vec(send, 0..40).prop_map(VecDeque::from)
}

/// What the whole conversation must give, and what it consists of.
fn flatten(exchanges: &[Exchange]) -> (Vec<u8>, Vec<u8>, bool) {
    let input = exchanges.iter().flat_map(|exchange| exchange.request.clone()).collect();
    let output = exchanges.iter().flat_map(|exchange| exchange.reply.clone()).collect();
    (input, output, exchanges.iter().any(|exchange| exchange.ends))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_replies_of_the_unsplit_stream(
        requests in prop::collection::vec(request(), 0..12),
        last in last_request(),
        cuts in prop::collection::vec((any::<Index>(), any::<u8>()), 0..40),
        send in send_script(),
        elsewhere in prop::collection::vec(any::<bool>(), 0..12),
        half_close: bool,
    ) {
        quiet_panics();
        let (input, expected, ends) = flatten(&[requests, vec![last]].concat());
        let mut recv = cut(&input, &cuts);
        if half_close || ends {
            recv.push_back(Recv::End);
        }
        let mut conn = connection(Scripted { recv, send, ..Scripted::default() });
        let mut turn = turn(small_limits(), elsewhere.into());
        let fate = run(&mut conn, &mut turn);

        prop_assert_eq!(
            conn.stream().sent.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        prop_assert_eq!(turn.stats.bytes_written, expected.len() as u64);
        if half_close || ends {
            prop_assert_eq!(fate, Fate::Close);
            // Once the peer has finished, a plain close says all there is to say.
            prop_assert!(ends || !conn.stream().sending_shut);
        } else {
            prop_assert_eq!(fate, Fate::Wait);
            prop_assert_eq!(turn.stats.bytes_read, input.len() as u64);
        }
    }

    #[test]
    fn a_connection_that_has_answered_everything_holds_no_memory(
        requests in prop::collection::vec(request(), 1..12),
        cuts in prop::collection::vec((any::<Index>(), any::<u8>()), 0..10),
        send in send_script(),
    ) {
        quiet_panics();
        let (input, _, _) = flatten(&requests);
        let mut conn = connection(Scripted { recv: cut(&input, &cuts), send, ..Scripted::default() });
        run(&mut conn, &mut turn(small_limits(), VecDeque::new()));
        prop_assert_eq!(conn.buffer_memory(), 0);
    }

    #[test]
    fn no_sequence_of_events_leaves_the_table(
        requests in prop::collection::vec(request(), 0..6),
        last in last_request(),
        cuts in prop::collection::vec((any::<Index>(), any::<u8>()), 0..20),
        send in send_script(),
        elsewhere in prop::collection::vec(any::<bool>(), 0..6),
        ending in 0_u8..4,
        pause_at in prop::option::of(1_usize..200),
        steps in prop::collection::vec((0_u8..9, 0_u64..40_000), 1..80),
    ) {
        quiet_panics();
        let (input, expected, _) = flatten(&[requests, vec![last]].concat());
        let mut recv = cut(&input, &cuts);
        let mut send = send;
        match ending {
            0 => recv.push_back(Recv::End),
            1 => recv.push_back(Recv::Reset),
            2 => send.push_back(Send::Broken),
            _ => {}
        }
        let mut conn = connection(Scripted { recv, send, ..Scripted::default() });
        let mut turn = turn(small_limits(), elsewhere.into());
        if let Some(bytes) = pause_at {
            turn.write_policy = AnyPolicy::new(PauseAt(bytes));
        }
        for (step, ms) in steps {
            let fate = visit(&mut conn, &mut turn, step, ms);
            check_invariants(&conn, fate, &turn);
            if fate == Fate::Close {
                break;
            }
        }
        let sent = &conn.stream().sent;
        prop_assert!(
            expected.starts_with(sent),
            "sent {}, expected {}", sent.escape_ascii(), expected.escape_ascii()
        );
        if conn.state() != ConnState::Closing {
            prop_assert_eq!(conn.abandon(&mut turn), Fate::Close);
        }
        conn.close();
    }
}

/// Any visit at any time, as a loop whose readiness is stale might make it.
fn visit(conn: &mut Connection<Scripted>, turn: &mut Turn<Scheduled>, step: u8, ms: u64) -> Fate {
    match step {
        0..=2 => conn.on_readable(turn),
        3 => conn.on_writable(turn),
        4 => conn.resume(turn),
        5 => {
            turn.now += Duration::from_millis(ms);
            conn.check_deadlines(turn)
        }
        6 => match turn.executor.outcomes.pop_front() {
            Some((task, outcome)) => conn.on_task_done(task, &outcome, turn),
            None => conn.resume(turn),
        },
        7 => conn.begin_drain(turn),
        _ if ms > 39_000 => conn.abandon(turn),
        _ => conn.on_readable(turn),
    }
}

#[test]
fn a_drain_answers_what_had_arrived_whole_and_nothing_else() {
    let recv = VecDeque::from([
        Recv::Bytes(b"mn\necho 2\nhi\nmn".to_vec()),
        Recv::Bytes(b"\nmn\nec".to_vec()),
    ]);
    let mut conn = connection(Scripted { recv, ..Scripted::default() });
    let mut turn = turn(small_limits(), VecDeque::new());
    assert_eq!(conn.begin_drain(&mut turn), Fate::Wait);
    assert_eq!(run(&mut conn, &mut turn), Fate::Wait, "lingers until the peer closes");
    assert_eq!(conn.stream().sent, b"MN\r\nECHO 2\r\nhi\r\nMN\r\nMN\r\n");
    assert!(conn.stream().sending_shut);
    assert_eq!(conn.state(), ConnState::Closing);
}

#[test]
fn a_drain_drops_an_idle_connection_at_once() {
    let mut conn = connection(Scripted::default());
    let mut turn = turn(small_limits(), VecDeque::new());
    assert_eq!(conn.begin_drain(&mut turn), Fate::Close);
}

#[test]
fn a_drain_lingers_with_a_client_whose_last_reply_is_still_under_way() {
    let recv = VecDeque::from([Recv::Bytes(b"mn\n".to_vec())]);
    let mut conn = connection(Scripted { recv, unacknowledged: 4, ..Scripted::default() });
    let mut turn = turn(small_limits(), VecDeque::new());
    run(&mut conn, &mut turn);
    assert_eq!(conn.begin_drain(&mut turn), Fate::Wait);
    assert!(conn.stream().sending_shut);
    assert_eq!(conn.state(), ConnState::Closing);
}
