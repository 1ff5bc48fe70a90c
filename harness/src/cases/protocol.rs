//! The table of requests and replies (notes/protocol.md section 1).

use super::support::echo;
use crate::case::{Case, Need, Rung};
use crate::judge::Judge;
use crate::verdict::CaseResult;
use sha2::{Digest, Sha256};
use std::time::Duration;

const REQUESTS: &str = "notes/protocol.md section 1, the table of requests";
const FINE_PRINT: &str = "notes/protocol.md section 1, the fine print";

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("PR01", "protocol/echo_returns_body", Rung::Day2, echo_returns_body)
        .rule("`echo <n>` is answered with `ECHO <n>` and the n bytes", REQUESTS)
        .hint("the body is n bytes of any value, then EOL; only n says where it ends"),
    Case::new("PR02", "protocol/compute_is_sha256", Rung::Day2, compute_is_sha256)
        .rule("`compute <text>` is answered with the lower-case hex SHA-256 of the text", REQUESTS)
        .hint("hash everything between the one space after the verb and the EOL, and not the EOL"),
    Case::new("PR03", "protocol/mn_is_a_barrier", Rung::Day2, mn_is_a_barrier)
        .rule("replies come in request order, and `mn` is answered with `MN`", REQUESTS)
        .hint("after a reply go on with what is already in the read buffer before waiting again"),
    Case::new("PR04", "protocol/unknown_verb_goes_on", Rung::Day2, unknown_verb_goes_on)
        .rule(
            "an unknown verb is answered with `ERROR` and the connection goes on",
            "notes/protocol.md section 1, when the client is wrong",
        )
        .hint("a bad line is not a reason to close: framing is still intact after its EOL"),
    Case::new("PR05", "protocol/echo_body_is_not_parsed", Rung::Day2, echo_body_is_not_parsed)
        .rule("a body is n bytes, even if they look like requests or line ends", REQUESTS)
        .hint("while a body is awaited count bytes, and look for no LF before n of them are there"),
    Case::new("PR06", "protocol/echo_body_is_any_bytes", Rung::Day2, echo_body_is_any_bytes)
        .rule("a body may hold every byte value, NUL too", REQUESTS)
        .hint("keep bodies as bytes with a length: no C string functions, no decoding to text"),
    Case::new("PR07", "protocol/echo_of_a_megabyte", Rung::Day2, echo_of_a_megabyte)
        .rule("a large body comes back whole", REQUESTS)
        .hint(
            "one recv(2) or send(2) moves a part only: add up what came, keep what was not \
             written and go on when the socket is ready again; edge-triggered epoll tells that only \
             once, so go on until EAGAIN",
        ),
    Case::new("PR08", "protocol/lf_and_crlf_end_a_line", Rung::Day2, lf_and_crlf_end_a_line)
        .rule("EOL is CR LF or LF alone, behind a header and behind a body", REQUESTS)
        .hint("look for LF, then drop one CR in front of it; behind a body accept both as well"),
    Case::new("PR09", "protocol/compute_keeps_every_space", Rung::Day2, compute_keeps_every_space)
        .rule("every byte behind the one space after `compute` belongs to the text", FINE_PRINT)
        .hint("do not trim and do not split this line at spaces: cut once behind the verb"),
    Case::new("PR10", "protocol/compute_of_nothing", Rung::Day2, compute_of_nothing)
        .rule("`compute` alone, or with one space behind it, hashes the empty text", FINE_PRINT)
        .hint("a missing text is the empty text here; the hash of nothing is e3b0c442…"),
    Case::new("PR11", "protocol/compute_takes_any_bytes", Rung::Day2, compute_takes_any_bytes)
        .rule("a text is any bytes but LF, and a CR inside belongs to it", FINE_PRINT)
        .hint("hash the bytes as they came: drop a single CR in front of the LF and no other"),
    Case::new("PR12", "protocol/burn_answers", Rung::Day2, burn_answers)
        .rule("`burn <ms>` is answered with `result: burned <ms>`", REQUESTS)
        .hint("`burn 0` is valid and burns nothing"),
    Case::new("PR13", "protocol/burn_uses_cpu_time", Rung::Day2, burn_uses_cpu_time)
        .timeout_s(20)
        .needs(&[Need::Pid, Need::Restart])
        .rule("`burn <ms>` ends when that many milliseconds of CPU are used", REQUESTS)
        .hint(
            "do not sleep and do not compare wall clocks: spin until \
             clock_gettime(CLOCK_THREAD_CPUTIME_ID) has grown by ms",
        ),
    Case::new("PR14", "protocol/fail_answers_its_client", Rung::Day2, fail_answers_its_client)
        .rule("`fail <message>` is answered with `SERVER_ERROR <message>`, unchanged", REQUESTS)
        .hint("the task returns an error: send its message, all bytes of it, and go on"),
    Case::new("PR15", "protocol/panic_harms_nobody_else", Rung::Day2, panic_harms_nobody_else)
        .rule(
            "`panic <message>` is answered with `SERVER_ERROR task panicked: <message>`, and this \
             connection and all others go on",
            REQUESTS,
        )
        .hint(
            "catch the panic (exception) around the task alone, as std::panic::catch_unwind \
             does, and make a reply of it",
        ),
    Case::new("PR16", "protocol/version_tells_a_text", Rung::Day2, version_tells_a_text)
        .rule("`version` is answered with one line, `VERSION <text>`", REQUESTS)
        .hint("any text will do, but there must be one"),
    Case::new("PR17", "protocol/stats_is_framed", Rung::Day2, stats_is_framed)
        .rule("`stats` is answered with lines `STAT <name> <value>` and then `END`", REQUESTS)
        .hint("every line ends in CR LF, `END` too, and nothing follows it"),
    Case::new("PR18", "protocol/quit_closes_without_a_reply", Rung::Day2, quit_closes)
        .rule("`quit` has no reply: the connection closes", REQUESTS)
        .hint("shutdown(2) the sending side once all replies are written; send no farewell"),
    Case::new("PR19", "protocol/quit_flushes_what_was_queued", Rung::Day2, quit_flushes)
        .timeout_s(20)
        .rule("what was queued before `quit` is sent, then the connection ends", REQUESTS)
        .hint(
            "`quit` only marks the connection: close it when its write queue is empty, not at once",
        ),
    Case::new("PR20", "protocol/nothing_behind_quit_is_answered", Rung::Day2, nothing_behind_quit)
        .rule(
            "nothing behind `quit` is answered",
            "notes/protocol.md section 1, when the client is wrong",
        )
        .hint("stop parsing at `quit`, even if the read buffer holds more requests"),
    Case::new("PR21", "protocol/verbs_ignore_case", Rung::Day2, verbs_ignore_case)
        .rule("verbs are matched without regard to ASCII case; texts keep theirs", FINE_PRINT)
        .hint("compare the verb with eq_ignore_ascii_case or strcasecmp(3), and only the verb"),
    Case::new("PR22", "protocol/spaces_separate_and_surround", Rung::Day2, spaces_surround)
        .rule("one or more spaces separate, and spaces at either end mean nothing", FINE_PRINT)
        .hint("split at runs of spaces and drop empty words"),
    Case::new("PR23", "protocol/leading_zeros_are_dropped", Rung::Day2, leading_zeros_are_dropped)
        .rule("leading zeros of a number are allowed and not repeated in the reply", FINE_PRINT)
        .hint(
            "parse as decimal, never as octal (strtoul(3) with base 10), skip zeros before you \
             limit the digits, and print the number, not its text",
        ),
];

