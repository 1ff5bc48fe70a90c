//! TCP is a stream: where the segments end says nothing about where the requests end
//! (notes/protocol.md section 1).

use super::protocol::computed;
use super::script::{Script, send_while_reading};
use super::support::echo;
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;

const REQUESTS: &str = "notes/protocol.md section 1, on the wire";
const FINE_PRINT: &str = "notes/protocol.md section 1, the fine print";
const CLIENT_WRONG: &str = "notes/protocol.md section 1, when the client is wrong";

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("FR01", "framing/one_byte_per_segment", Rung::Day2, one_byte_per_segment)
        .rule("requests that come a byte at a time are answered like any other", REQUESTS)
        .hint(
            "recv(2) returns what is there, not a request: append to a buffer of this connection, \
             and parse only what is whole",
        ),
    Case::new("FR02", "framing/split_at_every_byte", Rung::Day2, split_at_every_byte)
        .timeout_s(20)
        .rule("a stream of requests may be cut into segments anywhere", REQUESTS)
        .hint(
            "keep what is left behind the last whole request, and the state, until more comes; every \
             reply, also that of an error, goes behind those that are queued",
        ),
    Case::new("FR03", "framing/header_and_body_together", Rung::Day2, header_and_body_together)
        .rule("a header and its body may come in one segment, or each in its own", REQUESTS)
        .hint("after the header, look for the body in the same buffer before reading again"),
    Case::new("FR04", "framing/two_and_a_half_requests", Rung::Day2, two_and_a_half_requests)
        .rule("whole requests are answered although half of another follows them", REQUESTS)
        .hint("loop over the buffer until no whole request is left, and keep the rest"),
    Case::new("FR05", "framing/cr_and_lf_in_two_segments", Rung::Day2, cr_and_lf_apart)
        .rule("CR and LF of one end of line may come in two segments", REQUESTS)
        .hint("a CR at the end of the buffer decides nothing: wait for the next byte"),
    Case::new("FR06", "framing/thousands_pipelined", Rung::Day2, thousands_pipelined)
        .timeout_s(20)
        .rule("any number of pipelined requests: each answered exactly once, in order", FINE_PRINT)
        .hint(
            "after a bounded share of the buffer remember that more is waiting: no new readiness \
             will come for bytes that were already read",
        ),
    Case::new("FR07", "framing/large_body_to_a_slow_reader", Rung::Day2, large_body_slow_reader)
        .timeout_s(20)
        .rule("a large binary body comes back whole, however slowly it is read", REQUESTS)
        .hint(
            "send(2) takes a part or fails with EAGAIN: keep the offset of what was written, and \
             go on from there when the socket is writable",
        ),
    Case::new("FR08", "framing/no_reply_is_lost_unread", Rung::Day2, no_reply_is_lost_unread)
        .timeout_s(20)
        .rule("a client that sends first and reads later gets every reply, in order", FINE_PRINT)
        .hint(
            "new replies go behind those that wait; if reading was paused, resume it as the queue \
             drains, also for requests that are in the buffer already",
        ),
    Case::new("FR09", "framing/random_streams", Rung::Day2, random_streams)
        .timeout_s(20)
        .rule("valid requests in random slices, of several clients at once", REQUESTS)
        .hint(
            "each connection has its own buffers and its own state; every reply, also that of an \
             error, goes behind those that are queued",
        ),
    Case::new("FR10", "framing/garbage", Rung::Day2, garbage)
        .timeout_s(20)
        .rule(
            "whatever bytes a client sends, it gets replies of the table, and others are served",
            CLIENT_WRONG,
        )
        .hint("treat input as bytes, check each index and number, and answer errors by the table"),
    Case::new("FR11", "framing/skipped_body_in_pieces", Rung::Day2, skipped_body_in_pieces)
        .needs(&[Need::Flags])
        .rule(
            "a body that is thrown away may come in any pieces, like one that is kept",
            CLIENT_WRONG,
        )
        .hint("count down what is left to skip across reads; its EOL may come in two segments"),
];

