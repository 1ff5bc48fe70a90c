//! The five pass criteria of the day, each judged from what is there.

use crate::audit::{Basis, Cleared, Report};
use crate::eagain::{IoPath, IoRule, rows_for, watched_after};
use crate::model::Model;
use conn_core::state::{Action, ConnState, Event, Pending};
use std::collections::BTreeSet;

/// The fewest states that the quest asks for.
const FEWEST_STATES: usize = 5;

/// The fewest fields that the quest asks for.
const FEWEST_FIELDS: usize = 4;

/// What the quest's struct has: all of these must be known of a connection.
const REQUIRED: [&str; 6] = ["fd", "state", "read_buf", "write_buf", "last_active", "bytes_queued"];

/// One criterion and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is asked.
    pub title: &'static str,
    /// What was found.
    pub evidence: Vec<String>,
    /// What speaks against it; none if it is met.
    pub failures: Vec<String>,
}

impl Verdict {
    /// Whether the criterion is met.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Judges all five, in the quest's order.
#[must_use]
pub fn judge(model: &Model, report: &Report, rules: &[IoRule]) -> [Verdict; 5] {
    [
        enough_states(model),
        table_is_complete(model),
        nothing_blocks(report),
        enough_fields(model),
        not_now_is_handled(model, report, rules),
    ]
}

/// The verdicts as `--check` prints them.
#[must_use]
pub fn render(verdicts: &[Verdict]) -> String {
    let mut out = String::new();
    for (at, verdict) in verdicts.iter().enumerate() {
        let mark = if verdict.passed() { "pass" } else { "FAIL" };
        out += &format!("{mark}  {}. {}\n", at + 1, verdict.title);
        for line in &verdict.evidence {
            out += &format!("         {line}\n");
        }
        for line in &verdict.failures {
            out += &format!("      ✗  {line}\n");
        }
    }
    let passed = verdicts.iter().filter(|verdict| verdict.passed()).count();
    out + &format!("{passed} of {} criteria pass\n", verdicts.len())
}

fn names<'s>(states: impl IntoIterator<Item = &'s ConnState>) -> String {
    states.into_iter().map(|state| state.name()).collect::<Vec<_>>().join(", ")
}

fn enough_states(model: &Model) -> Verdict {
    let distinct: BTreeSet<_> = model.states.iter().map(|state| state.name()).collect();
    let mut failures = Vec::new();
    if distinct.len() < FEWEST_STATES {
        failures.push(format!("{} states, at least {FEWEST_STATES} are asked for", distinct.len()));
    }
    Verdict {
        title: "the state enum has at least 5 states",
        evidence: vec![format!("{}: {}", distinct.len(), names(&model.states))],
        failures,
    }
}

fn table_is_complete(model: &Model) -> Verdict {
    let mut failures = Vec::new();
    let (mut by_row, mut by_reason) = (0, 0);
    for &from in &model.states {
        for &event in &model.events {
            for pending in Pending::ALL {
                let rows = model.rows(from, event, pending).count();
                let reasons = model.reasons(from, event, pending).count();
                by_row += rows;
                by_reason += reasons;
                if rows + reasons != 1 {
                    failures.push(format!(
                        "{from} + {event} [{pending}]: {rows} rows and {reasons} reasons"
                    ));
                }
            }
        }
    }
    let cases = model.states.len() * model.events.len() * Pending::ALL.len();
    let covered = cases - failures.len();
    let reached = closure(model, |from, to| model.leads(from, to), ConnState::Connecting);
    let ending = closure(model, |from, to| model.leads(to, from), ConnState::Closed);
    let mut exits = Vec::new();
    for &from in &model.states {
        let to: Vec<_> =
            model.states.iter().filter(|to| **to != from && model.leads(from, **to)).collect();
        if from == ConnState::Closed {
            if !to.is_empty() {
                failures.push("CLOSED is the last state and must have no exit".to_owned());
            }
            exits.push(format!("{from} is the last state: no exit"));
        } else {
            if to.is_empty() {
                failures.push(format!("{from} has no exit"));
            }
            exits.push(format!("{from} → {}", names(to)));
        }
        if !reached.contains(&from) {
            failures.push(format!("{from} is never reached"));
        }
        if !ending.contains(&from) {
            failures.push(format!("no way leads from {from} to CLOSED"));
        }
    }
    let pairs = model.states.iter().flat_map(|from| model.states.iter().map(move |to| (from, to)));
    let leading = pairs.clone().filter(|(from, to)| model.leads(**from, **to)).count();
    let mut evidence = vec![
        format!(
            "{cases} cases ({} states × {} events × {} guards), {covered} of them covered exactly \
             once: {by_row} by {} rows, {by_reason} impossible for {} stated reasons",
            model.states.len(),
            model.events.len(),
            Pending::ALL.len(),
            model.table.len(),
            model.impossible.len(),
        ),
        format!("{} state pairs: {leading} with a transition, the others without", pairs.count()),
    ];
    evidence.append(&mut exits);
    Verdict {
        title: "the transition table covers all state pairs; every state has an exit",
        evidence,
        failures,
    }
}

