//! Bytes to requests and replies to bytes, as notes/protocol.md says. Nothing is copied before it
//! goes into a reply.

use crate::work::Work;
use memchr::memchr;
use std::borrow::Cow;

/// A request and, unless it is work for a CPU, all that is needed to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Send this body back.
    Echo(&'a [u8]),
    /// Say `MN`.
    MetaNoop,
    /// Say which version this is.
    Version,
    /// Send what is queued, then close.
    Quit,
    /// Use a CPU.
    Work(Work<'a>),
    /// Say that it failed, in these words.
    Fail(&'a [u8]),
    /// Say that it panicked, in these words. No peer does: what is compared is the happy path.
    Panic(&'a [u8]),
    /// A line that asks for nothing known, with the reply to it.
    Bad(&'static str),
}

/// What stands at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A request, and how many bytes it takes up.
    Request(Request<'a>, usize),
    /// The beginning of a request, of which at least so many bytes are missing.
    Partial(usize),
    /// A body without an end of line: nobody knows where the next request begins.
    BadDataChunk,
}

/// How far [`answer`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Bytes of the input that were requests, and are not needed any more.
    pub consumed: usize,
    /// At least so many bytes are missing from the request that the rest is the beginning of.
    pub missing: usize,
    /// The connection ends when the replies have been sent.
    pub quit: bool,
}

/// Answers each whole request at the front of `input`, in order; the replies go to `replies`.
///
/// Work for a CPU goes to `work`, which may do it and append the reply, or see to it that the reply
/// comes to stand here, behind what `replies` holds at that moment.
pub fn answer(
    input: &[u8],
    replies: &mut Vec<u8>,
    mut work: impl FnMut(Work<'_>, &mut Vec<u8>),
) -> Answered {
    let mut consumed = 0;
    loop {
        let (request, len) = match parse(&input[consumed..]) {
            Parsed::Request(request, len) => (request, len),
            Parsed::Partial(missing) => return Answered { consumed, missing, quit: false },
            Parsed::BadDataChunk => {
                replies.extend_from_slice(b"CLIENT_ERROR bad data chunk\r\n");
                return Answered { consumed: input.len(), missing: 0, quit: true };
            }
        };
        consumed += len;
        match request {
            Request::Echo(body) => {
                replies.extend_from_slice(b"ECHO ");
                replies.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
                replies.extend_from_slice(b"\r\n");
                replies.extend_from_slice(body);
                replies.extend_from_slice(b"\r\n");
            }
            Request::MetaNoop => replies.extend_from_slice(b"MN\r\n"),
            Request::Version => replies.extend_from_slice(VERSION.as_bytes()),
            Request::Fail(message) => {
                replies.extend_from_slice(b"SERVER_ERROR ");
                replies.extend_from_slice(message);
                replies.extend_from_slice(b"\r\n");
            }
            Request::Panic(message) => {
                replies.extend_from_slice(b"SERVER_ERROR task panicked: ");
                replies.extend_from_slice(message);
                replies.extend_from_slice(b"\r\n");
            }
            Request::Bad(reply) => replies.extend_from_slice(reply.as_bytes()),
            Request::Work(task) => work(task, replies),
            Request::Quit => return Answered { consumed, missing: 0, quit: true },
        }
    }
}

const VERSION: &str = concat!("VERSION ", env!("CARGO_PKG_VERSION"), "\r\n");
const UNKNOWN: Request<'_> = Request::Bad("ERROR\r\n");
const NO_MESSAGE: Request<'_> = Request::Bad("CLIENT_ERROR a message is missing\r\n");
const NO_ARGUMENT: Request<'_> = Request::Bad("CLIENT_ERROR this request takes no argument\r\n");

/// Finds the request at the front of `input`.
#[must_use]
pub fn parse(input: &[u8]) -> Parsed<'_> {
    let Some(line_feed) = memchr(b'\n', input) else { return Parsed::Partial(1) };
    let line = &input[..line_feed];
    let line = line.strip_suffix(b"\r").unwrap_or(line).trim_prefix_spaces();
    let (verb, text) = match memchr(b' ', line) {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, &line[line.len()..]),
    };
    let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
    let alone = |request| if text.trim_prefix_spaces().is_empty() { request } else { NO_ARGUMENT };

    let request = if is(b"echo") {
        match number(text, 2_147_483_647) {
            Some(len) => return parse_body(input, line_feed + 1, len as usize),
            None => Request::Bad("CLIENT_ERROR echo takes one number: the length of the body\r\n"),
        }
    } else if is(b"mn") {
        alone(Request::MetaNoop)
    } else if is(b"compute") {
        Request::Work(Work::Compute(Cow::Borrowed(text)))
    } else if is(b"burn") {
        match number(text, 10_000) {
            Some(ms) => Request::Work(Work::Burn(ms)),
            None => Request::Bad("CLIENT_ERROR burn takes milliseconds, at most 10000\r\n"),
        }
    } else if is(b"version") {
        alone(Request::Version)
    } else if is(b"quit") {
        alone(Request::Quit)
    } else if is(b"fail") {
        if text.is_empty() { NO_MESSAGE } else { Request::Fail(text) }
    } else if is(b"panic") {
        if text.is_empty() { NO_MESSAGE } else { Request::Panic(text) }
    } else {
        UNKNOWN
    };
    Parsed::Request(request, line_feed + 1)
}

/// Finds the body of an echo, which begins at `start` and has `len` bytes.
fn parse_body(input: &[u8], start: usize, len: usize) -> Parsed<'_> {
    let end = start + len;
    match input.get(end..) {
        Some([b'\n', ..]) => Parsed::Request(Request::Echo(&input[start..end]), end + 1),
        Some([b'\r', b'\n', ..]) => Parsed::Request(Request::Echo(&input[start..end]), end + 2),
        Some([b'\r']) => Parsed::Partial(1),
        Some([]) | None => Parsed::Partial(end + 2 - input.len()),
        Some(_) => Parsed::BadDataChunk,
    }
}

/// The only argument in `text`: decimal digits, worth at most `max`.
fn number(text: &[u8], max: u64) -> Option<u64> {
    let digits = text.trim_prefix_spaces();
    let end = digits.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    let digits = &digits[..end];
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |value, &byte| match byte {
        b'0'..=b'9' => Some(value * 10 + u64::from(byte - b'0')).filter(|&value| value <= max),
        _ => None,
    })
}

trait TrimSpaces {
    fn trim_prefix_spaces(&self) -> &Self;
}

impl TrimSpaces for [u8] {
    fn trim_prefix_spaces(&self) -> &Self {
        let start = self.iter().position(|&byte| byte != b' ').unwrap_or(self.len());
        &self[start..]
    }
}
