//! The table of requests and replies (contract section 1).

use crate::case::{Case, Rung};
use crate::judge::Judge;
use crate::verdict::CaseResult;

/// The cases of this group.
pub const CASES: &[Case] = &[
    Case::new("PR01", "protocol/echo_returns_body", Rung::Day2, echo_returns_body)
        .rule("`echo <n>` is answered with `ECHO <n>` and the n bytes", "contract section 1")
        .hint("the body is n bytes of any value, then EOL; only n says where it ends"),
    Case::new("PR02", "protocol/compute_is_sha256", Rung::Day2, compute_is_sha256)
        .rule(
            "`compute <text>` is answered with the lower-case hex SHA-256 of the text",
            "contract section 1",
        )
        .hint("hash everything between the one space after the verb and the EOL, and not the EOL"),
    Case::new("PR03", "protocol/mn_is_a_barrier", Rung::Day2, mn_is_a_barrier)
        .rule("replies come in request order, and `mn` is answered with `MN`", "contract section 1")
        .hint("after a reply go on with what is already in the read buffer before waiting again"),
    Case::new("PR04", "protocol/unknown_verb_goes_on", Rung::Day2, unknown_verb_goes_on)
        .rule(
            "an unknown verb is answered with `ERROR` and the connection goes on",
            "contract section 1, errors",
        )
        .hint("a bad line is not a reason to close: framing is still intact after its EOL"),
];

fn echo_returns_body(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask("echo 5\r\nhello\r\n", "ECHO 5\r\nhello\r\n")?;
    client.ask("echo 0\r\n\r\n", "ECHO 0\r\n\r\n")?;
    // A body that looks like a request is still a body.
    client.ask("echo 4\r\nmn\r\n\r\n", "ECHO 4\r\nmn\r\n\r\n")?;
    client.fence()
}

fn compute_is_sha256(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask(
        "compute 1\r\n",
        "result: 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\r\n",
    )?;
    client.ask(
        "compute hello world\n",
        "result: b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\r\n",
    )?;
    client.fence()
}

fn mn_is_a_barrier(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask("mn\r\n", "MN\r\n")?;
    client.ask("echo 1\r\na\r\nmn\r\necho 1\r\nb\r\n", "ECHO 1\r\na\r\nMN\r\nECHO 1\r\nb\r\n")?;
    client.fence()
}

fn unknown_verb_goes_on(judge: &Judge) -> CaseResult {
    let server = judge.server(&[])?;
    let mut client = server.client()?;
    client.ask("frobnicate 1 2\r\n", "ERROR\r\n")?;
    client.fence()
}
