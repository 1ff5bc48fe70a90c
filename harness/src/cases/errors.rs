//! What a client that breaks a rule gets, and that it harms itself only (notes/protocol.md
//! section 1, when the client is wrong).

use super::support::{BIG, echo_of, stopped_reader};
use crate::case::{Case, Need, Rung};
use crate::client::Client;
use crate::judge::Judge;
use crate::server::Server;
use crate::verdict::CaseResult;
use std::time::Duration;

const SOURCE: &str = "notes/protocol.md section 1, when the client is wrong";
const TOO_LARGE: &str = "SERVER_ERROR object too large\r\n";
const BAD_CHUNK: &str = "CLIENT_ERROR bad data chunk\r\n";
const TOO_LONG: &str = "CLIENT_ERROR line too long\r\n";

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("ER01", "errors/empty_line_is_an_error", Rung::Day2, empty_line)
        .rule("an empty line, or one of spaces only, is answered with `ERROR`", SOURCE)
        .hint("a line without a verb is answered like an unknown verb, not skipped"),
    Case::new("ER02", "errors/almost_a_verb_is_unknown", Rung::Day2, almost_a_verb)
        .rule("a verb that does not exist is answered with `ERROR`, and all goes on", SOURCE)
        .hint("compare the whole first word, not how it begins; only spaces separate words"),
    Case::new("ER03", "errors/missing_argument", Rung::Day2, missing_argument)
        .rule("a missing argument is answered with `CLIENT_ERROR <reason>`", SOURCE)
        .hint("check that the argument is there; `fail` and `panic` need one byte of message"),
    Case::new("ER04", "errors/further_arguments", Rung::Day2, further_arguments)
        .rule(
            "further arguments are answered with `CLIENT_ERROR <reason>`, and all goes on",
            SOURCE,
        )
        .hint("check that nothing follows the last argument: `quit now` does not quit"),
    Case::new("ER05", "errors/number_must_be_digits", Rung::Day2, number_must_be_digits)
        .rule("a number that is none is answered with `CLIENT_ERROR <reason>`", SOURCE)
        .hint(
            "a number is ASCII digits and nothing else: atoi(3), strtol(3) and int() take signs, \
             spaces, 0x or the digits in front of a letter",
        ),
    Case::new("ER06", "errors/number_out_of_range", Rung::Day2, number_out_of_range)
        .rule("n above 2147483647 or ms above 10000 is answered with `CLIENT_ERROR`", SOURCE)
        .hint("parse into a wide type and check for overflow: 4294967297 must not wrap to 1"),
    Case::new("ER07", "errors/bad_n_announces_no_body", Rung::Day2, bad_n_announces_no_body)
        .rule("a bad n announces nothing: what follows the line is taken for requests", SOURCE)
        .hint("after CLIENT_ERROR stay in the state that reads headers"),
    Case::new("ER08", "errors/too_large_is_said_at_once", Rung::Day2, too_large_is_said_at_once)
        .rule("n above --max-body is answered as soon as the header is read", SOURCE)
        .hint("check n against --max-body before the body, and send the reply before it comes"),
    Case::new("ER09", "errors/too_large_body_is_skipped", Rung::Day2, too_large_body_is_skipped)
        .needs(&[Need::Flags])
        .rule("a body that is too large is thrown away with its EOL, then all goes on", SOURCE)
        .hint("count down n bytes and the EOL without parsing them, then read a header again"),
    Case::new("ER10", "errors/max_body_itself_is_allowed", Rung::Day2, max_body_is_allowed)
        .timeout_s(20)
        .needs(&[Need::Flags])
        .rule("n of exactly --max-body is taken, one more is too large", SOURCE)
        .hint("compare with `>`, not with `>=`"),
    Case::new("ER11", "errors/skipped_body_is_not_stored", Rung::Day2, skipped_body_is_not_stored)
        .timeout_s(20)
        .needs(&[Need::Pid, Need::Flags])
        .rule("a body that is too large is thrown away without being stored", SOURCE)
        .hint("drop each piece as it is read: do not collect n bytes and then forget them"),
    Case::new("ER12", "errors/body_without_eol_closes", Rung::Day2, body_without_eol_closes)
        .rule("a body without EOL is answered with `bad data chunk`, then closed", SOURCE)
        .hint("behind the n bytes must stand LF or CR LF: check it, do not search for it"),
    Case::new("ER13", "errors/skipped_body_without_eol_closes", Rung::Day2, skipped_without_eol)
        .needs(&[Need::Flags])
        .rule("a skipped body without EOL is answered with `bad data chunk` too", SOURCE)
        .hint("check the EOL behind a body that is thrown away as well"),
    Case::new("ER14", "errors/long_line_closes", Rung::Day2, long_line_closes)
        .needs(&[Need::Flags])
        .rule("a line of more than --max-header bytes closes, with `line too long`", SOURCE)
        .hint("check the length of the line also when its LF has arrived with it"),
    Case::new("ER15", "errors/endless_line_closes", Rung::Day2, endless_line_closes)
        .needs(&[Need::Flags])
        .rule("more than --max-header bytes close even if no EOL has come yet", SOURCE)
        .hint("without this a line that never ends fills the memory: check after every read"),
    Case::new("ER16", "errors/max_header_itself_is_allowed", Rung::Day2, max_header_is_allowed)
        .needs(&[Need::Flags])
        .rule("a line of exactly --max-header bytes is taken; the EOL does not count", SOURCE)
        .hint("CR LF is no part of the line, and a last CR may be half of it: wait for its LF"),
    Case::new("ER17", "errors/cr_alone_counts", Rung::Day2, cr_alone_counts)
        .needs(&[Need::Flags])
        .rule("a CR that no LF follows is a byte of the line and counts", SOURCE)
        .hint("only the CR directly in front of LF is no part of the line"),
    Case::new("ER18", "errors/bad_client_harms_only_itself", Rung::Day2, harms_only_itself)
        .rule("a client that breaks a rule harms itself only", SOURCE)
        .hint("an error of one connection ends that connection, never the loop or the process"),
    Case::new("ER19", "errors/replies_before_the_error_arrive", Rung::Day2, replies_before_arrive)
        .rule("what was asked before framing was lost is answered, nothing behind it is", SOURCE)
        .hint("queue the error behind the replies, flush all, and parse no further"),
    Case::new("ER20", "errors/an_error_waits_its_turn", Rung::Day2, error_waits_its_turn)
        .rule("the reply to a bad request comes in its place among the others", SOURCE)
        .hint(
            "put an error's reply into the write queue like any other: one that is sent on the spot \
             overtakes the replies that wait there, or is lost when the socket is full",
        ),
];

