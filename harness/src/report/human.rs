//! Text for people.

use super::{CaseReport, RunReport, Verdict};
use crate::verdict::Failure;
use std::fmt::Write;

/// One line per case, as it is done.
#[must_use]
pub fn line(case: &CaseReport) -> String {
    let seconds = case.duration.as_secs_f64();
    let (word, reason) = match &case.verdict {
        Verdict::Pass => ("ok", String::new()),
        Verdict::Fail { failure } => ("FAIL", format!(": {}", failure.class)),
        Verdict::Skip { reason } => ("skip", format!(": {reason}")),
        Verdict::ExpectedFailure { reason, .. } => ("xfail", format!(": {reason}")),
        Verdict::UnexpectedPass { reason } => ("XPASS", format!(": {reason}")),
        Verdict::NotApplicable { reason } => ("n/a", format!(": {reason}")),
    };
    let flaky = if case.is_flaky() {
        format!(" (flaky: failed {} of {} runs)", case.failures, case.runs)
    } else {
        String::new()
    };
    format!("{word:<5} {} {:<55} {seconds:6.2} s{reason}{flaky}", case.id, case.path)
}

/// Every failure in full, then the totals and where to begin.
#[must_use]
pub fn summary(report: &RunReport) -> String {
    let mut text = String::new();
    for case in report.cases.iter().filter(|case| case.verdict.is_unexpected()) {
        text.push('\n');
        text.push_str(&failure(case));
    }
    let counts = report.counts;
    let _ = write!(
        text,
        "\n{} as {}: {} passed, {} failed, {} skipped, {} failed as expected, {} not applicable \
         in {:.1} s (seed {})\n",
        report.target,
        report.rung,
        counts.passed,
        counts.failed,
        counts.skipped,
        counts.expected_failures,
        counts.not_applicable,
        report.duration.as_secs_f64(),
        report.seed
    );
    let mut failed = report.cases.iter().filter(|case| case.verdict.is_unexpected());
    // With one failure there is nothing to choose.
    if let (Some(first), Some(_)) = (failed.next(), failed.next()) {
        let _ = writeln!(text, "start with: {} {}", first.id, first.path);
    }
    text
}

/// One failure: id, path, time and seed; the rule; expected; actual; the last exchange of each
/// client; the autopsy; the likely cause; the command that runs just this again.
///
/// Empty for a case that ended as expected.
#[must_use]
pub fn failure(case: &CaseReport) -> String {
    let mut text = String::new();
    let headline = match &case.verdict {
        Verdict::Fail { failure } => failure.class.headline(),
        Verdict::UnexpectedPass { .. } => "WRONG TABLE",
        _ => return text,
    };
    let seconds = case.duration.as_secs_f64();
    let _ =
        writeln!(text, "{headline} {} {} ({seconds:.2} s, seed {})", case.id, case.path, case.seed);
    if case.is_flaky() {
        field(&mut text, "flaky", &format!("failed {} of {} runs", case.failures, case.runs));
    }
    field(&mut text, "rule", &format!("{}\n({})", case.rule, case.source));
    match &case.verdict {
        Verdict::Fail { failure } => details(&mut text, failure),
        Verdict::UnexpectedPass { reason } => {
            field(&mut text, "expected", &format!("a broken rule, because: {reason}"));
            field(&mut text, "actual", "the rule was kept");
        }
        _ => {}
    }
    let cause = match &case.verdict {
        Verdict::UnexpectedPass { .. } => {
            "the case's `since` or its reason is wrong, or the case is too weak to fail"
        }
        _ => case.hint,
    };
    field(&mut text, "likely cause", cause);
    field(&mut text, "run this again", &case.replay);
    text
}

/// The part of a failure that the case itself saw.
#[must_use]
pub fn bare_failure(failure: &Failure) -> String {
    let mut text = format!("{}\n", failure.class);
    details(&mut text, failure);
    text
}

fn details(text: &mut String, failure: &Failure) {
    field(text, "expected", &failure.expected);
    let client = failure.client.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    field(text, &format!("actual{client}"), &failure.actual);
    if let Some(times) = &failure.times {
        field(text, "times", &times.to_string());
    }
    if !failure.transcripts.is_empty() {
        text.push_str("  last exchange of each client (> sent, < received):\n");
        for transcript in &failure.transcripts {
            let _ = writeln!(text, "    {}", transcript.client);
            for line in &transcript.lines {
                let _ = writeln!(text, "      {line}");
            }
        }
    }
    for autopsy in &failure.autopsies {
        let _ = writeln!(text, "  server: {}\n    {}", autopsy.command, autopsy.state);
        let parts =
            [("thread", &autopsy.threads), ("socket", &autopsy.sockets), ("log", &autopsy.log)];
        for (name, lines) in parts {
            for line in lines {
                let _ = writeln!(text, "    {name}: {line}");
            }
        }
    }
}

/// A name and a value; further lines of the value stand under its first one, so that a mark in the
/// second line points at the right column.
fn field(text: &mut String, name: &str, value: &str) {
    let lead = format!("  {name}: ");
    let indent = " ".repeat(lead.chars().count());
    for (number, line) in value.lines().enumerate() {
        let _ = writeln!(text, "{}{line}", if number == 0 { &lead } else { &indent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example_report;

    #[test]
    fn a_failure_tells_everything_in_the_promised_order() {
        let report = example_report();
        let text = failure(&report.cases[1]);
        let order = [
            "BROKEN RULE AA02 group/breaks (0.00 s, seed 7)",
            "rule: a <rule>",
            "(contract section 1)",
            "expected: \"a\"",
            "actual: \"b\"",
            "likely cause: fix it",
            "run this again: harness check AA02",
        ];
        let places: Vec<_> = order.iter().map(|part| text.find(part)).collect();
        assert!(places.iter().all(Option::is_some), "{text}");
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn the_mark_stays_under_its_byte() {
        let text = failure(&example_report().cases[1]);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| line.contains("actual:")).unwrap();
        assert_eq!(lines[at].find("b\""), lines[at + 1].find('^'), "{text}");
    }

    #[test]
    fn only_unexpected_verdicts_have_a_failure_text() {
        let texts: Vec<bool> =
            example_report().cases.iter().map(|case| failure(case).is_empty()).collect();
        assert_eq!(texts, [true, false, true, true, false, true]);
    }

    #[test]
    fn the_summary_names_the_totals_and_the_seed() {
        let text = summary(&example_report());
        assert!(text.contains("1 passed, 2 failed, 1 skipped"), "{text}");
        assert!(text.contains("(seed 7)"), "{text}");
        assert!(text.ends_with("start with: AA02 group/breaks\n"), "{text}");
    }
}
