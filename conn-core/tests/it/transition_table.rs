//! The table is total, free of contradictions, and every state can be reached and left.

use conn_core::state::{ConnState, Event, IMPOSSIBLE, Pending, TABLE, lookup};
use std::collections::HashSet;

/// How many rows and how many impossibilities cover one case.
fn covers(state: ConnState, event: Event, pending: Pending) -> (usize, usize) {
    let rows = TABLE
        .iter()
        .filter(|row| {
            row.from.contains(&state) && row.event == event && row.guard.contains(&pending)
        })
        .count();
    let impossible = IMPOSSIBLE
        .iter()
        .filter(|case| {
            case.from.contains(&state)
                && case.events.contains(&event)
                && case.guard.contains(&pending)
        })
        .count();
    (rows, impossible)
}

fn every_case() -> impl Iterator<Item = (ConnState, Event, Pending)> {
    ConnState::ALL.into_iter().flat_map(|state| {
        Event::ALL
            .into_iter()
            .flat_map(move |event| Pending::ALL.map(move |pending| (state, event, pending)))
    })
}

#[test]
fn every_case_has_one_row_or_one_reason_why_it_is_impossible() {
    let wrong: Vec<String> = every_case()
        .filter_map(|(state, event, pending)| match covers(state, event, pending) {
            (1, 0) | (0, 1) => None,
            (0, 0) => Some(format!("gap: {state} + {event} [{pending}]")),
            (rows, reasons) => {
                Some(format!("{state} + {event} [{pending}] has {rows} rows and {reasons} reasons"))
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_index_finds_exactly_the_rows_of_the_table() {
    for (state, event, pending) in every_case() {
        let found = lookup(state, event, pending);
        let expected = TABLE.iter().find(|row| {
            row.from.contains(&state) && row.event == event && row.guard.contains(&pending)
        });
        assert_eq!(found, expected, "{state} + {event} [{pending}]");
    }
}

#[test]
fn every_state_is_reached_from_the_first_and_reaches_the_last() {
    let mut reached = HashSet::from([ConnState::Connecting]);
    for _ in ConnState::ALL {
        for row in TABLE {
            if row.from.iter().any(|from| reached.contains(from)) {
                reached.insert(row.to);
            }
        }
    }
    assert_eq!(reached.len(), ConnState::ALL.len(), "reached: {reached:?}");

    let mut ends = HashSet::from([ConnState::Closed]);
    for _ in ConnState::ALL {
        for row in TABLE {
            if ends.contains(&row.to) {
                ends.extend(row.from);
            }
        }
    }
    assert_eq!(ends.len(), ConnState::ALL.len(), "can end: {ends:?}");
}

#[test]
fn only_the_last_state_has_no_exit() {
    for state in ConnState::ALL {
        let has_exit = TABLE.iter().any(|row| row.from.contains(&state) && row.to != state);
        assert_eq!(has_exit, state != ConnState::Closed, "{state}");
    }
}

/// The seven rows that the first day's quest starts from, in the words of this table. Keep-alive
/// replaces `WRITING, write complete, CLOSING`, which now holds once nothing more can come.
#[test]
fn the_rows_that_the_quest_starts_from_are_there() {
    use {ConnState as S, Event as E, Pending as P};
    let rows = [
        (S::Connecting, E::Readable, P::Header, S::ReadingHeader),
        (S::ReadingHeader, E::HeaderComplete, P::Body, S::ReadingBody),
        (S::ReadingBody, E::BodyComplete, P::Replies, S::Writing),
        (S::Writing, E::WriteComplete, P::Farewell, S::Closing),
        (S::Writing, E::WriteWouldBlock, P::Replies, S::Writing),
    ];
    for (from, event, pending, to) in rows {
        assert_eq!(lookup(from, event, pending).map(|row| row.to), Some(to), "{from} + {event}");
    }
    for state in ConnState::ALL.into_iter().filter(|state| *state != S::Closed) {
        let error = lookup(state, E::PeerReset, P::Header).map(|row| row.to);
        assert_eq!(error, Some(S::Closing), "{state} + error");
        let timeouts =
            [E::IdleTimeout, E::RequestTimeout, E::StallTimeout, E::LingerOver, E::DrainTimeout];
        assert!(
            timeouts.iter().any(|timeout| {
                lookup(state, *timeout, P::Header).is_some_and(|row| row.to == S::Closing)
            }),
            "{state} has no time-out"
        );
    }
}

#[test]
fn names_are_unique_and_every_rule_gives_its_reason() {
    let states: HashSet<_> = ConnState::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(states.len(), ConnState::ALL.len());
    let events: HashSet<_> = Event::ALL.iter().map(|event| event.name()).collect();
    assert_eq!(events.len(), Event::ALL.len());
    assert!(TABLE.iter().all(|row| !row.why.is_empty()));
    assert!(IMPOSSIBLE.iter().all(|case| !case.why.is_empty()));
}
