//! The result as JUnit XML, which continuous integration reads.

use super::{RunReport, Verdict, human};
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

/// One XML document with one suite.
///
/// # Errors
/// A fault of the harness: the result cannot be serialized.
pub fn render(report: &RunReport) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(report.target.clone());
    suite.set_time(report.duration);
    for case in &report.cases {
        let skipped = |reason: &str| {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason);
            status
        };
        let status = match &case.verdict {
            Verdict::Pass => TestCaseStatus::success(),
            Verdict::Skip { reason } | Verdict::NotApplicable { reason } => skipped(reason),
            Verdict::ExpectedFailure { reason, .. } => {
                skipped(&format!("failed as expected: {reason}"))
            }
            Verdict::Fail { failure } => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_type(failure.class.headline()).set_message(&failure.expected);
                status.set_description(human::failure(case));
                status
            }
            Verdict::UnexpectedPass { reason } => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_type("WRONG TABLE").set_message(*reason);
                status.set_description(human::failure(case));
                status
            }
        };
        let mut test = TestCase::new(format!("{} {}", case.id, case.path), status);
        let group = case.path.split('/').next().unwrap_or_default();
        test.set_classname(format!("{}.{group}", report.target)).set_time(case.duration);
        suite.add_test_case(test);
    }
    let mut document = Report::new("harness");
    document.set_time(report.duration).add_test_suite(suite);
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example_report;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    #[test]
    fn the_document_parses_again() {
        let text = render(&example_report()).unwrap();
        let mut reader = Reader::from_str(&text);
        let mut elements = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) | Event::Empty(start) => {
                    let name = start.name().as_ref().to_vec();
                    elements.push(String::from_utf8(name).unwrap());
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let count = |name: &str| elements.iter().filter(|element| *element == name).count();
        assert_eq!(count("testcase"), 6);
        assert_eq!(count("failure"), 2);
        assert_eq!(count("skipped"), 3);
    }
}
