//! What each client said and heard, kept short, for the report of a failure.

use crate::escape::escape;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Entries kept per client; the oldest go first.
const ENTRIES: usize = 12;
/// Bytes kept of one entry.
const BYTES: usize = 96;

/// The record of one client's exchange.
#[derive(Debug)]
pub struct Transcript {
    name: String,
    started: Instant,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    dropped: usize,
    has_exchange: bool,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    what: What,
    head: Vec<u8>,
    total: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Sent,
    Received,
    Event,
}

impl Transcript {
    pub(crate) fn new(name: &str, started: Instant) -> Self {
        Self { name: name.to_owned(), started, kept: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn sent(&self, bytes: &[u8]) {
        self.add(What::Sent, bytes);
    }

    pub(crate) fn received(&self, bytes: &[u8]) {
        self.add(What::Received, bytes);
    }

    pub(crate) fn event(&self, text: &str) {
        self.add(What::Event, text.as_bytes());
    }

    fn add(&self, what: What, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        kept.has_exchange |= what != What::Event;
        if let Some(last) = kept.entries.back_mut()
            && last.what == what
            && what != What::Event
        {
            let room = BYTES.saturating_sub(last.head.len());
            last.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
            last.total += bytes.len();
            return;
        }
        if kept.entries.len() == ENTRIES {
            kept.entries.pop_front();
            kept.dropped += 1;
        }
        kept.entries.push_back(Entry {
            at: self.started.elapsed(),
            what,
            head: bytes[..bytes.len().min(BYTES)].to_vec(),
            total: bytes.len(),
        });
    }

    /// Whether the client sent or received anything.
    pub(crate) fn has_exchange(&self) -> bool {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).has_exchange
    }

    /// The record as lines of text.
    #[must_use]
    pub fn text(&self) -> TranscriptText {
        let kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut lines = Vec::new();
        if kept.dropped > 0 {
            lines.push(format!("… {} earlier entries", kept.dropped));
        }
        lines.extend(kept.entries.iter().map(Entry::line));
        TranscriptText { client: self.name.clone(), lines }
    }
}

impl Entry {
    fn line(&self) -> String {
        let at = format!("{:7.3} s", self.at.as_secs_f64());
        let head = escape(&self.head);
        let more = self.total - self.head.len();
        let tail = if more > 0 { format!(" … {more} more bytes") } else { String::new() };
        match self.what {
            What::Sent => format!("{at} > \"{head}\"{tail}"),
            What::Received => format!("{at} < \"{head}\"{tail}"),
            What::Event => format!("{at} * {}", String::from_utf8_lossy(&self.head)),
        }
    }
}

/// The last exchange of one client, ready to print.
#[derive(Debug, Clone, Serialize)]
pub struct TranscriptText {
    /// The client's name.
    pub client: String,
    /// `>` sent, `<` received, `*` something that happened; times count from the case's start.
    pub lines: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_direction_are_merged_and_the_oldest_are_dropped() {
        let transcript = Transcript::new("a", Instant::now());
        for _ in 0..10 {
            transcript.sent(b"x");
            transcript.sent(b"y");
            transcript.received(b"z");
        }
        let text = transcript.text();
        assert_eq!(text.lines[0], "… 8 earlier entries");
        assert_eq!(text.lines.len(), 1 + ENTRIES);
        assert!(text.lines[1].ends_with("> \"xy\""), "{}", text.lines[1]);
    }

    #[test]
    fn long_data_is_cut_and_counted() {
        let transcript = Transcript::new("a", Instant::now());
        transcript.sent(&[b'q'; 100]);
        transcript.sent(&[b'q'; 100]);
        assert!(transcript.text().lines[0].ends_with("\" … 104 more bytes"));
    }
}
