//! The whole document as JSON, for other programs.

use crate::audit::Report;
use crate::criteria::Verdict;
use crate::diagram::edges;
use crate::eagain::RULES;
use crate::model::{Field, Model};
use conn_core::state::{ConnState, Event, Pending};
use serde_json::{Value, json};

/// The document.
#[must_use]
pub fn json(model: &Model, report: &Report, verdicts: &[Verdict]) -> Value {
    let states = |states: &[ConnState]| states.iter().map(|state| state.name()).collect::<Vec<_>>();
    let events = |events: &[Event]| events.iter().map(|event| event.name()).collect::<Vec<_>>();
    let guard = |guard: &[Pending]| guard.iter().map(|pending| pending.name()).collect::<Vec<_>>();
    let fields = |fields: &[Field]| {
        fields
            .iter()
            .map(|field| json!({ "name": field.name, "type": field.ty, "purpose": field.purpose }))
            .collect::<Vec<_>>()
    };
    json!({
        "states": model.states.iter().map(|state| json!({
            "name": state.name(),
            "meaning": state.meaning(),
        })).collect::<Vec<_>>(),
        "events": events(&model.events),
        "guards": guard(&Pending::ALL),
        "transitions": model.table.iter().map(|row| json!({
            "id": row.id,
            "from": states(row.from),
            "event": row.event.name(),
            "guard": guard(row.guard),
            "to": row.to.name(),
            "action": row.action.name(),
            "why": row.why,
        })).collect::<Vec<_>>(),
        "impossible": model.impossible.iter().map(|entry| json!({
            "from": states(entry.from),
            "events": events(entry.events),
            "guard": guard(entry.guard),
            "why": entry.why,
        })).collect::<Vec<_>>(),
        "edges": edges(model).into_iter().map(|edge| json!({
            "from": edge.from.name(),
            "to": edge.to.name(),
            "labels": edge.labels,
        })).collect::<Vec<_>>(),
        "connection": {
            "fields": fields(&model.connection.fields),
            "computed": fields(&model.connection.computed),
        },
        "eagain": RULES.iter().map(|rule| json!({
            "answer": rule.answer,
            "state": rule.state,
            "interest": rule.interest,
            "buffers": rule.buffers,
            "met_in": rule.met_in.iter().map(|(file, function)| json!({
                "file": file,
                "function": function,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "audit": {
            "files": report.scan.files,
            "calls": report.cleared.iter().map(|cleared| json!({
                "file": cleared.call.file,
                "line": cleared.call.line,
                "function": cleared.call.function,
                "call": cleared.call.shown,
                "kind": cleared.call.kind.name(),
                "basis": cleared.basis.name(),
                "why": cleared.why,
            })).collect::<Vec<_>>(),
            "descriptors": report.scan.made.iter().map(|made| json!({
                "file": made.file,
                "line": made.line,
                "function": made.function,
                "call": made.name,
                "non_blocking": made.non_blocking,
            })).collect::<Vec<_>>(),
            "violations": report.violations.iter().map(|violation| json!({
                "place": violation.place,
                "what": violation.what,
            })).collect::<Vec<_>>(),
        },
        "criteria": verdicts.iter().map(|verdict| json!({
            "title": verdict.title,
            "passed": verdict.passed(),
            "evidence": verdict.evidence,
            "failures": verdict.failures,
        })).collect::<Vec<_>>(),
    })
}