/// Every state that `start` is linked to, itself included.
fn closure(
    model: &Model,
    linked: impl Fn(ConnState, ConnState) -> bool,
    start: ConnState,
) -> Vec<ConnState> {
    let mut found = vec![start];
    let mut at = 0;
    while let Some(&from) = found.get(at) {
        for &to in &model.states {
            if linked(from, to) && !found.contains(&to) {
                found.push(to);
            }
        }
        at += 1;
    }
    found
}

fn nothing_blocks(report: &Report) -> Verdict {
    let count = |basis: &dyn Fn(Basis) -> bool| {
        report.cleared.iter().filter(|cleared| basis(cleared.basis)).count()
    };
    let mut evidence = vec![
        format!(
            "{} violations; calls that could block: {} on O_NONBLOCK descriptors, {} is the wait \
             itself, {} of our own code (read as well), {} in memory only, {} for a short lock, {} on \
             workers, {} outside the loop",
            report.violations.len(),
            count(&|basis| matches!(basis, Basis::NonBlocking { .. })),
            count(&|basis| basis == Basis::TheWait),
            count(&|basis| matches!(basis, Basis::OwnCode { .. })),
            count(&|basis| basis == Basis::InMemory),
            count(&|basis| basis == Basis::ShortLock),
            count(&|basis| basis == Basis::OnAWorker),
            count(&|basis| basis == Basis::OutsideTheLoop),
        ),
        format!(
            "{} files were read; their {} log lines are the one exception, which the contract \
             allows",
            report.scan.files.len(),
            count(&|basis| basis == Basis::Exception),
        ),
    ];
    for made in &report.scan.made {
        let how = if made.non_blocking { "O_NONBLOCK from creation on" } else { "BLOCKING" };
        evidence.push(format!("{}:{} {}(): {how}", made.file, made.line, made.name));
    }
    for cleared in &report.cleared {
        if matches!(cleared.basis, Basis::NonBlocking { .. } | Basis::TheWait) {
            let call = &cleared.call;
            evidence.push(format!("{}:{} {}: {}", call.file, call.line, call.shown, cleared.why));
        }
    }
    let failures = report
        .violations
        .iter()
        .map(|violation| format!("{} {}", violation.place, violation.what))
        .collect();
    Verdict { title: "the blocking-call audit has zero violations", evidence, failures }
}