/// A script, cut in two at each of its bytes. Before the second part is sent, a barrier on another
/// connection has proved that the server has seen the first one on its own.
fn cut_everywhere(server: &Server, script: &Script) -> CaseResult {
    const CLIENTS: usize = 8;
    let mut clients = (0..CLIENTS).map(|_| server.client()).collect::<CaseResult<Vec<_>>>()?;
    let mut barrier = server.connect().named("barrier").open()?;
    let cuts: Vec<usize> = (1..script.requests.len()).collect();
    for some in cuts.chunks(CLIENTS) {
        for (client, cut) in clients.iter_mut().zip(some) {
            client.send(&script.requests[..*cut])?;
        }
        barrier.fence()?;
        for (client, cut) in clients.iter_mut().zip(some) {
            client.send(&script.requests[*cut..])?;
        }
        for (client, _) in clients.iter_mut().zip(some) {
            client.expect(&script.replies)?;
        }
    }
    clients.iter_mut().try_for_each(Client::fence)
}

fn one_byte_per_segment(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    let mut barrier = server.connect().named("barrier").open()?;
    let script = Script::one_of_each();
    for byte in &script.requests {
        client.send([*byte])?;
        // Its reply proves that the server was awake once more, and had this byte alone.
        barrier.fence()?;
    }
    client.expect(&script.replies)?;
    client.fence()
}

fn split_at_every_byte(judge: &Judge) -> CaseResult {
    cut_everywhere(&judge.server(&[])?, &Script::one_of_each())
}

fn skipped_body_in_pieces(judge: &Judge) -> CaseResult {
    let mut script = Script::default();
    for eol in ["\r\n", "\n"] {
        script.add(format!("echo 7{eol}mn\nmn\r\n{eol}"), "SERVER_ERROR object too large\r\n");
        script.add(format!("echo 2{eol}ab{eol}"), "ECHO 2\r\nab\r\n");
    }
    cut_everywhere(&judge.server(&["--max-body", "4"])?, &script)
}

fn header_and_body_together(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask("echo 5\r\nhello\r\n", "ECHO 5\r\nhello\r\n")?;
    for part in ["echo 5\r\n", "hello", "\r\n"] {
        client.send(part)?;
        server.client()?.fence()?;
    }
    client.expect("ECHO 5\r\nhello\r\n")?;
    client.fence()
}

fn two_and_a_half_requests(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask("mn\r\necho 3\r\nabc\r\necho 5\r\nhe", "MN\r\nECHO 3\r\nabc\r\n")?;
    client.ask(
        "llo\r\nmn\r\ncompute a\r\nmn\r\ncomp",
        [b"ECHO 5\r\nhello\r\nMN\r\n".to_vec(), computed(b"a"), b"MN\r\n".to_vec()].concat(),
    )?;
    client.ask("ute b\r\n", computed(b"b"))?;
    client.fence()
}

fn cr_and_lf_apart(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    let of_text = computed(b"text");
    let exchanges: [(&str, &[u8]); 4] = [
        ("mn", b"MN\r\n"),
        ("compute text", &of_text),
        ("echo 2\r\nab", b"ECHO 2\r\nab\r\n"),
        ("echo 0\n", b"ECHO 0\r\n\r\n"),
    ];
    for (request, reply) in exchanges {
        client.send(format!("{request}\r"))?;
        server.client()?.fence()?;
        let early = client.received().escape_ascii().to_string();
        judge.ensure(early.is_empty(), "no reply before the LF", || format!("{early:?}"))?;
        client.ask("\n", reply)?;
    }
    client.fence()
}

fn thousands_pipelined(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut client = server.client()?;
    let mut script = Script::default();
    for number in 0..5000 {
        let (request, reply) = echo(format!("{number}").as_bytes());
        script.add(request, reply);
        script.add("mn\n", "MN\r\n");
    }
    send_while_reading(judge, &mut client, &script.requests)?;
    client.expect(&script.replies)?;
    client.fence()?;
    bystanders.finish()
}

fn large_body_slow_reader(judge: &Judge) -> CaseResult {
    const PIECE: usize = 256 << 10;
    let server = judge.server(&[])?;
    let mut client = server.connect().receive_buffer(16 << 10).open()?;
    let mut body = vec![0; 8 << 20];
    judge.rng().fill(&mut body);
    let (request, reply) = echo(&body);
    client.send(request)?;
    for piece in reply.chunks(PIECE) {
        // Another client in between: the slow one must not hold it up.
        server.client()?.fence()?;
        client.expect(piece)?;
    }
    client.fence()
}