/// Asks each line, and wants one `CLIENT_ERROR <reason>` for it and nothing else.
fn expect_client_errors(judge: &Judge, lines: &[&[u8]]) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    for line in lines {
        client.send([line, b"\r\n".as_slice()].concat())?;
        let reply = client.expect_line_starting("CLIENT_ERROR ")?;
        let asked = line.escape_ascii();
        judge.ensure(
            reply.len() > "CLIENT_ERROR ".len(),
            format!("a reason for {asked}"),
            || format!("{reply:?}"),
        )?;
        client.fence()?;
    }
    Ok(())
}

/// Asks each line, and wants `ERROR` for it and nothing else.
fn expect_errors(judge: &Judge, lines: &[&[u8]]) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    for line in lines {
        client.ask(line, "ERROR\r\n")?;
        client.fence()?;
    }
    Ok(())
}

/// The client sends this, gets this reply, and the connection ends in order.
fn expect_closing(server: &Server, request: impl AsRef<[u8]>, reply: &str) -> CaseResult {
    let mut client = server.client()?;
    client.ask(request, reply)?;
    client.expect_eof()
}

fn empty_line(judge: &Judge) -> CaseResult {
    expect_errors(judge, &[b"\r\n", b"\n", b" \r\n", b"    \n"])
}

fn almost_a_verb(judge: &Judge) -> CaseResult {
    expect_errors(
        judge,
        &[
            b"m\r\n",
            b"mnn\r\n",
            b"ech 1\r\n",
            b"echoo 1\r\n",
            b"echo1\r\n",
            b"computer 1\r\n",
            b"quits\r\n",
            b"mn\t\r\n",
            b"fail\tno\r\n",
            b"mn\0\r\n",
            b"\0\r\n",
            b"\xff\xfe\r\n",
            b"\rmn\r\n",
            b"get key\r\n",
        ],
    )
}

fn missing_argument(judge: &Judge) -> CaseResult {
    expect_client_errors(
        judge,
        &[b"echo", b"echo ", b"burn", b"burn  ", b"fail", b"fail ", b"panic", b"panic "],
    )
}

fn further_arguments(judge: &Judge) -> CaseResult {
    expect_client_errors(
        judge,
        &[b"echo 1 2", b"echo 1 a", b"burn 0 0", b"version 1", b"stats all", b"mn mn", b"quit now"],
    )
}

fn number_must_be_digits(judge: &Judge) -> CaseResult {
    expect_client_errors(
        judge,
        &[
            b"echo x",
            b"echo 1x",
            b"echo -1",
            b"echo +1",
            b"echo -0",
            b"echo 0x1",
            b"echo 1.0",
            b"echo 1_0",
            b"echo 1,0",
            b"echo 1e1",
            b"echo \t1",
            b"echo 1\0",
            b"echo 1\r",
            // An Arabic and a superscript digit, which some languages take for numbers.
            "echo \u{663}".as_bytes(),
            "echo \u{b2}".as_bytes(),
            b"burn x",
            b"burn -1",
            b"burn +1",
            b"burn 1ms",
            b"burn 0x1",
        ],
    )
}

