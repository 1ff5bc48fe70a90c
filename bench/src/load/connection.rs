//! One connection: a batch of requests on its way, and how much of its replies has come.

use crate::load::system::System;
use crate::load::traffic::{Traffic, excerpt};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Requests that are sent together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    /// The number of its first request.
    pub(super) first: u64,
    /// How many there are.
    pub(super) count: usize,
    /// When it was sent, in nanoseconds since the load began.
    pub(super) since: u64,
}

/// An active connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    /// Requests that were given to this connection so far.
    pub(super) taken: u64,
    pub(super) batch: Batch,
    /// Bytes of the batch.
    sent: usize,
    /// Bytes of its replies.
    received: usize,
    /// Replies of the batch that are complete.
    replies: usize,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, taken: 0, batch: Batch::default(), sent: 0, received: 0, replies: 0 }
    }

    /// Replies that have not come.
    pub(super) fn unanswered(&self) -> usize {
        self.batch.count - self.replies
    }

    /// Replaces the batch, which has been answered.
    pub(super) fn take(&mut self, batch: Batch) {
        self.taken += batch.count as u64;
        self.batch = batch;
        (self.sent, self.received, self.replies) = (0, 0, 0);
    }

    /// Sends what is left of the batch, or as much as the socket takes now.
    ///
    /// # Errors
    /// In words.
    pub(super) fn send(
        &mut self,
        system: &mut System,
        traffic: &mut Traffic,
    ) -> Result<(), String> {
        let length = self.batch.count * traffic.request_len();
        if self.sent == length {
            return Ok(());
        }
        let requests = traffic.requests(self.batch.first, self.batch.count);
        while self.sent < length {
            match system.send(&self.socket, &requests[self.sent..]) {
                Ok(count) => self.sent += count,
                // It will be writable, or the handshake done: that is an event.
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    /// Takes what has come and checks it: how many replies are now complete that were not, and what
    /// broke the connection behind them, in words. `hung_up`: the server sends no more, so what is
    /// left is read to the end.
    pub(super) fn receive(
        &mut self,
        system: &mut System,
        traffic: &mut Traffic,
        scratch: &mut [u8],
        hung_up: bool,
    ) -> (usize, Result<(), String>) {
        let before = self.replies;
        let outcome = loop {
            let count = match system.receive(&self.socket, scratch) {
                Ok(0) => break Err(self.closed()),
                Ok(count) => count,
                Err(Errno::AGAIN) => break Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => break Err(self.broken(error)),
            };
            let checked = self.check(traffic, &scratch[..count]);
            // Less than there was room for: the socket is empty, and the next bytes are an event.
            if checked.is_err() || (count < scratch.len() && !hung_up) {
                break checked;
            }
        };
        (self.replies - before, outcome)
    }

    fn check(&mut self, traffic: &mut Traffic, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.unanswered() == 0 {
                return Err(format!("bytes that nobody asked for: \"{}\"", excerpt(bytes)));
            }
            let offset = self.received - self.replies * traffic.reply_len();
            let (part, rest) = bytes.split_at(bytes.len().min(traffic.reply_len() - offset));
            let number = self.batch.first + self.replies as u64;
            if !traffic.is_right(number, offset, part) {
                return Err(traffic.difference(number, offset, part));
            }
            self.received += part.len();
            if offset + part.len() == traffic.reply_len() {
                self.replies += 1;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn closed(&self) -> String {
        match self.unanswered() {
            0 => "the server closed a connection that it had answered".to_owned(),
            missing => {
                let count = self.batch.count;
                format!(
                    "the server closed a connection before it had answered: {missing} of {count} replies were missing"
                )
            }
        }
    }

    fn broken(&self, error: Errno) -> String {
        match error {
            Errno::CONNREFUSED => "the server refused a connection: does it still run?".to_owned(),
            Errno::CONNRESET | Errno::PIPE => format!(
                "the server reset a connection: {} of {} replies were missing",
                self.unanswered(),
                self.batch.count
            ),
            error => format!("a connection broke: {error}"),
        }
    }
}
