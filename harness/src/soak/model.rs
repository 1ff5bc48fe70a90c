//! What the contract says a server answers: requests, each with the only reply that is right.
//!
//! Random, but a seed brings them back. The model knows notes/protocol.md and nothing of any server.

use fastrand::Rng;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Longest line of free words that a server may answer with, in bytes.
const LONGEST_LINE: usize = 4096;

/// What must come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// These bytes.
    Exact(Vec<u8>),
    /// One line that begins so; the rest is the server's own words.
    Line(&'static [u8]),
    /// `STAT` lines and `END`.
    Stats,
}

/// How far what was received agrees with a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// It begins with the whole reply, which has so many bytes.
    Whole(usize),
    /// It may still become the reply.
    SoFar,
    /// It is something else.
    No,
}

impl Reply {
    pub(super) fn compare(&self, received: &[u8]) -> Agreement {
        match self {
            Self::Exact(reply) if received.starts_with(reply) => Agreement::Whole(reply.len()),
            Self::Exact(reply) if reply.starts_with(received) => Agreement::SoFar,
            Self::Exact(_) => Agreement::No,
            Self::Line(beginning) => {
                let common = beginning.len().min(received.len());
                if beginning[..common] != received[..common] {
                    return Agreement::No;
                }
                match line_length(received) {
                    Some(length) if length > beginning.len() => Agreement::Whole(length),
                    None if received.len() <= LONGEST_LINE => Agreement::SoFar,
                    _ => Agreement::No,
                }
            }
            Self::Stats => {
                let mut seen = 0;
                while let Some(length) = line_length(&received[seen..]) {
                    let line = &received[seen..seen + length];
                    seen += length;
                    if line == b"END\r\n" {
                        return Agreement::Whole(seen);
                    }
                    if !line.starts_with(b"STAT ") {
                        return Agreement::No;
                    }
                }
                if received.len() <= 4 * LONGEST_LINE { Agreement::SoFar } else { Agreement::No }
            }
        }
    }

    /// The reply as bytes, as far as they are known.
    pub(super) fn known(&self) -> &[u8] {
        match self {
            Self::Exact(reply) => reply,
            Self::Line(beginning) => beginning,
            Self::Stats => b"STAT ",
        }
    }
}

/// Length of the first line, its CR LF included.
fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n").map(|at| at + 2)
}