/// The reply to `compute <text>`.
pub(super) fn computed(text: &[u8]) -> Vec<u8> {
    let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("result: {digest}\r\n").into_bytes()
}

/// One client asks each of these in turn, and nothing but the replies comes back.
fn converse(judge: &Judge, exchange: &[(&[u8], &[u8])]) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    for (request, reply) in exchange {
        client.ask(request, reply)?;
    }
    client.fence()
}

fn compute_each(judge: &Judge, requests: &[(&[u8], &[u8])]) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    for (request, text) in requests {
        client.ask(request, computed(text))?;
    }
    client.fence()
}

fn echo_returns_body(judge: &Judge) -> CaseResult {
    converse(
        judge,
        &[
            (b"echo 5\r\nhello\r\n", b"ECHO 5\r\nhello\r\n"),
            (b"echo 1\r\nx\r\n", b"ECHO 1\r\nx\r\n"),
            (b"echo 0\r\n\r\n", b"ECHO 0\r\n\r\n"),
        ],
    )
}

fn compute_is_sha256(judge: &Judge) -> CaseResult {
    let of_one = b"result: 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\r\n";
    let of_hello = b"result: b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\r\n";
    converse(judge, &[(b"compute 1\r\n", of_one), (b"compute hello world\n", of_hello)])
}

fn mn_is_a_barrier(judge: &Judge) -> CaseResult {
    let pipelined = b"echo 1\r\na\r\nmn\r\necho 1\r\nb\r\n";
    let in_order = b"ECHO 1\r\na\r\nMN\r\nECHO 1\r\nb\r\n";
    converse(judge, &[(b"mn\r\n", b"MN\r\n"), (pipelined, in_order)])
}

