//! The names of connections and of tasks.

/// A connection's number, never used again in the life of a server.
///
/// A descriptor's number is used again as soon as it is closed, so whatever comes late, such as the
/// result of a task, is addressed by this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A task's number, never used again in the life of a server. A connection knows by it whether the
/// result that has come is the one it waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u64);
