//! The state machine as a picture: Mermaid, Graphviz, and plain text for pasting.

use crate::model::Model;
use conn_core::state::{ConnState, Row, guard_name};
use std::fmt::Write;

/// All that leads from one state to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The state it leaves.
    pub from: ConnState,
    /// The state it enters.
    pub to: ConnState,
    /// Events, each with its guard if it has one.
    pub labels: Vec<String>,
}

/// The event, with its guard in brackets unless it always holds: `write complete [task out]`.
#[must_use]
pub fn label(row: &Row) -> String {
    match guard_name(row.guard).as_str() {
        "always" => row.event.name().to_owned(),
        guard => format!("{} [{guard}]", row.event.name()),
    }
}

/// The edges in the order of the states, those of `rows` that satisfy `filter`.
fn edges_where(model: &Model, filter: impl Fn(&Row) -> bool) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for &from in &model.states {
        for &to in &model.states {
            let labels: Vec<String> = model
                .table
                .iter()
                .filter(|row| row.to == to && row.from.contains(&from) && filter(row))
                .map(label)
                .collect();
            if !labels.is_empty() {
                edges.push(Edge { from, to, labels });
            }
        }
    }
    edges
}

/// Every edge of the machine.
#[must_use]
pub fn edges(model: &Model) -> Vec<Edge> {
    edges_where(model, |_| true)
}

/// A Mermaid `stateDiagram-v2`.
#[must_use]
pub fn mermaid(model: &Model) -> String {
    let mut out = "stateDiagram-v2\n    [*] --> CONNECTING : accept()\n".to_owned();
    for Edge { from, to, labels } in edges(model) {
        let _ = writeln!(out, "    {from} --> {to} : {}", labels.join(", "));
    }
    out + "    CLOSED --> [*]\n"
}

/// A Graphviz digraph.
#[must_use]
pub fn dot(model: &Model) -> String {
    let mut out = "digraph connection {\n    node [shape=box];\n    start [shape=point];\n\
                   \x20   start -> CONNECTING [label=\"accept()\"];\n"
        .to_owned();
    for state in &model.states {
        let _ = writeln!(out, "    {state} [tooltip=\"{}\"];", state.meaning());
    }
    for Edge { from, to, labels } in edges(model) {
        let _ = writeln!(out, "    {from} -> {to} [label=\"{}\"];", labels.join("\\n"));
    }
    out + "}\n"
}

/// Columns of the plain-text diagram.
const WIDTH: usize = 78;

/// A box for each state: what leads down the usual path below it, every other exit beside it.
#[must_use]
pub fn text(model: &Model) -> String {
    let edges = edges_where(model, |row| !model.holds_anywhere(row));
    let path = usual_path(model);
    let beside = model.states.iter().filter(|state| !path.contains(state));
    let mut out = " accept()\n    │\n    ▼\n".to_owned();
    for (at, &state) in path.iter().enumerate() {
        let next = path.get(at + 1).copied();
        draw(&mut out, state, &edges, next);
    }
    for &state in beside {
        out.push('\n');
        draw(&mut out, state, &edges, None);
    }
    let anywhere: Vec<&Row> = model.table.iter().filter(|row| model.holds_anywhere(row)).collect();
    if !anywhere.is_empty() {
        out.push('\n');
    }
    for row in anywhere {
        let _ = writeln!(out, "ANY STATE ── {} ──▶ {}", label(row), row.to);
    }
    out
}

/// The longest way through the states in the order of a life; of several, the earliest.
fn usual_path(model: &Model) -> Vec<ConnState> {
    fn longest_from(model: &Model, at: usize) -> Vec<ConnState> {
        let mut best = Vec::new();
        for next in at + 1..model.states.len() {
            if model.leads(model.states[at], model.states[next]) {
                let way = longest_from(model, next);
                if way.len() > best.len() {
                    best = way;
                }
            }
        }
        best.insert(0, model.states[at]);
        best
    }
    if model.states.is_empty() { Vec::new() } else { longest_from(model, 0) }
}

