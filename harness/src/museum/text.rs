//! The text of a failure without what differs from one run to the next, so that it can be kept,
//! reviewed as a beginner would read it, and compared.

use crate::report::{CaseReport, Verdict, human};
use regex_lite::Regex;

/// What is masked: a pattern, and what stands in its place.
const MASKS: &[(&str, &str)] = &[
    (r"\(\d+\.\d\d s, seed \d+\)", "(… s, seed …)"),
    (r"--seed \d+", "--seed …"),
    (r"[^\s']*/bug-museum ", "target/debug/bug-museum "),
    (r"(127\.0\.0\.1|\[::1\]):\d+", "$1:PORT"),
    (r"(--mechanism \w+|--bug [\w-]+) \d+", "$1 PORT"),
    (r"\bpid \d+", "pid …"),
];

/// The report of a failed case as `harness check` prints it, without the last exchanges, the times
/// and the state of the threads, and with ports, pids and paths masked.
///
/// Empty for a case that ended as expected.
#[must_use]
pub fn lasting(report: &CaseReport) -> String {
    let mut report = report.clone();
    if let Verdict::Fail { failure } = &mut report.verdict {
        failure.times = None;
        failure.transcripts.clear();
        failure.autopsies.clear();
    }
    mask(&human::failure(&report))
}

fn mask(text: &str) -> String {
    MASKS.iter().fold(text.to_owned(), |text, (pattern, mask)| {
        let pattern = Regex::new(pattern).expect("the patterns above are right");
        pattern.replace_all(&text, *mask).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_masked_and_nothing_else() {
        for (text, masked) in [
            ("BROKEN RULE BU01 a/b (1.02 s, seed 7)", "BROKEN RULE BU01 a/b (… s, seed …)"),
            (
                "check --cmd '/x/y/bug-museum --bug a-b {port}' --as day3 BU01 --seed 12",
                "check --cmd 'target/debug/bug-museum --bug a-b {port}' --as day3 BU01 --seed …",
            ),
            ("actual: pid 12 on 127.0.0.1:4711", "actual: pid … on 127.0.0.1:PORT"),
            ("expected: number of threads: 1", "expected: number of threads: 1"),
        ] {
            assert_eq!(mask(text), masked);
        }
    }
}
