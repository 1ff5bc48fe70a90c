//! The program, from outside.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use assert_cmd::Command;
use conn_core::state::{ConnState, TABLE};
use predicates::str::{contains, starts_with};
use std::collections::BTreeSet;
use std::process::Stdio;

fn program() -> Command {
    Command::cargo_bin("day1-state-model").unwrap()
}

fn output(arguments: &[&str]) -> String {
    String::from_utf8(program().args(arguments).assert().success().get_output().stdout.clone())
        .unwrap()
}

#[test]
fn the_document_has_every_section_of_the_day() {
    let text = output(&[]);
    assert_eq!(text, output(&["--format", "markdown"]));
    for title in [
        "Connection states",
        "State diagram",
        "State transition table",
        "What cannot happen",
        "Per-connection data",
        "EAGAIN",
        "Blocking-call audit",
        "Pass criteria",
    ] {
        assert!(text.contains(&format!("\n## {title}\n")), "{title}");
    }
    for row in TABLE {
        assert!(text.contains(row.why), "{}", row.why);
    }
}

#[test]
fn every_table_of_the_document_has_as_many_cells_in_each_row_as_in_its_head() {
    let text = output(&[]);
    let mut width = 0;
    for line in text.lines() {
        let cells = line.matches('|').count();
        match (line.starts_with('|'), width) {
            (false, _) => width = 0,
            (true, 0) => width = cells,
            (true, _) => assert_eq!(cells, width, "{line}"),
        }
    }
}

#[test]
fn the_check_shows_five_criteria_with_evidence_and_succeeds() {
    let check = program().arg("--check").assert().code(0).stderr("");
    let mut check = check.stdout(contains("5 of 5 criteria pass"));
    for number in 1..=5 {
        check = check.stdout(contains(format!("pass  {number}. ")));
    }
    // Counts and names …
    let check = check.stdout(contains(format!("{}: CONNECTING, ", ConnState::ALL.len())));
    // … and places, which must be where the call is.
    let text = String::from_utf8(check.get_output().stdout.clone()).unwrap();
    for call in ["accept_with", "select"] {
        let line = text.lines().find(|line| line.contains(&format!(" {call}(): "))).unwrap();
        let (file, rest) = line.trim().split_once(':').unwrap();
        let number: usize = rest.split(' ').next().unwrap().parse().unwrap();
        let source = std::fs::read_to_string(day1_state_model::built_in().join(file)).unwrap();
        let place = source.lines().nth(number - 1).unwrap();
        assert!(place.contains(&format!("{call}(")), "{line}: {place}");
    }
}

#[test]
fn the_proof_is_short_enough_to_paste() {
    let proof = output(&["--proof"]);
    assert!(proof.chars().count() <= 5_000, "{}", proof.chars().count());
    for part in ["enum ConnState {", "TRANSITIONS", "struct Connection"] {
        assert!(proof.contains(part), "{part}");
    }
}

#[test]
fn json_parses_and_holds_every_state_and_every_row() {
    let json: serde_json::Value = serde_json::from_str(&output(&["--format", "json"])).unwrap();
    let names = |list: &serde_json::Value, key: &str| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&json["states"], "name"), ConnState::ALL.map(ConnState::name));
    let events: Vec<_> = TABLE.iter().map(|row| row.event.name()).collect();
    assert_eq!(names(&json["transitions"], "event"), events);
    let edges: BTreeSet<_> =
        names(&json["edges"], "from").into_iter().zip(names(&json["edges"], "to")).collect();
    let expected: BTreeSet<_> = TABLE
        .iter()
        .flat_map(|row| row.from.iter().map(|from| (from.name(), row.to.name())))
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .collect();
    assert_eq!(edges, expected);
    assert!(names(&json["connection"]["fields"], "name").contains(&"last_active".to_owned()));
    assert_eq!(json["audit"]["violations"], serde_json::json!([]));
    assert_eq!(json["criteria"].as_array().unwrap().len(), 5);
}

#[test]
fn the_diagrams_come_alone() {
    program().args(["--format", "mermaid"]).assert().success().stdout(starts_with("stateDiagram"));
    program().args(["--format", "dot"]).assert().success().stdout(starts_with("digraph "));
}

#[test]
fn wrong_flags_are_answered_with_usage_and_status_2() {
    for wrong in [
        &["--format", "pdf"][..],
        &["--unknown"],
        &["surplus"],
        &["--check", "--proof"],
        &["--check", "--format", "json"],
        &["--update-notes"],
    ] {
        program().args(wrong).assert().code(2).stdout("").stderr(contains("--help"));
    }
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    for arguments in [&[][..], &["--format", "json"], &["--check"], &["--proof"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("day1-state-model"))
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn update_notes_rewrites_what_is_between_the_markers_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note.md");
    std::fs::write(&note, "by hand\n<!-- generated: states -->\nold\n<!-- end generated -->\n")
        .unwrap();
    let update = || program().arg("--update-notes").arg(&note).assert();
    update().success().stdout(contains("note.md updated"));
    let fresh = std::fs::read_to_string(&note).unwrap();
    assert!(fresh.starts_with("by hand\n<!-- generated: states -->\n\n| state |"), "{fresh}");
    assert!(!fresh.contains("old") && fresh.contains("| WRITING |"), "{fresh}");
    update().success().stdout(contains("is up to date"));
    assert_eq!(std::fs::read_to_string(&note).unwrap(), fresh);
}

#[test]
fn a_note_that_cannot_be_updated_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note.md");
    program().arg("--update-notes").arg(&note).assert().code(1).stderr(contains("cannot read"));
    let broken = "<!-- generated: nonsense -->\n<!-- end generated -->\n";
    std::fs::write(&note, broken).unwrap();
    let update = program().arg("--update-notes").arg(&note).assert();
    update.code(1).stderr(contains("line 1: nothing is called \"nonsense\""));
    assert_eq!(std::fs::read_to_string(&note).unwrap(), broken);
}
