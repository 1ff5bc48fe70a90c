//! The name of a connection.

/// A connection's number, never used again in the life of a server.
///
/// A descriptor's number is used again as soon as it is closed, so whatever comes late, such as the
/// result of a task, is addressed by this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);
