//! The registry against a plain map.

use crate::common::{Recv, Scheduled, Scripted, Send, small_limits, turn};
use conn_core::connection::{Connection, Fate, Interest, Turn};
use conn_core::id::{ConnId, TaskId};
use conn_core::registry::{Change, ConnectionRegistry};
use conn_core::service::Outcome;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

fn connection(id: u64, fd: i32) -> Connection<()> {
    Connection::new(ConnId(id), fd, (), Instant::now())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_behaves_like_a_map(steps in prop::collection::vec((0_u8..4, 0_i32..40), 1..200)) {
        let mut registry = ConnectionRegistry::default();
        let mut model = BTreeMap::new();
        let mut untold = BTreeSet::new();
        let mut changes = Vec::new();
        for (number, (step, fd)) in (0..).zip(steps) {
            match step {
                0 | 1 if !model.contains_key(&fd) => {
                    registry.add(connection(number, fd));
                    model.insert(fd, ConnId(number));
                    untold.insert(fd);
                }
                2 => {
                    let removed = registry.remove(fd).map(|conn| conn.id());
                    prop_assert_eq!(removed, model.remove(&fd));
                    untold.remove(&fd);
                }
                3 => {
                    registry.changes(&mut changes);
                    let added: BTreeSet<i32> = changes.iter().map(|(fd, _)| *fd).collect();
                    prop_assert_eq!(&added, &untold);
                    let all_added =
                        changes.iter().all(|(_, change)| *change == Change::Added(Interest::READ));
                    prop_assert!(all_added);
                    untold.clear();
                }
                _ => {
                    prop_assert_eq!(registry.get_mut(fd).map(|conn| conn.id()), model.get(&fd).copied());
                }
            }
            prop_assert_eq!(registry.get(fd).map(Connection::id), model.get(&fd).copied());
            prop_assert_eq!(registry.max_fd(), model.keys().next_back().copied());
            prop_assert_eq!(registry.len(), model.len());
            prop_assert_eq!(registry.is_empty(), model.is_empty());
            prop_assert!(registry.iter().map(Connection::fd).eq(model.keys().copied()));
        }
    }
}

/// What a registry of one connection tells the kernel after each of these visits.
fn told_after(input: &[u8], send: &[Send], elsewhere: bool, visits: &[Visit]) -> Vec<Change> {
    let recv = VecDeque::from([Recv::Bytes(input.to_vec())]);
    let stream = Scripted { recv, send: send.iter().copied().collect(), ..Scripted::default() };
    let mut turn = turn(small_limits(), VecDeque::from([elsewhere]));
    let mut registry = ConnectionRegistry::default();
    let (mut changes, mut told) = (Vec::new(), Vec::new());
    registry.add(Connection::new(ConnId(1), 3, stream, turn.now));
    registry.changes(&mut changes);
    told.extend(changes.iter().map(|(_, change)| *change));
    for visit in visits {
        if let Some(conn) = registry.get_mut(3) {
            visit(conn, &mut turn);
        }
        registry.changes(&mut changes);
        told.extend(changes.iter().map(|(_, change)| *change));
    }
    told
}

type Visit = fn(&mut Connection<Scripted>, &mut Turn<Scheduled>) -> Fate;

#[test]
fn the_kernel_is_told_what_has_changed_and_nothing_else() {
    let write = Change::Modified(Interest { read: true, write: true, ..Interest::NONE });
    let read = Change::Modified(Interest::READ);
    let told = told_after(
        b"mn\n",
        &[Send::WouldBlock],
        false,
        &[Connection::on_readable, Connection::on_readable, Connection::on_writable],
    );
    assert_eq!(told, [Change::Added(Interest::READ), write, read]);
}

#[test]
fn who_has_a_turn_anyway_is_left_as_it_is() {
    // A long task, and another request behind it that has to wait for the next turn.
    let visits: [Visit; 2] = [Connection::on_readable, Connection::resume];
    let told = told_after(b"burn 0\nmn\n", &[], false, &visits);
    assert_eq!(told, [Change::Added(Interest::READ)]);
}

#[test]
fn who_has_filled_its_read_buffer_is_watched_for_hang_ups_only() {
    // A task is out, and behind it the read buffer fills up.
    let input = [b"compute 1\n".as_slice(), &b"mn\n".repeat(30_000)].concat();
    let visits: [Visit; 3] = [Connection::on_readable, Connection::on_readable, |conn, turn| {
        conn.on_task_done(TaskId(1), &Outcome::Burned(1), turn)
    }];
    let told = told_after(&input, &[], true, &visits);
    let hang_up = Interest { hang_up: true, ..Interest::NONE };
    let (added, read) = (Change::Added(Interest::READ), Change::Modified(Interest::READ));
    assert_eq!(told, [added, Change::Modified(hang_up), read]);
}

#[test]
fn a_descriptor_that_was_never_seen_has_no_connection() {
    let mut registry: ConnectionRegistry<()> = ConnectionRegistry::default();
    assert!(registry.get(1_000_000).is_none());
    assert!(registry.get_mut(5).is_none());
    assert!(registry.remove(5).is_none());
    assert_eq!(registry.max_fd(), None);
}

#[test]
#[should_panic(expected = "registered already")]
fn a_descriptor_cannot_be_registered_twice() {
    let mut registry = ConnectionRegistry::default();
    registry.add(connection(1, 3));
    registry.add(connection(2, 3));
}