fn unknown_verb_goes_on(judge: &Judge) -> CaseResult {
    converse(judge, &[(b"frobnicate 1 2\r\n", b"ERROR\r\n")])
}

fn echo_body_is_not_parsed(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    let bodies: [&[u8]; 6] =
        [b"mn\r\n", b"\n", b"\r", b"\r\n\r\n", b"quit\r\n", b"echo 3\r\nabc\r\nmn\n"];
    for body in bodies {
        let (request, reply) = echo(body);
        client.ask(request, reply)?;
    }
    client.fence()
}

fn echo_body_is_any_bytes(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    let every_value: Vec<u8> = (0..=255).collect();
    let (request, reply) = echo(&every_value);
    client.ask(request, reply)?;
    client.fence()
}

fn echo_of_a_megabyte(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    let mut body = vec![0; 1 << 20];
    judge.rng().fill(&mut body);
    let (request, reply) = echo(&body);
    client.ask(request, reply)?;
    client.fence()
}

fn lf_and_crlf_end_a_line(judge: &Judge) -> CaseResult {
    converse(
        judge,
        &[
            (b"mn\n", b"MN\r\n"),
            (b"mn\r\n", b"MN\r\n"),
            (b"echo 2\nab\n", b"ECHO 2\r\nab\r\n"),
            (b"echo 2\r\nab\n", b"ECHO 2\r\nab\r\n"),
            (b"echo 2\nab\r\n", b"ECHO 2\r\nab\r\n"),
            (b"echo 0\n\n", b"ECHO 0\r\n\r\n"),
            (b"burn 0\n", b"result: burned 0\r\n"),
            (b"fail no\n", b"SERVER_ERROR no\r\n"),
        ],
    )
}

fn compute_keeps_every_space(judge: &Judge) -> CaseResult {
    compute_each(
        judge,
        &[
            (b"compute a  b\r\n", b"a  b"),
            (b"compute trailing  \r\n", b"trailing  "),
            (b"compute  leading\r\n", b" leading"),
            (b"compute   \r\n", b"  "),
            (b"compute \ta\t\r\n", b"\ta\t"),
        ],
    )
}

fn compute_of_nothing(judge: &Judge) -> CaseResult {
    compute_each(
        judge,
        &[(b"compute\r\n", b""), (b"compute\n", b""), (b"compute \r\n", b""), (b"compute \n", b"")],
    )
}

fn compute_takes_any_bytes(judge: &Judge) -> CaseResult {
    let all_but_lf: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    let request = [b"compute ", all_but_lf.as_slice(), b"\n"].concat();
    compute_each(
        judge,
        &[
            (&request, &all_but_lf),
            (b"compute a\rb\r\n", b"a\rb"),
            (b"compute a\r\r\n", b"a\r"),
            (b"compute \xc3\x28\r\n", b"\xc3\x28"),
        ],
    )
}

fn burn_answers(judge: &Judge) -> CaseResult {
    converse(
        judge,
        &[(b"burn 0\r\n", b"result: burned 0\r\n"), (b"burn 5\r\n", b"result: burned 5\r\n")],
    )
}

fn burn_uses_cpu_time(judge: &Judge) -> CaseResult {
    const ASKED: Duration = Duration::from_millis(120);
    const CLOCK_TICK: Duration = Duration::from_millis(10);
    let server = judge.server(&[])?;
    // On a busy machine it takes longer than usual until so much CPU is used.
    let mut client = server.connect().read_limit(Duration::from_secs(6)).open()?;
    client.fence()?;
    let process = server.process()?;
    let before = process.cpu()?;
    let used = || process.cpu().map(|now| now.saturating_sub(before));
    client.send("burn 120\r\n")?;
    judge.wait_until("`burn 120` to use the CPU", Duration::from_secs(2), || {
        Ok(used()? > ASKED / 4)
    })?;
    // Time passes and no CPU is used: whoever looks at a wall clock now thinks that it is done.
    server.pause()?;
    std::thread::sleep(ASKED);
    server.resume()?;
    client.expect("result: burned 120\r\n")?;
    let used = used()?;
    judge.ensure(used + CLOCK_TICK >= ASKED, format!("at least {ASKED:?} of CPU used"), || {
        format!("{used:.0?}")
    })
}

fn fail_answers_its_client(judge: &Judge) -> CaseResult {
    converse(
        judge,
        &[
            (b"fail out of paper\r\n", b"SERVER_ERROR out of paper\r\n"),
            (b"fail  two  spaces \r\n", b"SERVER_ERROR  two  spaces \r\n"),
            (b"fail  \r\n", b"SERVER_ERROR  \r\n"),
            (b"fail a\rb\0\xff\xfe\r\n", b"SERVER_ERROR a\rb\0\xff\xfe\r\n"),
        ],
    )
}

