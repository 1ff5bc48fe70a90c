//! Streams of requests with the replies that they must have.

use super::protocol::computed;
use super::support::echo;
use crate::client::Client;
use crate::judge::Judge;
use crate::verdict::CaseResult;
use std::time::{Duration, Instant};

/// Requests and the replies to them, side by side.
#[derive(Default, Clone)]
pub(super) struct Script {
    pub(super) requests: Vec<u8>,
    pub(super) replies: Vec<u8>,
}

impl Script {
    pub(super) fn add(&mut self, request: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) {
        self.requests.extend_from_slice(request.as_ref());
        self.replies.extend_from_slice(reply.as_ref());
    }

    /// Random requests, whose replies are of at least this size together.
    pub(super) fn random(rng: &mut fastrand::Rng, size: usize) -> Self {
        let mut script = Self::default();
        while script.replies.len() < size {
            script.add_random(rng);
            let body: Vec<u8> = (0..rng.usize(..40_000)).map(|_| rng.u8(..)).collect();
            let (request, reply) = echo(&body);
            script.add(request, reply);
        }
        script
    }

    /// One request of each kind whose reply is known, and the errors that keep the framing.
    pub(super) fn one_of_each() -> Self {
        let mut script = Self::default();
        script.add("mn\r\n", "MN\r\n");
        script.add("echo 4\r\na\r\nb\r\n", "ECHO 4\r\na\r\nb\r\n");
        script.add("compute a b\r\n", computed(b"a b"));
        script.add("echo 0\n\n", "ECHO 0\r\n\r\n");
        script.add("burn 0\n", "result: burned 0\r\n");
        script.add("fail f\r\n", "SERVER_ERROR f\r\n");
        script.add("what\r\n", "ERROR\r\n");
        script.add("echo 3\r\nmn\n\n", "ECHO 3\r\nmn\n\r\n");
        script.add("\n", "ERROR\r\n");
        script.add("panic p\n", "SERVER_ERROR task panicked: p\r\n");
        script.add("compute\r\n", computed(b""));
        script
    }

    /// A request that a well-behaved client may send, or a harmless error.
    pub(super) fn add_random(&mut self, rng: &mut fastrand::Rng) {
        let eol = if rng.bool() { "\r\n" } else { "\n" };
        let length = rng.usize(1..40);
        let text: String = std::iter::repeat_with(|| rng.alphanumeric()).take(length).collect();
        match rng.u8(..7) {
            0 => self.add(format!("mn{eol}"), "MN\r\n"),
            1 => self.add(format!("compute {text}{eol}"), computed(text.as_bytes())),
            2 => self.add(format!("fail {text}{eol}"), format!("SERVER_ERROR {text}\r\n")),
            3 => self.add(format!("burn 0{eol}"), "result: burned 0\r\n"),
            4 => self.add(format!("no-{text}{eol}"), "ERROR\r\n"),
            _ => {
                let size = if rng.u8(..10) == 0 { rng.usize(..5000) } else { rng.usize(..60) };
                let body: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(size).collect();
                self.add(format!("echo {size}{eol}"), format!("ECHO {size}\r\n"));
                self.add(&body, &body);
                self.add(eol, "\r\n");
            }
        }
    }
}

/// Sends all of it, and hears whatever comes meanwhile, so that neither side waits for the other
/// for ever. What was heard is there for the next `expect`.
pub(super) fn send_while_reading(judge: &Judge, client: &mut Client, bytes: &[u8]) -> CaseResult {
    const PATIENCE: Duration = Duration::from_secs(2);
    let (mut sent, mut heard) = (0, 0);
    let mut progress = Instant::now();
    while sent < bytes.len() {
        let push = client.push_until_blocked(&bytes[sent..], bytes.len() - sent)?;
        let now_heard = client.received().len();
        if push.sent > 0 || now_heard > heard {
            progress = Instant::now();
        }
        (sent, heard) = (sent + push.sent, now_heard);
        judge.ensure(
            progress.elapsed() < judge.scale(PATIENCE),
            "the server to read requests or to send replies",
            || format!("neither for {PATIENCE:?}, after {sent} bytes sent and {heard} heard"),
        )?;
    }
    Ok(())
}
