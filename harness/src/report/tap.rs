//! The result as TAP version 14 (<https://testanything.org/tap-version-14-specification.html>).

use super::{RunReport, Verdict, human};
use std::fmt::Write;

/// One TAP document.
#[must_use]
pub fn render(report: &RunReport) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", report.cases.len());
    for (index, case) in report.cases.iter().enumerate() {
        // An expected failure is what TAP calls TODO: "not ok", and the run does not fail by it.
        let (ok, directive) = match &case.verdict {
            Verdict::Pass => ("ok", String::new()),
            Verdict::Fail { .. } | Verdict::UnexpectedPass { .. } => ("not ok", String::new()),
            Verdict::Skip { reason } | Verdict::NotApplicable { reason } => {
                ("ok", format!(" # SKIP {}", one_line(reason)))
            }
            Verdict::ExpectedFailure { reason, .. } => {
                ("not ok", format!(" # TODO {}", one_line(reason)))
            }
        };
        let _ = writeln!(text, "{ok} {} - {} {}{directive}", index + 1, case.id, case.path);
        if case.verdict.is_unexpected() {
            text.push_str("  ---\n  message: |\n");
            for line in human::failure(case).lines() {
                let _ = writeln!(text, "    {line}");
            }
            text.push_str("  ...\n");
        }
    }
    text
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '#'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example_report;

    #[test]
    fn every_verdict_has_its_tap_line() {
        let text = render(&example_report());
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
        let expected = [
            "TAP version 14",
            "1..6",
            "ok 1 - AA01 group/passes",
            "not ok 2 - AA02 group/breaks",
            "ok 3 - AA03 group/is_skipped # SKIP no pid",
            "not ok 4 - AA04 group/fails_as_expected # TODO not yet",
            "not ok 5 - AA05 group/passes_unexpectedly",
            "ok 6 - AA06 group/does_not_apply # SKIP only until day3",
        ];
        assert_eq!(lines, expected);
        assert_eq!(text.matches("  ---\n").count(), text.matches("  ...\n").count());
    }
}
