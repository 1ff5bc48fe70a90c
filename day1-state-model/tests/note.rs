//! The day's note says what the program says.

use day1_state_model::{Document, built_in};

const NOTE: &str = "notes/day1-event-loop-state-model.md";

#[test]
fn the_generated_parts_of_the_note_are_fresh() {
    let note = std::fs::read_to_string(built_in().join(NOTE)).unwrap();
    let document = Document::read(&built_in()).unwrap();
    let fresh = note_parts::refresh(&note, |name| Ok(document.part(name))).unwrap();
    assert!(
        note == fresh,
        "{NOTE} is stale; refresh it with\n    \
         cargo run -p day1-state-model -- --update-notes {NOTE}"
    );
}

#[test]
fn every_part_that_the_day_asks_for_is_generated() {
    let note = std::fs::read_to_string(built_in().join(NOTE)).unwrap();
    for part in
        ["states", "diagram", "mermaid", "transitions", "connection", "eagain", "audit", "criteria"]
    {
        let marker = format!("\n<!-- generated: {part} -->\n");
        assert_eq!(note.matches(&marker).count(), 1, "{part}");
    }
}
