//! The document's sections, in Markdown.

use crate::audit::{Basis, Cleared, Report};
use crate::criteria::Verdict;
use crate::diagram;
use crate::eagain::{RULES, rows_for, watched_after};
use crate::model::{Field, Model};
use conn_core::state::{Event, Pending, guard_name};

/// A table's row.
fn row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// A table's head.
fn head(cells: &[&str]) -> String {
    row(cells) + &row(&vec!["---"; cells.len()])
}

/// The states, a sentence each, and where each may go.
#[must_use]
pub fn states(model: &Model) -> String {
    let mut out = head(&["state", "a connection in it …", "may go to"]);
    for &from in &model.states {
        let to = model.states.iter().filter(|to| **to != from && model.leads(from, **to));
        let to = to.map(|state| state.name()).collect::<Vec<_>>().join(", ");
        out += &row(&[from.name(), from.meaning(), if to.is_empty() { "–" } else { &to }]);
    }
    out
}

/// The transition table.
#[must_use]
pub fn transitions(model: &Model) -> String {
    let guards = Pending::ALL.map(|pending| format!("*{pending}*")).join(", ");
    let mut out = format!(
        "A guard says what is left to do for the client once the event is noted: the first that \
         applies of {guards}.\n\n"
    );
    out += &head(&["row", "current", "event", "guard", "next", "action", "why"]);
    for rule in &model.table {
        out += &row(&[
            rule.id,
            &model.from_name(rule),
            rule.event.name(),
            &guard_name(rule.guard),
            rule.to.name(),
            rule.action.name(),
            rule.why,
        ]);
    }
    out
}

/// What the table leaves out, and why.
#[must_use]
pub fn impossible(model: &Model) -> String {
    let mut out = head(&["in", "cannot happen", "guard", "because"]);
    for entry in &model.impossible {
        let from = entry.from.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ");
        let events = if entry.events.len() == model.events.len() {
            "anything".to_owned()
        } else {
            entry.events.iter().map(|event| event.name()).collect::<Vec<_>>().join(", ")
        };
        out += &row(&[&from, &events, &guard_name(entry.guard), entry.why]);
    }
    out
}

/// Every pair of states: how many rows lead from the one to the other.
#[must_use]
pub fn pairs(model: &Model) -> String {
    let mut cells = vec!["from \\ to"];
    cells.extend(model.states.iter().map(|state| state.name()));
    let mut out = head(&cells);
    for from in &model.states {
        let mut cells = vec![from.name().to_owned()];
        cells.extend(model.states.iter().map(|to| {
            let leads = |row: &&conn_core::state::Row| row.to == *to && row.from.contains(from);
            match model.table.iter().filter(leads).count() {
                0 => "·".to_owned(),
                count => count.to_string(),
            }
        }));
        out += &row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out
}

/// The diagram, for a reader that renders Mermaid.
#[must_use]
pub fn mermaid(model: &Model) -> String {
    format!("```mermaid\n{}```\n", diagram::mermaid(model))
}

/// The diagram, for pasting.
#[must_use]
pub fn diagram(model: &Model) -> String {
    format!("```text\n{}```\n", diagram::text(model))
}

/// What is kept for each connection, and what is computed from it.
#[must_use]
pub fn connection(model: &Model) -> String {
    let table = |title: &str, fields: &[Field], brackets: &str| {
        let mut out = head(&[title, "type", "purpose"]);
        for field in fields {
            let name = format!("`{}{brackets}`", field.name);
            out += &row(&[&name, &format!("`{}`", field.ty), &field.purpose]);
        }
        out
    };
    table("field", &model.connection.fields, "")
        + "\nComputed whenever it is asked for, so that it cannot go stale:\n\n"
        + &table("method", &model.connection.computed, "()")
}

/// What "not ready yet" does, on every I/O path.
#[must_use]
pub fn eagain(model: &Model) -> String {
    let mut out = head(&["answer", "state", "watched for", "buffers", "met in"]);
    for rule in RULES {
        let met_in = match rule.met_in {
            [] => "ignored on purpose".to_owned(),
            met => met.iter().map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        };
        out += &row(&[rule.answer, rule.state, rule.interest, rule.buffers, &met_in]);
    }
    out += "\nState by state, from the transition table:\n\n";
    out += &head(&["answer", "in", "next", "then waits for", "because"]);
    for event in [Event::ReadWouldBlock, Event::WriteWouldBlock] {
        for (from, rule) in rows_for(&model.table, event) {
            let next = if rule.to == from { "same" } else { rule.to.name() };
            let waits_for = watched_after(rule.action).unwrap_or("nothing");
            out += &row(&[event.name(), from.name(), next, waits_for, rule.why]);
        }
    }
    out
}

/// The audit. Line numbers move with every edit, so a note is better off without them.
#[must_use]
pub fn audit(report: &Report, with_lines: bool) -> String {
    let mut out =
        head(&["file", "in", "call", "could wait for", "rests on", "cannot block here, because"]);
    for cleared in report.cleared.iter().filter(|cleared| cleared.basis != Basis::Exception) {
        let Cleared { call, basis, why } = cleared;
        let file =
            if with_lines { format!("{}:{}", call.file, call.line) } else { call.file.clone() };
        let (function, shown) = (format!("`{}`", call.function), format!("`{}`", call.shown));
        out += &row(&[&file, &function, &shown, call.kind.name(), basis.name(), why]);
    }
    let logs: Vec<&Cleared> =
        report.cleared.iter().filter(|cleared| cleared.basis == Basis::Exception).collect();
    if let Some(first) = logs.first() {
        out += &format!("\nLog lines are the one exception. {}\n", first.why);
        if with_lines {
            let places: Vec<_> = logs
                .iter()
                .map(|log| format!("{}:{} `{}`", log.call.file, log.call.line, log.call.shown))
                .collect();
            out += &format!("They are: {}.\n", places.join(", "));
        }
    }
    out += "\nEvery descriptor is made non-blocking, in the call that makes it:\n\n";
    out += &head(&["file", "in", "call", "O_NONBLOCK"]);
    for made in &report.scan.made {
        let file =
            if with_lines { format!("{}:{}", made.file, made.line) } else { made.file.clone() };
        let (function, call) = (format!("`{}`", made.function), format!("`{}()`", made.name));
        out += &row(&[&file, &function, &call, if made.non_blocking { "yes" } else { "NO" }]);
    }
    out += &format!("\nViolations: {}.\n", report.violations.len());
    for violation in &report.violations {
        out += &format!("- {}: {}\n", violation.place, violation.what);
    }
    out
}

/// The pass criteria in one table; the evidence in full is what `--check` prints.
#[must_use]
pub fn criteria(verdicts: &[Verdict]) -> String {
    let mut out = head(&["", "criterion", "verdict", "evidence"]);
    for (at, verdict) in verdicts.iter().enumerate() {
        let mark = if verdict.passed() { "pass" } else { "FAIL" };
        let evidence = verdict.evidence.first().map_or("", String::as_str);
        out += &row(&[&(at + 1).to_string(), verdict.title, mark, evidence]);
    }
    out
}
