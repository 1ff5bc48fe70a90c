//! What a client hears, and what it must be.

use super::{Client, Ending, Filled};
use crate::escape::quote;
use crate::stats::Stats;
use crate::verdict::CaseResult;
use rustix::event::PollFlags;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest line that a reply may have.
const LONGEST_LINE: usize = 64 << 10;
/// Bytes taken from the kernel at a time.
const CHUNK: usize = 64 << 10;

impl Client {
    /// The next bytes must be these.
    ///
    /// # Errors
    /// Other bytes, too few, or none: shown with a mark under the first one that differs.
    pub fn expect(&mut self, wanted: impl AsRef<[u8]>) -> CaseResult {
        let wanted = wanted.as_ref();
        let (mut checked, mut note, mut wait) = (0, String::new(), None);
        loop {
            let have = self.incoming.len().min(wanted.len());
            if self.incoming[checked..have] != wanted[checked..have] {
                break;
            }
            checked = have;
            if have == wanted.len() {
                self.incoming.drain(..have);
                return Ok(());
            }
            let (limit, started) = (self.limit(), Instant::now());
            match self.fill(limit) {
                Filled::Bytes => continue,
                Filled::Ended(ending) => note = format!("then {ending}"),
                Filled::TimedOut => note = "then nothing more came".to_owned(),
            }
            wait = Some((started.elapsed(), limit));
            break;
        }
        // What else has already arrived helps to see what the server did.
        while matches!(self.fill(Duration::ZERO), Filled::Bytes) {}
        let shown = &self.incoming[..self.incoming.len().min(wanted.len() + 200)];
        Err(self.scene.wrong_bytes(wanted, shown, &note, self.name(), wait))
    }

    /// Sends a request and expects this reply.
    ///
    /// # Errors
    /// As [`Client::send`] and [`Client::expect`].
    pub fn ask(&mut self, request: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) -> CaseResult {
        self.send(request)?;
        self.expect(reply)
    }

    /// A barrier: sends `mn`, whose reply must be the very next bytes. Proves that nothing else
    /// was or will be sent for what came before.
    ///
    /// # Errors
    /// Other bytes came first, or none.
    pub fn fence(&mut self) -> CaseResult {
        self.ask("mn\r\n", "MN\r\n")
    }

    /// The next line, without its CR LF. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// No whole line came, or it does not end in CR LF.
    pub fn expect_line(&mut self) -> CaseResult<String> {
        let mut searched = 0;
        loop {
            let end = self.incoming[searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|at| searched + at) {
                let line: Vec<u8> = self.incoming.drain(..=end).collect();
                return match line.strip_suffix(b"\r\n") {
                    Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
                    None => Err(self.broken("a line that ends in CR LF", quote(&line, 200), None)),
                };
            }
            searched = self.incoming.len();
            let (limit, started) = (self.limit(), Instant::now());
            let problem = match self.fill(limit) {
                Filled::Bytes if searched > LONGEST_LINE => "a line without end".to_owned(),
                Filled::Bytes => continue,
                Filled::Ended(ending) => ending.to_string(),
                Filled::TimedOut => "nothing more came".to_owned(),
            };
            let actual = format!("{}, then {problem}", quote(&self.incoming, 200));
            return Err(self.broken("a whole line", actual, Some((started.elapsed(), limit))));
        }
    }

    /// The next line must start with this text; returns the whole line.
    ///
    /// # Errors
    /// As [`Client::expect_line`], or it starts differently.
    pub fn expect_line_starting(&mut self, start: &str) -> CaseResult<String> {
        let line = self.expect_line()?;
        if line.starts_with(start) {
            return Ok(line);
        }
        Err(self.broken(format!("a line that starts with {start:?}"), format!("{line:?}"), None))
    }

    /// The next `count` bytes, whatever they are.
    ///
    /// # Errors
    /// Fewer came.
    pub fn read_exact(&mut self, count: usize) -> CaseResult<Vec<u8>> {
        while self.incoming.len() < count {
            let (limit, started) = (self.limit(), Instant::now());
            let problem = match self.fill(limit) {
                Filled::Bytes => continue,
                Filled::Ended(ending) => ending.to_string(),
                Filled::TimedOut => "nothing more came".to_owned(),
            };
            let actual = format!("{} bytes, then {problem}", self.incoming.len());
            let wait = Some((started.elapsed(), limit));
            return Err(self.broken(format!("{count} bytes"), actual, wait));
        }
        Ok(self.incoming.drain(..count).collect())
    }

    /// Everything up to the end of the connection, and how it ended.
    ///
    /// # Errors
    /// The connection stayed open and silent.
    pub fn read_until_closed(&mut self) -> CaseResult<(Vec<u8>, Ending)> {
        loop {
            let (limit, started) = (self.limit(), Instant::now());
            match self.fill(limit) {
                Filled::Bytes => {}
                Filled::Ended(ending) => return Ok((std::mem::take(&mut self.incoming), ending)),
                Filled::TimedOut => {
                    let actual = format!("still open after {} bytes", self.incoming.len());
                    let wait = Some((started.elapsed(), limit));
                    return Err(self.broken("the server to close the connection", actual, wait));
                }
            }
        }
    }

