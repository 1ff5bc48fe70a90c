//! The registry against a plain map.

use crate::common::{Recv, Scripted, Send, small_limits, turn};
use conn_core::connection::{Connection, Interest};
use conn_core::id::ConnId;
use conn_core::registry::{Change, ConnectionRegistry};
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

#[test]
fn a_connection_that_wants_nothing_is_not_watched_meanwhile() {
    // A long task, and another request behind it that has to wait for the next turn.
    let recv = VecDeque::from([Recv::Bytes(b"burn 0\nmn\n".to_vec())]);
    let send = VecDeque::from([Send::WouldBlock]);
    let stream = Scripted { recv, send, ..Scripted::default() };
    let mut turn = turn(small_limits(), VecDeque::new());
    let mut registry = ConnectionRegistry::default();
    let mut changes = Vec::new();
    registry.add(Connection::new(ConnId(1), 3, stream, turn.now));
    let mut told = |registry: &mut ConnectionRegistry<Scripted>| {
        registry.changes(&mut changes);
        changes.clone()
    };
    assert_eq!(told(&mut registry), [(3, Change::Added(Interest::READ))]);
    registry.get_mut(3).map(|conn| conn.on_readable(&mut turn));
    let write = Interest { read: false, write: true };
    assert_eq!(told(&mut registry), [(3, Change::Modified(write))], "its reply waits");
    registry.get_mut(3).map(|conn| conn.on_writable(&mut turn));
    assert_eq!(told(&mut registry), [(3, Change::Removed)], "it has its turn anyway");
    registry.get_mut(3).map(|conn| conn.resume(&mut turn));
    assert_eq!(told(&mut registry), [(3, Change::Added(Interest::READ))]);
    registry.get_mut(3).map(|conn| conn.on_readable(&mut turn));
    assert_eq!(told(&mut registry), [], "nothing changed");
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