/// The whole numbers in a reply to `stats`.
pub(super) fn numbers_of(reply: &[u8]) -> BTreeMap<String, u64> {
    let text = String::from_utf8_lossy(reply);
    text.lines()
        .filter_map(|line| line.strip_prefix("STAT ")?.split_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// A request and its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) reply: Reply,
}

impl Request {
    /// A request that is not random.
    pub(super) fn new(bytes: impl Into<Vec<u8>>, reply: &str) -> Self {
        Self { bytes: bytes.into(), reply: Reply::Exact(reply.into()) }
    }

    /// Asks for `stats`.
    pub(super) fn stats() -> Self {
        Self { bytes: b"stats\r\n".to_vec(), reply: Reply::Stats }
    }

    /// Asks for so many random bytes back.
    pub(super) fn echo(length: usize, rng: &mut Rng) -> Self {
        let body: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        let end: &[u8] = if rng.bool() { b"\r\n" } else { b"\n" };
        let reply = [format!("ECHO {length}\r\n").as_bytes(), &body, b"\r\n"].concat();
        let bytes = [format!("echo {length}").as_bytes(), end, &body, end].concat();
        Self { bytes, reply: Reply::Exact(reply) }
    }

    /// `burn`: so many milliseconds of CPU.
    pub(super) fn burn(milliseconds: u32) -> Self {
        let reply = format!("result: burned {milliseconds}\r\n");
        Self::new(format!("burn {milliseconds}\r\n"), &reply)
    }

    /// `compute`: the SHA-256 of a random text.
    pub(super) fn compute(rng: &mut Rng) -> Self {
        let text = text(rng, 0..200);
        let digest: String =
            Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        let reply = Reply::Exact(format!("result: {digest}\r\n").into_bytes());
        Self { bytes: [b"compute ", text.as_slice(), b"\r\n"].concat(), reply }
    }

    /// What an honest client asks, mistakes included.
    pub(super) fn any(rng: &mut Rng) -> Self {
        match rng.u32(0..100) {
            0..40 => {
                let length = rng.usize(0..2048);
                Self::echo(length, rng)
            }
            40..60 => Self::new(*rng.choice([b"mn\r\n", b"MN\r\n"]).unwrap_or(b"mn\r\n"), "MN\r\n"),
            60..77 => Self::compute(rng),
            77..82 => Self::garbage(rng),
            82..87 => Self::mistake(rng),
            87..90 => Self::burn(rng.u32(0..3)),
            90..94 => Self::failing("fail", "", rng),
            94..96 => Self::failing("panic", "task panicked: ", rng),
            96..98 => Self { bytes: b"version\r\n".to_vec(), reply: Reply::Line(b"VERSION ") },
            _ => Self::stats(),
        }
    }

    /// A line with no known verb.
    pub(super) fn garbage(rng: &mut Rng) -> Self {
        let line = [b"x".as_slice(), &text(rng, 0..100), b"\r\n"].concat();
        Self::new(if rng.u32(0..4) == 0 { b"\r\n".to_vec() } else { line }, "ERROR\r\n")
    }

    /// A known verb with arguments that it can't have.
    fn mistake(rng: &mut Rng) -> Self {
        let lines: [&[u8]; 5] =
            [b"echo x\r\n", b"echo\r\n", b"burn 10001\r\n", b"echo 1 2\r\n", b"echo 2147483648\n"];
        let line = lines[rng.usize(0..lines.len())];
        Self { bytes: line.to_vec(), reply: Reply::Line(b"CLIENT_ERROR ") }
    }

    fn failing(verb: &str, prefix: &str, rng: &mut Rng) -> Self {
        let message = text(rng, 1..60);
        let bytes = [verb.as_bytes(), b" ", &message, b"\r\n"].concat();
        let reply = [b"SERVER_ERROR ", prefix.as_bytes(), &message, b"\r\n"].concat();
        Self { bytes, reply: Reply::Exact(reply) }
    }
}

/// Printable text with inner spaces.
fn text(rng: &mut Rng, length: std::ops::Range<usize>) -> Vec<u8> {
    const LETTERS: &[u8] = b"abc xyz 0123 ,;!? QRS";
    let mut text: Vec<u8> =
        (0..rng.usize(length)).map(|_| LETTERS[rng.usize(0..LETTERS.len())]).collect();
    // A space at an end would stand beside the one that separates.
    for end in [0, text.len().saturating_sub(1)] {
        if let Some(byte) = text.get_mut(end) {
            *byte = b'e';
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_whole_begun_or_something_else() {
        let exact = Reply::Exact(b"MN\r\n".to_vec());
        assert_eq!(exact.compare(b"MN\r\nMN"), Agreement::Whole(4));
        assert_eq!(exact.compare(b"M"), Agreement::SoFar);
        assert_eq!(exact.compare(b"ME"), Agreement::No);

        let line = Reply::Line(b"VERSION ");
        assert_eq!(line.compare(b"VER"), Agreement::SoFar);
        assert_eq!(line.compare(b"VERSION 1\r\n"), Agreement::Whole(11));
        assert_eq!(line.compare(b"VERSIOn"), Agreement::No);
        assert_eq!(line.compare(&[b"VERSION ".as_slice(), &[b'9'; 5000]].concat()), Agreement::No);

        assert_eq!(Reply::Stats.compare(b"STAT a 1\r\nEND\r\n"), Agreement::Whole(15));
        assert_eq!(Reply::Stats.compare(b"STAT a 1\r\nEN"), Agreement::SoFar);
        assert_eq!(Reply::Stats.compare(b"ERROR\r\n"), Agreement::No);
    }

    #[test]
    fn a_seed_brings_the_requests_back() {
        let of = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..50).map(|_| Request::any(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn compute_is_sha_256_of_the_text() {
        let request = Request::compute(&mut Rng::with_seed(3));
        let text = &request.bytes[b"compute ".len()..request.bytes.len() - 2];
        let digest: String = Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(request.reply.known(), format!("result: {digest}\r\n").as_bytes());
    }

    #[test]
    fn numbers_are_taken_from_stats() {
        let numbers = numbers_of(b"STAT pid 7\r\nSTAT version a b\r\nEND\r\n");
        assert_eq!(numbers, BTreeMap::from([("pid".to_owned(), 7)]));
    }
}
