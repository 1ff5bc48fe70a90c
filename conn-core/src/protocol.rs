//! Bytes to requests: the memcached text protocol's grammar, cut down.
//!
//! ```text
//! request = header [ body ]
//! header  = verb *( SP argument ) EOL
//! body    = <exactly n bytes, any value> EOL       only where the header announces n
//! EOL     = CR LF | LF
//! ```
//!
//! The decoder never waits: it is given what has arrived, takes one step if it can, and says how
//! many bytes that used up. What is left over is given to it again, with more behind it.

use crate::policy::{Limits, MAX_ANNOUNCED};
use memchr::memchr;
use std::mem;

/// The longest time that `burn` may be asked for, in milliseconds.
pub const MAX_BURN_MS: u64 = 10_000;

/// A request that is complete with its header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Hash these bytes.
    Compute(&'a [u8]),
    /// Use this many milliseconds of CPU time.
    Burn(u64),
    /// Return an error with this message.
    Fail(&'a [u8]),
    /// Panic with this message.
    Panic(&'a [u8]),
    /// Say which version this is.
    Version,
    /// Say how the server is doing.
    Stats,
    /// Say `MN`: a barrier behind pipelined requests.
    MetaNoop,
    /// Flush what is queued, then close.
    Quit,
}

/// What a header line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// A whole request.
    Command(Command<'a>),
    /// `echo`: so many bytes of body and an end of line follow.
    Announces(u64),
    /// `echo` with a body above the limit: what follows is skipped.
    TooLarge,
    /// A line that asks for nothing known. The peer is told, and goes on.
    Bad(LineError),
}

/// Why a header line is refused. Framing is not lost: the next line is a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// Empty, or a verb that does not exist.
    UnknownVerb,
    /// A verb that exists, with arguments that it does not take.
    Arguments(&'static str),
}

/// Why the rest of the input cannot be cut into requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// More than `max_header` bytes came before the end of a header line.
    LineTooLong,
    /// The body was not followed by an end of line.
    BadDataChunk,
}

/// One step of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// What is there is not enough. Not an error.
    Incomplete,
    /// A header line.
    Header(Header<'a>),
    /// A whole body, without its end of line.
    Body(&'a [u8]),
    /// The last byte of an oversized body and its end of line have been skipped.
    Skipped,
    /// Framing is lost; the decoder is of no more use.
    Lost(FramingError),
}

/// Where in a request the decoder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frame {
    /// In a header line, or in front of one.
    #[default]
    Header,
    /// In a body of so many bytes, of which none has been used up.
    Body(u64),
    /// In a body that is thrown away, so many bytes before its end of line.
    Skip(u64),
}

/// Cuts a stream of bytes into requests, one step at a time.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    frame: Frame,
    /// So many bytes of an incomplete header line are known to hold no LF.
    scanned: usize,
}

impl Decoder {
    /// Where in a request the decoder is.
    #[must_use]
    pub fn frame(&self) -> Frame {
        self.frame
    }

