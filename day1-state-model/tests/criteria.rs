//! Each of the five criteria can fail: the model is spoilt, and exactly that one notices.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use conn_core::state::{Action, ConnState, Event, Row};
use day1_state_model::Document;
use day1_state_model::audit::Violation;
use day1_state_model::built_in;
use day1_state_model::criteria::{judge, render};
use day1_state_model::eagain::{IoPath, IoRule, RULES};
use std::sync::LazyLock;

/// The document as it is, read once.
fn document() -> Document {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::read(&built_in()).unwrap());
    DOCUMENT.clone()
}

/// The numbers of the criteria that fail.
fn failing(document: &Document, rules: &[IoRule]) -> Vec<usize> {
    let verdicts = judge(&document.model, &document.report, rules);
    (1..).zip(verdicts).filter(|(_, verdict)| !verdict.passed()).map(|(at, _)| at).collect()
}

#[test]
fn all_five_pass_with_evidence() {
    let document = document();
    let text = render(&document.verdicts);
    assert_eq!(failing(&document, RULES), [0; 0], "{text}");
    assert!(document.verdicts.iter().all(|verdict| !verdict.evidence.is_empty()), "{text}");
    assert!(text.ends_with("5 of 5 criteria pass\n"));
}

#[test]
fn four_states_are_too_few() {
    let mut document = document();
    document.model.states.truncate(4);
    assert!(failing(&document, RULES).contains(&1));
}

#[test]
fn every_row_of_the_table_is_missed_when_it_is_taken_out() {
    let mut document = document();
    for at in 0..document.model.table.len() {
        let row = document.model.table.remove(at);
        assert!(failing(&document, RULES).contains(&2), "{row:?}");
        document.model.table.insert(at, row);
    }
}

#[test]
fn every_stated_reason_is_missed_when_it_is_taken_out() {
    let mut document = document();
    for at in 0..document.model.impossible.len() {
        let entry = document.model.impossible.remove(at);
        assert_eq!(failing(&document, RULES), [2], "{entry:?}");
        document.model.impossible.insert(at, entry);
    }
}

#[test]
fn two_rows_for_one_case_are_one_too_many() {
    let mut document = document();
    let twice = document.model.table[0];
    document.model.table.push(twice);
    assert_eq!(failing(&document, RULES), [2]);
}

#[test]
fn a_state_without_an_exit_or_an_entrance_is_noticed() {
    let turn_round = |change: &dyn Fn(&mut Row)| {
        let mut document = document();
        document.model.table.iter_mut().for_each(change);
        let verdicts = judge(&document.model, &document.report, RULES);
        verdicts[1].failures.join("\n")
    };
    let no_exit = turn_round(&|row| {
        if row.event == Event::FdClosed {
            row.to = ConnState::Closing;
        }
    });
    assert!(no_exit.contains("CLOSING has no exit"), "{no_exit}");
    assert!(no_exit.contains("CLOSED is never reached"), "{no_exit}");
    assert!(no_exit.contains("no way leads from WRITING to CLOSED"), "{no_exit}");
    let risen = turn_round(&|row| {
        if row.event == Event::FdClosed {
            row.from = &[ConnState::Closed];
            row.to = ConnState::Connecting;
        }
    });
    assert!(risen.contains("CLOSED is the last state"), "{risen}");
}

#[test]
fn a_violation_of_the_audit_fails_the_third() {
    let mut document = document();
    let (place, what) = ("some.rs:7".to_owned(), "sleeps".to_owned());
    document.report.violations.push(Violation { place, what });
    assert_eq!(failing(&document, RULES), [3]);
    let verdicts = judge(&document.model, &document.report, RULES);
    assert!(render(&verdicts).contains("some.rs:7 sleeps"));
}

#[test]
fn a_struct_with_too_little_in_it_fails_the_fourth() {
    let mut document = document();
    let spec = document.model.connection.clone();
    for name in ["fd", "state", "read_buf", "write_buf", "last_active", "bytes_queued"] {
        document.model.connection.fields.retain(|field| field.name != name);
        document.model.connection.computed.retain(|field| field.name != name);
        assert_eq!(failing(&document, RULES), [4], "{name}");
        document.model.connection = spec.clone();
    }
    document.model.connection.fields.truncate(3);
    assert_eq!(failing(&document, RULES), [4]);
    document.model.connection = spec;
    document.model.connection.fields[0].purpose.clear();
    assert_eq!(failing(&document, RULES), [4], "a field without a purpose");
}

#[test]
fn not_now_must_keep_the_state_and_wait() {
    let is_eagain =
        |row: &&mut Row| matches!(row.event, Event::ReadWouldBlock | Event::WriteWouldBlock);
    let count = document().model.table.iter_mut().filter(is_eagain).count();
    assert!(count >= 2);
    for at in 0..count {
        let mut closes = document();
        closes.model.table.iter_mut().filter(is_eagain).nth(at).unwrap().to = ConnState::Closed;
        assert!(failing(&closes, RULES).contains(&5));
        let mut drops = document();
        drops.model.table.iter_mut().filter(is_eagain).nth(at).unwrap().action = Action::Discard;
        assert!(failing(&drops, RULES).contains(&5));
        let mut forgets = document();
        let table = &mut forgets.model.table;
        let row = *table.iter_mut().filter(is_eagain).nth(at).unwrap();
        table.retain(|kept| *kept != row);
        assert!(failing(&forgets, RULES).contains(&5), "{row:?}");
    }
}

#[test]
fn every_io_path_needs_its_rule_and_the_code_that_keeps_it() {
    let document = document();
    for at in 0..RULES.len() {
        let mut rules = RULES.to_vec();
        let rule = rules.remove(at);
        assert_eq!(failing(&document, &rules), [5], "{:?}", rule.path);
    }
    for rule in RULES {
        assert_eq!(rule.met_in.is_empty(), rule.path == IoPath::Refusal, "{:?}", rule.path);
        for (file, name) in rule.met_in {
            let mut document = document.clone();
            for function in &mut document.report.scan.functions {
                function.handles_not_now &= function.file != *file || function.name != *name;
            }
            assert_eq!(failing(&document, RULES), [5], "{name}");
        }
    }
}
