//! The rows of the transition table that a server took, as the servers of this workspace log them.
//!
//! At `debug` each change of state is a line, at `trace` every event is. A server in another
//! language need not log like this; then nothing is found.

/// One line of the log: a connection met an event, and a row of the table said what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition<'a> {
    /// The connection's number, in the order of accept.
    pub conn: u64,
    /// The row's name: `W7`.
    pub row: &'a str,
    /// The state it was taken in.
    pub from: &'a str,
    /// What happened.
    pub event: &'a str,
    /// The state it led to; `None` if the state stayed.
    pub to: Option<&'a str>,
}

impl<'a> Transition<'a> {
    /// Reads a line of the log; `None` if it tells of something else.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let (_, fields) = line.split_once(" conn=")?;
        let (conn, fields) = fields.split_once(' ')?;
        let (_, fields) = fields.split_once("row=\"")?;
        let (row, fields) = fields.split_once("\" ")?;
        let (from, fields) = fields
            .strip_prefix("from=")
            .or_else(|| fields.strip_prefix("state="))?
            .split_once(' ')?;
        // An event's name has spaces in it; the action stands last.
        let (event, _) = fields.strip_prefix("event=")?.split_once(" action=")?;
        let (event, to) = match event.split_once(" to=") {
            Some((event, to)) => (event, Some(to)),
            None => (event, None),
        };
        Some(Self { conn: conn.parse().ok()?, row, from, event, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_state_and_an_event_without_one_are_read() {
        let line = "2026-11-21T06:46:20Z DEBUG conn_core::connection: transition conn=12 fd=7 \
            row=\"C1\" from=CONNECTING event=fd readable to=READING_HEADER action=recv, parse";
        let (row, from, event, to) = ("C1", "CONNECTING", "fd readable", Some("READING_HEADER"));
        let changed = Transition { conn: 12, row, from, event, to };
        assert_eq!(Transition::parse(line), Some(changed));
        let line = "2026-11-21T06:46:20Z TRACE conn_core::connection: event conn=1 fd=7 \
            row=\"B1\" state=READING_BODY event=fd readable action=recv, parse";
        let (row, from) = ("B1", "READING_BODY");
        let stayed = Transition { conn: 1, row, from, event, to: None };
        assert_eq!(Transition::parse(line), Some(stayed));
    }

    #[test]
    fn other_lines_are_none() {
        for line in ["", "accepted conn=1 fd=7", "timed out conn=1 fd=7 state=CLOSING reason=x"] {
            assert_eq!(Transition::parse(line), None, "{line}");
        }
    }
}
