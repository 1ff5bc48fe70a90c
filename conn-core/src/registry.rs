//! All connections of one loop, by descriptor.
//!
//! The registry is the interest list: `select` and `poll` hand all of it to the kernel every turn,
//! `epoll` only the [changes](ConnectionRegistry::changes). Look-up is one array access, since the
//! kernel always gives out the lowest free descriptor and so keeps their numbers dense.

use crate::connection::{Connection, Interest};
use std::mem;
use std::os::fd::RawFd;

/// How a connection's interest differs from what the kernel was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not watched; watch it for this.
    Added(Interest),
    /// Watch it for this from now on.
    Modified(Interest),
    /// Do not watch it: hang-ups, which can't be masked, would be reported in every turn.
    Removed,
}

impl Change {
    /// What to tell the kernel so that it watches for `interest` after it was `told` something else;
    /// `None` if that is the same.
    #[must_use]
    pub fn between(told: Interest, interest: Interest) -> Option<Self> {
        match (told, interest) {
            _ if told == interest => None,
            (Interest::NONE, _) => Some(Self::Added(interest)),
            (_, Interest::NONE) => Some(Self::Removed),
            _ => Some(Self::Modified(interest)),
        }
    }
}

#[derive(Debug)]
struct Slot<S> {
    conn: Box<Connection<S>>,
    /// What the kernel was last told. At first it knows nothing of the descriptor.
    told: Interest,
}

/// The connections of one loop.
#[derive(Debug)]
pub struct ConnectionRegistry<S> {
    /// Indexed by descriptor.
    slots: Vec<Option<Slot<S>>>,
    len: usize,
    /// Descriptors that were handed out for a change since the last [`changes`](Self::changes).
    touched: Vec<RawFd>,
}

impl<S> Default for ConnectionRegistry<S> {
    fn default() -> Self {
        Self { slots: Vec::new(), len: 0, touched: Vec::new() }
    }
}

fn index(fd: RawFd) -> usize {
    usize::try_from(fd).expect("an open descriptor is not negative")
}

impl<S> ConnectionRegistry<S> {
    /// Adds a connection under its descriptor.
    ///
    /// # Panics
    /// If that descriptor is registered already: it can't be open twice.
    pub fn add(&mut self, conn: Connection<S>) {
        let fd = conn.fd();
        let at = index(fd);
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        let before = self.slots[at].replace(Slot { conn: Box::new(conn), told: Interest::NONE });
        assert!(before.is_none(), "descriptor {fd} is registered already");
        self.len += 1;
        self.touched.push(fd);
    }

    /// Takes the connection out; `None` if there is none under that descriptor.
    pub fn remove(&mut self, fd: RawFd) -> Option<Connection<S>> {
        let slot = self.slots.get_mut(index(fd))?.take()?;
        self.len -= 1;
        // Keep the last slot occupied, so that `max_fd` is the length less one.
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        Some(*slot.conn)
    }

    /// The connection under `fd`.
    #[must_use]
    pub fn get(&self, fd: RawFd) -> Option<&Connection<S>> {
        Some(&self.slots.get(index(fd))?.as_ref()?.conn)
    }

    /// The connection under `fd`, for a visit that may change its interest.
    pub fn get_mut(&mut self, fd: RawFd) -> Option<&mut Connection<S>> {
        let slot = self.slots.get_mut(index(fd))?.as_mut()?;
        self.touched.push(fd);
        Some(&mut slot.conn)
    }

    /// The highest registered descriptor; `None` if there is no connection.
    #[must_use]
    pub fn max_fd(&self) -> Option<RawFd> {
        self.slots.len().checked_sub(1).and_then(|last| RawFd::try_from(last).ok())
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All connections, by rising descriptor.
    pub fn iter(&self) -> impl Iterator<Item = &Connection<S>> {
        self.slots.iter().flatten().map(|slot| &*slot.conn)
    }

    /// Puts into `changes` every connection whose interest differs from what was last put there.
    ///
    /// Costs a step for each connection visited since the last call, nothing for the others. What
    /// the kernel watched of a removed connection it forgets by itself when the descriptor closes.
    pub fn changes(&mut self, changes: &mut Vec<(RawFd, Change)>) {
        changes.clear();
        for fd in self.touched.drain(..) {
            let Some(slot) = self.slots.get_mut(index(fd)).and_then(Option::as_mut) else {
                continue;
            };
            let interest = slot.conn.interest();
            if interest == Interest::NONE && slot.conn.wants_a_turn() {
                // Only until the next turn, and in that it is visited whatever the kernel says.
                continue;
            }
            let told = mem::replace(&mut slot.told, interest);
            changes.extend(Change::between(told, interest).map(|change| (fd, change)));
        }
    }
}