fn no_reply_is_lost_unread(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.connect().receive_buffer(16 << 10).open()?;
    let mut script = Script::default();
    for number in 0..160 {
        let (request, reply) = echo(&vec![b'a' + number % 26; 64 << 10]);
        script.add(request, reply);
        script.add(format!("fail {number}\n"), format!("SERVER_ERROR {number}\r\n"));
    }
    // Up to here nothing is read. A server that bounds its write queue stops reading now.
    let push = client.push_until_blocked(&script.requests, script.requests.len())?;
    server.client()?.fence()?;
    send_while_reading(judge, &mut client, &script.requests[push.sent..])?;
    client.expect(&script.replies)?;
    client.fence()
}

fn random_streams(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut rng = judge.rng();
    let mut barrier = server.connect().named("barrier").open()?;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut script = Script::default();
        (0..120).for_each(|_| script.add_random(&mut rng));
        streams.push((server.client()?, script, 0));
    }
    while streams.iter().any(|(_, script, sent)| *sent < script.requests.len()) {
        for (client, script, sent) in &mut streams {
            let left = script.requests.len() - *sent;
            let most = if rng.u8(..8) == 0 { 3000 } else { 60 };
            let slice = rng.usize(0..=most.min(left));
            send_while_reading(judge, client, &script.requests[*sent..*sent + slice])?;
            *sent += slice;
        }
        if rng.u8(..4) == 0 {
            barrier.fence()?;
        }
    }
    for (client, script, _) in &mut streams {
        client.expect(&script.replies)?;
        client.fence()?;
    }
    Ok(())
}

fn garbage(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut rng = judge.rng();
    for _ in 0..12 {
        let mut client = server.connect().named("garbage").open()?;
        let bytes = random_garbage(&mut rng);
        send_while_reading(judge, &mut client, &bytes)?;
        server.client()?.fence()?;
        client.shutdown_write()?;
        let (heard, _) = client.read_until_closed()?;
        if let Some(strange) = first_strange_reply(&heard) {
            let shown = strange[..strange.len().min(100)].escape_ascii();
            return Err(judge.broken("only replies of the table", format!("\"{shown}\"")));
        }
    }
    bystanders.finish()
}

/// Pieces of requests, changed, repeated, and mixed with random bytes.
fn random_garbage(rng: &mut fastrand::Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"echo 5\r\nhello\r\n",
        b"echo ",
        b"compute x",
        b"mn",
        b"fail ",
        b"panic x\r\n",
        b"stats\r\n",
        b"version\n",
        b"burn 0\r\n",
        b"-1",
        b"2147483648",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\0",
    ];
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(1..150) {
        match rng.u8(..10) {
            0 => {
                let length = rng.usize(..200);
                bytes.extend(std::iter::repeat_with(|| rng.u8(..)).take(length));
            }
            1 => bytes.extend(vec![rng.u8(..); rng.usize(..3000)]),
            2 if !bytes.is_empty() => {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            _ => bytes.extend_from_slice(PIECES[rng.usize(..PIECES.len())]),
        }
    }
    bytes
}

/// What is left of the replies from the first one on that the table does not know.
fn first_strange_reply(mut replies: &[u8]) -> Option<&[u8]> {
    const WHOLE: [&[u8]; 3] = [b"MN", b"ERROR", b"END"];
    const STARTS: [&[u8]; 5] =
        [b"CLIENT_ERROR ", b"SERVER_ERROR ", b"VERSION ", b"STAT ", b"result: "];
    while !replies.is_empty() {
        let Some(end) = replies.windows(2).position(|two| two == b"\r\n") else {
            return Some(replies);
        };
        let (line, mut rest) = (&replies[..end], &replies[end + 2..]);
        if let Some(size) = line.strip_prefix(b"ECHO ") {
            let size: Option<usize> = std::str::from_utf8(size).ok().and_then(|n| n.parse().ok());
            match size.and_then(|size| rest.split_at_checked(size)) {
                Some((_, after)) if after.starts_with(b"\r\n") => rest = &after[2..],
                _ => return Some(replies),
            }
        } else if !WHOLE.contains(&line) && !STARTS.iter().any(|start| line.starts_with(start)) {
            return Some(replies);
        }
        replies = rest;
    }
    None
}
