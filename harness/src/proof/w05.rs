//! Week 5: the hand-off from the loop to workers, and back.

use super::{Document, Evidence, both, passes, paste, report};
use anyhow::{Context, Result};

pub(super) fn prove() -> Result<bool> {
    let note = Document::read("notes/w05-handoff.md")?;
    let code = Document::read("w05-handoff/src/handoff.rs")?;
    let runs = |ids: &[&str]| passes("w05", ids);
    let criteria: [(&str, Evidence); 7] = [
        (
            "the loop never runs CPU work",
            both(note.argued("The boundary", 100), runs(&["HO03", "HO04"])?),
        ),
        (
            "the loop never waits for room in the queue",
            both(code.line_with(&["try_push("]), runs(&["FQ02"])?),
        ),
        (
            "workers never call send or recv on a client's socket",
            both(
                note.section_with("Who owns what", &["sockets, buffers, clocks | the connection"]),
                runs(&["HO05", "HO06"])?,
            ),
        ),
        (
            "the eventfd wakes the loop when results are ready",
            both(
                note.section_with(
                    "The three contracts",
                    &["**The task queue**", "**The completion queue**", "**The pool**"],
                ),
                runs(&["HO08", "HO09", "HO14", "WK06"])?,
            ),
        ),
        (
            "ten clients at once get right answers, and thirty with ten errors among them",
            both(
                note.section_with("Proof", &["compute", "nc -q1", "worker=", "ps -T"]),
                runs(&["HO01", "HO02", "HO07", "HO11", "WK04"])?,
            ),
        ),
        (
            "what fails, fails for its own client only",
            both(
                note.section_with(
                    "What happens when a part fails",
                    &["returns an error", "panics", "resets", "half-closes", "SIGTERM"],
                ),
                runs(&["WK01", "WK02", "HO10", "HO12", "DR01", "DR02", "DR04"])?,
            ),
        ),
        (
            "a full queue loses nothing",
            both(
                note.section_with(
                    "When the queue is full",
                    &["`--when-full wait`", "`--when-full shed`", "`--task-timeout`"],
                ),
                runs(&["FQ01", "FQ03", "FQ04", "FQ05", "FQ06", "FQ07", "TT01", "TT02", "TT03"])?,
            ),
        ),
    ];
    let good = report("Week 5", &criteria);
    let section =
        |heading: &str| note.section(heading).with_context(|| format!("{heading:?} is missing"));
    let text =
        format!("## Proof\n{}\n## Pass criteria\n{}", section("Proof")?, section("Pass criteria")?);
    Ok(paste(&text) && good)
}