    /// Takes one step through `input`; returns how many bytes it used up, and what they were.
    ///
    /// Bytes that were not used up must be passed again, with whatever has arrived behind them.
    #[inline]
    pub fn step<'a>(&mut self, input: &'a [u8], limits: &Limits) -> (usize, Step<'a>) {
        match self.frame {
            Frame::Header => self.header(input, limits),
            Frame::Body(len) => self.body(input, len),
            Frame::Skip(left) => self.skip(input, left),
        }
    }

    #[inline]
    fn header<'a>(&mut self, input: &'a [u8], limits: &Limits) -> (usize, Step<'a>) {
        // The end of the longest line that is allowed lies within its bytes, one CR and one LF.
        let window = &input[..input.len().min(limits.max_header.saturating_add(2))];
        let seen = mem::take(&mut self.scanned).min(window.len());
        let Some(end) = memchr(b'\n', &window[seen..]) else {
            let without_cr = window.strip_suffix(b"\r").unwrap_or(window);
            let too_long = without_cr.len() > limits.max_header;
            if too_long {
                return (0, Step::Lost(FramingError::LineTooLong));
            }
            self.scanned = window.len();
            return (0, Step::Incomplete);
        };
        let end = seen + end;
        let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
        if line.len() > limits.max_header {
            return (0, Step::Lost(FramingError::LineTooLong));
        }
        let header = match parse_header(line) {
            Header::Announces(len) if len > limits.max_body => {
                self.frame = Frame::Skip(len);
                Header::TooLarge
            }
            Header::Announces(len) => {
                self.frame = Frame::Body(len);
                Header::Announces(len)
            }
            other => other,
        };
        (end + 1, Step::Header(header))
    }

    fn body<'a>(&mut self, input: &'a [u8], len: u64) -> (usize, Step<'a>) {
        // A body that does not fit in memory does not fit in `input` either.
        let Some((body, rest)) =
            usize::try_from(len).ok().and_then(|len| input.split_at_checked(len))
        else {
            return (0, Step::Incomplete);
        };
        match end_of_line(rest) {
            EndOfLine::Found(eol) => {
                self.frame = Frame::Header;
                (body.len() + eol, Step::Body(body))
            }
            EndOfLine::Incomplete => (0, Step::Incomplete),
            EndOfLine::Missing => (0, Step::Lost(FramingError::BadDataChunk)),
        }
    }

    fn skip<'a>(&mut self, input: &'a [u8], left: u64) -> (usize, Step<'a>) {
        let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let left = left - skipped as u64;
        self.frame = Frame::Skip(left);
        if left > 0 {
            return (skipped, Step::Incomplete);
        }
        match end_of_line(&input[skipped..]) {
            EndOfLine::Found(eol) => {
                self.frame = Frame::Header;
                (skipped + eol, Step::Skipped)
            }
            EndOfLine::Incomplete => (skipped, Step::Incomplete),
            EndOfLine::Missing => (skipped, Step::Lost(FramingError::BadDataChunk)),
        }
    }
}

enum EndOfLine {
    Found(usize),
    Incomplete,
    Missing,
}

fn end_of_line(input: &[u8]) -> EndOfLine {
    match input {
        [b'\n', ..] => EndOfLine::Found(1),
        [b'\r', b'\n', ..] => EndOfLine::Found(2),
        [] | [b'\r'] => EndOfLine::Incomplete,
        _ => EndOfLine::Missing,
    }
}

/// Parses one header line, given without its end of line.
#[must_use]
pub fn parse_header(line: &[u8]) -> Header<'_> {
    let line = trim_start(line);
    let verb_len = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (verb, rest) = line.split_at(verb_len);
    // All that follows the one space behind the verb, inner and trailing spaces kept.
    let text = rest.strip_prefix(b" ").unwrap_or(rest);
    // Nearly everybody writes small letters, which are compared in one go.
    let is = |name: &str| verb == name.as_bytes() || verb.eq_ignore_ascii_case(name.as_bytes());

    if is("echo") {
        match number(text, MAX_ANNOUNCED, "echo takes one number: the length of the body") {
            Ok(len) => Header::Announces(len),
            Err(error) => Header::Bad(error),
        }
    } else if is("compute") {
        Header::Command(Command::Compute(text))
    } else if is("burn") {
        match number(text, MAX_BURN_MS, "burn takes one number: milliseconds, at most 10000") {
            Ok(ms) => Header::Command(Command::Burn(ms)),
            Err(error) => Header::Bad(error),
        }
    } else if is("fail") {
        message(text, Command::Fail)
    } else if is("panic") {
        message(text, Command::Panic)
    } else if is("version") {
        alone(text, Command::Version)
    } else if is("stats") {
        alone(text, Command::Stats)
    } else if is("mn") {
        alone(text, Command::MetaNoop)
    } else if is("quit") {
        alone(text, Command::Quit)
    } else {
        Header::Bad(LineError::UnknownVerb)
    }
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' '] = bytes {
        bytes = rest;
    }
    bytes
}

fn alone<'a>(text: &[u8], command: Command<'a>) -> Header<'a> {
    if trim_start(text).is_empty() {
        Header::Command(command)
    } else {
        Header::Bad(LineError::Arguments("this request takes no argument"))
    }
}

fn message<'a>(text: &'a [u8], command: impl FnOnce(&'a [u8]) -> Command<'a>) -> Header<'a> {
    if text.is_empty() {
        Header::Bad(LineError::Arguments("a message is missing"))
    } else {
        Header::Command(command(text))
    }
}

