//! The bytes: requests that are all alike but for a number, and replies as they must be.

use crate::load::Verb;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// The most bytes of a body that tell one request from the next.
const NUMBER_LEN: usize = 8;
/// `compute` is asked for so many texts in turn: their digests are known in advance.
const TEXTS: u64 = 256;
/// Replies up to this length are compared whole: it costs nothing.
const SMALL: usize = 256;
/// Of longer ones the beginning and so many last bytes are compared …
const TAIL: usize = 16;
/// … and one in so many whole.
const SAMPLED: u64 = 64;

/// Makes requests and checks replies without allocating: one batch of requests and one reply are
/// kept, and only the number in them is written anew.
#[derive(Debug)]
pub(super) struct Traffic {
    /// As many requests as a batch may have.
    batch: Vec<u8>,
    request_len: usize,
    /// Where a request's number stands in it.
    number: Range<usize>,
    reply: Vec<u8>,
    /// Where replies differ: the number comes back, or its text's digest.
    varying: Range<usize>,
    /// The hexadecimal SHA-256 of each text; empty for other verbs than `compute`.
    digests: Vec<String>,
}

impl Traffic {
    pub(super) fn new(verb: Verb, size: usize, pipeline: usize) -> Self {
        let filler: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
        let body = [&filler[..], b"\r\n"].concat();
        let (head, body) = match verb {
            Verb::Echo => (format!("echo {size}\r\n"), &body[..]),
            Verb::Compute => ("compute ".to_owned(), &body[..]),
            Verb::Burn => (format!("burn {size}\r\n"), &[][..]),
            Verb::Mn => ("mn\r\n".to_owned(), &[][..]),
        };
        let request = [head.as_bytes(), body].concat();
        let number_len = if body.is_empty() { 0 } else { size.min(NUMBER_LEN) };
        let number = head.len()..head.len() + number_len;

        let mut digests: Vec<String> = Vec::new();
        let (reply, varying) = match verb {
            // Only the verb is in capitals.
            Verb::Echo => ([b"ECHO", &request[4..]].concat(), number.clone()),
            Verb::Compute => {
                let mut text = filler;
                for n in 0..TEXTS {
                    write_number(&mut text[..number_len], n);
                    let digest = Sha256::digest(&text);
                    digests.push(digest.iter().map(|byte| format!("{byte:02x}")).collect());
                }
                (format!("result: {}\r\n", digests[0]).into_bytes(), 8..8 + digests[0].len())
            }
            Verb::Burn => (format!("result: burned {size}\r\n").into_bytes(), 0..0),
            Verb::Mn => (b"MN\r\n".to_vec(), 0..0),
        };
        let request_len = request.len();
        Self { batch: request.repeat(pipeline), request_len, number, reply, varying, digests }
    }

    /// The length of each request, in bytes.
    pub(super) fn request_len(&self) -> usize {
        self.request_len
    }

    /// The length of each reply, in bytes.
    pub(super) fn reply_len(&self) -> usize {
        self.reply.len()
    }

    /// So many requests in a row, the first of them with this number.
    pub(super) fn requests(&mut self, first: u64, count: usize) -> &[u8] {
        let requests = &mut self.batch[..count * self.request_len];
        for (n, request) in (first..).zip(requests.chunks_exact_mut(self.request_len)) {
            // The digests of a few texts only are known.
            let n = if self.digests.is_empty() { n } else { n % TEXTS };
            write_number(&mut request[self.number.clone()], n);
        }
        requests
    }

    /// Whether a part of a reply is as it must be: `bytes` came at `offset` of the reply to request
    /// `number`. They never reach beyond its end.
    pub(super) fn is_right(&mut self, number: u64, offset: usize, bytes: &[u8]) -> bool {
        self.expect(number);
        let expected = &self.reply[offset..offset + bytes.len()];
        if self.reply.len() <= SMALL || number.is_multiple_of(SAMPLED) {
            return bytes == expected;
        }
        let head = self.varying.end.saturating_sub(offset).min(bytes.len());
        let tail = (self.reply.len() - TAIL).saturating_sub(offset).min(bytes.len());
        bytes[..head] == expected[..head] && bytes[tail..] == expected[tail..]
    }