    /// No byte more, and an orderly end: FIN, not RST.
    ///
    /// # Errors
    /// Bytes, a reset, or a connection that stays open.
    pub fn expect_eof(&mut self) -> CaseResult {
        match self.expect_closed()? {
            Ending::Eof => Ok(()),
            Ending::Reset => Err(self.broken("an orderly close (FIN)", Ending::Reset, None)),
        }
    }

    /// No byte more, and an end of either kind.
    ///
    /// # Errors
    /// Bytes, or a connection that stays open.
    pub fn expect_closed(&mut self) -> CaseResult<Ending> {
        let (limit, started) = (self.limit(), Instant::now());
        if self.incoming.is_empty() {
            match self.fill(limit) {
                Filled::Ended(ending) => return Ok(ending),
                Filled::TimedOut => {
                    let wait = Some((started.elapsed(), limit));
                    let expected = "the server to close the connection";
                    return Err(self.broken(expected, "it stays open", wait));
                }
                Filled::Bytes => {}
            }
        }
        let actual = quote(&self.incoming, 200);
        Err(self.broken("no more bytes, and the end of the connection", actual, None))
    }

    /// No byte more, and an end of either kind after a time of silence. The earliest moment counts
    /// from before this client's last send (or the connect), the latest from its last send or
    /// receive. `most` is not bounded by the read limit, only by the case's time.
    ///
    /// # Errors
    /// Bytes, an end too early, or none in time.
    pub fn expect_closed_within(&mut self, least: Duration, most: Duration) -> CaseResult<Ending> {
        let most = self.scene.limits.scale(most);
        let deadline = (self.active_at + most).min(self.scene.deadline());
        let started = Instant::now();
        let limit = deadline.saturating_duration_since(started);
        let expected = format!("closed between {least:.1?} and {most:.1?} of silence");
        if self.incoming.is_empty() {
            let filled = self.fill(limit);
            let silence = self.spoke_at.elapsed();
            match filled {
                Filled::Ended(_) if silence < least => {
                    return Err(self.broken(expected, format!("closed after {silence:.2?}"), None));
                }
                Filled::Ended(ending) => return Ok(ending),
                Filled::TimedOut => {
                    let actual = format!("still open after {silence:.2?}");
                    let wait = Some((started.elapsed(), limit));
                    return Err(self.broken(expected, actual, wait));
                }
                Filled::Bytes => {}
            }
        }
        Err(self.broken(expected, format!("bytes: {}", quote(&self.incoming, 200)), None))
    }

    /// What has arrived and was not expected yet, without waiting.
    pub fn received(&mut self) -> &[u8] {
        while matches!(self.fill(Duration::ZERO), Filled::Bytes) {}
        &self.incoming
    }

    /// Asks for `stats` and reads the whole reply.
    ///
    /// # Errors
    /// A line that is neither `STAT <name> <value>` nor `END`, or a name told twice.
    pub fn stats(&mut self) -> CaseResult<Stats> {
        self.send("stats\r\n")?;
        self.expect_stats()
    }

    /// The whole reply to a `stats` that was sent before.
    ///
    /// # Errors
    /// As [`Client::stats`].
    pub fn expect_stats(&mut self) -> CaseResult<Stats> {
        let mut stats = Stats::new(self.name(), Arc::clone(&self.scene));
        loop {
            let line = self.expect_line()?;
            if line == "END" {
                return Ok(stats);
            }
            let pair = line.strip_prefix("STAT ").and_then(|rest| rest.split_once(' '));
            if !pair.is_some_and(|(name, value)| stats.insert(name, value)) {
                let expected = "`STAT <name> <value>` with a new name, or `END`";
                return Err(self.broken(expected, format!("{line:?}"), None));
            }
        }
    }

    /// As [`Client::expect`], but takes at most `most` bytes from the kernel at a time: a client
    /// that reads slowly, in small steps.
    ///
    /// # Errors
    /// As [`Client::expect`].
    pub fn expect_in_sips(&mut self, wanted: impl AsRef<[u8]>, most: usize) -> CaseResult {
        for part in wanted.as_ref().chunks(most.max(1)) {
            while self.incoming.len() < part.len() {
                let missing = part.len() - self.incoming.len();
                if !matches!(self.fill_at_most(missing, self.limit()), Filled::Bytes) {
                    break;
                }
            }
            self.expect(part)?;
        }
        Ok(())
    }

    /// Receives once, if anything comes within the limit.
    fn fill(&mut self, limit: Duration) -> Filled {
        self.fill_at_most(CHUNK, limit)
    }

    fn fill_at_most(&mut self, most: usize, limit: Duration) -> Filled {
        if let Some(ending) = self.ending {
            return Filled::Ended(ending);
        }
        let deadline = Instant::now() + limit;
        let mut chunk = [0; CHUNK];
        let most = most.min(CHUNK);
        loop {
            match self.stream.read(&mut chunk[..most]) {
                Ok(0) => return self.ended(Ending::Eof),
                Ok(count) => {
                    self.active_at = Instant::now();
                    self.transcript.received(&chunk[..count]);
                    self.incoming.extend_from_slice(&chunk[..count]);
                    return Filled::Bytes;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() || self.wait(PollFlags::IN, left).is_err() {
                        return Filled::TimedOut;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.ended(Ending::Reset),
            }
        }
    }

    fn ended(&mut self, ending: Ending) -> Filled {
        self.transcript.event(&ending.to_string());
        self.ending = Some(ending);
        Filled::Ended(ending)
    }
}
