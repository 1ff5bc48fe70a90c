//! A receive buffer for peers whose library fills a slice.

use crate::protocol::Answered;

/// Room for what is read at once, beside what is missing from a body that was announced.
pub const READ: usize = 8 * 1024;
/// The most room that is made for a body before it comes.
pub const READ_MAX: usize = 256 * 1024;

/// Bytes received from one client and not used up, with room for more.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    filled: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self { bytes: vec![0; READ], filled: 0 }
    }
}

impl Input {
    /// Where the next bytes go. It is never empty.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// What is there, now that `received` more bytes have come into the [`room`](Self::room).
    pub fn received(&mut self, received: usize) -> &[u8] {
        self.filled += received;
        &self.bytes[..self.filled]
    }

    /// Drops what was used up, and makes more room than is missing: a read that leaves some of it
    /// is known to have taken all there was.
    pub fn consume(&mut self, answered: Answered) {
        self.bytes.copy_within(answered.consumed..self.filled, 0);
        self.filled -= answered.consumed;
        let needed = self.filled + answered.missing.min(READ_MAX);
        if needed >= self.bytes.len() {
            self.bytes.resize(needed + READ, 0);
        }
    }
}
