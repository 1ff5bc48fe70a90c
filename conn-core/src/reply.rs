//! Replies to bytes.

use crate::protocol::{FramingError, LineError};

/// A reply. Replies always end their lines in CR LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The body of an `echo`.
    Echo(&'a [u8]),
    /// The SHA-256 of a text.
    Digest(&'a [u8; 32]),
    /// So many milliseconds of CPU time were used.
    Burned(u64),
    /// The server could not do it, in these words.
    ServerError(&'a [u8]),
    /// The task panicked, with this message.
    Panicked(&'a [u8]),
    /// The version.
    Version(&'a str),
    /// The answer to the meta no-op.
    MetaNoop,
    /// The line asks for nothing known.
    BadLine(LineError),
    /// The rest of the input cannot be understood.
    BadFraming(FramingError),
    /// The announced body is above the limit.
    TooLarge,
}

impl Reply<'_> {
    /// Appends the reply's bytes to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Echo(body) => {
                write_decimal(out, b"ECHO ", body.len() as u64);
                out.extend_from_slice(body);
            }
            Self::Digest(digest) => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"result: ");
                let hex =
                    digest.map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                out.extend_from_slice(hex.as_flattened());
            }
            Self::Burned(ms) => {
                write_decimal(out, b"result: burned ", *ms);
                return;
            }
            Self::ServerError(message) => {
                out.extend_from_slice(b"SERVER_ERROR ");
                out.extend_from_slice(message);
            }
            Self::Panicked(message) => {
                out.extend_from_slice(b"SERVER_ERROR task panicked: ");
                out.extend_from_slice(message);
            }
            Self::Version(version) => {
                out.extend_from_slice(b"VERSION ");
                out.extend_from_slice(version.as_bytes());
            }
            Self::MetaNoop => out.extend_from_slice(b"MN"),
            Self::BadLine(LineError::UnknownVerb) => out.extend_from_slice(b"ERROR"),
            Self::BadLine(LineError::Arguments(reason)) => {
                out.extend_from_slice(b"CLIENT_ERROR ");
                out.extend_from_slice(reason.as_bytes());
            }
            Self::BadFraming(FramingError::LineTooLong) => {
                out.extend_from_slice(b"CLIENT_ERROR line too long");
            }
            Self::BadFraming(FramingError::BadDataChunk) => {
                out.extend_from_slice(b"CLIENT_ERROR bad data chunk");
            }
            Self::TooLarge => out.extend_from_slice(b"SERVER_ERROR object too large"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[inline]
fn write_decimal(out: &mut Vec<u8>, prefix: &[u8], value: u64) {
    out.extend_from_slice(prefix);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(reply: Reply<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        reply.write_to(&mut out);
        out
    }

    #[test]
    fn replies_are_spelled_as_the_contract_says() {
        assert_eq!(reply(Reply::Echo(b"a\r\n")), b"ECHO 3\r\na\r\n\r\n");
        assert_eq!(reply(Reply::Echo(b"")), b"ECHO 0\r\n\r\n");
        assert_eq!(reply(Reply::Burned(7)), b"result: burned 7\r\n");
        assert_eq!(reply(Reply::ServerError(b"no")), b"SERVER_ERROR no\r\n");
        assert_eq!(reply(Reply::Panicked(b"no")), b"SERVER_ERROR task panicked: no\r\n");
        assert_eq!(reply(Reply::TooLarge), b"SERVER_ERROR object too large\r\n");
        assert_eq!(reply(Reply::MetaNoop), b"MN\r\n");
        let mut digest = [0; 32];
        digest[0] = 0x0f;
        digest[31] = 0xa0;
        let text = reply(Reply::Digest(&digest));
        assert!(text.starts_with(b"result: 0f00") && text.ends_with(b"a0\r\n"));
        assert_eq!(text.len(), "result: ".len() + 64 + 2);
    }
}