    /// How a part of a reply that is not right differs from what it must be.
    pub(super) fn difference(&mut self, number: u64, offset: usize, bytes: &[u8]) -> String {
        self.expect(number);
        let expected = &self.reply[offset..];
        let at = bytes.iter().zip(expected).take_while(|(got, want)| got == want).count();
        format!(
            "a wrong reply to request {number}, from byte {} on: expected \"{}\", got \"{}\"",
            offset + at,
            excerpt(&expected[at..]),
            excerpt(&bytes[at..])
        )
    }

    /// Makes `reply` the one to this request.
    fn expect(&mut self, number: u64) {
        let varying = &mut self.reply[self.varying.clone()];
        if self.digests.is_empty() {
            write_number(varying, number);
        } else {
            varying.copy_from_slice(self.digests[(number % TEXTS) as usize].as_bytes());
        }
    }
}

/// The lowest digits of `number` in hexadecimal, as many as there is room for.
fn write_number(room: &mut [u8], mut number: u64) {
    for digit in room.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % 16) as usize];
        number /= 16;
    }
}

/// The first bytes, printable.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 48;
    let dots = if bytes.len() > MOST { "…" } else { "" };
    format!("{}{dots}", bytes[..bytes.len().min(MOST)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_differ_by_their_number_only() {
        let mut echo = Traffic::new(Verb::Echo, 10, 3);
        assert_eq!(
            echo.requests(0xab, 2),
            b"echo 10\r\n000000abij\r\necho 10\r\n000000acij\r\n",
            "two of at most three"
        );
        assert_eq!(Traffic::new(Verb::Echo, 1, 1).requests(0x2f, 1), b"echo 1\r\nf\r\n");
        assert_eq!(Traffic::new(Verb::Echo, 0, 1).requests(7, 1), b"echo 0\r\n\r\n");
        assert_eq!(Traffic::new(Verb::Mn, 9, 2).requests(7, 2), b"mn\r\nmn\r\n");
        assert_eq!(Traffic::new(Verb::Burn, 9, 1).requests(7, 1), b"burn 9\r\n");
        let mut compute = Traffic::new(Verb::Compute, 2, 1);
        assert_eq!(compute.requests(TEXTS + 0x1b, 1), b"compute 1b\r\n");
    }

    #[test]
    fn a_reply_is_right_in_whatever_pieces_it_comes() {
        // printf '1b' | sha256sum
        let digest = "2caf767aa0a1dc4247210e3c2cfd50b6321a91dd49ff5ee0fe8d2b8b52317d67";
        let cases: [(Verb, usize, u64, Vec<u8>); 4] = [
            (Verb::Echo, 10, 0xab, b"ECHO 10\r\n000000abij\r\n".to_vec()),
            (Verb::Compute, 2, 0x1b, format!("result: {digest}\r\n").into_bytes()),
            (Verb::Burn, 9, 0x1b, b"result: burned 9\r\n".to_vec()),
            (Verb::Mn, 9, 0x1b, b"MN\r\n".to_vec()),
        ];
        for (verb, size, number, reply) in cases {
            let mut traffic = Traffic::new(verb, size, 1);
            assert_eq!(traffic.reply_len(), reply.len());
            for cut in 0..reply.len() {
                let (start, end) = reply.split_at(cut);
                assert!(traffic.is_right(number, 0, start), "{verb:?} up to {cut}");
                assert!(traffic.is_right(number, cut, end), "{verb:?} from {cut}");
            }
            for at in 0..reply.len() {
                let mut wrong = reply.clone();
                wrong[at] ^= 1;
                assert!(!traffic.is_right(number, 0, &wrong), "{verb:?} byte {at}");
                assert!(traffic.difference(number, 0, &wrong).contains(&format!("byte {at} ")));
            }
        }
    }

    #[test]
    fn of_long_replies_the_ends_are_looked_at_and_of_one_in_64_all() {
        let mut traffic = Traffic::new(Verb::Echo, 1000, 1);
        for number in [63, 64] {
            let mut reply = traffic.requests(number, 1).to_vec();
            reply[..4].copy_from_slice(b"ECHO");
            let unseen = 11 + NUMBER_LEN..reply.len() - TAIL;
            for at in 0..reply.len() {
                reply[at] ^= 1;
                let (start, end) = reply.split_at(500);
                let right =
                    traffic.is_right(number, 0, start) && traffic.is_right(number, 500, end);
                assert_eq!(right, number == 63 && unseen.contains(&at), "request {number}, {at}");
                reply[at] ^= 1;
            }
        }
    }
}