fn draw(out: &mut String, state: ConnState, edges: &[Edge], next: Option<ConnState>) {
    const NAME: usize = 14;
    let rule = "─".repeat(NAME + 2);
    let mut beside = Vec::new();
    for edge in edges.iter().filter(|edge| edge.from == state && Some(edge.to) != next) {
        let arrow = if edge.to == state {
            "  ↺ stays on ".to_owned()
        } else {
            format!("──▶ {} on ", edge.to)
        };
        let room = WIDTH - (NAME + 4) - arrow.chars().count();
        for (line, words) in wrap(&edge.labels, room).into_iter().enumerate() {
            let lead = if line == 0 { arrow.clone() } else { " ".repeat(arrow.chars().count()) };
            beside.push(lead + &words);
        }
    }
    let _ = writeln!(out, "┌{rule}┐");
    for line in 0..beside.len().max(1) {
        let name = if line == 0 { state.name() } else { "" };
        let side = beside.get(line).map_or("", String::as_str);
        let _ = writeln!(out, "{}", format!("│ {name:NAME$} │{side}").trim_end());
    }
    let _ = writeln!(out, "└{rule}┘");
    if let Some(next) = next {
        let labels = edges
            .iter()
            .find(|edge| edge.from == state && edge.to == next)
            .map(|edge| edge.labels.clone())
            .unwrap_or_default();
        for line in wrap(&labels, WIDTH - 6) {
            let _ = writeln!(out, "    │ {line}");
        }
        out.push_str("    ▼\n");
    }
}

/// Joins with commas, in lines of at most `width` columns where the words allow it.
fn wrap(labels: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (at, label) in labels.iter().enumerate() {
        let comma = if at + 1 < labels.len() { "," } else { "" };
        match lines.last_mut() {
            Some(line) if line.chars().count() + label.chars().count() + 2 <= width => {
                let _ = write!(line, " {label}{comma}");
            }
            _ => lines.push(format!("{label}{comma}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_path_is_that_of_a_request_with_a_body() {
        let names: Vec<_> =
            usual_path(&Model::current().unwrap()).into_iter().map(ConnState::name).collect();
        let expected =
            ["CONNECTING", "READING_HEADER", "READING_BODY", "WRITING", "CLOSING", "CLOSED"];
        assert_eq!(names, expected);
    }

    #[test]
    fn every_state_and_every_edge_is_in_each_picture() {
        let model = Model::current().unwrap();
        let (mermaid, dot, text) = (mermaid(&model), dot(&model), text(&model));
        for state in &model.states {
            assert!(text.contains(&format!("│ {:14} │", state.name())), "{state} in {text}");
            assert!(dot.contains(&format!("\n    {state} [")), "{state} in {dot}");
        }
        for Edge { from, to, labels } in edges(&model) {
            let line = format!("\n    {from} --> {to} : {}\n", labels.join(", "));
            assert_eq!(mermaid.matches(&line).count(), 1, "{line}");
            let line = format!("\n    {from} -> {to} [label=\"{}\"];\n", labels.join("\\n"));
            assert_eq!(dot.matches(&line).count(), 1, "{line}");
            for label in &labels {
                assert!(text.contains(label.as_str()), "{label} in {text}");
            }
        }
    }

    #[test]
    fn mermaid_lines_have_the_shape_that_its_grammar_asks_for() {
        let mermaid = mermaid(&Model::current().unwrap());
        let mut lines = mermaid.lines();
        assert_eq!(lines.next(), Some("stateDiagram-v2"));
        for line in lines {
            let (ends, label) = line.split_once(" : ").unwrap_or((line, ""));
            assert!(!label.contains([':', ';', '#', '"']), "{line}");
            let (from, to) = ends.trim().split_once(" --> ").expect("an arrow");
            let is_name = |name: &str| {
                name == "[*]" || name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            };
            assert!(is_name(from) && is_name(to), "{line}");
        }
    }

    #[test]
    fn dot_is_balanced_and_each_statement_ends() {
        let dot = dot(&Model::current().unwrap());
        assert!(dot.starts_with("digraph connection {\n") && dot.ends_with("}\n"));
        for line in dot.lines().skip(1).filter(|line| *line != "}") {
            assert!(line.ends_with(';'), "{line}");
            assert_eq!(line.matches('"').count() % 2, 0, "{line}");
            assert_eq!(line.matches('[').count(), line.matches(']').count(), "{line}");
        }
    }

    #[test]
    fn the_text_diagram_fits_into_a_terminal() {
        let text = text(&Model::current().unwrap());
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