fn number_out_of_range(judge: &Judge) -> CaseResult {
    let thousand_digits = format!("echo {}", "9".repeat(1000));
    expect_client_errors(
        judge,
        &[
            b"echo 2147483648",
            b"echo 4294967296",
            b"echo 4294967297",
            b"echo 9223372036854775808",
            b"echo 18446744073709551617",
            b"echo 340282366920938463463374607431768211457",
            thousand_digits.as_bytes(),
            b"burn 10001",
            b"burn 4294967296",
            b"burn 18446744073709551617",
        ],
    )
}

fn bad_n_announces_no_body(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    for bad in ["2147483648", "4294967300", "-4", "4x", "4 4"] {
        client.send(format!("echo {bad}\r\nmn\r\nmn\r\n"))?;
        client.expect_line_starting("CLIENT_ERROR ")?;
        client.expect("MN\r\nMN\r\n")?;
        client.fence()?;
    }
    Ok(())
}

fn too_large_is_said_at_once(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    server.client()?.ask("echo 2147483647\r\n", TOO_LARGE)?;
    // Just above the default, in one segment with other requests and the first bytes of its body.
    server.client()?.ask("mn\r\necho 16777217\r\nmn\r\n", format!("MN\r\n{TOO_LARGE}"))?;
    server.client()?.fence()
}

fn too_large_body_is_skipped(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-body", "10"])?;
    let mut client = server.client()?;
    // In its own time, all at once, with either EOL, and full of what looks like requests.
    client.ask("echo 12\r\n", TOO_LARGE)?;
    client.send("mn\r\nmn\r\nmn\r\n\r\n")?;
    client.fence()?;
    client.ask("echo 11\nquit\r\nquit\n\nmn\n", format!("{TOO_LARGE}MN\r\n"))?;
    client.ask("echo 3\r\nabc\r\n", "ECHO 3\r\nabc\r\n")?;
    // Larger than what one read takes.
    client.ask("echo 300000\r\n", TOO_LARGE)?;
    client.send([b"mn\r\n".repeat(75_000), b"\r\n".to_vec()].concat())?;
    client.fence()
}

fn max_body_is_allowed(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-body", "10"])?;
    let mut client = server.client()?;
    client.ask("echo 10\r\n0123456789\r\n", "ECHO 10\r\n0123456789\r\n")?;
    client.ask("echo 11\r\n0123456789a\r\n", TOO_LARGE)?;
    client.fence()?;
    let server = judge.server(&["--max-body", "0"])?;
    let mut client = server.client()?;
    client.ask("echo 0\r\n\r\n", "ECHO 0\r\n\r\n")?;
    client.ask("echo 1\r\na\r\n", TOO_LARGE)?;
    client.fence()
}

fn skipped_body_is_not_stored(judge: &Judge) -> CaseResult {
    const BODY: usize = 128 << 20;
    const MOST: u64 = 64 << 20;
    let server = judge.server(&["--max-body", "1000"])?;
    let mut client = server.client()?;
    client.fence()?;
    let before = server.process()?.resident_bytes()?;
    client.ask(format!("echo {BODY}\r\n"), TOO_LARGE)?;
    // All but the last byte: whoever collects the body before forgetting it has nearly all now.
    let piece = vec![b'x'; 1 << 20];
    client.send(&piece[1..])?;
    for _ in 1..BODY / piece.len() {
        client.send(&piece)?;
    }
    judge.wait_until("the body to be read", Duration::from_secs(5), || {
        Ok(server.stats()?.number("bytes_read")? >= BODY as u64)
    })?;
    let grown = server.process()?.resident_bytes()?.saturating_sub(before);
    judge.ensure(
        grown < MOST,
        format!("memory to grow by less than half of a skipped body of {} MiB", BODY >> 20),
        || format!("it grew by {} MiB", grown >> 20),
    )?;
    client.send("x\r\n")?;
    client.fence()
}

fn body_without_eol_closes(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    for request in [
        "echo 3\r\nabcd\r\n",
        "echo 3\r\nabc\rd\r\n",
        "echo 3\r\nabc\r\r\n",
        "echo 3\r\nabc mn\r\n",
        "echo 0\r\nmn\r\n",
    ] {
        expect_closing(&server, request, BAD_CHUNK)?;
    }
    server.client()?.fence()
}

