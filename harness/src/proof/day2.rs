//! Day 2: the loop, the registry, and fifty clients.

use super::{Document, Evidence, first_code_block, passes, paste, report};
use crate::case::{Case, Rung};
use crate::{cases, selector};
use anyhow::{Result, bail};

pub(super) fn prove() -> Result<bool> {
    let note = Document::read("notes/day2-select-plan.md")?;
    let poller = Document::read("day2-select-loop/src/select.rs")?;
    let registry = Document::read("conn-core/src/registry.rs")?;
    let burst = selector::select(cases::all(), &["burst/".to_owned()])?;
    let criteria: [(&str, Evidence); 5] = [
        ("the select() loop handles read, write and error sets", all_three_sets(&note, &poller)),
        ("the registry supports add, remove and look-up by fd", registry_calls(&note, &registry)),
        ("max_fd follows every add and remove", max_fd(&note, &poller, &registry)),
        ("the test plan covers 50+ clients, and passes", fifty_clients(&note, &burst)?),
        ("the time-out is chosen and justified", time_out(&note)),
    ];
    let good = report("Day 2", &criteria);
    let loop_and_registry = note.section("The select loop").map(first_code_block);
    match (loop_and_registry, note.section("The connection registry")) {
        (Some(Some(pseudocode)), Some(registry)) => {
            let text =
                format!("## Select loop\n\n{pseudocode}\n\n## Connection registry\n{registry}");
            Ok(paste(&text) && good)
        }
        _ => bail!("{} has no loop and registry to paste", note.path.display()),
    }
}

fn all_three_sets(note: &Document, poller: &Document) -> Evidence {
    let mut lines = Vec::new();
    for set in ["read", "write", "error"] {
        let zeroed = note.line_with(&["FD_ZERO", set])?;
        let set_in_note = note.line_with(&["FD_SET", &format!(", {set})")])?;
        let filled = poller.line_with(&[&format!("{set}.insert(")])?;
        lines.push(format!("{set}: zeroed {zeroed}, set {set_in_note}; in the code {filled}"));
    }
    let rebuilt = poller.line_with(&["FdSet::new(), FdSet::new(), FdSet::new()"])?;
    lines.push(format!("all three are new in every turn: {rebuilt}"));
    Ok(lines.join("\n"))
}

fn registry_calls(note: &Document, registry: &Document) -> Evidence {
    let mut lines = Vec::new();
    for call in ["add", "remove", "get"] {
        note.line_with(&[&format!("`{call}(")])?;
        let signature = format!("pub fn {call}(");
        let at = registry.line_with(&[&signature])?;
        lines.push(format!("{at}: {}", registry.quote(&signature)));
    }
    Ok(lines.join("\n"))
}

fn max_fd(note: &Document, poller: &Document, registry: &Document) -> Evidence {
    note.line_with(&["max_fd + 1"])?;
    Ok(format!(
        "first argument of select: {}\nit is the last slot: {}\nremove keeps the last slot occupied: {}",
        poller.line_with(&["max_fd() + 1"])?,
        registry.line_with(&["self.slots.len().checked_sub(1)"])?,
        registry.line_with(&["while self.slots.last()"])?,
    ))
}

/// The plan is the group of cases, so the evidence is that they exist, are in the note, and pass.
fn fifty_clients(note: &Document, burst: &[&'static Case]) -> Result<Evidence> {
    let planned = burst.iter().filter(|case| note.text.contains(case.id)).count();
    if planned < 6 {
        return Ok(Err(format!("{} lists {planned} of the cases", note.path.display())));
    }
    let ids: Vec<&str> = burst.iter().map(|case| case.id).collect();
    Ok(passes(Rung::Day2.name(), &ids)?
        .map(|counts| format!("{planned} scenarios in {}: {counts}", note.path.display())))
}

fn time_out(note: &Document) -> Evidence {
    let section = note.section("The time-out").unwrap_or_default();
    let words = section.split_whitespace().count();
    if words < 40 {
        return Err(format!("{} gives no reason for the time-out", note.path.display()));
    }
    Ok(section.trim_start().split("\n\n").next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::document;
    use super::*;

    #[test]
    fn a_time_out_without_a_reason_is_no_evidence() {
        assert!(time_out(&document("\n## The time-out\n\n1 s.\n")).is_err());
        assert!(time_out(&document("\n## Something else\n")).is_err());
    }

    #[test]
    fn criteria_fail_on_a_document_that_lacks_them() {
        let empty = document("");
        assert!(all_three_sets(&empty, &empty).is_err());
        assert!(registry_calls(&empty, &empty).is_err());
        assert!(max_fd(&empty, &empty, &empty).is_err());
    }
}
