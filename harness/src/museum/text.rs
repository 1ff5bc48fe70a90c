//! The text of a failure without what differs from one run to the next, so that it can be kept,
//! reviewed as a beginner would read it, and compared.

use crate::report::{CaseReport, Verdict, human};
use crate::verdict::Class;
use regex_lite::Regex;

/// What is masked everywhere: a pattern, and what stands in its place.
const EVERYWHERE: &[(&str, &str)] = &[
    (r"\(\d+\.\d\d s, seed \d+\)", "(… s, seed …)"),
    (r"--seed \d+", "--seed …"),
    (r"'[^' ]*/bug-museum ", "'target/debug/bug-museum "),
    (r"(127\.0\.0\.1|\[::1\]):\d+", "$1:PORT"),
    (r"\b(pid|thread|client|newcomer) \d+", "$1 N"),
    (r"\[\d+\]", "[N]"),
    (r"\d+(\.\d+)? (KiB|MiB)", "N $2"),
    // How many bytes came depends on the socket's buffers, and so does what stood there.
    (r#"… \d+ equal bytes … "(?:[^"\\]|\\.)*""#, r#"… N equal bytes … "BYTES""#),
    (r"… \d+ more bytes", "… N more bytes"),
];

/// What is masked in the line that says what is expected: whose result is missing may be chance.
const EXPECTED: &[(&str, &str)] = &[(r#"^"result: [0-9a-f]{32}""#, r#""result: DIGEST""#)];

/// What is masked in the line that says what came: what was measured or counted.
const ACTUAL: &[(&str, &str)] = &[
    (r"\d+(\.\d+)?(ns|µs|ms|s)\b", "TIME"),
    (r"\d{5,}", "N"),
    (r"\d+ wake-ups", "N wake-ups"),
    (r"the server (closed|reset) the connection", "the server closed or reset the connection"),
    (r"curr_connections is \d+", "curr_connections is N"),
    (r"has the count \d+", "has the count N"),
    (r"[\dN]+ \((bug-museum|worker)(-\d+)?\)", "N ($1)"),
    (r"^\d{2,}$", "N"),
    (r"(N equal bytes [^\n]*\n) *\^ ([a-z ]+)[\dN]+", "$1^ ${2}N"),
];

/// The report of a failed case as `harness check` prints it, without times, the last exchanges and
/// the state of the server, and with what was measured, ports, pids and paths masked.
///
/// Empty for a case that ended as expected.
#[must_use]
pub fn lasting(report: &CaseReport) -> String {
    let mut report = report.clone();
    if let Verdict::Fail { failure } = &mut report.verdict {
        failure.times = None;
        failure.transcripts.clear();
        failure.autopsies.clear();
        // Which client notices a crash first, and what it was waiting for, is chance.
        if failure.class == Class::ServerCrash
            && let Some(end) = failure.actual.lines().last().map(str::to_owned)
        {
            failure.expected = "…".into();
            failure.client = None;
            failure.actual = end;
        }
        // Before the text is made, so that a mark stays under its byte.
        failure.client = failure.client.take().map(|name| mask(EVERYWHERE, &name));
        failure.expected = mask(EXPECTED, &failure.expected);
        failure.actual = mask(ACTUAL, &mask(EVERYWHERE, &cut(&failure.actual)));
    }
    mask(EVERYWHERE, &human::failure(&report))
}

/// Leaves out what came behind the line with the first byte that differs: how much of it did is chance.
fn cut(actual: &str) -> String {
    let Some((bytes, below)) = actual.split_once('\n') else { return actual.to_owned() };
    let marked = below.trim_start().starts_with("^ byte") && bytes.starts_with('"');
    let column = below.find('^').filter(|_| marked);
    match column.and_then(|at| Some(at + bytes.get(at..)?.find(r"\r\n")? + r"\r\n".len())) {
        Some(end) => format!("{}\" …\n{below}", &bytes[..end]),
        None => actual.to_owned(),
    }
}

fn mask(masks: &[(&str, &str)], text: &str) -> String {
    masks.iter().fold(text.to_owned(), |text, (pattern, mask)| {
        let pattern = Regex::new(pattern).expect("the patterns above are right");
        pattern.replace_all(&text, *mask).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example_report;

    #[test]
    fn what_differs_between_runs_is_masked_and_nothing_else() {
        for (text, masked) in [
            ("BROKEN RULE BU01 a/b (1.02 s, seed 7)", "BROKEN RULE BU01 a/b (… s, seed …)"),
            (
                "check --cmd '/x/y/bug-museum --bug a-b {port}' --as day3 BU01 --seed 12",
                "check --cmd 'target/debug/bug-museum --bug a-b {port}' --as day3 BU01 --seed …",
            ),
            ("pid 12 on 127.0.0.1:4711", "pid N on 127.0.0.1:PORT"),
            ("fd 8 socket:[12033825] (blocking)", "fd 8 socket:[N] (blocking)"),
            (r#"… 180184 equal bytes … "\x1a\"B""#, r#"… N equal bytes … "BYTES""#),
            ("at most 8 MiB above the 8.9 MiB", "at most N MiB above the N MiB"),
            ("at most 73741 bytes queued within 2.3s", "at most 73741 bytes queued within 2.3s"),
        ] {
            assert_eq!(mask(EVERYWHERE, text), masked);
        }
    }

    #[test]
    fn what_was_measured_is_masked_only_where_it_is_told() {
        let mut report = example_report().cases.remove(1);
        if let Verdict::Fail { failure } = &mut report.verdict {
            failure.expected = "under 1.50s and 73741 bytes".into();
            failure.actual = "1.76s and 86795 bytes on fd 7".into();
        }
        let text = lasting(&report);
        assert!(text.contains("expected: under 1.50s and 73741 bytes"), "{text}");
        assert!(text.contains("actual: TIME and N bytes on fd 7"), "{text}");
    }

    #[test]
    fn which_thread_and_whose_result_is_masked() {
        let threads = "2: 12345 (bug-museum), 4567 (worker-2)";
        assert_eq!(mask(ACTUAL, threads), "2: N (bug-museum), N (worker)");
        let result = |digit: &str| format!("\"result: {}\" … 42 more bytes", digit.repeat(32));
        assert_eq!(mask(EXPECTED, &result("a")), "\"result: DIGEST\" … 42 more bytes");
        assert_eq!(mask(ACTUAL, &result("a")), result("a"));
    }

    #[test]
    fn what_came_behind_the_difference_is_left_out() {
        for behind in ["\"", "MN\\r\\nSER\" … 104 more bytes", "MN\\r\\nSERVER_ER\""] {
            let actual = format!("\"MN\\r\\nERROR\\r\\n{behind}\n       ^ byte 4 differs");
            assert_eq!(cut(&actual), "\"MN\\r\\nERROR\\r\\n\" …\n       ^ byte 4 differs");
        }
        for whole in ["one line", "\"ab\"\n ^ ends after 0 of 4 bytes"] {
            assert_eq!(cut(whole), whole);
        }
    }

    #[test]
    fn of_a_crash_only_the_end_of_the_server_is_kept() {
        let mut report = example_report().cases.remove(1);
        if let Verdict::Fail { failure } = &mut report.verdict {
            failure.class = Class::ServerCrash;
            failure.client = Some("client 7".into());
            failure.actual = "\"\"\nthe server exited with status 1".into();
        }
        let text = lasting(&report);
        assert!(text.starts_with("SERVER CRASH"), "{text}");
        assert!(text.contains("  actual: the server exited with status 1\n"), "{text}");
    }

    #[test]
    fn a_mark_under_masked_bytes_has_no_column() {
        for number in ["11", "180224"] {
            let actual =
                format!("… 9 equal bytes … \"ab\"\n          ^ ends after {number} of 20 bytes");
            let masked = mask(ACTUAL, &mask(EVERYWHERE, &actual));
            assert_eq!(masked, "… N equal bytes … \"BYTES\"\n^ ends after N of 20 bytes");
        }
    }
}