/// The only argument in `text`: decimal digits, worth at most `max`, which times ten is still a number.
fn number(text: &[u8], max: u64, reason: &'static str) -> Result<u64, LineError> {
    let digits = trim_end(trim_start(text));
    if digits.is_empty() {
        return Err(LineError::Arguments(reason));
    }
    let mut value = 0_u64;
    for digit in digits {
        value = match digit {
            b'0'..=b'9' => value * 10 + u64::from(digit - b'0'),
            _ => return Err(LineError::Arguments(reason)),
        };
        // With every digit, so that a number of any length is out of range instead of wrapped around.
        if value > max {
            return Err(LineError::Arguments(reason));
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(input: &[u8]) -> (usize, Step<'_>) {
        Decoder::default().step(input, &Limits { max_header: 20, ..Limits::default() })
    }

    #[test]
    fn text_is_all_between_the_one_space_and_the_end_of_line() {
        let texts: [(&[u8], &[u8]); 8] = [
            (b"compute", b""),
            (b"compute ", b""),
            (b"compute a", b"a"),
            (b"compute  a b ", b" a b "),
            (b"  COMPUTE a", b"a"),
            (b"compute a\r", b"a\r"),
            (b"compute \0\xff", b"\0\xff"),
            (b"CoMpUtE a\tb", b"a\tb"),
        ];
        for (line, text) in texts {
            assert_eq!(parse_header(line), Header::Command(Command::Compute(text)));
        }
    }

    #[test]
    fn numbers_may_have_leading_zeros_and_spaces_around_them() {
        assert_eq!(parse_header(b"echo 0"), Header::Announces(0));
        assert_eq!(parse_header(b"  echo   0007  "), Header::Announces(7));
        assert_eq!(parse_header(b"echo 2147483647"), Header::Announces(MAX_ANNOUNCED));
        assert_eq!(parse_header(b"burn 10000"), Header::Command(Command::Burn(10_000)));
        let long = [b"echo ".as_slice(), &[b'0'; 100], b"5"].concat();
        assert_eq!(parse_header(&long), Header::Announces(5));
    }

    #[test]
    fn what_a_verb_does_not_take_is_a_client_error() {
        let bad: [&[u8]; 19] = [
            b"echo",
            b"echo ",
            b"echo x",
            b"echo -1",
            b"echo +1",
            b"echo 1 2",
            b"echo 1x",
            b"echo 2147483648",
            b"echo 99999999999999999999999999",
            b"burn",
            b"burn 10001",
            b"burn 1.5",
            b"fail",
            b"fail ",
            b"panic",
            b"version 1",
            b"stats all",
            b"mn mn",
            b"quit now",
        ];
        for line in bad {
            assert!(
                matches!(parse_header(line), Header::Bad(LineError::Arguments(_))),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_no_verb_is_an_error() {
        let bad: [&[u8]; 7] =
            [b"", b"   ", b"get", b"echos 1", b"compute\ta", b"\xff\xfe", b"mn\r"];
        for line in bad {
            assert_eq!(
                parse_header(line),
                Header::Bad(LineError::UnknownVerb),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
        let fits = b"compute 901234567890";
        assert_eq!(fits.len(), 20);
        for eol in ["\n", "\r\n"] {
            let line = [fits, eol.as_bytes()].concat();
            assert_eq!(step(&line).0, line.len());
            let line = [fits, b"1".as_slice(), eol.as_bytes()].concat();
            assert_eq!(step(&line).1, Step::Lost(FramingError::LineTooLong));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_noticed_before_its_end_arrives() {
        assert_eq!(step(&[b'a'; 20]).1, Step::Incomplete);
        assert_eq!(step(&[b'a'; 21]).1, Step::Lost(FramingError::LineTooLong));
        // The last byte may be the CR of an end of line whose LF is still under way.
        let with_cr = [[b'a'; 20].as_slice(), b"\r"].concat();
        assert_eq!(step(&with_cr).1, Step::Incomplete);
        assert_eq!(
            step(&[with_cr.as_slice(), b"x"].concat()).1,
            Step::Lost(FramingError::LineTooLong)
        );
    }
}
