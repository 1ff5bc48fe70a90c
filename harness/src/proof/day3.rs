//! Day 3: the policy for clients that do not take their replies.

use super::{Document, Evidence, both, first_code_block, passes, paste, report};
use anyhow::{Context, Result};

pub(super) fn prove() -> Result<bool> {
    let note = Document::read("notes/day3-backpressure-policy.md")?;
    let options = Document::read("day3-backpressure/src/options.rs")?;
    let criteria: [(&str, Evidence); 5] = [
        ("the cap is a number", both(cap(&note, &options), passes("day3", &["BP01", "BP02"])?)),
        (
            "the rule has both thresholds, size and time",
            both(
                note.section_with("The rule", &["IF waiting >=", "throughout a window of", "THEN"]),
                passes("day3", &["SR01", "SR07", "SR08"])?,
            ),
        ),
        (
            "the disconnect policy is explicit",
            both(
                note.section_with("Disconnecting", &["warn", "slow_reader_disconnects", "close"]),
                passes("day3", &["SR02", "SR03"])?,
            ),
        ),
        (
            "the slow-reader scenario is concrete",
            note.section_with(
                "Test scenario",
                &[
                    "*Input:*",
                    "*Timing",
                    "disconnected",
                    "*Expected log:*",
                    "slow_reader_sustained",
                ],
            ),
        ),
        (
            "fairness is argued",
            both(note.argued("Fairness", 80), passes("day3", &["BP06", "PA10", "SR12"])?),
        ),
    ];
    let good = report("Day 3", &criteria);
    let section =
        |heading: &str| note.section(heading).with_context(|| format!("{:?} is missing", heading));
    let cap = section("The cap")?.trim_start().split("\n\n").next().unwrap_or_default();
    let rule = first_code_block(section("The rule")?).context("the rule has no IF and THEN")?;
    let text = format!(
        "## The cap\n\n{cap}\n\n## The rule\n\n{rule}\n\n## Disconnecting\n{}\n## Fairness\n{}\n\
         ## Test scenario\n{}",
        section("Disconnecting")?,
        section("Fairness")?,
        section("Test scenario")?
    );
    Ok(paste(&text) && good)
}

fn cap(note: &Document, options: &Document) -> Evidence {
    let said = note.section_with("The cap", &["65,536 bytes", "--high-water"])?;
    Ok(format!("{said}\nthe default in the code: {}", options.line_with(&["= 65536"])?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::document;
    use super::*;

    #[test]
    fn a_cap_without_a_number_is_no_evidence() {
        let code = document("default_value_t = 65536\n");
        assert!(cap(&document("\n## The cap\n65,536 bytes (`--high-water`)\n"), &code).is_ok());
        assert!(cap(&document("\n## The cap\nsome (`--high-water`)\n"), &code).is_err());
        assert!(
            cap(&document("\n## The cap\n65,536 bytes (`--high-water`)\n"), &document("")).is_err()
        );
    }
}