fn panic_harms_nobody_else(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut client = server.client()?;
    client.ask("panic at the disco\r\n", "SERVER_ERROR task panicked: at the disco\r\n")?;
    // Again: whoever lost something by the first panic fails at the second.
    client.ask("panic  {}%s \r\nmn\r\n", "SERVER_ERROR task panicked:  {}%s \r\nMN\r\n")?;
    client.ask("compute 1\r\n", computed(b"1"))?;
    server.client()?.fence()?;
    bystanders.finish()
}

fn version_tells_a_text(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.send("version\r\n")?;
    let line = client.expect_line_starting("VERSION ")?;
    let text = line.trim_start_matches("VERSION ");
    judge.ensure(!text.is_empty(), "a text behind `VERSION `", || format!("{line:?}"))?;
    client.fence()
}

fn stats_is_framed(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    // The reader of `stats` accepts nothing but its lines.
    let names = client.stats()?.names().count();
    judge.ensure(names > 0, "at least one line `STAT <name> <value>`", || "none")?;
    client.fence()?;
    client.send("mn\r\nstats\r\n")?;
    client.expect("MN\r\nSTAT ")?;
    while client.expect_line()? != "END" {}
    client.fence()
}

fn quit_closes(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let bystanders = server.bystanders()?;
    let mut client = server.client()?;
    client.send("quit\r\n")?;
    client.expect_eof()?;
    bystanders.finish()
}

fn quit_flushes(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    // More than a small window takes at once, so that some of it must wait in the server.
    let mut client = server.connect().receive_buffer(16 << 10).open()?;
    let (request, reply) = echo(&vec![b'q'; 8 << 20]);
    client.send([request.as_slice(), b"mn\r\nquit\r\n"].concat())?;
    client.expect(reply)?;
    client.expect("MN\r\n")?;
    client.expect_eof()
}

fn nothing_behind_quit(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.send("mn\r\nquit\r\nmn\r\necho 1\r\na\r\n")?;
    client.expect("MN\r\n")?;
    client.expect_eof()
}

fn verbs_ignore_case(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask("MN\r\nMn\r\n", "MN\r\nMN\r\n")?;
    client.ask("ECHO 2\r\naB\r\n", "ECHO 2\r\naB\r\n")?;
    client.ask("eChO 2\r\naB\r\n", "ECHO 2\r\naB\r\n")?;
    client.ask("Compute Mixed Case\r\n", computed(b"Mixed Case"))?;
    client.ask("BURN 0\r\n", "result: burned 0\r\n")?;
    client.ask("Fail Yes\r\n", "SERVER_ERROR Yes\r\n")?;
    client.ask("PANIC No\r\n", "SERVER_ERROR task panicked: No\r\n")?;
    client.send("VerSion\r\nSTATS\r\n")?;
    client.expect_line_starting("VERSION ")?;
    client.expect_line_starting("STAT ")?;
    while client.expect_line()? != "END" {}
    client.send("QUIT\r\n")?;
    client.expect_eof()
}

fn spaces_surround(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask("  mn  \r\n mn\nmn \n", "MN\r\nMN\r\nMN\r\n")?;
    client.ask("  echo   3   \r\nabc\r\n", "ECHO 3\r\nabc\r\n")?;
    client.ask(" burn  0 \r\n", "result: burned 0\r\n")?;
    client.ask("  compute a\r\n", computed(b"a"))?;
    client.ask("  fail a \r\n", "SERVER_ERROR a \r\n")?;
    client.send(" version  \r\n  stats \r\n")?;
    client.expect_line_starting("VERSION ")?;
    client.expect_line_starting("STAT ")?;
    while client.expect_line()? != "END" {}
    client.send("  quit  \r\n")?;
    client.expect_eof()
}

fn leading_zeros_are_dropped(judge: &Judge) -> CaseResult {
    converse(
        judge,
        &[
            (b"echo 003\r\nabc\r\n", b"ECHO 3\r\nabc\r\n"),
            (b"echo 010\r\n0123456789\r\n", b"ECHO 10\r\n0123456789\r\n"),
            (b"echo 00\r\n\r\n", b"ECHO 0\r\n\r\n"),
            (b"echo 00000000000000000000000001\r\na\r\n", b"ECHO 1\r\na\r\n"),
            (b"burn 0000\r\n", b"result: burned 0\r\n"),
            (b"burn 002\r\n", b"result: burned 2\r\n"),
        ],
    )
}
