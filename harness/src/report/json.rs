//! The result as JSON: the fields of [`RunReport`].

use super::RunReport;

/// One JSON document.
///
/// # Errors
/// A fault of the harness: the result cannot be serialized.
pub fn render(report: &RunReport) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example_report;

    #[test]
    fn the_document_parses_again() {
        let text = render(&example_report()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["seed"], 7);
        assert_eq!(value["seconds"], 1.5);
        assert_eq!(value["rung"], "day2");
        assert_eq!(value["counts"]["failed"], 2);
        assert_eq!(value["cases"][1]["verdict"], "fail");
        assert_eq!(value["cases"][1]["failure"]["class"], "broken_rule");
        assert_eq!(value["cases"][2]["reason"], "no pid");
    }
}