fn enough_fields(model: &Model) -> Verdict {
    let spec = &model.connection;
    let list = |fields: &[crate::model::Field]| {
        fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut failures = Vec::new();
    if spec.fields.len() < FEWEST_FIELDS {
        failures
            .push(format!("{} fields, at least {FEWEST_FIELDS} are asked for", spec.fields.len()));
    }
    for name in REQUIRED.iter().filter(|name| !spec.knows(name)) {
        failures.push(format!("nothing is called {name}"));
    }
    let known = REQUIRED.into_iter().filter(|name| spec.knows(name)).collect::<Vec<_>>().join(", ");
    for field in spec.fields.iter().filter(|field| field.purpose.is_empty()) {
        failures.push(format!("{} has no stated purpose", field.name));
    }
    Verdict {
        title: "the per-connection struct has at least 4 fields",
        evidence: vec![
            format!("{} stored: {}", spec.fields.len(), list(&spec.fields)),
            format!("{} computed from them: {}", spec.computed.len(), list(&spec.computed)),
            format!("of the quest's six, there are: {known}"),
        ],
        failures,
    }
}

fn not_now_is_handled(model: &Model, report: &Report, rules: &[IoRule]) -> Verdict {
    let mut failures = Vec::new();
    let mut evidence = Vec::new();
    for (event, call) in [(Event::ReadWouldBlock, "recv"), (Event::WriteWouldBlock, "send")] {
        let rows: Vec<_> = rows_for(&model.table, event).collect();
        for (from, row) in &rows {
            if row.to != *from {
                failures.push(format!("{call} EAGAIN in {from} changes the state to {}", row.to));
            }
            if watched_after(row.action).is_none() {
                failures.push(format!("{call} EAGAIN in {from} does not wait: {}", row.action));
            }
        }
        let states: Vec<_> = rows.iter().map(|(from, _)| from).collect();
        evidence.push(format!("{call} EAGAIN has its rows in {}", names(states)));
    }
    for state in &model.states {
        let handles = |event| {
            Pending::ALL.iter().all(|pending| model.rows(*state, event, *pending).next().is_some())
        };
        let receives = model
            .table
            .iter()
            .any(|row| row.to == *state && matches!(row.action, Action::Receive | Action::Discard));
        if receives && !handles(Event::ReadWouldBlock) {
            failures.push(format!("{state} calls recv, but has no rule for its EAGAIN"));
        }
        let sends = rows_for(&model.table, Event::WriteComplete).any(|(from, _)| from == *state);
        if sends && !handles(Event::WriteWouldBlock) {
            failures.push(format!("{state} calls send, but has no rule for its EAGAIN"));
        }
    }
    let paths = paths_used(report);
    let calls: usize = paths.iter().map(|(_, calls)| calls.len()).sum();
    let ruled =
        paths.iter().filter(|(path, _)| rules.iter().any(|rule| rule.path == *path)).count();
    evidence.insert(0, format!("{calls} I/O calls on {} paths, {ruled} with a rule", paths.len()));
    for (path, calls) in paths {
        let calls = if calls.is_empty() { "no call".to_owned() } else { calls.join(", ") };
        let Some(rule) = rules.iter().find(|rule| rule.path == path) else {
            failures.push(format!("no EAGAIN rule for {calls}"));
            continue;
        };
        for (file, name) in rule.met_in {
            let found = report.scan.functions.iter().any(|function| {
                function.file == *file && function.name == *name && function.handles_not_now
            });
            if !found {
                failures.push(format!("{name} in {file} does not look for {}", rule.answer));
            }
        }
        let met = match rule.met_in {
            [] => "ignored on purpose".to_owned(),
            met => format!(
                "met in {}",
                met.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
            ),
        };
        evidence.push(format!("{}: {met}; calls: {calls}", rule.answer));
    }
    Verdict { title: "EAGAIN handling is documented for every I/O call", evidence, failures }
}

/// The I/O paths that the source uses, each with its calls; `recv`, `send`, `accept` and the wait
/// must be among them, found or not.
fn paths_used(report: &Report) -> Vec<(IoPath, Vec<String>)> {
    let mut paths = vec![IoPath::Recv, IoPath::Send, IoPath::Accept, IoPath::Wait];
    let path_of = |basis| match basis {
        Basis::NonBlocking { path, .. } => Some(path),
        Basis::TheWait => Some(IoPath::Wait),
        _ => None,
    };
    for path in report.cleared.iter().filter_map(|cleared| path_of(cleared.basis)) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
        .into_iter()
        .map(|path| {
            let calls =
                report.cleared.iter().filter(|cleared| path_of(cleared.basis) == Some(path));
            let place = |cleared: &Cleared| format!("{}:{}", cleared.call.file, cleared.call.line);
            (path, calls.map(place).collect())
        })
        .collect()
}