fn skipped_without_eol(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-body", "4"])?;
    let replies = format!("{TOO_LARGE}{BAD_CHUNK}");
    for request in ["echo 5\r\nabcdef\r\n", "echo 5\r\nabcde\rmn\r\n", "echo 5\r\nabcdemn\r\n"] {
        expect_closing(&server, request, &replies)?;
    }
    server.client()?.fence()
}

fn long_line_closes(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-header", "40"])?;
    for eol in ["\r\n", "\n"] {
        expect_closing(&server, format!("{}{eol}mn\r\n", fail_line(41)), TOO_LONG)?;
        expect_closing(&server, format!("{}{eol}", fail_line(4000)), TOO_LONG)?;
        expect_closing(&server, format!("mn{}{eol}", " ".repeat(39)), TOO_LONG)?;
    }
    server.client()?.fence()
}

fn endless_line_closes(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-header", "40"])?;
    expect_closing(&server, fail_line(41), TOO_LONG)?;
    expect_closing(&server, fail_line(100_000), TOO_LONG)?;
    let mut client = server.client()?;
    client.send(fail_line(40))?;
    server.client()?.fence()?;
    client.ask("x", TOO_LONG)?;
    client.expect_eof()
}

fn max_header_is_allowed(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-header", "40"])?;
    let mut client = server.client()?;
    let (line, reply) = (fail_line(40), format!("SERVER_ERROR {}\r\n", "m".repeat(35)));
    client.ask(format!("{line}\n"), &reply)?;
    client.ask(format!("{line}\r\n"), &reply)?;
    // The CR alone: another client's barrier proves that the server has seen it.
    client.send(format!("{line}\r"))?;
    server.client()?.fence()?;
    client.ask("\n", &reply)?;
    client.fence()
}

fn cr_alone_counts(judge: &Judge) -> CaseResult {
    let server = judge.server(&["--max-header", "40"])?;
    let mut client = server.client()?;
    let inside = format!("{}\rm", fail_line(38));
    client.ask(format!("{inside}\r\n"), format!("SERVER_ERROR {}\rm\r\n", "m".repeat(33)))?;
    let at_the_end = format!("{}\r", fail_line(39));
    client.ask(format!("{at_the_end}\r\n"), format!("SERVER_ERROR {}\r\r\n", "m".repeat(34)))?;
    client.fence()?;
    expect_closing(&server, format!("{}\rm", fail_line(39)), TOO_LONG)?;
    expect_closing(&server, format!("{}\r\r\n", fail_line(40)), TOO_LONG)
}

/// `fail mmm…`, this many bytes long.
fn fail_line(length: usize) -> String {
    format!("fail {}", "m".repeat(length - "fail ".len()))
}

fn harms_only_itself(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut witness = server.connect().named("witness").open()?;
    witness.send("echo 4\r\nab")?;
    let offend = |request: &str, check: fn(&mut Client) -> CaseResult| {
        let mut client = server.client()?;
        client.send(request)?;
        check(&mut client)?;
        server.client()?.fence()
    };
    offend("\r\n\0\r\n", |client| client.expect("ERROR\r\nERROR\r\n"))?;
    offend("echo 99999999999\r\n", |client| {
        client.expect_line_starting("CLIENT_ERROR ").map(drop)
    })?;
    offend("echo 2147483647\r\nabc", |client| client.expect(TOO_LARGE))?;
    offend("echo 1\r\nabc\r\n", |client| {
        client.expect(BAD_CHUNK)?;
        client.expect_eof()
    })?;
    offend(&fail_line(8193), |client| {
        client.expect(TOO_LONG)?;
        client.expect_eof()
    })?;
    witness.ask("cd\r\n", "ECHO 4\r\nabcd\r\n")?;
    bystanders.finish()
}

fn replies_before_arrive(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let before = "mn\r\necho 2\r\nok\r\nfail so\r\n";
    let answers = "MN\r\nECHO 2\r\nok\r\nSERVER_ERROR so\r\n";
    let request = format!("{before}echo 1\r\nabc\r\nmn\r\n");
    expect_closing(&server, request, &format!("{answers}{BAD_CHUNK}"))?;
    let request = format!("{before}{}\r\nmn\r\n", fail_line(9000));
    expect_closing(&server, request, &format!("{answers}{TOO_LONG}"))
}

fn error_waits_its_turn(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask("mn\r\nbogus\r\nmn\r\n", "MN\r\nERROR\r\nMN\r\n")?;
    // Behind a reply that the server cannot be rid of at once.
    let (mut slow, _) = stopped_reader(&server)?;
    slow.send("bogus\r\nmn\r\n")?;
    // Its reply comes from a turn in which those requests had arrived.
    server.client()?.fence()?;
    slow.expect(echo_of(BIG).1)?;
    slow.expect("ERROR\r\nMN\r\n")
}
